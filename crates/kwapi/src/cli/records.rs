//! Commands about what was measured: how much it was, from where, and where it is kept.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kwapi_drivers::value::{EnergyUnit, PowerUnit};
use kwapi_history::foreign::TimeFormat;

pub(super) const ENERGY_HELP: &str = "\
Examples:
  kwapi energy --probes 'taurus-[1-16]' --start '2026-11-26 14:00' --end '2026-11-26 18:30'
  kwapi energy --start now-1h
  kwapi energy --start 2026-11-01 --step day --by department
  kwapi energy --group lyon.rack3 --start 2026-11-01 --step hour --format csv > rack3.csv
  KWAPI_TOKEN=$(openstack token issue -f value -c id) kwapi energy --url https://controller:5000 --by total

Instants: '2026-11-26 14:00', 2026-11-26 (midnight), 2026-11-26T14:00:00+01:00, Unix seconds, now, now-1h, '90 min ago',
today, yesterday, 'yesterday 14:00'.

KNOWN is the share of the time of which the energy is known: measured, estimated, or bridged by the meter's own
counter. Time of which nothing is known has no energy. Notes: `part of a row`: the interval begins or ends within a
row of the ledger, so that energy there is in proportion to time; `incomplete`: files could not be read, and no total
is shown; `rrd`: from before the ledger, estimated from RRD files.";

#[derive(Args, Debug)]
pub(crate) struct EnergyArgs {
    /// Probes: an id, `taurus-[1-16]`, `lyon.*`, or `*`; may be repeated [default: all].
    #[arg(long, short, value_name = "PATTERN")]
    pub(crate) probes: Vec<String>,
    /// Only probes with this label; may be repeated.
    #[arg(long, value_name = "KEY:VALUE")]
    pub(crate) label: Vec<String>,
    /// Only probes within this path, as one sum; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub(crate) group: Vec<String>,
    /// Start of the interval [default: 24 hours before the end].
    #[arg(long, value_name = "INSTANT", allow_hyphen_values = true)]
    pub(crate) start: Option<String>,
    /// End of the interval.
    #[arg(long, value_name = "INSTANT", default_value = "now", allow_hyphen_values = true)]
    pub(crate) end: String,
    /// One row per step: seconds, or minute, quarter, hour, day, month.
    #[arg(long, value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// One result per `probe`, per `group`, for the `total`, or per value of a label: its key [default: probe].
    #[arg(long, value_name = "WHAT")]
    pub(crate) by: Option<String>,
    /// Time zone of instants without an offset, of days and months, and of the output [default: this machine's].
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: EnergyPrint,
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
}

/// Whose ledger is queried.
#[derive(Args, Debug)]
pub(crate) struct LedgerArgs {
    /// Status address of the process that keeps the ledger; overrides the configuration.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["url", "state_directory"])]
    pub(crate) address: Option<SocketAddr>,
    /// Query this API instead; if it requires a token, set `KWAPI_TOKEN` (or `OS_TOKEN`), or use --token-file.
    #[arg(long, value_name = "URL", conflicts_with = "state_directory")]
    pub(crate) url: Option<String>,
    /// File with the token: a static token of the API, or Keystone's.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate authority of the API [default: the system's].
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Read the ledger of a stopped kwapi from this state directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state_directory: Option<PathBuf>,
}

/// How energy is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnergyPrint {
    /// For people.
    #[default]
    Table,
    /// With a header; fields are empty where nothing is known.
    Csv,
    /// One document.
    Json,
}

/// How a bill is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BillPrint {
    /// For people.
    #[default]
    Table,
    /// With a header.
    Csv,
    /// One document.
    Json,
    /// A page that prints well on A4.
    Html,
    /// The signed readings of a closed bill, for programs that verify OCMF.
    Ocmf,
}

pub(super) const BILL_HELP: &str = "\
Examples:
  kwapi bill --month 2026-10 --by department
  kwapi bill --month 2026-10 --by department --format csv > october.csv
  kwapi bill --month 2026-10 --by department --profile > profile.csv
  kwapi bill --month 2026-10 --by department --close --format html > october.html
  kwapi bill --month 2026-10 --by department --correct

Prices are the [[tariff]] tables of the configuration, months and hours those of `zone` in [bill]. Energy is the difference
of two readings of the probe's register, which are rounded down to watt-hours. What a tariff charges a probe is rounded once,
halves away from zero; owners and lines add up to that. `bridged` energy is known by amount, but not by time: it is spread
evenly over the gap, and the line shows what it would cost at the lowest and at the highest price in that time.";

#[derive(Args, Debug)]
pub(crate) struct BillArgs {
    /// The month, in the `zone` of [bill]; of the current month, the part that is over.
    #[arg(long, value_name = "YYYY-MM")]
    pub(crate) month: String,
    /// One part per value of this label, and one for probes without it [default: all in one].
    #[arg(long, value_name = "LABEL")]
    pub(crate) by: Option<String>,
    /// Probes: an id, `taurus-[1-16]`, `lyon.*`, or `*`; may be repeated [default: all].
    #[arg(long, short, value_name = "PATTERN")]
    pub(crate) probes: Vec<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: BillPrint,
    /// Close the bill of a month that is over: save it in the state directory, and print it from there from then on.
    #[arg(long, conflicts_with_all = ["probes", "correct", "correction"])]
    pub(crate) close: bool,
    /// Save and print a correction of a closed bill: what late readings, corrected tariffs and shares change.
    #[arg(long, conflicts_with_all = ["probes", "correction"])]
    pub(crate) correct: bool,
    /// Print this correction of a closed bill.
    #[arg(long, value_name = "NUMBER", conflicts_with = "probes")]
    pub(crate) correction: Option<usize>,
    /// Print each quarter hour instead, as CSV, by the time it ends; 92 or 100 on days when the clocks change.
    #[arg(long, conflicts_with = "format")]
    pub(crate) profile: bool,
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
}

