//! What an operator types.

mod keys;
mod nats;
mod records;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kwapi_core::Pattern;

pub(crate) use keys::{KeysArgs, KeysCommand, SigningArgs};
pub(crate) use nats::{NatsFrom, NatsSetupArgs};
use records::{BILL_HELP, ENERGY_HELP, REPORT_HELP};
pub(crate) use records::{
    BackupArgs, BillArgs, BillPrint, EnergyArgs, EnergyPrint, ImportArgs, LedgerArgs, MeasureArgs,
    ReportArgs, RestoreArgs,
};

/// The release, and the commit it was built from where that is known.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("KWAPI_COMMIT"));

/// Energy monitoring: reads wattmeters, publishes signed measurements, serves power, energy and graphs.
///
/// Without a command, runs `kwapi run`; without a configuration, that is a demonstration on this machine.
#[derive(Debug, Parser)]
#[command(name = "kwapi", version = VERSION, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Configuration file [default: ./kwapi.toml, then /etc/kwapi/kwapi.toml].
    #[arg(long, short, global = true, env = "KWAPI_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Log level: off, error, warn, info, debug, trace; or of a part: `info,kwapi_drivers=debug`.
    #[arg(long, global = true, env = "KWAPI_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: drivers, API and web pages.
    Run(RunArgs),
    /// Run the driver manager only: read the meters and publish on the bus.
    Drivers(DriversArgs),
    /// Run a forwarder: subscribe to drivers and forward each measurement once.
    Forwarder,
    /// Run the API plugin only: power and energy over REST.
    Api,
    /// Run the RRD plugin only: history, graphs and web pages.
    Rrd,
    /// Check the configuration and print all its meters and probes.
    Check(CheckArgs),
    /// Print measurements from the bus as they arrive.
    Tail(TailArgs),
    /// Show the state of each meter of a running kwapi.
    Status(StatusArgs),
    /// Print how much energy was used between two instants, and how sure that is.
    ///
    /// Queries the kwapi that runs on this machine; if none does, reads its ledger from the state directory. With
    /// --url, queries the API of another machine.
    #[command(after_help = ENERGY_HELP)]
    Energy(Box<EnergyArgs>),
    /// Print what a month's energy costs, and who used it.
    ///
    /// Reads the same ledger as `kwapi energy`. Prices and owners are those of the configuration. A closed month is printed
    /// from its document, whatever has changed since.
    #[command(after_help = BILL_HELP)]
    Bill(Box<BillArgs>),
    /// Print a data centre's figures for a year: energy of the facility and of its IT, peak and PUE, by month.
    ///
    /// Reads the same ledger as `kwapi energy`. A probe's label `role` defines what it measures: facility, it or
    /// renewable.
    #[command(after_help = REPORT_HELP)]
    Report(Box<ReportArgs>),
    /// Read one configured meter once and explain the findings.
    Probe(ProbeArgs),
    /// Search the network for wattmeters with the configured credentials and print a configuration.
    Discover(DiscoverArgs),
    /// Run simulated wattmeters on this machine, to try a configuration without hardware.
    Simulate(SimulateArgs),
    /// Benchmark this machine: how many probes it handles from driver to API and RRD files.
    Bench(BenchArgs),
    /// Run a command and print how much energy it used.
    Measure(MeasureArgs),
    /// Copy accounts, ledger and index of a kwapi, running or stopped, to a new directory.
    Backup(BackupArgs),
    /// Replace the records of a stopped kwapi with a backup.
    Restore(RestoreArgs),
    /// Import readings that were logged elsewhere (CSV, Parquet) into the records of a stopped service, or new ones.
    Import(Box<ImportArgs>),
    /// Create and list the keys of the bus: CURVE between hosts, and the secrets that sign measurements.
    Keys(KeysArgs),
    /// Create the streams and consumers of the configured `nats://` endpoints, or print a configuration for the server.
    NatsSetup(NatsSetupArgs),
    /// Print a configuration made from that of another program, and what could not be carried over.
    ///
    /// Reads drivers.conf, forwarder.conf, api.conf and rrd.conf of the original Kwapi and its directory of RRD files; a
    /// configuration of Prometheus with those of its exporters for IPMI and SNMP; one of Telegraf; CSV exports of NetBox
    /// (devices, cables). The kind of each file is detected.
    ImportConfig(ImportConfigArgs),
    /// Print the commands that register kwapi in Keystone.
    KeystoneRegister(KeystoneRegisterArgs),
    /// Print the manual page, or write one for each command.
    Man(ManArgs),
    /// Print completions for a shell: `kwapi completions bash > /etc/bash_completion.d/kwapi`.
    Completions(CompletionsArgs),
}

#[derive(Args, Debug, Default)]
pub(crate) struct RunArgs {
    /// Run the demonstration even if a configuration is found.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Listen address of the API; overrides the configuration.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) api: Option<SocketAddr>,
    /// Listen address of the web pages; overrides the configuration.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) web: Option<SocketAddr>,
    /// Listen address of the status endpoint; overrides the configuration.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) status: Option<SocketAddr>,
}

