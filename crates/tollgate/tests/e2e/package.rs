//! The Debian package (`scripts/deb`): installed, run by systemd and removed on a copy of this system that
//! nobody else sees, made of an overlay in namespaces of its own. That takes root.

use std::path::PathBuf;
use std::process::Command;

use crate::server::{ADMIN_KEY, both, new_home};

/// Makes the copy, with the package in `/run/copy`, and runs the script on it. What the tests need lies in a
/// directory of a new file system, where nothing of this system can be in the way.
const COPY: &str = r#"
    set -eu
    mkdir "$1/system"
    mount -t tmpfs tmpfs "$1/system"
    cd "$1/system"
    mkdir new work root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$PWD/new,workdir=$PWD/work" root
    mount -t proc proc root/proc
    mount -t tmpfs tmpfs root/run
    # What is the kernel's is everybody's, so nothing of it can be changed from in there.
    mount --bind root/proc/sys root/proc/sys
    mount -o remount,bind,ro root/proc/sys
    mount -t sysfs -o ro sysfs root/sys
    mount -t cgroup2 cgroup2 root/sys/fs/cgroup
    mount -t tmpfs tmpfs root/dev
    for node in null zero full random urandom tty; do
        touch "root/dev/$node"
        mount --bind "/dev/$node" "root/dev/$node"
    done
    mkdir root/dev/pts root/dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts root/dev/pts
    ln -s pts/ptmx root/dev/ptmx
    # Nor are other disks.
    true >root/etc/fstab
    # systemd mounts credentials in a namespace and expects to see them in its own.
    mount --make-rshared root
    mkdir root/run/copy
    touch root/run/copy/told
    mount --bind "$1/told" root/run/copy/told
    cp "$2" root/run/copy/tollgate.deb
    printf %s "$3" >root/run/copy/script
    exec chroot root /bin/bash -eu /run/copy/script
"#;

/// Runs a script by root on a copy of the system, and answers what it printed or wrote to `told`.
#[track_caller]
fn on_a_copy(script: &str) -> String {
    let package = std::env::var_os("DEB").expect("DEB says where the package is");
    let package: PathBuf = std::fs::canonicalize(package).expect("a package");
    let home = new_home();
    let told = home.path().join("told");
    std::fs::write(&told, "").expect("a writable directory");
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--cgroup", "--net", "--ipc", "--uts"])
        .args(["--fork", "--kill-child"])
        .args(["sh", "-c", COPY, "sh"])
        .arg(home.path())
        .arg(package)
        .arg(script)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("unshare of util-linux");
    let told = both(&output) + &std::fs::read_to_string(told).expect("text");
    assert!(output.status.success(), "{}:\n{told}", output.status);
    told
}

#[track_caller]
fn assert_has(told: &str, all: &[&str]) {
    for expected in all {
        assert!(told.contains(expected), "{expected:?} is missing:\n{told}");
    }
}

#[test]
#[ignore = "needs root and the package, see scripts/test"]
fn what_is_installed_works_and_goes_again() {
    let told = on_a_copy(
        r#"
        apt-get install -y --no-install-recommends /run/copy/tollgate.deb
        echo "version: $(tollgate --version)"

        echo "page: $(man -w tollgate-link-create)"
        MANPAGER=cat man tollgate | grep -q 'URL shortener'
        bash -c '. /usr/share/bash-completion/completions/tollgate; complete -p tollgate'
        grep -q '^#compdef tollgate' /usr/share/zsh/vendor-completions/_tollgate
        grep -q 'complete -c tollgate' /usr/share/fish/vendor_completions.d/tollgate.fish
        test -s /usr/share/doc/tollgate/copyright
        tollgate config check /usr/share/doc/tollgate/examples/tollgate.toml

        stat --format='%n %a %U %G' /etc/tollgate/tollgate.toml /var/lib/tollgate
        ls /etc/systemd/system/multi-user.target.wants/tollgate.service
        systemd-analyze verify /lib/systemd/system/tollgate.service
        systemd-analyze security --no-pager --offline=true --threshold=20 \
            /lib/systemd/system/tollgate.service | tail -1

        as_the_service() { setpriv --reuid tollgate --regid tollgate --clear-groups "$@"; }
        as_the_service tollgate config check --config /etc/tollgate/tollgate.toml
        as_the_service tollgate migrate --data-dir /var/lib/tollgate

        # What the administrator has changed stays through an upgrade.
        echo '# mine' >>/etc/tollgate/tollgate.toml
        dpkg --force-confold -i /run/copy/tollgate.deb
        echo "kept: $(tail -1 /etc/tollgate/tollgate.toml)"

        apt-get purge -y tollgate
        ! test -e /usr/bin/tollgate
        ! test -e /etc/tollgate
        ! test -e /lib/systemd/system/tollgate.service
        ! test -e /etc/systemd/system/multi-user.target.wants/tollgate.service
        echo "left: $(ls /var/lib/tollgate | grep -c '\.db$')"
        "#,
    );
    assert_has(
        &told,
        &[
            concat!("version: tollgate ", env!("CARGO_PKG_VERSION")),
            "page: /usr/share/man/man1/tollgate-link-create.1.gz",
            "-F _tollgate",
            "/etc/tollgate/tollgate.toml 640 root tollgate",
            "/var/lib/tollgate 700 tollgate tollgate",
            "Overall exposure level for tollgate.service: ",
            "/etc/tollgate/tollgate.toml is valid",
            "/var/lib/tollgate/links.db",
            "kept: # mine",
            "left in /var/lib/tollgate",
            "left: 5",
        ],
    );
}

