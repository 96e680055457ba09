//! Runs the binary and queries it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_port};
use serde_json::Value;

use crate::fake_clock::begin_at;

/// How long anything may take to happen on a loaded machine; nothing is asserted about how quick it is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub(crate) fn kwapi() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kwapi"))
}

/// A running kwapi with a scratch directory and ports of its own.
pub(crate) struct Kwapi {
    pub(crate) process: Peer,
    pub(crate) api: u16,
    pub(crate) web: u16,
    pub(crate) status: u16,
    pub(crate) lab: Lab,
}

impl Kwapi {
    /// Starts `kwapi ARGS` with the configuration `toml`, in which `@API@`, `@WEB@`, `@STATUS@` and `@DIR@` are filled in.
    pub(crate) fn start(arguments: &[&str], toml: &str) -> Self {
        Self::start_in(Lab::empty(), arguments, toml)
    }

    /// As [`Kwapi::start`], in a scratch directory that exists already (a restart).
    pub(crate) fn start_in(lab: Lab, arguments: &[&str], toml: &str) -> Self {
        Self::begin(lab, kwapi(), arguments, toml)
    }

    /// As [`Kwapi::start_in`]; its clock begins at an instant (see [`begin_at`]).
    pub(crate) fn start_at(lab: Lab, instant: &str, arguments: &[&str], toml: &str) -> Self {
        let mut command = kwapi();
        begin_at(&mut command, instant);
        Self::begin(lab, command, arguments, toml)
    }

    /// As [`Kwapi::start`], with at most so many open files.
    pub(crate) fn start_limited(files: Option<u32>, arguments: &[&str], toml: &str) -> Self {
        let command = match files {
            None => kwapi(),
            Some(files) => {
                let mut command = Command::new("sh");
                let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
                command.args(["-c", &limited, env!("CARGO_BIN_EXE_kwapi")]);
                command
            }
        };
        Self::begin(Lab::empty(), command, arguments, toml)
    }

    fn begin(lab: Lab, mut command: Command, arguments: &[&str], toml: &str) -> Self {
        let (api, web, status) = (free_port(), free_port(), free_port());
        let file = lab.join("kwapi.toml");
        let toml = toml
            .replace("@API@", &api.to_string())
            .replace("@WEB@", &web.to_string())
            .replace("@STATUS@", &status.to_string())
            .replace("@DIR@", &lab.path().display().to_string());
        std::fs::write(&file, toml).unwrap();
        let log = lab.join(format!("kwapi-{}.log", arguments.first().unwrap_or(&"run")));
        let process = Peer::start(command.args(arguments).arg("--config").arg(&file), log);
        Self { process, api, web, status, lab }
    }

    /// A file in its scratch directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.lab.join(name)
    }

    /// Waits until the API offers `probe` and returns its entry.
    pub(crate) fn probe(&self, probe: &str) -> Value {
        let entry = || {
            let (status, body) = get(self.api, "/v1/probes/")?;
            let probes: Value = serde_json::from_str(&body).ok()?;
            probes["probes"].get(probe).filter(|_| status == 200).cloned()
        };
        let start = std::time::Instant::now();
        loop {
            if let Some(entry) = entry() {
                return entry;
            }
            assert!(start.elapsed() < PATIENCE, "no {probe} at the API:\n{}", self.process.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// `GET`s from a loopback port: status and body as text; `None` while nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let (status, _, body) =
        request(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))?;
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Sends a request as written and takes the answer apart: status, head, body.
pub(crate) fn request(port: u16, text: &str) -> Option<(u16, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = answer[end + 4..].to_vec();
    let body =
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunk(&body)? } else { body };
    Some((status, head, body))
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}

/// Runs the binary to its end: whether it succeeded, and what it printed, with `folder` left out.
pub(crate) fn run(arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = kwapi().args(arguments).current_dir(folder).env_remove("KWAPI_CONFIG").output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text.replace(&format!("{}/", folder.display()), ""))
}
