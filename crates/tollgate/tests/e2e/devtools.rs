//! A real browser, driven by the DevTools protocol over a pipe.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::PATIENCE;

/// The page is there as a whole, and htmx, which begins a moment later, listens.
const READY: &str = "(document.readyState == 'complete'
    && (typeof htmx == 'undefined'
        || document.querySelector(':is([hx-get], [hx-post]):not([data-htmx-powered])') == null))";

/// One page in a browser of its own.
pub(crate) struct Page {
    child: Child,
    commands: File,
    messages: BufReader<File>,
    session: Option<String>,
    last_id: u64,
    requests: Vec<String>,
    /// Holds the browser's profile and the pipes.
    _home: TempDir,
}

impl Page {
    /// An empty page. Without scripts, those of the pages it visits are not run.
    pub(crate) fn open(scripts: bool) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let pipes = ["commands", "messages"].map(|name| home.path().join(name));
        let made = Command::new("mkfifo").args(&pipes).status();
        assert!(made.expect("mkfifo").success());
        // The browser reads commands from descriptor 3 and writes to 4. A browser that hangs must
        // not hang the tests.
        let child = Command::new("sh")
            .arg("-c")
            .arg("commands=$1 messages=$2; shift 2; exec \"$@\" 3<\"$commands\" 4>\"$messages\"")
            .arg("sh")
            .args(&pipes)
            .args(["timeout", "-k", "1", "120", "chromium"])
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking"])
            .args(["--no-first-run", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let commands = File::options().write(true).open(&pipes[0]).expect("a pipe");
        let messages = BufReader::new(File::open(&pipes[1]).expect("a pipe"));
        let mut page = Self {
            child,
            commands,
            messages,
            session: None,
            last_id: 0,
            requests: Vec::new(),
            _home: home,
        };
        let target = page.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = page.call("Target.attachToTarget", &attach);
        page.session = session["sessionId"].as_str().map(str::to_owned);
        page.call("Network.enable", &json!({}));
        page.call("Page.enable", &json!({}));
        let disabled = json!({"value": !scripts});
        page.call("Emulation.setScriptExecutionDisabled", &disabled);
        page
    }

    /// Runs a script in every document before anything else is.
    pub(crate) fn before_each_document(&mut self, script: &str) {
        let script = json!({"source": script});
        self.call("Page.addScriptToEvaluateOnNewDocument", &script);
    }

    /// Lets pages do what their `Content-Security-Policy` does not allow.
    pub(crate) fn ignore_content_security_policy(&mut self) {
        self.call("Page.setBypassCSP", &json!({"enabled": true}));
    }

    /// Goes to an address.
    pub(crate) fn go(&mut self, url: &str) {
        let answer = self.call("Page.navigate", &json!({"url": url}));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
    }

    /// Waits until the page's source holds a text, and answers the source.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let document = self.call("DOM.getDocument", &json!({"depth": 0}));
            let root = json!({"nodeId": document["root"]["nodeId"]});
            let html = self.call("DOM.getOuterHTML", &root)["outerHTML"].clone();
            let html = html.as_str().unwrap_or_default().to_owned();
            if html.contains(text) {
                return html;
            }
            assert!(Instant::now() < deadline, "{text:?} is not shown: {html}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types into the first field that `selector` finds, and presses Enter.
    #[track_caller]
    pub(crate) fn type_and_enter(&mut self, selector: &str, text: &str) {
        self.focus(selector);
        self.call("Input.insertText", &json!({"text": text}));
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "key": "Enter", "code": "Enter", "text": "\r",
                "windowsVirtualKeyCode": 13,
            });
            self.call("Input.dispatchKeyEvent", &key);
        }
    }

    /// Waits until a script may do on the page what a visitor does.
    #[track_caller]
    pub(crate) fn ready(&mut self) {
        self.until(READY);
    }

    /// Gives a field the focus, once the page is there as a whole: before, the focus may be taken
    /// away again.
    #[track_caller]
    fn focus(&mut self, selector: &str) {
        self.until(&format!(
            "(field => {READY} && field != null
                && (field.focus(), document.activeElement == field))
                (document.querySelector({}))",
            json!(selector),
        ));
    }

    /// Presses what `selector` finds first.
    #[track_caller]
    pub(crate) fn press(&mut self, selector: &str) {
        self.until(&format!(
            "(found => {READY} && found != null && (found.click(), true))
                (document.querySelector({}))",
            json!(selector),
        ));
    }

    /// Types into the first field that `selector` finds, instead of what is in it.
    #[track_caller]
    pub(crate) fn type_into(&mut self, selector: &str, text: &str) {
        self.focus(selector);
        self.until("document.activeElement.select?.(), true");
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Waits until an expression is true on the page.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression) != true {
            assert!(Instant::now() < deadline, "never true: {expression}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What an expression, or its promise, comes to on the page; null if it fails.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let evaluate = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let answer = self.call("Runtime.evaluate", &evaluate);
        answer["result"]["value"].clone()
    }

    /// As on a screen of this width, whose owner likes it dark or light.
    pub(crate) fn look(&mut self, width: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
        let metrics = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// A picture of the whole page, as PNG in Base64.
    pub(crate) fn picture(&mut self) -> String {
        let capture = json!({"format": "png", "captureBeyondViewport": true});
        let answer = self.call("Page.captureScreenshot", &capture);
        answer["data"].as_str().unwrap_or_default().to_owned()
    }

    /// Every address the page has asked for so far.
    pub(crate) fn requests(&self) -> &[String] {
        &self.requests
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        write!(self.commands, "{command}\0").expect("a browser that listens");
        loop {
            let mut message = Vec::new();
            let read = self.messages.read_until(0, &mut message);
            assert!(
                read.expect("a pipe") > 0,
                "the browser has ended; is chromium installed?"
            );
            let message: Value = serde_json::from_slice(&message[..message.len() - 1])
                .expect("JSON from the browser");
            if message["method"] == "Network.requestWillBeSent" {
                let url = message["params"]["request"]["url"].as_str();
                self.requests.extend(url.map(str::to_owned));
            }
            if message["id"] == self.last_id {
                // A page that is just being replaced has no document for a moment.
                return message["result"].clone();
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // The end of the pipe ends the browser, `timeout` one that does not listen.
        let _ = write!(self.commands, "{{\"id\":0,\"method\":\"Browser.close\"}}\0");
        let _ = self.child.wait();
    }
}
