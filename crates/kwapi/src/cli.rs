//! What an operator types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kwapi_core::Pattern;

/// Know where the watts go: reads wattmeters, carries signed measurements, serves watts, kWh and graphs.
///
/// Without a command, `kwapi run`; without a configuration, that is a demonstration on this machine.
#[derive(Debug, Parser)]
#[command(name = "kwapi", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Configuration file [default: ./kwapi.toml, then /etc/kwapi/kwapi.toml].
    #[arg(long, short, global = true, env = "KWAPI_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// What to log: error, warn, info, debug, trace, or `kwapi_drivers=debug`.
    #[arg(long, global = true, env = "KWAPI_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: drivers, API and web pages.
    Run(Run),
    /// The driver manager alone: reads the meters and publishes on the bus.
    Drivers(Drivers),
    /// A forwarder: subscribes to drivers, sends each measurement on once.
    Forwarder,
    /// The API plugin alone: watts and kWh over REST.
    Api,
    /// The RRD plugin alone: history, graphs and web pages.
    Rrd,
    /// Checks the configuration and prints every meter and probe it stands for.
    Check(Check),
    /// Prints measurements as they pass on the bus.
    Tail(Tail),
    /// Shows how each meter of a running kwapi is doing.
    Status(Status),
    /// Reads one configured meter once and explains what was found.
    Probe(Probe),
    /// Looks for wattmeters on the network with the configured credentials and prints a configuration.
    Discover(Discover),
    /// Runs simulated wattmeters on this machine, for trying a configuration without hardware.
    Simulate(Simulate),
    /// Measures this machine: how many probes it carries from driver to API and RRD files.
    Bench(Bench),
    /// Prints the commands that make kwapi known to Keystone.
    KeystoneRegister(KeystoneRegister),
}

#[derive(Args, Debug, Default)]
pub(crate) struct Run {
    /// Run the demonstration even where a configuration is found.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Where the API listens, in place of the configured address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) api: Option<SocketAddr>,
    /// Where the web pages are served, in place of the configured address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) web: Option<SocketAddr>,
    /// Where the status listener is, in place of the configured address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) status: Option<SocketAddr>,
}

#[derive(Args, Debug)]
pub(crate) struct Drivers {
    /// List the drivers there are, and stop.
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Show what this SNMP profile makes of a recorded walk, in place of checking the configuration.
    #[arg(long, requires = "walk", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The recorded walk, as `kwapi probe --record` writes it.
    #[arg(long, requires = "profile", value_name = "FILE")]
    pub(crate) walk: Option<PathBuf>,
    /// Do not look at keys, certificates, the policy file, passwords and directories: for the configuration of another
    /// machine.
    #[arg(long)]
    pub(crate) no_files: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Tail {
    /// Which probes: an id, `lyon.*`, or `*`.
    #[arg(default_value = "*", value_parser = Pattern::new)]
    pub(crate) patterns: Vec<Pattern>,
    /// Endpoint to subscribe to, in place of the configured ones; its messages are then not verified.
    #[arg(long, short, value_name = "URL")]
    pub(crate) endpoint: Vec<String>,
    /// Stop after this many measurements.
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) count: Option<u64>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Status listener of the process to ask, in place of the configured one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<SocketAddr>,
    /// Only meters that are not running.
    #[arg(long)]
    pub(crate) troubled: bool,
    /// The answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// The meter's name, as `kwapi check` prints it.
    pub(crate) meter: String,
    /// Save an anonymised SNMP walk of the device to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Discover {
    /// Hosts: addresses, names, `10.0.0.0/24`, `node[001-020]-bmc`.
    #[arg(required_unless_present = "serial", value_name = "HOSTS")]
    pub(crate) hosts: Vec<String>,
    /// Serial lines to listen to for a meter that sends by itself (P1, SML, IEC 62056-21), half a minute at most.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) serial: Vec<PathBuf>,
    /// How many hosts are asked each second at most.
    #[arg(long, default_value_t = 20.0, value_name = "HOSTS")]
    pub(crate) rate: f64,
    /// Ports to ask in place of each protocol's own (`snmp=1161`).
    #[arg(long, value_name = "PROTOCOL=PORT")]
    pub(crate) port: Vec<String>,
    /// Register maps to try on hosts that speak Modbus (`eastron-sdm120`), believed where volts and watts make sense.
    #[arg(long, value_name = "NAME")]
    pub(crate) modbus_map: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    #[command(subcommand)]
    pub(crate) device: Device,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// A rack PDU with an SNMP agent (v1, v2c; community `public`).
    Rack {
        /// Where the agent listens.
        #[arg(long, default_value = "127.0.0.1:1161")]
        listen: SocketAddr,
        /// How many outlets.
        #[arg(long, default_value_t = 12)]
        outlets: usize,
    },
    /// IPMI cards (user `user`, password `secret`), one a port from the first on.
    Ipmi {
        /// Where the first card listens.
        #[arg(long, default_value = "127.0.0.1:9623")]
        listen: SocketAddr,
        /// How many cards.
        #[arg(long, default_value_t = 1)]
        cards: u16,
    },
    /// A Watts up? meter on a pseudo-terminal; its path is printed.
    Wattsup,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// How many probes.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) probes: usize,
    /// How many seconds.
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Seconds between readings of a probe.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) interval: f64,
}

#[derive(Args, Debug)]
pub(crate) struct KeystoneRegister {
    /// The address of the API as its clients reach it.
    #[arg(long, default_value = "http://controller:5000/v1")]
    pub(crate) url: String,
    /// The region of the endpoints.
    #[arg(long, default_value = "RegionOne")]
    pub(crate) region: String,
}
