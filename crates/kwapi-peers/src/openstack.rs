//! A small cloud: a real Keystone, a real Ceilometer that finds what it polls in Keystone's catalogue, and a real Gnocchi.

mod gnocchi;

pub use gnocchi::Gnocchi;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Lab, Peer, free_port, output, python_environment};

/// Keystone makes its database at its first start, which takes a loaded machine long.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running Keystone. Its data outlives its process.
#[derive(Debug)]
pub struct Keystone {
    pub lab: Lab,
    pub port: u16,
    process: Option<Peer>,
    /// How long the tokens live that it issues after its next start.
    pub token_seconds: u32,
}

impl Keystone {
    /// Starts one that has no user but its administrator.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn start() -> Self {
        let port = free_port();
        let mut keystone =
            Self { lab: Lab::of("openstack", port), port, process: None, token_seconds: 3_600 };
        keystone.resume();
        keystone
    }

    /// Starts it again with the data it had.
    ///
    /// # Panics
    /// As [`Keystone::start`].
    pub fn resume(&mut self) {
        let mut command = Command::new("bash");
        command
            .arg(self.lab.join("openstack/start-keystone.sh"))
            .arg(self.port.to_string())
            .arg(self.lab.join("keystone"))
            .env("KS_VENV", environment("keystone"))
            .env("KS_TOKEN_TTL", self.token_seconds.to_string());
        let process = Peer::start(&mut command, self.lab.join("keystone.out"));
        self.process = Some(process.ready(START_LIMIT, || answers(self.port, "/v3")));
    }

    /// Ends its process.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Makes its users (`kwapi`, `ceilometer`, `gnocchi`, `demo`) and puts an API on a loopback port into its catalogue.
    ///
    /// # Panics
    /// When Keystone refuses.
    pub fn register(&self, api_port: u16) {
        self.set_up(&[("energy", "kwapi", format!("http://127.0.0.1:{api_port}/v1"))]);
    }

    /// As [`Keystone::register`], with a Gnocchi in the catalogue too.
    ///
    /// # Panics
    /// When Keystone refuses.
    pub fn register_both(&self, api_port: u16, gnocchi: &Gnocchi) {
        let api = format!("http://127.0.0.1:{api_port}/v1");
        self.set_up(&[("energy", "kwapi", api), ("metric", "gnocchi", gnocchi.url(""))]);
    }

    fn set_up(&self, services: &[(&str, &str, String)]) {
        let mut command = Command::new(python_environment("keystone"));
        command.arg(self.lab.join("openstack/setup_identity.py")).arg(self.port.to_string());
        for (kind, name, url) in services {
            command.args([*kind, *name, url.as_str()]);
        }
        output(&mut command);
    }

    /// Its address, with the version and what follows it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/v3{path}", self.port)
    }
}

/// Whether HTTP is answered: Keystone and Gnocchi listen before they answer.
fn answers(port: u16, path: &str) -> bool {
    let answer = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read_exact(&mut [0; 12])
    };
    answer().is_ok()
}

/// The home of a Python environment.
fn environment(name: &str) -> PathBuf {
    python_environment(name).ancestors().nth(2).expect("a home above bin/python").to_owned()
}

/// One of the two ways in which Ceilometer reads us.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// `packaging/ceilometer/pollsters.d`
    Pollsters,
    /// `packaging/ceilometer/plugin`
    Plugin,
}

/// A running Ceilometer that polls `power` and `energy` every two seconds and publishes to a file, and where else a test
/// configures.
#[derive(Debug)]
pub struct Ceilometer {
    agents: Peer,
    samples: PathBuf,
}

/// What Ceilometer published.
#[derive(Clone, Debug)]
pub struct CeilometerSample {
    pub volume: f64,
    pub unit: String,
    /// `gauge` or `cumulative`.
    pub kind: String,
    /// UTC, without a mark of it.
    pub timestamp: String,
    /// Its metadata's `timestamp`: Unix seconds of the measurement.
    pub measured: f64,
}

impl Ceilometer {
    /// Starts one by `keystone`'s side that reads what its catalogue calls `energy`.
    pub fn start(keystone: &Keystone, way: Way) -> Self {
        Self::publishing(keystone, way, None)
    }

    /// As [`Ceilometer::start`], publishing with `packaging/ceilometer/gnocchi_resources.yaml` to the Gnocchi of the
    /// catalogue too.
    pub fn start_with_gnocchi(keystone: &Keystone, way: Way) -> Self {
        let definitions = packaging().join("gnocchi_resources.yaml");
        let publisher = format!("gnocchi://?resources_definition_file={}", definitions.display());
        Self::publishing(keystone, way, Some(publisher))
    }

    fn publishing(keystone: &Keystone, way: Way, publisher: Option<String>) -> Self {
        let packaging = packaging();
        let (name, pollsters, plugin) = match way {
            Way::Pollsters => ("dynamic", packaging.join("pollsters.d"), PathBuf::from("-")),
            Way::Plugin => ("plugged", PathBuf::from("-"), packaging.join("plugin")),
        };
        let directory = keystone.lab.join(name);
        let mut command = Command::new("bash");
        command
            .arg(keystone.lab.join("openstack/run-ceilometer.sh"))
            .arg(keystone.port.to_string())
            .args([&directory, &pollsters, &plugin])
            .args(["power", "energy"])
            .env("CEILOMETER_VENV", environment("ceilometer"))
            .env("PUBLISHER", publisher.unwrap_or_default());
        let agents = Peer::start(&mut command, keystone.lab.join(format!("{name}.out")));
        Self { agents, samples: directory.join("samples.json") }
    }

    /// The newest sample of each probe and meter, by `PROBE METER`, once there are samples of `expected` such.
    ///
    /// # Panics
    /// With what it printed, when there are fewer within `limit`.
    pub fn samples_within(&self, limit: Duration, expected: usize) -> BTreeMap<String, CeilometerSample> {
        let start = Instant::now();
        loop {
            let samples: BTreeMap<_, _> = self.samples().into_iter().collect();
            if samples.len() >= expected {
                return samples;
            }
            assert!(start.elapsed() < limit, "samples: not within {limit:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All it has published so far, each with its `PROBE METER`, the oldest first.
    pub fn samples(&self) -> Vec<(String, CeilometerSample)> {
        Self::read(&self.samples)
    }

    fn read(samples: &Path) -> Vec<(String, CeilometerSample)> {
        let text = std::fs::read_to_string(samples).unwrap_or_default();
        text.lines().map_while(sample).collect()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        self.agents.log()
    }

    /// Ends it and returns all it has published.
    pub fn stop(self) -> Vec<(String, CeilometerSample)> {
        let Self { agents, samples } = self;
        drop(agents);
        Self::read(&samples)
    }
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ceilometer")
}

/// A line of what it publishes; `None` for one it has not finished.
fn sample(line: &str) -> Option<(String, CeilometerSample)> {
    let sample: Value = serde_json::from_str(line).ok()?;
    let member = |name: &str| sample.get(name).or_else(|| sample.get(format!("counter_{name}")));
    let word = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
    let name = format!("{} {}", word("resource_id")?, word("name")?);
    let sample = CeilometerSample {
        volume: member("volume")?.as_f64()?,
        unit: word("unit")?,
        kind: word("type")?,
        timestamp: word("timestamp")?,
        measured: sample.pointer("/resource_metadata/timestamp")?.as_f64()?,
    };
    Some((name, sample))
}
