//! The command line as a client of the API.

use serde_json::Value;

use crate::server::{Options, Server, both, new_home, run, tollgate};

#[test]
fn a_link_lives_through_its_commands() {
    let server = Server::start();
    let client = server.client();
    let link = |args: &[&str]| {
        let mut command = server.cli();
        run(command.arg("link").args(args))
    };
    let made = link(&[
        "create",
        "https://a.example/",
        "--code",
        "cli",
        "--tag",
        "x",
        "--redirect",
        "301",
        "--json",
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["code"], "cli");
    assert_eq!(client.visit("cli").status, 301);
    let short = link(&["create", "https://b.example/"]);
    assert!(short.trim().starts_with(&server.edge), "{short}");

    let got: Value = serde_json::from_str(&link(&["get", "cli", "--json"])).unwrap();
    assert_eq!(got["tags"], serde_json::json!(["x"]));
    link(&[
        "update",
        "cli",
        "--url",
        "https://c.example/",
        "--clear",
        "redirect",
    ]);
    let reply = client.visit("cli").expect(302);
    assert_eq!(reply.location(), "https://c.example/");
    assert!(link(&["list"]).contains("cli"));
    assert!(link(&["history", "cli"]).contains("url"));
    assert!(link(&["qr", "cli"]).lines().count() > 10);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("code.SVG");
    let drawn = link(&[
        "qr",
        "cli",
        "--size",
        "200",
        "--color",
        "#222",
        "-o",
        file.to_str().unwrap(),
    ]);
    assert_eq!(drawn, "");
    let served = client.visit_with("cli.qr?size=200&color=222", &[]);
    assert_eq!(served.status, 200);
    assert_eq!(std::fs::read_to_string(file).unwrap(), served.text());
    link(&["delete", "cli"]);
    assert_eq!(client.visit("cli").status, 404);
}

#[test]
fn a_qr_code_has_a_logo_on_both_sides() {
    let home = new_home();
    let logo = home.path().join("logo.png");
    std::fs::write(
        &logo,
        include_bytes!("../../../server/tests/shared/logo.png"),
    )
    .unwrap();
    let logo = logo.to_str().unwrap();
    let server = Options::default()
        .config(&format!("[edge]\nqr_logo = {logo:?}"))
        .start_in(&home);
    let client = server.client();
    client.create(&serde_json::json!({"url": "https://a.example/", "code": "cli"}));
    let qr = |args: &[&str]| {
        let mut command = server.cli();
        command.args(["link", "qr", "cli", "--logo"]).args(args);
        command.output().unwrap()
    };
    for format in ["svg", "png"] {
        let file = home.path().join(format!("code.{format}"));
        let output = qr(&[logo, "-o", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", both(&output));
        let served = client.visit_with(&format!("cli.qr?logo=true&format={format}"), &[]);
        assert_eq!(served.status, 200);
        assert_eq!(std::fs::read(file).unwrap(), served.body);
    }
    let told = |args: &[&str], code: i32| {
        let output = qr(args);
        assert_eq!(output.status.code(), Some(code), "{}", both(&output));
        both(&output)
    };
    let config = home.path().join("tollgate.toml");
    assert!(told(&[config.to_str().unwrap(), "-o", "never.svg"], 1).contains("no PNG"));
    assert!(told(&[logo, "-o", "never.svg", "--level", "l"], 2).contains("level is wrong"));
    assert!(told(&[logo], 2).contains("--output"));
}

#[test]
fn refusals_are_told_and_have_an_exit_code() {
    let server = Server::start();
    let fails = |args: &[&str], code: i32| {
        let output = server.cli().args(args).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            both(&output)
        );
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(fails(&["link", "get", "absent"], 1).contains("absent"));
    assert!(fails(&["link", "create", "nowhere"], 1).contains("url"));
    fails(&["link", "create"], 2);
    assert!(fails(&["link", "list", "--key", "tg_wrong"], 1).contains("key"));
    let draft = serde_json::json!({"url": "https://a.example/", "code": "edited"});
    assert_eq!(server.client().create(&draft)["version"], 1);
    let update = ["link", "update", "edited", "--title", "x", "--if-version"];
    let with = |version| [&update[..], &[version]].concat();
    assert!(fails(&with("2"), 1).contains("version"));
    assert!(
        server
            .cli()
            .args(with("1"))
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(fails(&with("1"), 1).contains("version"));
    let nobody = fails(&["link", "list", "--server", "http://127.0.0.1:1"], 1);
    assert!(nobody.contains("127.0.0.1:1"), "{nobody}");
}

#[test]
fn completions_and_the_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(tollgate().args(["completions", shell])).contains("tollgate"));
    }
    assert!(run(tollgate().arg("man")).contains(".TH tollgate"));
    assert!(run(tollgate().arg("--help")).contains("Exit codes"));
}
