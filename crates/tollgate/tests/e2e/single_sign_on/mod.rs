//! Signing in at `oidc-provider` from npm, a provider that is certified, in a real browser.
//!
//! `scripts/test` installs it, and says where it is in `OIDC_PROVIDER`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;

use crate::devtools::Page;
use crate::server::{Options, Server, free_port};

struct Provider {
    child: Child,
    /// Kept open: it says more now and then.
    _output: BufReader<ChildStdout>,
    address: String,
}

impl Provider {
    /// A provider that sends people back there.
    fn start(callback: &str) -> Self {
        let modules = std::env::var("OIDC_PROVIDER")
            .expect("OIDC_PROVIDER says where npm installed it: see scripts/test");
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/single_sign_on");
        let mut command = Command::new("node");
        command
            .arg(format!("{here}/provider.mjs"))
            .args([&modules, callback])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("node starts");
        let mut address = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut address).unwrap();
        Self {
            child,
            _output: output,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start() -> (Server, Provider) {
    let port = free_port();
    let admin = format!("http://127.0.0.1:{port}");
    let provider = Provider::start(&format!("{admin}/sign-in/back"));
    let issuer = &provider.address;
    let config = format!(
        "[admin.oidc]\nissuer = '{issuer}'\nclient_id = 'tollgate'\nclient_secret = 'hush'\n\
         url = '{admin}'\nname = 'Test ID'\n\
         grants = ['groups=ops -> admin', 'email=*@example.com -> links:read']\n"
    );
    let server = Options::default().admin_port(port).config(&config).start();
    (server, provider)
}

/// Goes to a page, and signs in at the provider on the way.
fn sign_in(server: &Server, page: &mut Page, path: &str, email: &str) {
    page.go(&format!("{}{path}", server.admin));
    page.until("document.querySelector('a.button.primary')?.innerText == 'Sign in with Test ID'");
    page.press("a.button.primary");
    page.type_into("[name=login]", email);
    page.type_into("[name=password]", "any");
    page.press("[type=submit]");
    // It asks whether we may know who this is.
    page.until("document.querySelector('[name=prompt]')?.value == 'consent'");
    page.press("[type=submit]");
}

fn heading(text: &str) -> String {
    format!("document.querySelector('h1')?.innerText == '{text}'")
}

#[test]
#[ignore = "needs chromium and a provider from npm: scripts/test e2e"]
fn people_sign_in_at_a_provider_and_may_what_is_granted_to_them() {
    let (server, _provider) = start();
    let mut page = Page::open(true);
    sign_in(&server, &mut page, "/keys", "ops@example.com");
    // Back where they wanted to go, and no cookie was lost on the way.
    page.until(&heading("Keys"));
    page.shows("ops@example.com");
    page.shows("single sign-on");
    page.press("[href='/webhooks']");
    page.until(&heading("Webhooks"));

    let mut other = Page::open(true);
    sign_in(&server, &mut other, "/links", "staff@example.com");
    other.until(&heading("Links"));
    other.go(&format!("{}/keys", server.admin));
    other.until(&heading("The API key lacks a scope"));

    // Once the key of a person is revoked they are out, and do not come in again.
    let client = server.client();
    let list = client.api("GET", "/api/v1/keys").expect(200).json();
    let ops = list["keys"].as_array().unwrap().iter();
    let ops = ops.filter(|key| key["name"] == "ops@example.com");
    let ops: Vec<_> = ops.collect();
    assert_eq!(ops.len(), 1, "{list}");
    assert_eq!(ops[0]["scopes"], json!(["links:read", "admin"]));
    let subject = ops[0]["subject"].as_str().unwrap();
    assert!(subject.ends_with(" ops@example.com"), "{subject}");
    let id = ops[0]["id"].as_str().unwrap();
    client.api("DELETE", &format!("/api/v1/keys/{id}"));
    page.go(&format!("{}/keys", server.admin));
    page.until(&heading("Sign in"));
    let mut again = Page::open(true);
    sign_in(&server, &mut again, "/keys", "ops@example.com");
    again.shows("ops@example.com is not let in");
}

#[test]
#[ignore = "needs chromium and a provider from npm: scripts/test e2e"]
fn nobody_comes_in_to_whom_nothing_is_granted_or_who_was_not_sent() {
    let (server, _provider) = start();
    let mut page = Page::open(true);
    // It may be anybody's address.
    sign_in(&server, &mut page, "/", "unverified@example.com");
    page.shows("may do nothing here");
    page.go(&format!("{}/links", server.admin));
    page.until(&heading("Sign in"));

    // Whoever says no at the provider is told so.
    let mut page = Page::open(true);
    page.go(&format!("{}/links", server.admin));
    page.until(&heading("Sign in"));
    page.press("a.button.primary");
    page.until("document.querySelector('a[href*=abort]') != null");
    page.press("a[href*=abort]");
    page.shows("Test ID said:");

    // What another browser began is not ended here, nor what nobody began.
    let mut other = Page::open(true);
    other.go(&format!("{}/sign-in/back?state=x&code=y", server.admin));
    other.shows("was not begun in this browser");
}
