//! Readings from files on their way into the records of a stopped service: the way of a device's readings, without a bus.
//! A row becomes a measurement by its probe's `Session` and `Integrator`, is credited by its account, and appended to the
//! journal, from which RRD files and ledger take it.
//!
//! What a probe's account has already is passed over, so that a file that is imported twice, or again after it was cut
//! short, credits nothing twice. Where each probe's register stood is kept ([`Sessions`]), and the next file continues
//! there.

mod sessions;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Account, Limits, ProbeId, Timestamp, Totals, WallClock};
use kwapi_drivers::manager::{LogRow, LogUnits, Logged, LoggedMeter};
use kwapi_history::foreign::Instants;
use kwapi_history::journal::{Credited, Journal, Taken};
use kwapi_history::{History, HistoryConfig, Ledger, LedgerConfig};
use kwapi_plugins::intake::accounts;

use crate::config::chain;
use crate::stack::{Folded, take_state};
use sessions::{Kept, Sessions};

/// Records that are appended at a time.
const BATCH: usize = 4_096;
/// More probes than this are not taken in: a column that is no name has as many values as rows.
const PROBES_MAX: usize = 200_000;
/// Where registers stand is kept after so many records for each probe: between that and a kill, a register shows how much
/// it was, and no more.
const KEEP_RECORDS: usize = 16;
/// Files and ledger are put on the disk after so many records, so that the journal need not keep them.
const CHECKPOINT_RECORDS: usize = 1 << 20;

/// How readings are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImportConfig {
    pub(crate) limits: Limits,
    pub(crate) units: LogUnits,
}

/// What keeps what is made of the journal.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    pub(crate) history: HistoryConfig,
    /// `None`: there is no ledger.
    pub(crate) ledger: Option<LedgerConfig>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowOutcome {
    /// It is credited.
    Credited,
    /// Its energy comes with the next: the register has not advanced enough to derive the power.
    Waits,
    /// The records have it, or something later, already.
    Known,
}

/// What was taken in of one probe, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gained {
    pub(crate) probes: usize,
    pub(crate) totals: Totals,
    /// Stamps of the first and the last row.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

/// An import on its way.
pub(crate) struct Importer {
    config: ImportConfig,
    clock: WallClock,
    journal: Journal,
    history: History,
    ledger: Option<Ledger>,
    /// Accounts of which no row has come.
    accounts: HashMap<ProbeId, Account>,
    meters: HashMap<ProbeId, ImportedProbe>,
    sessions: Sessions,
    batch: Vec<Credited>,
    upset: Vec<ProbeId>,
    since_kept: usize,
    since_checkpoint: usize,
}

struct ImportedProbe {
    log: LoggedMeter,
    account: Account,
    /// What the account had before.
    before: Totals,
    /// Up to here the account has it. Rows from before that its register has not passed are followed all the same: an
    /// import that was killed had appended more than it had kept.
    recorded: Timestamp,
    /// The stamp of the latest row; at first, of the latest that nobody need look at again.
    newest: Timestamp,
    first: Option<Timestamp>,
}

impl Importer {
    /// Takes the records below `state`, which nobody else may be using, and reads what is there.
    ///
    /// # Errors
    /// When they are in use or cannot be read, as one line.
    pub(crate) fn open(
        state: &Path,
        config: ImportConfig,
        readers: &Readers,
        clock: WallClock,
    ) -> Result<Self, String> {
        let failed = |error: &dyn std::error::Error| chain(error);
        take_state(state, clock.now())?;
        let Folded { journal, accounts } = Folded::read(state, true, clock.now())?;
        let history = History::open(readers.history.clone(), &journal).map_err(|error| failed(&error))?;
        let ledger = readers.ledger.map(|config| Ledger::open(config, &journal)).transpose();
        let ledger = ledger.map_err(|error| failed(&error))?;
        let sessions = Sessions::open(&state.join("import")).map_err(|error| failed(&error))?;
        Ok(Self {
            config,
            clock,
            journal,
            history,
            ledger,
            accounts: accounts.into_iter().collect(),
            meters: HashMap::new(),
            sessions,
            batch: Vec::new(),
            upset: Vec::new(),
            since_kept: 0,
            since_checkpoint: 0,
        })
    }

    /// The next rows are of another file. A probe that has had rows keeps the units of its first file.
    pub(crate) fn set_config(&mut self, config: ImportConfig) {
        self.config = config;
    }

