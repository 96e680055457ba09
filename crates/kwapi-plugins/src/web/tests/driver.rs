//! Drives a real Chromium from outside, over a pair of pipes: messages of JSON, each ended by a zero byte (Chrome `DevTools` Protocol).

#![allow(clippy::disallowed_methods, reason = "a test starts the browser that judges the page")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command};

use serde_json::{Value, json};

/// In its home: what it writes to standard error.
const ERRORS: &str = "errors";

/// A browser without a window. Its calls block: not to be made where the server's tasks run.
pub(super) struct Browser {
    child: Child,
    commands: File,
    answers: BufReader<File>,
    calls: u64,
    /// What was reported besides: exceptions and what the console shows.
    reported: Vec<String>,
    bytes: f64,
    home: kwapi_peers::Lab,
}

/// One of its pages.
#[derive(Clone, Debug)]
pub(super) struct Tab {
    target: String,
    session: String,
}

impl Browser {
    pub(super) fn start() -> Self {
        let home = kwapi_peers::Lab::empty();
        let pipes = ["commands", "answers"].map(|name| home.join(name));
        assert!(Command::new("mkfifo").args(&pipes).status().unwrap().success());
        let [commands, answers] = &pipes;
        // The browser reads its descriptor 3 and writes to 4.
        let child = Command::new("sh")
            .args(["-c", "in=$1 out=$2; shift 2; exec \"$@\" 3<\"$in\" 4>\"$out\"", "sh"])
            .args([commands, answers])
            .arg(kwapi_peers::find("chromium").unwrap())
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            // Where several run at once, or in a container, shared memory may be short: they use files then.
            .args(["--disable-dev-shm-usage", "--disable-breakpad"])
            .args(["--remote-debugging-pipe", "--window-size=1280,1000"])
            .arg(format!("--user-data-dir={}", home.join("profile").display()))
            .stderr(File::create(home.join(ERRORS)).unwrap())
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(commands).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        Self { child, commands, answers, calls: 0, reported: Vec::new(), bytes: 0.0, home }
    }

    /// Fails with how the browser ended, and its last words.
    fn report_end(&mut self, method: &str) -> ! {
        let status = self.child.wait();
        let errors = std::fs::read(self.home.join(ERRORS)).unwrap_or_default();
        let errors =
            String::from_utf8_lossy(errors.get(errors.len().saturating_sub(4_000)..).unwrap_or_default());
        panic!("{method}: the browser has ended: {status:?}\n{errors}");
    }