#[derive(Args, Debug)]
pub(crate) struct DriversArgs {
    /// Print the keys of this driver and exit.
    #[arg(value_name = "DRIVER", conflicts_with = "list")]
    pub(crate) driver: Option<String>,
    /// List the available drivers and exit.
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Show what this SNMP profile reads from a recorded walk, instead of checking the configuration.
    #[arg(long, requires = "walk", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The recorded walk, as written by `kwapi probe --record`.
    #[arg(long, requires = "profile", value_name = "FILE")]
    pub(crate) walk: Option<PathBuf>,
    /// Skip keys, certificates, the policy file, passwords and directories: for the configuration of another machine.
    #[arg(long)]
    pub(crate) no_files: bool,
    /// Print errors only: for scripts, and before a reload.
    #[arg(long, short, conflicts_with = "profile")]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// Probes to show: an id, `lyon.*`, or `*`.
    #[arg(default_value = "*", value_parser = Pattern::new)]
    pub(crate) patterns: Vec<Pattern>,
    /// Endpoint to subscribe to instead of the configured ones; messages are then not verified.
    #[arg(long, short, value_name = "URL")]
    pub(crate) endpoint: Vec<String>,
    /// Stop after this many measurements.
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) count: Option<u64>,
    /// Print one JSON object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Status address of the process; overrides the configuration.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<SocketAddr>,
    /// Show only meters that are not up.
    #[arg(long)]
    pub(crate) troubled: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ProbeArgs {
    /// The meter's name, as `kwapi check` prints it.
    pub(crate) meter: String,
    /// Save an anonymised SNMP walk of the device to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DiscoverArgs {
    /// Hosts: addresses, names, `10.0.0.0/24`, `node[001-020]-bmc`.
    #[arg(required_unless_present = "serial", value_name = "HOSTS")]
    pub(crate) hosts: Vec<String>,
    /// Serial lines to listen to for a meter that sends by itself (P1, SML, IEC 62056-21), half a minute at most.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) serial: Vec<PathBuf>,
    /// Maximum number of hosts to probe per second.
    #[arg(long, default_value_t = 20.0, value_name = "HOSTS")]
    pub(crate) rate: f64,
    /// Port to probe instead of a protocol's default (`snmp=1161`).
    #[arg(long, value_name = "PROTOCOL=PORT")]
    pub(crate) port: Vec<String>,
    /// Register maps to try on Modbus hosts (`eastron-sdm120`); accepted if volts and watts are plausible.
    #[arg(long, value_name = "NAME")]
    pub(crate) modbus_map: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    #[command(subcommand)]
    pub(crate) device: SimulatedDevice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimulatedDevice {
    /// A rack PDU with an SNMP agent (v1, v2c; community `public`).
    Rack {
        /// Listen address of the agent.
        #[arg(long, default_value = "127.0.0.1:1161")]
        listen: SocketAddr,
        /// Number of outlets.
        #[arg(long, default_value_t = 12)]
        outlets: usize,
    },
    /// IPMI BMCs (user `user`, password `secret`), on consecutive ports.
    Ipmi {
        /// Listen address of the first BMC.
        #[arg(long, default_value = "127.0.0.1:9623")]
        listen: SocketAddr,
        /// Number of BMCs.
        #[arg(long, default_value_t = 1)]
        cards: u16,
    },
    /// A Watts up? meter on a pseudo-terminal; its path is printed.
    Wattsup,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Number of probes.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) probes: usize,
    /// Duration in seconds.
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Seconds between readings of a probe.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) interval: f64,
    /// Number of probes measured a thousand times a second instead.
    #[arg(long, default_value_t = 0, value_name = "PROBES")]
    pub(crate) fast: usize,
    /// Keep state in this directory instead of a temporary one; a second run starts with what is there.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state_directory: Option<PathBuf>,
    /// Number of people who look at open pages meanwhile: 50 different views of 50 probes each, and the total.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub(crate) viewers: usize,
    /// Send all measurements to this server by remote write meanwhile: `http://127.0.0.1:9090/api/v1/write`.
    #[arg(long, value_name = "URL")]
    pub(crate) remote_write: Option<String>,
    /// Request pages of all probes at the end, and print how long each took and how large it is.
    #[arg(long)]
    pub(crate) pages: bool,
    /// Leave out parts of history, to see what they cost: `--without groups,ledger,samples`.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub(crate) without: Vec<OptionalPart>,
}

/// A part of history that the configuration can switch off.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionalPart {
    /// RRD files of groups.
    Groups,
    /// Energy by minute, quarter hour and day.
    Ledger,
    /// Every measurement, as Parquet.
    Samples,
}

#[derive(Args, Debug)]
pub(crate) struct ImportConfigArgs {
    /// Files, or directories of them: /etc/kwapi, /var/lib/kwapi/kwapi-rrd, prometheus.yml, devices.csv.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct KeystoneRegisterArgs {
    /// URL of the API as clients reach it.
    #[arg(long, default_value = "http://controller:5000/v1")]
    pub(crate) url: String,
    /// The region of the endpoints.
    #[arg(long, default_value = "RegionOne")]
    pub(crate) region: String,
}

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Write kwapi.1, kwapi-run.1, … to this directory, instead of printing kwapi.1.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests;