pub(super) const REPORT_HELP: &str = "\
Examples:
  kwapi report --year 2026
  kwapi report --year 2026 --format csv > 2026.csv

Labels: role = facility (all that the data centre takes), it, or renewable (its own generation); metered_at = ups, pdu or
equipment, for the category of PUE. A probe below a meter of the same role is included in it. Names are those of Delegated
Regulation (EU) 2024/1364; other figures of the form are listed as not known.";

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The year, in the `zone` of [bill]; of the current year, the part that is over.
    #[arg(long, value_name = "YYYY")]
    pub(crate) year: i16,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: EnergyPrint,
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
}

/// RRD files and the driver manager's state are not included: graphs start again from what is in the journal, and if the
/// driver manager is restored as well, its next stop is not bridged.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// Directory to create.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) into: PathBuf,
    /// State directory to copy from [default: that of the configuration].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) from: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) backup: PathBuf,
    /// State directory to restore to [default: that of the configuration].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) into: Option<PathBuf>,
    /// Replace existing records, and keep them as `history.before-N`.
    #[arg(long)]
    pub(crate) replace: bool,
}

/// The command runs as usual; when it ends, energy, mean and peak power, time by status, cost, accuracy and the level of the
/// EEHPCWG methodology that is met are printed to standard error. The exit status is the command's (125: nothing could be
/// measured). Queries the running kwapi; if none runs here, reads the configured meters itself.
///
/// Examples: kwapi measure --probes node7 -- ./job; in scripts: --begin FILE before and --end FILE after.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["command", "begin", "end"]))]
pub(crate) struct MeasureArgs {
    /// Probes: an id, `lyon.*`, `taurus-[1-16]`, or `*`; may be repeated [default: all].
    #[arg(long, short, value_name = "PATTERN")]
    pub(crate) probes: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print to this file instead of standard error.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Accuracy of all meters in percent; overrides `accuracy` of the configuration.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) accuracy: Option<f64>,
    /// Write the current totals to this file, for --end.
    #[arg(long, value_name = "FILE")]
    pub(crate) begin: Option<PathBuf>,
    /// Measure from when this file was written by --begin until now.
    #[arg(long, value_name = "FILE")]
    pub(crate) end: Option<PathBuf>,
    /// API to query [default: that of the configuration]; if it requires a token, set `KWAPI_TOKEN` or use --token-file.
    #[arg(long, value_name = "URL", conflicts_with = "meters")]
    pub(crate) url: Option<String>,
    /// File with the token: a static token of the API, or Keystone's.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate authority of the API [default: the system's].
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Read the configured meters, even if a kwapi is running.
    #[arg(long)]
    pub(crate) meters: bool,
    /// The command and its arguments, after `--`.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Each row of the files is one reading: an instant, a probe, and watts or the meter's energy register, or both.
///
/// Readings that are already in the records are skipped, so that an import can be repeated. Rows of a probe must be in
/// order of time. The service must be stopped.
///
/// Example: kwapi import pdus.parquet --time time --register energy --register-unit Wh --probe 'rack{rack}.pdu{num}'
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("value").required(true).multiple(true).args(["power", "register"]))]
pub(crate) struct ImportArgs {
    /// Files to read, in order of time.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// State directory to import into, created if needed [default: that of the configuration].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) into: Option<PathBuf>,
    /// Id of the probe; `{COLUMN}` stands for the value of a column.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) probe: String,
    /// Column of the time.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: String,
    /// Its format: auto (RFC 3339, or a Unix time by its size), unix, unix-ms, unix-us, unix-ns, or a pattern such as
    /// `%d.%m.%Y %H:%M:%S`.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(crate) time_format: TimeFormat,
    /// Time zone of times that state none, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// Column of the power.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) power: Option<String>,
    /// Its unit: W, kW, mW or uW [default: W].
    #[arg(long, value_name = "UNIT", value_parser = PowerUnit::from_symbol, requires = "power")]
    pub(crate) power_unit: Option<PowerUnit>,
    /// Column of the meter's energy register.
    #[arg(long, value_name = "COLUMN", requires = "register_unit")]
    pub(crate) register: Option<String>,
    /// Its unit: `kWh`, `Wh`, `MWh`, `Wmin`, `J`, `kJ`, `mJ` or `uJ`.
    #[arg(long, value_name = "UNIT", value_parser = EnergyUnit::from_symbol, requires = "register")]
    pub(crate) register_unit: Option<EnergyUnit>,
    /// One tick of the register, in its unit [default: the finest decimal in the file].
    #[arg(long, value_name = "NUMBER", requires = "register")]
    pub(crate) tick: Option<f64>,
    /// Value at which the register starts again from zero, in its unit; without it, a register that falls was reset.
    #[arg(long, value_name = "NUMBER", requires = "register")]
    pub(crate) range: Option<f64>,
    /// The most a probe can draw, in watts.
    #[arg(long, value_name = "WATTS")]
    pub(crate) max_watts: Option<f64>,
    /// Seconds between two rows of a probe [default: as in the first rows].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) interval: Option<f64>,
    /// Rows further apart have unknown time between them, unless a register bridges it [default: 60, or three intervals].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_gap: Option<f64>,
    /// Field separator of CSV files [default: detected from the first line].
    #[arg(long, value_name = "CHARACTER")]
    pub(crate) separator: Option<char>,
    /// Numbers in CSV files have a decimal comma.
    #[arg(long)]
    pub(crate) decimal_comma: bool,
    /// CSV files have no header line; columns are called 1, 2, …
    #[arg(long)]
    pub(crate) no_header: bool,
}
