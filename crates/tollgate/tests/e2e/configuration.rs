//! Mistakes in the configuration are told with their place, and keep the server from starting.

use crate::server::{Options, both, new_home, run, tollgate};

#[test]
fn mistakes_are_told_with_file_and_line() {
    let home = new_home();
    let output = Options::default()
        .config(
            "[links]\nredirect = 302\nstratgy = \"random\"\n\n[edge]\nheader_timeout = \"soon\"",
        )
        .fails_to_start(&home);
    assert_eq!(output.status.code(), Some(1));
    let text = both(&output);
    assert!(text.contains("tollgate.toml:3:"), "{text}");
    assert!(text.contains("strategy"), "a suggestion: {text}");
    assert!(text.contains("tollgate.toml:6:"), "{text}");
    assert!(text.contains("edge.header_timeout"), "{text}");
}

#[test]
fn config_check_says_what_serve_would() {
    let home = new_home();
    let file = home.path().join("bad.toml");
    std::fs::write(&file, "[links]\nredirect = 303\n").unwrap();
    let check = |file| {
        tollgate()
            .args(["config", "check"])
            .arg(file)
            .output()
            .unwrap()
    };
    let output = check(&file);
    assert_eq!(output.status.code(), Some(1));
    assert!(both(&output).contains("bad.toml:2:"), "{}", both(&output));

    let good = home.path().join("good.toml");
    std::fs::write(&good, run(tollgate().args(["config", "default"]))).unwrap();
    assert!(check(&good).status.success(), "{}", both(&check(&good)));
}

#[test]
fn a_logo_that_cannot_be_read_is_told_at_start() {
    let home = new_home();
    let file = home.path().join("logo.png");
    for (content, told) in [
        (None, "cannot be read"),
        (Some(&b"GIF89a"[..]), "no PNG"),
        (Some(&[0; 300 * 1024][..]), "256 KiB"),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let output = Options::default()
            .config(&format!("[edge]\nqr_logo = {file:?}"))
            .fails_to_start(&home);
        assert_eq!(output.status.code(), Some(1));
        let text = both(&output);
        assert!(
            text.contains("edge.qr_logo") && text.contains(told),
            "{text}"
        );
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let server = Options::default()
        .config("[links]\nredirect = 301")
        .env("TOLLGATE_LINKS__REDIRECT", "308")
        .start();
    let client = server.client();
    let code = client.code(&serde_json::json!({"url": "https://a.example/"}));
    assert_eq!(client.visit(&code).status, 308);
}

#[test]
fn a_wrong_variable_is_named() {
    let output = Options::default()
        .env("TOLLGATE_LINKS__REDIRECT", "200")
        .fails_to_start(&new_home());
    let text = both(&output);
    assert!(text.contains("TOLLGATE_LINKS__REDIRECT"), "{text}");
}

#[test]
fn bad_usage_has_a_code_of_its_own() {
    let output = tollgate().arg("srve").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = tollgate()
        .args(["serve", "--edge-listen", "nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
