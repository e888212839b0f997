//! Clients that others wrote, as subprocesses. `scripts/test` installs them.

use std::process::{Command, Output, Stdio};

use crate::server::Server;

fn run(command: &mut Command, package: &str) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{error}: install {package}"));
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert!(status.success(), "{stdout}{stderr}");
    assert_eq!(stderr, "");
    stdout
}

fn redis_cli(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command
        .args(["-h", "127.0.0.1", "-p"])
        .arg(server.address.port().to_string())
        .env_remove("REDISCLI_AUTH")
        .args(arguments);
    run(&mut command, "redis-tools")
}

#[test]
fn redis_cli_asks_in_both_versions() {
    let server = Server::start();
    let throttle = ["CL.THROTTLE", "user123", "15", "30", "60"];
    assert_eq!(redis_cli(&server, &throttle), "0\n16\n15\n-1\n2\n");
    assert_eq!(
        redis_cli(&server, &[&["-3", "--no-raw"], &throttle[..]].concat()),
        "1) (integer) 0\n2) (integer) 16\n3) (integer) 14\n4) (integer) -1\n5) (integer) 4\n"
    );
    let check = ["TG.CHECK", "shop", "1", "user", "u1"];
    assert_eq!(
        redis_cli(&server, &check),
        "1\n2\n1\n-1\n20000\n0\nper_user\n"
    );
    assert_eq!(
        redis_cli(&server, &[&["-3", "--no-raw"], &check[..]].concat()),
        "1# \"allowed\" => (integer) 1\n\
         2# \"limit\" => (integer) 2\n\
         3# \"remaining\" => (integer) 0\n\
         4# \"retry_after_ms\" => (integer) -1\n\
         5# \"reset_after_ms\" => (integer) 20000\n\
         6# \"delay_ms\" => (integer) 0\n\
         7# \"policy\" => \"per_user\"\n"
    );
    assert_eq!(redis_cli(&server, &["-3", "PING"]), "PONG\n");
    assert!(redis_cli(&server, &["INFO", "server"]).contains("redis_mode:standalone"));
    assert_eq!(redis_cli(&server, &["-n", "0", "ECHO", "x"]), "x\n");
}

/// As when somebody types, it asks for `COMMAND DOCS` first.
#[test]
fn redis_cli_starts_without_an_error() {
    let server = Server::start();
    let script = format!(
        "printf 'PING\\nCL.THROTTLE k 0 1 60\\nCL.THROTTLE k 0 1 60\\n' | redis-cli -p {}",
        server.address.port()
    );
    let out = run(Command::new("sh").args(["-c", &script]), "redis-tools");
    assert_eq!(out, "PONG\n0\n1\n0\n-1\n60\n1\n1\n0\n60\n60\n");
    server.expect_metric(r#"tollgate_resp_commands_total{command="command",outcome="done"} 1.0"#);
}

#[test]
fn redis_cli_says_a_password() {
    let server = Server::with_password("sesame");
    let asked = redis_cli(&server, &["PING"]);
    assert_eq!(asked, "NOAUTH Authentication required.\n\n");
    let said = redis_cli(&server, &["--no-auth-warning", "-a", "sesame", "PING"]);
    assert_eq!(said, "PONG\n");
}

#[test]
fn redis_cli_pipes_many_commands() {
    let server = Server::start();
    let script = format!(
        "yes 'CL.THROTTLE k 99 1 3600' | head -n 1000 | redis-cli -p {} --pipe",
        server.address.port()
    );
    let out = run(Command::new("sh").args(["-c", &script]), "redis-tools");
    assert!(out.ends_with("errors: 0, replies: 1000\n"), "{out}");
    server.expect_metric(
        r#"tollgate_resp_commands_total{command="cl.throttle",outcome="allowed"} 100.0"#,
    );
}

#[test]
fn redis_py_asks_alone_and_in_a_pipeline() {
    let server = Server::with_password("sesame");
    let script = r"
import redis, sys
r = redis.Redis(port=int(sys.argv[1]), password='sesame', client_name='worker')
assert r.ping()
assert r.client_getname() == 'worker', r.client_getname()
assert r.execute_command('CL.THROTTLE', 'k', 4, 1, 60) == [0, 5, 4, -1, 60]
pipeline = r.pipeline(transaction=False)
for _ in range(100):
    pipeline.execute_command('CL.THROTTLE', 'k', 4, 1, 60)
limited = [answer[0] for answer in pipeline.execute()]
assert limited == [0] * 4 + [1] * 96, limited
assert r.info()['limits_limited'] == 96
assert r.command()['cl.throttle']['arity'] == -5
assert r.execute_command('TG.CHECK', 'shop', 2, 'user', 'u1') == [1, 2, 0, -1, 20000, 0, b'per_user']
assert r.execute_command('TG.CHECK', 'shop', 1, 'user', 'u1') == [0, 2, 0, 20000, 20000, 0, b'per_user']
assert r.command()['tg.check']['arity'] == -5
try:
    r.get('x')
    assert False
except redis.ResponseError as error:
    assert str(error).startswith('unknown command'), error
try:
    redis.Redis(port=int(sys.argv[1]), password='wrong').ping()
    assert False
except redis.RedisError as error:
    assert str(error).startswith('WRONGPASS'), error
";
    let mut python = Command::new("/usr/bin/python3");
    python
        .args(["-c", script])
        .arg(server.address.port().to_string());
    assert_eq!(run(&mut python, "python3-redis"), "");
}