    /// Takes a row.
    ///
    /// # Errors
    /// [`RowRefused::Row`]: it is wrong, and counts nothing. [`RowRefused::Disk`]: nothing more can be taken.
    pub(crate) fn take(
        &mut self,
        probe: &ProbeId,
        instants: Instants,
        row: LogRow<'_>,
    ) -> Result<RowOutcome, RowRefused> {
        if !self.meters.contains_key(probe) {
            if self.meters.len() >= PROBES_MAX {
                return Err(RowRefused::Row(format!("more than {PROBES_MAX} probes")));
            }
            let meter = self.begin(probe);
            self.meters.insert(probe.clone(), meter);
        }
        let Some(meter) = self.meters.get_mut(probe) else { return Ok(RowOutcome::Known) };
        // Where the clock showed an hour twice, rows are in order of time.
        let at = if instants.first > meter.newest {
            instants.first
        } else {
            instants.second.unwrap_or(instants.first)
        };
        if at <= meter.newest {
            if meter.first.is_none() || at <= meter.recorded {
                return Ok(RowOutcome::Known);
            }
            return Err(RowRefused::Row("not later than the row before of this probe".to_owned()));
        }
        let logged = meter.log.take(at, row).map_err(|no_reading| RowRefused::Row(no_reading.to_string()))?;
        meter.newest = at;
        if at <= meter.recorded {
            return Ok(RowOutcome::Known);
        }
        meter.first.get_or_insert(at);
        if meter.log.take_upset() {
            self.upset.push(probe.clone());
        }
        let Logged::New(measurement) = logged else { return Ok(RowOutcome::Waits) };
        let Some(accounting) = &measurement.accounting else { return Ok(RowOutcome::Waits) };
        let received_at = Duration::from_micros(at.micros());
        let credit = meter.account.credit(accounting, received_at, self.config.limits.max_gap);
        let credit = credit.map_err(|refused| RowRefused::Row(refused.to_string()))?;
        let taken = Taken { decision: credit.decision, register: credit.totals };
        self.batch.push(Credited::of(&measurement, at, taken));
        if self.batch.len() >= BATCH {
            self.append().map_err(RowRefused::Disk)?;
        }
        Ok(RowOutcome::Credited)
    }

    fn begin(&mut self, probe: &ProbeId) -> ImportedProbe {
        let mut account = self.accounts.remove(probe).unwrap_or_default();
        let last = account.last();
        account.resume(Duration::from_micros(last.micros()));
        // Ahead of the account it is of a journal that was lost.
        let kept = self.sessions.take(probe).filter(|kept| kept.published <= last);
        let newest = kept.as_ref().map_or(last, |kept| match kept.entry.path() {
            Some(_) => kept.entry.newest,
            // A session without a register must begin after all that was received.
            None => last.max(kept.entry.newest),
        });
        let past = kept.map(|kept| kept.entry).into_iter().collect();
        ImportedProbe {
            log: LoggedMeter::new(probe.clone(), self.config.limits, past, self.config.units),
            before: account.totals(),
            account,
            recorded: last,
            newest,
            first: None,
        }
    }

    /// Appends what is at hand, and has the readers take it.
    fn append(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if !self.upset.is_empty() {
            // Before what follows it is in the journal: what is kept of it must not be gone on from.
            self.sessions.forget(&std::mem::take(&mut self.upset))?;
        }
        let records = Arc::new(std::mem::take(&mut self.batch));
        self.journal.append(&records, self.clock.now())?;
        self.since_kept += records.len();
        self.since_checkpoint += records.len();
        if self.since_kept >= KEEP_RECORDS * self.meters.len() {
            self.keep()?;
        }
        self.history.catch_up();
        if let Some(ledger) = &self.ledger {
            // Rows are closed by later ones and not by the time that has passed since.
            ledger.catch_up(Timestamp::EPOCH);
        }
        if self.since_checkpoint >= CHECKPOINT_RECORDS {
            self.checkpoint(Timestamp::EPOCH)?;
        }
        Ok(())
    }

    /// Keeps where the registers stand, once the journal has what they gave.
    fn keep(&mut self) -> io::Result<()> {
        self.since_kept = 0;
        self.journal.sync(self.clock.now())?;
        let meters = self.meters.values();
        let kept = meters.filter_map(|meter| {
            let entry = meter.log.entry()?;
            Some(Kept { published: meter.account.last(), entry })
        });
        self.sessions.write(kept)
    }

    /// Puts everything on the disk. `now` closes rows of the ledger that nobody has ended for long.
    fn checkpoint(&mut self, now: Timestamp) -> io::Result<()> {
        self.keep()?;
        self.since_checkpoint = 0;
        if let Some(ledger) = &self.ledger {
            ledger.catch_up(now);
            ledger.write(now)?;
        }
        if !self.history.settle() {
            let why = self.history.trouble().unwrap_or_else(|| "they are ahead of the readings".to_owned());
            tracing::warn!("not all RRD files are written ({why}); the service writes them from the journal");
        }
        let touched = self.meters.iter().map(|(probe, meter)| (probe, &meter.account));
        accounts::write(&self.journal, self.accounts.iter().chain(touched), &self.clock)
    }

    /// Appends what is left and puts everything on the disk.
    ///
    /// # Errors
    /// When the disk refuses. What was appended by then is known by the next import.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.append()?;
        self.checkpoint(self.clock.now())
    }

    /// What was taken in so far.
    pub(crate) fn gained(&self) -> Gained {
        let mut gained = Gained::default();
        for meter in self.meters.values() {
            let Some(first) = meter.first else { continue };
            gained.probes += 1;
            gained.totals = gained.totals.plus(&meter.account.totals().since(&meter.before));
            let (from, to) = gained.span.unwrap_or((first, meter.newest));
            gained.span = Some((from.min(first), to.max(meter.newest)));
        }
        gained
    }
}

/// Why a row was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowRefused {
    /// It is wrong.
    #[error("{0}")]
    Row(String),
    /// The disk refuses.
    #[error("cannot write the records")]
    Disk(#[source] io::Error),
}
