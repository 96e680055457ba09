//! A real Gnocchi, which keeps what Ceilometer publishes: its API, the daemon that aggregates, and a `PostgreSQL`.

use std::process::Command;
use std::time::Duration;

use super::{Keystone, answers, environment};
use crate::{Lab, Peer, find, free_port, output};

/// What a part may take to start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What `PostgreSQL` may take to end at once.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running Gnocchi that trusts a Keystone, ended part by part.
#[derive(Debug)]
pub struct Gnocchi {
    pub port: u16,
    api: Peer,
    _metricd: Peer,
    _database: Database,
    _lab: Lab,
}

impl Gnocchi {
    /// Starts one that queries `keystone` for who its callers are. It has to be registered there:
    /// [`Keystone::register_both`].
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn start(keystone: &Keystone) -> Self {
        let port = free_port();
        let lab = Lab::of("openstack", port);
        let programs = find("initdb").expect("need(initdb)");
        let command_of = |part: &str| {
            let mut command = Command::new("bash");
            command
                .arg(lab.join("openstack/gnocchi.sh"))
                .arg(part)
                .arg(lab.join("gnocchi"))
                .args([port.to_string(), keystone.port.to_string()])
                .env("GNOCCHI_VENV", environment("gnocchi"))
                .env("PG_BIN", programs.parent().expect("a folder of programs"));
            command
        };
        let socket = lab.join("gnocchi/db/.s.PGSQL.5432");
        let database = Peer::start(&mut command_of("database"), lab.join("database.out"));
        let database = Database(Some(database.ready(START_LIMIT, || socket.exists())));
        output(&mut command_of("upgrade"));
        let metricd = Peer::start(&mut command_of("metricd"), lab.join("metricd.out"));
        let api = Peer::start(&mut command_of("api"), lab.join("api.out"));
        let api = api.ready(START_LIMIT, || answers(port, "/"));
        Self { port, api, _metricd: metricd, _database: database, _lab: lab }
    }

    /// Its address, with what follows it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What its API has printed so far.
    pub fn log(&self) -> String {
        self.api.log()
    }
}

/// A `PostgreSQL`, which is requested to end: killed, it would leave its shared memory behind.
#[derive(Debug)]
struct Database(Option<Peer>);

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.stop(libc::SIGQUIT, STOP_LIMIT);
        }
    }
}
