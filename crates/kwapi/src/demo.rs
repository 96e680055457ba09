//! The demonstration: this machine, and a small simulated rack reached through real sockets.
//!
//! What it measures is read by the same drivers, signed by the same bus and shown by the same plugins as a real rack. It is written into
//! a scratch directory that goes with the process.

mod machine;

use std::fmt::Write;
use std::time::Duration;

use kwapi_simulators::snmp::{Rack, RackSettings, ServerModel};
use kwapi_simulators::wattsup::WattsUpMeter;

use crate::config::Config;
use crate::stack::host_name;
use machine::{Machine, Places};

/// The simulated servers' day: short enough to see one pass.
const DAY: Duration = Duration::from_secs(600);
/// The machines in the rack.
const SERVERS: [&str; 12] = [
    "web-1",
    "web-2",
    "web-3",
    "db-1",
    "db-2",
    "cache-1",
    "gpu-1",
    "gpu-2",
    "build-1",
    "build-2",
    "storage-1",
    "storage-2",
];

/// Simulated devices that run, and where their data goes.
#[derive(Debug)]
pub(crate) struct Demo {
    directory: tempfile::TempDir,
    rack: Rack,
    lamp: WattsUpMeter,
    machine: Machine,
}

impl Demo {
    /// Starts the rack's SNMP agent and the serial meter.
    ///
    /// # Errors
    /// When the system gives no socket, pseudo-terminal or directory, as one line.
    pub(crate) async fn start() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start the demonstration: {error}");
        let directory = tempfile::Builder::new().prefix("kwapi-demo-").tempdir().map_err(failed)?;
        let names = SERVERS.iter().map(|name| (*name).to_owned()).collect();
        let settings = RackSettings { names, day: DAY, ..RackSettings::default() };
        let rack = Rack::start(settings).await.map_err(failed)?;
        let model = ServerModel::new(77, DAY);
        let begin = tokio::time::Instant::now();
        let lamp = WattsUpMeter::plug_in(move || model.watts(begin.elapsed()) / 4.0).map_err(|error| {
            format!(
                "cannot start the demonstration: its lamp needs a pseudo-terminal: {error}; mount /dev/pts"
            )
        })?;
        // Sensors and a driver's library may take their time: not on the runtime's thread.
        let look = || Machine::look(&host_name(), &Places::default());
        let machine = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        Ok(Self { directory, rack, lamp, machine })
    }

    /// A configuration like an operator's, which reads those devices and this machine.
    ///
    /// # Errors
    /// When it cannot be written or read, as one line.
    pub(crate) fn configuration(&self) -> Result<Config, String> {
        let file = self.directory.path().join("kwapi.toml");
        std::fs::write(&file, self.toml()).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut config = Config::read(&file).map_err(|error| error.to_string())?;
        config.files.clear(); // Nobody edits it.
        Ok(config)
    }

    fn toml(&self) -> String {
        let address = self.rack.address();
        let mut toml = format!("state_directory = '{}'\n", self.directory.path().join("state").display());
        _ = write!(
            toml,
            "[drivers]\ninterval_seconds = 1\n\
             [[meter]]\nname = 'simulated rack'\ndriver = 'snmp'\nhost = '{}'\nport = {}\ncommunity = 'public'\n\
             profile = 'auto'\nprobe = 'demo.{{label}}'\n\
             [[meter]]\nname = 'simulated desk lamp'\ndriver = 'wattsup'\ndevice = '{}'\nprobe = 'demo.desk-lamp'\n",
            address.ip(),
            address.port(),
            self.lamp.path().display(),
        );
        toml.push_str(&self.machine.toml);
        toml
    }

    /// What to print for whoever started it.
    pub(crate) fn introduction(&self) -> String {
        format!(
            "\nNo configuration found; running a demonstration: a simulated rack of {} servers and a lamp, read over UDP, SNMP and\n\
             a pseudo-terminal as real ones are. Also measured: {}.\nNothing is saved. To measure your own, see README.md.",
            SERVERS.len(),
            self.machine.words
        )
    }
}
