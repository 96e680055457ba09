//! One probe at the collector: its account, and what it shows.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::Received;
use kwapi_core::{Account, Accounting, ProbeId, Quality, Refused, Timestamp, Totals, Watts};
use parking_lot::Mutex;

/// A probe is stale after this many of its own intervals…
const STALE_INTERVALS: u32 = 3;
/// …of which none is taken to be longer than this.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// A probe, shared by the table, the sorted list and their users.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) id: ProbeId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    account: Account,
    /// What the lists show, if `is_shown`.
    shown: Shown,
    quality: Quality,
    /// Whether anything was heard since the start of the process.
    is_shown: bool,
    /// Whether the record has the account as it is.
    is_recorded: bool,
    /// Rises with every change of what is shown or credited.
    version: u32,
    /// The usual time between messages, as observed, in milliseconds; 0 before there are two.
    interval_ms: u32,
}

/// The newest message.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    power: Watts,
    timestamp: Timestamp,
    /// When it was heard, on the monotonic clock, in microseconds.
    heard_us: u64,
}

/// A copy of what a probe shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeView {
    /// The power its newest message gave.
    pub power: Watts,
    /// The stamp of that message.
    pub timestamp: Timestamp,
    /// How that power came about.
    pub quality: Quality,
    /// Credited energy and how its time is made up.
    pub totals: Totals,
    /// Where the totals count from.
    pub since: Timestamp,
    /// Messages known to exist that have not come.
    pub lost: u64,
    /// Whether a second publisher claims this probe.
    pub is_challenged: bool,
    /// When the probe was last heard, on the monotonic clock.
    pub heard: Duration,
    /// A probe silent for longer is not offered as if it were now.
    pub stale_after: Duration,
    /// Rises with every change.
    pub version: u32,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Credited,
    Late,
    Legacy,
    Duplicate,
    SessionClosed,
    ConflictingPublisher,
    TooManyProbes,
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Duplicate => Self::Duplicate,
            Refused::SessionClosed => Self::SessionClosed,
            Refused::ConflictingPublisher => Self::ConflictingPublisher,
        }
    }
}

impl Probe {
    pub(super) fn new(id: ProbeId) -> Self {
        Self::with(id, Account::default(), false)
    }

    /// A probe whose account was on record. It shows nothing until it is heard.
    pub(super) fn resumed(id: ProbeId, mut account: Account, now: Duration) -> Self {
        account.resume(now);
        Self::with(id, account, true)
    }

    fn with(id: ProbeId, account: Account, is_recorded: bool) -> Self {
        let state = State {
            account,
            shown: Shown::default(),
            quality: Quality::default(),
            is_shown: false,
            is_recorded,
            version: 0,
            interval_ms: 0,
        };
        Self { id, state: Mutex::new(state) }
    }

    pub(super) fn lost(&self) -> i64 {
        as_signed(self.state.lock().account.lost())
    }

    /// Credits a message; returns what became of it and by how much the count of lost messages changed.
    pub(super) fn credit(&self, received: &Received, max_gap: Duration) -> (Outcome, i64) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let lost = state.account.lost();
        let credited = match &received.measurement.accounting {
            Some(message) => state.credit(message, received, max_gap),
            None => state.credit_legacy(received, max_gap),
        };
        let outcome = match credited {
            Ok(outcome) => outcome,
            Err(refused) => return (refused.into(), 0),
        };
        state.is_recorded = false;
        state.version = state.version.wrapping_add(1);
        (outcome, as_signed(state.account.lost()) - as_signed(lost))
    }

    /// What the probe shows, unless nothing was heard of it since the start. When the record is behind, `record` gets
    /// the account first.
    pub(super) fn view(&self, record: impl FnOnce(&ProbeId, &Account)) -> Option<ProbeView> {
        let mut state = self.state.lock();
        if !state.is_shown {
            return None;
        }
        let shown = state.shown;
        if !state.is_recorded {
            record(&self.id, &state.account);
            state.is_recorded = true;
        }
        Some(ProbeView {
            power: shown.power,
            timestamp: shown.timestamp,
            quality: state.quality,
            totals: state.account.totals(),
            since: state.account.since(),
            lost: state.account.lost(),
            is_challenged: state.account.is_challenged(),
            heard: Duration::from_micros(shown.heard_us),
            stale_after: Duration::from_millis(u64::from(state.interval_ms)) * STALE_INTERVALS,
            version: state.version,
        })
    }

    /// Gives `record` the account when the record is behind, or in any case when `all`.
    pub(super) fn record(&self, all: bool, record: impl FnOnce(&ProbeId, &Account)) {
        let mut state = self.state.lock();
        if all || !state.is_recorded {
            record(&self.id, &state.account);
            state.is_recorded = true;
        }
    }

    /// Says that what `record` was given did not reach the file.
    pub(super) fn unrecord(&self) {
        self.state.lock().is_recorded = false;
    }
}

impl State {
    fn credit(
        &mut self,
        message: &Accounting,
        received: &Received,
        max_gap: Duration,
    ) -> Result<Outcome, Refused> {
        if !self.account.credit(message, received.heard, max_gap)?.is_newest {
            return Ok(Outcome::Late);
        }
        self.show(received, message.timestamp, message.quality);
        Ok(Outcome::Credited)
    }

    fn credit_legacy(&mut self, received: &Received, max_gap: Duration) -> Result<Outcome, Refused> {
        let power = received.measurement.power;
        self.account.credit_legacy(power, received.arrived, received.heard, max_gap)?;
        self.show(received, received.arrived, Quality::Measured);
        Ok(Outcome::Legacy)
    }

    fn show(&mut self, received: &Received, timestamp: Timestamp, quality: Quality) {
        if self.is_shown {
            let since = received.heard.saturating_sub(Duration::from_micros(self.shown.heard_us));
            self.observe_interval(since);
        }
        let heard_us = u64::try_from(received.heard.as_micros()).unwrap_or(u64::MAX);
        self.shown = Shown { power: received.measurement.power, timestamp, heard_us };
        self.quality = quality;
        self.is_shown = true;
    }

    /// A sliding mean. One long silence may at most double it, so that it does not hide the next.
    fn observe_interval(&mut self, since: Duration) {
        let since = u32::try_from(since.min(INTERVAL_MAX).as_millis()).unwrap_or(u32::MAX);
        self.interval_ms = if self.interval_ms == 0 {
            since
        } else {
            let bounded = since.min(self.interval_ms.saturating_mul(5).saturating_add(1_000));
            self.interval_ms - self.interval_ms / 4 + bounded / 4
        };
    }
}

fn as_signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A probe found by its id: the table keeps no second copy of the name.
#[derive(Debug)]
pub(super) struct ById(pub(super) Arc<Probe>);

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.as_str().hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        self.0.id.as_str()
    }
}
