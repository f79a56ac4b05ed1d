//! One tab of Chromium, through the DevTools protocol: JSON over a WebSocket.
//!
//! The crates that have a type for each of the protocol's messages take three CPU minutes to compile. Nine messages are
//! needed here.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use otel_usage_testing::PATIENCE;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// How a reader sees the pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) name: &'static str,
    pub(crate) width: i64,
    /// Features of CSS media queries.
    pub(crate) features: &'static [(&'static str, &'static str)],
}

/// A tab, and the browser that was started for it.
pub(crate) struct Tab {
    chromium: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    calls: u64,
    /// Events that were read while something else was awaited.
    events: Vec<Value>,
}

impl Tab {
    /// Starts Chromium, or says why it cannot be started.
    pub(crate) fn open(profile: &Path) -> Result<Self, String> {
        let program = program().ok_or("Chromium is missing: apt-get install chromium")?;
        let mut chromium = Command::new(program)
            // A container's root has no sandbox, and the pages are ours.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("Chromium does not start: {error}"))?;
        let mut lines = BufReader::new(chromium.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned))
            .ok_or("Chromium ended without a DevTools address")?;
        // Chromium blocks if its output is not read.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let host = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(address.as_str(), stream).unwrap();
        let mut tab = Self { chromium, socket, session: None, calls: 0, events: Vec::new() };
        let target = tab.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = tab.call("Target.attachToTarget", attach);
        tab.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Network.enable", "Log.enable", "Runtime.enable"] {
            tab.call(domain, json!({}));
        }
        Ok(tab)
    }

    pub(crate) fn look(&mut self, look: Look) {
        let feature = |(name, value): &(&str, &str)| json!({"name": name, "value": value});
        let features: Vec<Value> = look.features.iter().map(feature).collect();
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
        let size =
            json!({"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    pub(crate) fn scripts(&mut self, on: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !on}));
    }

    /// Loads a page. Returns the addresses that it asked for, and what Chromium complains of.
    pub(crate) fn load(&mut self, address: &str) -> (Vec<String>, Vec<String>) {
        self.events.clear();
        let answer = self.call("Page.navigate", json!({"url": address}));
        assert!(answer["errorText"].is_null(), "{address}: {answer}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
        let texts = |method: &str, text: &str| -> Vec<String> {
            let of = self.events.iter().filter(|event| event["method"] == method);
            of.map(|event| event["params"].pointer(text).unwrap().as_str().unwrap().to_owned())
                .collect()
        };
        let asked = texts("Network.requestWillBeSent", "/request/url");
        (asked, texts("Log.entryAdded", "/entry/text"))
    }

    /// Runs a script of the test in the page, waits for its promise, and returns its value.
    pub(crate) fn evaluate<T: DeserializeOwned>(&mut self, script: &str) -> T {
        let script = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", script);
        let value = answer.pointer("/result/value").unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_value(value.clone()).unwrap()
    }

    pub(crate) fn press_tab(&mut self) {
        for kind in ["rawKeyDown", "keyUp"] {
            let key =
                json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
            self.call("Input.dispatchKeyEvent", key);
        }
    }

    /// Returns a picture of the whole page.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(call.to_string())).unwrap();
        loop {
            let mut message = self.read();
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    fn read(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let _ = self.chromium.kill();
        let _ = self.chromium.wait();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
}