/// systemd itself, started on the copy: so its sandbox is in force, and the server has to live with it.
#[test]
#[ignore = "needs root and the package, see scripts/test"]
fn systemd_runs_it() {
    const SCRIPT: &str = r#"
        apt-get install -y --no-install-recommends /run/copy/tollgate.deb
        # A port that only root may take otherwise.
        sed -i 's/^listen = "127.0.0.1:8080"/listen = "127.0.0.1:80"/' /etc/tollgate/tollgate.toml
        umask 077
        echo TOLLGATE_ADMIN_KEY=@KEY@ >/etc/tollgate/tollgate.env
        # A file that is root's alone, as certificates are.
        echo '{domain: shop, descriptors: [{key: user, rate_limit: {unit: minute, requests_per_unit: 5}}]}' >/run/copy/limits.yaml
        printf '[limits]\npolicies = "/run/credentials/tollgate.service/limits.yaml"\n' \
            >>/etc/tollgate/tollgate.toml
        umask 022
        mkdir -p /etc/systemd/system/tollgate.service.d
        printf '[Service]\nLoadCredential=limits.yaml:/run/copy/limits.yaml\n' \
            >/etc/systemd/system/tollgate.service.d/override.conf

        cat >/run/copy/check <<'CHECK'
            trap 'journalctl --no-pager --unit=tollgate' EXIT
            systemctl start tollgate
            systemctl show tollgate --property=ActiveState,StatusText
            stat --format='data: %a %U' /var/lib/tollgate/links.db
            echo "short: $(tollgate link create https://example.com/there --code here)"
            curl --silent --include http://127.0.0.1/here | grep -i ^location:
            echo "policies: $(tollgate limit policies)"
            systemctl reload tollgate
            # What the page about it says.
            journalctl --unit tollgate --grep 'admin key'
            runuser -u tollgate -- env -u TOLLGATE_KEY \
                tollgate key create ci --scopes links:write --data-dir /var/lib/tollgate
            tollgate config check /etc/tollgate/tollgate.toml
            systemctl restart tollgate

            # It is started again, and nothing that was answered is lost.
            systemctl kill --signal=KILL --kill-who=main tollgate
            until systemctl show tollgate --property=NRestarts | grep -qx NRestarts=1 &&
                systemctl --quiet is-active tollgate; do
                sleep 0.1
            done
            echo "again: $(tollgate link get here | grep ^target)"

            systemctl stop tollgate
            systemctl show tollgate --property=Result
            echo "faults: $(journalctl --no-pager --unit=tollgate | grep -cE ' (WARN|ERROR) ' || true)"
CHECK
        # Ends the copy with its exit code.
        cat >/etc/systemd/system/check.service <<'UNIT'
[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=/bin/bash -eu /run/copy/check
Environment=TOLLGATE_KEY=@KEY@
StandardOutput=append:/run/copy/told
StandardError=append:/run/copy/told
TimeoutStartSec=300
UNIT
        exec env container=lxc /lib/systemd/systemd --system --unit=check.service
    "#;
    let told = on_a_copy(&SCRIPT.replace("@KEY@", ADMIN_KEY));
    assert_has(
        &told,
        &[
            "ActiveState=active",
            "StatusText=Redirects on 127.0.0.1:80, admin side on 127.0.0.1:8081",
            "data: 600 tollgate",
            "short: http://127.0.0.1/here",
            "location: https://example.com/there",
            "shop\t",
            "is the first admin key",
            " is made; its secret is shown only once",
            "again: target        https://example.com/there",
            "Result=success",
            "faults: 0",
        ],
    );
}
