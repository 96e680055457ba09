//! `kwapi import`: readings of a file into the records of a stopped service, or into new ones.

mod columns;
mod interval;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kwapi_core::{Gaps, Limits, Timestamp, Watts};
use kwapi_history::foreign::{Layout, RowError, Table};
use kwapi_history::{HistoryConfig, LedgerConfig};
use kwapi_plugins::descriptions::Descriptions;

use crate::cli;
use crate::commands::owner;
use crate::config::{Config, chain};
use crate::import::{ImportConfig, Importer, Readers, RowOutcome, RowRefused};
use crate::shutdown::Shutdown;
use crate::stack::{history_config, ledger_config, wall_clock};

use columns::{Columns, Reading};
use report::ImportReport;

/// A line of progress is printed as often as this.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Watts further apart than this have nothing known between them, unless the log is written less often.
const MAX_GAP: Duration = Duration::from_secs(60);
/// Readings may be missing between two, without a gap: one.
const INTERVALS_IN_MAX_GAP: u32 = 3;

/// Imports and prints what was taken in.
///
/// # Errors
/// When nothing can be read or written, as one line.
pub(crate) fn import(arguments: &cli::ImportArgs, named: Option<&Path>) -> Result<(), String> {
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let (state, readers) = place(arguments, named)?;
    let columns = Columns::of(arguments)?;
    let layout = Layout { separator: arguments.separator, has_header: !arguments.no_header };
    let max_watts = arguments.max_watts.map(Watts);
    let mut report = ImportReport::default();
    let mut importer: Option<Importer> = None;
    let mut is_stopped = false;
    for file in &arguments.files {
        let table = Table::open(file, columns.wanted(), layout).map_err(|error| chain(&error))?;
        let interval = match arguments.interval {
            Some(seconds) => {
                Duration::try_from_secs_f64(seconds).map_err(|_| "--interval must be positive")?
            }
            None => interval::guess(file, &columns, layout),
        };
        let max_gap = arguments.max_gap.map(Duration::try_from_secs_f64).transpose();
        let max_gap = max_gap
            .map_err(|_| "--max-gap must be positive")?
            .unwrap_or_else(|| MAX_GAP.max(interval.saturating_mul(INTERVALS_IN_MAX_GAP)));
        report.begin(file, interval, max_gap);
        let config = ImportConfig { limits: Limits { max_gap, interval, max_watts }, units: columns.units() };
        let importer = match &mut importer {
            Some(importer) => {
                importer.set_config(config);
                importer
            }
            None => importer.insert(Importer::open(&state, config, &readers, wall_clock())?),
        };
        is_stopped = read(table, &columns, importer, &mut report, &shutdown)?;
        if is_stopped {
            break;
        }
    }
    let Some(mut importer) = importer else { return Ok(()) };
    importer.finish().map_err(|error| format!("cannot write the records: {error}"))?;
    report.end(&importer.gained(), &state);
    if is_stopped {
        return Err("stopped; run the same command again to continue".to_owned());
    }
    report.verdict()
}

/// For how long each probe may be silent, as the service that keeps these records has it.
fn gaps(config: &Config) -> Gaps {
    let gaps = Gaps::configured(config.gaps());
    _ = Descriptions::open(&config.state_directory.join("history"), gaps.clone(), |_, _| true);
    gaps
}

/// Where the records are, and how they are kept.
fn place(arguments: &cli::ImportArgs, named: Option<&Path>) -> Result<(PathBuf, Readers), String> {
    let Some(into) = &arguments.into else {
        let config = super::configuration(named)?;
        owner::check(&config.state_directory)?;
        let readers =
            Readers { history: history_config(&config, gaps(&config)), ledger: ledger_config(&config) };
        return Ok((config.state_directory, readers));
    };
    std::fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    owner::check(into)?;
    // A configuration that keeps its records there states how.
    let config = Config::find(named).map(|file| Config::read(&file)).transpose();
    let config = config.ok().flatten().filter(|config| config.state_directory == *into);
    let readers = match config {
        Some(config) => {
            Readers { history: history_config(&config, gaps(&config)), ledger: ledger_config(&config) }
        }
        None => Readers { history: HistoryConfig::default(), ledger: Some(LedgerConfig::default()) },
    };
    Ok((into.clone(), readers))
}

/// Takes all rows of a file. Returns whether it was requested to stop.
fn read(
    mut table: Table,
    columns: &Columns,
    importer: &mut Importer,
    report: &mut ImportReport,
    shutdown: &Shutdown,
) -> Result<bool, String> {
    let mut printed = Instant::now();
    loop {
        let row = match table.next_row() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(false),
            Err(RowError::Row { number, why }) => {
                report.wrong(number, &why);
                continue;
            }
            Err(RowError::File(why)) => {
                report.cut_short(&why);
                return Ok(false);
            }
        };
        match columns.reading(&row.cells) {
            Ok(Reading::Nothing) => report.empty(),
            Ok(Reading::Of { probe, instants, power, register }) => {
                let log_row = kwapi_drivers::manager::LogRow { power, register: register.as_deref() };
                match importer.take(&probe, instants, log_row) {
                    Ok(RowOutcome::Credited | RowOutcome::Waits) => report.taken(),
                    Ok(RowOutcome::Known) => report.known(),
                    Err(RowRefused::Row(why)) => report.wrong(row.number, &why),
                    Err(error @ RowRefused::Disk(_)) => return Err(chain(&error)),
                }
            }
            Err(why) => report.wrong(row.number, &why),
        }
        if printed.elapsed() >= PROGRESS_INTERVAL {
            printed = Instant::now();
            report.progress(table.progress());
        }
        if shutdown.has_begun() {
            return Ok(true);
        }
    }
}

/// The instant as people read it, in UTC.
fn utc(at: Timestamp) -> String {
    let micros = i64::try_from(at.micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}
