//! What an import prints: progress while it works, each wrong row, and what it has taken in.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use kwapi_core::Energy;

use super::utc;
use crate::commands::counted;
use crate::import::Gained;

/// Wrong rows that are listed one by one, of a file.
const WRONG_LISTED_MAX: u64 = 20;
/// Causes that are counted apart.
const CAUSES_MAX: usize = 50;

/// Counts rows, and prints.
pub(super) struct ImportReport {
    file: String,
    begun: Instant,
    rows: u64,
    taken: u64,
    known: u64,
    empty: u64,
    wrong: u64,
    wrong_in_file: u64,
    /// Wrong rows beyond those listed one by one, by cause.
    causes: BTreeMap<String, u64>,
    is_cut_short: bool,
}

impl Default for ImportReport {
    fn default() -> Self {
        Self {
            file: String::new(),
            begun: Instant::now(),
            rows: 0,
            taken: 0,
            known: 0,
            empty: 0,
            wrong: 0,
            wrong_in_file: 0,
            causes: BTreeMap::new(),
            is_cut_short: false,
        }
    }
}

impl ImportReport {
    pub(super) fn begin(&mut self, file: &Path, interval: Duration, max_gap: Duration) {
        self.file = file.display().to_string();
        self.wrong_in_file = 0;
        eprintln!(
            "{}: one row every {} s; rows more than {} s apart have a gap between them",
            self.file,
            interval.as_secs_f64(),
            max_gap.as_secs_f64()
        );
    }

    pub(super) fn taken(&mut self) {
        self.rows += 1;
        self.taken += 1;
    }

    pub(super) fn known(&mut self) {
        self.rows += 1;
        self.known += 1;
    }

    pub(super) fn empty(&mut self) {
        self.rows += 1;
        self.empty += 1;
    }

    pub(super) fn wrong(&mut self, number: u64, why: &str) {
        self.rows += 1;
        self.wrong += 1;
        self.wrong_in_file += 1;
        if self.wrong_in_file <= WRONG_LISTED_MAX {
            eprintln!("{}:{number}: {why}", self.file);
        } else if self.causes.len() < CAUSES_MAX || self.causes.contains_key(why) {
            *self.causes.entry(why.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn cut_short(&mut self, why: &str) {
        self.is_cut_short = true;
        eprintln!("{}: {why}; the rest of the file is not imported", self.file);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and cut off")]
    pub(super) fn progress(&self, share: f64) {
        let rate = self.rows as f64 / self.begun.elapsed().as_secs_f64().max(1e-3);
        eprintln!(
            "{}: {} %, {} rows, {} a second",
            self.file,
            (share * 100.0) as u64,
            self.rows,
            rate as u64
        );
    }

    /// Prints what there is to report in the end.
    pub(super) fn end(&self, gained: &Gained, state: &Path) {
        for (why, count) in &self.causes {
            eprintln!("{count} more rows: {why}");
        }
        let probes = counted(gained.probes, "probe");
        println!("{} rows of {probes} imported into {}", self.taken, state.display());
        if let Some((from, to)) = gained.span {
            let totals = &gained.totals;
            let hours = |milliseconds: u64| milliseconds as f64 / 3.6e6;
            println!("from {} to {}", utc(from), utc(to));
            println!("{:>14}  {:>16}  {:>12}", "", "kWh", "probe hours");
            for (status, energy, milliseconds) in [
                ("measured", totals.measured(), totals.measured_ms),
                ("estimated", totals.estimated, totals.estimated_ms),
                ("bridged", totals.bridged, totals.bridged_ms),
            ] {
                println!("{status:>14}  {:>16.6}  {:>12.3}", Energy::kwh(energy), hours(milliseconds));
            }
            println!("{:>14}  {:>16}  {:>12.3}", "unknown", "", hours(totals.unknown_ms));
            println!("{:>14}  {:>16.6}", "total", totals.energy.kwh());
        }
        for (count, what) in [
            (self.known, "already in the records, or earlier than the newest of their probe"),
            (self.empty, "without power and register"),
            (self.wrong, "invalid"),
        ] {
            if count > 0 {
                println!("{count} row{} skipped: {what}", if count == 1 { "" } else { "s" });
            }
        }
    }

    /// Whether it went well.
    ///
    /// # Errors
    /// When nothing of use was in the files, or a file could not be read to its end.
    pub(super) fn verdict(&self) -> Result<(), String> {
        if self.is_cut_short {
            return Err("a file could not be read to its end".to_owned());
        }
        if self.taken + self.known == 0 {
            return Err("no row could be imported; check columns, time format and units".to_owned());
        }
        Ok(())
    }
}