    fn call(&mut self, tab: Option<&Tab>, method: &str, parameters: &Value) -> Value {
        self.try_call(tab, method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The same; an error is the browser's.
    fn try_call(&mut self, tab: Option<&Tab>, method: &str, parameters: &Value) -> Result<Value, String> {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(tab) = tab {
            message["sessionId"] = tab.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        if self.commands.write_all(&bytes).is_err() {
            self.report_end(method);
        }
        loop {
            let mut bytes = Vec::new();
            self.answers.read_until(0, &mut bytes).unwrap();
            if bytes.pop() != Some(0) {
                self.report_end(method);
            }
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            if answer["id"] == self.calls {
                let error = answer.get("error").map(Value::to_string);
                return error.map_or_else(|| Ok(answer["result"].clone()), Err);
            }
            let kind = answer["method"].as_str().unwrap_or_default();
            if kind == "Network.loadingFinished" {
                self.bytes += answer["params"]["encodedDataLength"].as_f64().unwrap_or_default();
            }
            if kind == "Runtime.exceptionThrown"
                || (kind == "Log.entryAdded" && answer["params"]["entry"]["level"] == "error")
            {
                self.reported.push(answer.to_string());
            }
        }
    }

    /// Opens `address` in a new tab, which hides the one before, or in a window of its own, once `first` has run there.
    pub(super) fn open(&mut self, address: &str, has_own_window: bool, first: &str) -> Tab {
        let created = self.call(
            None,
            "Target.createTarget",
            &json!({ "url": "about:blank", "newWindow": has_own_window }),
        );
        let target = created["targetId"].as_str().unwrap().to_owned();
        let attached =
            self.call(None, "Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        let tab = Tab { target, session: attached["sessionId"].as_str().unwrap().to_owned() };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            self.call(Some(&tab), domain, &json!({}));
        }
        self.call(Some(&tab), "Page.addScriptToEvaluateOnNewDocument", &json!({ "source": first }));
        self.call(Some(&tab), "Page.navigate", &json!({ "url": address }));
        tab
    }

    /// What an expression is worth in a tab.
    pub(super) fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        self.try_evaluate(tab, expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_evaluate(&mut self, tab: &Tab, expression: &str) -> Result<Value, String> {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.try_call(Some(tab), "Runtime.evaluate", &parameters)?;
        match answer.get("exceptionDetails") {
            Some(exception) => Err(exception.to_string()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true in a tab, for half a minute at most. What is thrown counts as false, and so does a
    /// page that is left meanwhile.
    pub(super) fn wait(&mut self, tab: &Tab, condition: &str) {
        let later = format!(
            "new Promise((resolve, reject) => setTimeout(() => {{ try {{ resolve({condition}) }} catch (e) {{ reject(e) }} }}, 50))"
        );
        if (0..600).any(|_| self.try_evaluate(tab, &later) == Ok(Value::Bool(true))) {
            return;
        }
        let shown = self.evaluate(tab, "document.body.innerText.slice(0, 600)");
        panic!("{condition} never came true: {shown}");
    }

    /// Has the page take keys, as if its window were the one in front.
    pub(super) fn focus(&mut self, tab: &Tab) {
        self.call(Some(tab), "Emulation.setFocusEmulationEnabled", &json!({ "enabled": true }));
    }

    /// Presses and lets go of a key, as a keyboard does: `Tab`, `Enter`, `ArrowDown`, …, with `Shift+` before it or without.
    pub(super) fn press(&mut self, tab: &Tab, keys: &str) {
        let (modifiers, key) = keys.strip_prefix("Shift+").map_or((0, keys), |key| (8, key));
        let (name, code, number, text) = match key {
            "Tab" => ("Tab", "Tab", 9, ""),
            "Enter" => ("Enter", "Enter", 13, "\r"),
            "Escape" => ("Escape", "Escape", 27, ""),
            "Space" => (" ", "Space", 32, " "),
            "PageUp" => ("PageUp", "PageUp", 33, ""),
            "PageDown" => ("PageDown", "PageDown", 34, ""),
            "End" => ("End", "End", 35, ""),
            "Home" => ("Home", "Home", 36, ""),
            "ArrowLeft" => ("ArrowLeft", "ArrowLeft", 37, ""),
            "ArrowUp" => ("ArrowUp", "ArrowUp", 38, ""),
            "ArrowRight" => ("ArrowRight", "ArrowRight", 39, ""),
            "ArrowDown" => ("ArrowDown", "ArrowDown", 40, ""),
            "/" => ("/", "Slash", 191, "/"),
            other => panic!("which key is {other}?"),
        };
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let event = |kind: &str| json!({ "type": kind, "key": name, "code": code, "windowsVirtualKeyCode": number, "text": text, "modifiers": modifiers });
        self.call(Some(tab), "Input.dispatchKeyEvent", &event(down));
        self.call(Some(tab), "Input.dispatchKeyEvent", &event("keyUp"));
    }

    /// Types into what has the focus.
    pub(super) fn type_text(&mut self, tab: &Tab, text: &str) {
        self.call(Some(tab), "Input.insertText", &json!({ "text": text }));
    }

    /// Makes a page exactly so wide and high, in pixels.
    pub(super) fn resize(&mut self, tab: &Tab, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call(Some(tab), "Emulation.setDeviceMetricsOverride", &size);
    }

    pub(super) fn reload(&mut self, tab: &Tab) {
        self.call(Some(tab), "Page.reload", &json!({}));
    }

    /// How many bytes have come over the network since the last time, with heads of answers, as they were sent.
    pub(super) fn bytes(&mut self) -> f64 {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn minimise(&mut self, tab: &Tab, is_minimised: bool) {
        let window =
            self.call(None, "Browser.getWindowForTarget", &json!({ "targetId": tab.target }))["windowId"]
                .clone();
        let state = if is_minimised { "minimized" } else { "normal" };
        self.call(
            None,
            "Browser.setWindowBounds",
            &json!({ "windowId": window, "bounds": { "windowState": state } }),
        );
    }

    pub(super) fn close(&mut self, tab: &Tab) {
        self.call(None, "Target.closeTarget", &json!({ "targetId": tab.target }));
    }

    /// Exceptions and errors in the console since the last time.
    pub(super) fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reported)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
