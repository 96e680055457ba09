//! One probe: its account, and what it shows.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::Received;
use kwapi_core::{Account, Credit, ProbeId, Quality, Refused, Timestamp, Totals, Watts, is_silent};
use parking_lot::Mutex;

/// No interval is taken to be longer than this.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// A probe, shared by the table, the sorted list and their users.
#[derive(Debug)]
pub(crate) struct LiveProbe {
    pub(crate) id: ProbeId,
    /// Counts probes from 0 in the order they came.
    pub(crate) index: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    account: Account,
    face: Face,
    /// What was received since, while that cannot be recorded or what was stored before it is still read.
    ahead: Option<Box<Ahead>>,
    /// Since the start of the process.
    arrivals: Arrivals,
    /// Whether the record has the account as it is.
    is_recorded: bool,
    /// Rises with every change of what is shown or credited.
    version: u32,
}

/// Messages of a probe that did not come once and in order. Each stays at its largest number rather than start from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrivals {
    late: u32,
    duplicate: u32,
}

/// What a probe shows: its newest message.
#[derive(Clone, Copy, Debug, Default)]
struct Face {
    power: Watts,
    timestamp: Timestamp,
    /// When it was received, on the monotonic clock, in microseconds.
    received_us: u64,
    /// The usual time between messages, as observed, in milliseconds; 0 before there are two.
    interval_ms: u32,
    quality: Quality,
    /// Whether anything was received since the start of the process.
    is_shown: bool,
}

/// A message that is shown and not recorded yet.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    face: Face,
    /// Its session.
    session: Timestamp,
    /// Whether what was stored before it is still read.
    is_backlog: bool,
}

/// A probe as it will be once what it was credited with is in the journal.
#[derive(Debug)]
pub(crate) struct CreditDraft {
    pub(crate) probe: Arc<LiveProbe>,
    account: Account,
    face: Face,
    arrivals: Arrivals,
    lost_before: u64,
}

/// Power at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Present {
    /// How much.
    pub power: Watts,
    /// When it was measured.
    pub timestamp: Timestamp,
    /// How it came about.
    pub quality: Quality,
}

/// A copy of what a probe shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeView {
    /// The power of the newest message that is on record; `totals` are of that very message or of a later one that came
    /// out of order.
    pub power: Watts,
    /// The stamp of that message.
    pub timestamp: Timestamp,
    /// How that power came about.
    pub quality: Quality,
    /// Whether `power`, `timestamp` and `totals` are of recorded messages that were received since the start, and of
    /// now as far as `/v1/` is concerned, which shows all of one message: while a disk takes nothing they stand, while
    /// a backlog is read they are of the past. If not, `/v1/` does not have the probe yet.
    pub is_recorded: bool,
    /// The newest message of all. It is ahead of the one above while the disk takes nothing, or a backlog is read.
    pub present: Present,
    /// Credited energy and how its time is made up.
    pub totals: Totals,
    /// Where the totals count from.
    pub since: Timestamp,
    /// Messages known to exist that have not come.
    pub lost: u64,
    /// Messages that came after a newer one, since the start of the process.
    pub late: u64,
    /// Messages that came again, since the start of the process.
    pub duplicate: u64,
    /// Whether a second publisher claims this probe.
    pub has_conflict: bool,
    /// When the probe was last received, on the monotonic clock.
    pub received_at: Duration,
    /// The usual time between its messages, as observed; 0 before there are two.
    pub interval: Duration,
    /// Whether the probe is silent: its value is too old to be offered as if it were now.
    pub is_silent: bool,
    /// Rises with every change.
    pub version: u32,
}

impl LiveProbe {
    pub(super) fn new(id: ProbeId, index: u32) -> Self {
        Self::with(id, index, Account::default(), false)
    }

    /// A probe whose account was on record. It shows nothing until it is received.
    pub(super) fn resumed(id: ProbeId, index: u32, mut account: Account, now: Duration) -> Self {
        account.resume(now);
        Self::with(id, index, account, true)
    }

    fn with(id: ProbeId, index: u32, account: Account, is_recorded: bool) -> Self {
        let (face, arrivals) = (Face::default(), Arrivals::default());
        let state = State { account, face, ahead: None, arrivals, is_recorded, version: 0 };
        Self { id, index, state: Mutex::new(state) }
    }

    pub(super) fn lost(&self) -> i64 {
        as_signed(self.state.lock().account.lost())
    }

    /// What `read` finds in the account.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ProbeId, &Account) -> T) -> T {
        read(&self.id, &self.state.lock().account)
    }

    /// Has the account be what it is with what another plugin has received, by its account `other`. Returns whether
    /// that was anything new.
    pub(crate) fn merge(&self, other: &Account, now: Duration) -> bool {
        let mut state = self.state.lock();
        let merged = state.account.merge(other, now);
        if merged == state.account {
            return false;
        }
        state.account = merged;
        state.is_recorded = false;
        state.version = state.version.wrapping_add(1);
        true
    }

    /// A copy to credit messages to, in the room of `account`, which nobody needs any more.
    pub(crate) fn draft(self: &Arc<Self>, mut account: Account) -> CreditDraft {
        let state = self.state.lock();
        account.clone_from(&state.account);
        let (lost_before, face, arrivals) = (account.lost(), state.face, state.arrivals);
        CreditDraft { probe: Arc::clone(self), account, face, arrivals, lost_before }
    }

    /// Shows a message that is not recorded yet, if it is newer than what is shown.
    pub(super) fn show_ahead(&self, received: &Received) {
        let mut state = self.state.lock();
        let (timestamp, quality) = stamp(received);
        let mut ahead =
            state.ahead.as_deref().copied().unwrap_or(Ahead { face: state.face, ..Ahead::default() });
        if ahead.face.is_shown && timestamp <= ahead.face.timestamp {
            return;
        }
        ahead.face.show(received, timestamp, quality);
        ahead.session = session(received);
        state.ahead = Some(Box::new(ahead));
        state.version = state.version.wrapping_add(1);
    }

    /// Shows a message while what was stored before it is still read. As one that is credited at once it must be newer than
    /// what the account has, and than what is shown, and of no earlier session. Whether it is shown.
    pub(super) fn show_live(&self, received: &Received) -> bool {
        let mut state = self.state.lock();
        let ((timestamp, quality), session) = (stamp(received), session(received));
        let shown = state.ahead.as_deref().copied();
        let is_old = |ahead: Ahead| timestamp <= ahead.face.timestamp || session < ahead.session;
        if timestamp <= state.account.last() || shown.is_some_and(is_old) {
            return false;
        }
        // When the stored message before it was received shows nothing of the interval.
        let begun = Face { is_shown: false, ..state.face };
        let mut face = shown.map_or(begun, |ahead| ahead.face);
        face.show(received, timestamp, quality);
        state.ahead = Some(Box::new(Ahead { face, session, is_backlog: true }));
        state.version = state.version.wrapping_add(1);
        true
    }

    /// What the probe shows at `now`, unless nothing was received of it since the start. When the record is behind,
    /// `record` gets the account first.
    pub(super) fn view(
        &self,
        now: Duration,
        max_gap: Duration,
        record: impl FnOnce(&ProbeId, &Account),
    ) -> Option<ProbeView> {
        let mut state = self.state.lock();
        let face = state.face;
        if !face.is_shown && state.ahead.is_none() {
            return None;
        }
        if !state.is_recorded {
            record(&self.id, &state.account);
            state.is_recorded = true;
        }
        let newest = state.ahead.as_deref().map_or(face, |ahead| ahead.face);
        let (received_at, interval) = (newest.received_at(), newest.interval());
        let is_backlog = state.ahead.as_deref().is_some_and(|ahead| ahead.is_backlog)
            && is_silent(now.saturating_sub(face.received_at()), face.interval(), max_gap);
        Some(ProbeView {
            power: face.power,
            timestamp: if face.is_shown { face.timestamp } else { state.account.last() },
            is_recorded: face.is_shown && !is_backlog,
            quality: face.quality,
            present: Present { power: newest.power, timestamp: newest.timestamp, quality: newest.quality },
            totals: state.account.totals(),
            since: state.account.since(),
            lost: state.account.lost(),
            late: state.arrivals.late.into(),
            duplicate: state.arrivals.duplicate.into(),
            has_conflict: state.account.has_conflict(),
            received_at,
            interval,
            is_silent: is_silent(now.saturating_sub(received_at), interval, max_gap),
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

    /// Notes that what `record` was given did not reach the file.
    pub(super) fn unrecord(&self) {
        self.state.lock().is_recorded = false;
    }
}

impl CreditDraft {
    /// Credits a message.
    pub(crate) fn credit(&mut self, received: &Received, max_gap: Duration) -> Result<Credit, Refused> {
        let (timestamp, quality) = stamp(received);
        let credited = if let Some(message) = &received.measurement.accounting {
            self.account.credit(message, received.received_at, max_gap)
        } else {
            let power = received.measurement.power;
            self.account.credit_legacy(power, received.arrived, received.received_at, max_gap)
        };
        match &credited {
            Ok(credit) if credit.is_newest => self.face.show(received, timestamp, quality),
            Ok(_) => self.arrivals.late = self.arrivals.late.saturating_add(1),
            Err(Refused::Duplicate) => self.arrivals.duplicate = self.arrivals.duplicate.saturating_add(1),
            Err(Refused::SessionClosed | Refused::ConflictingPublisher) => {}
        }
        credited
    }

    /// Makes it what the probe is. Returns by how much the count of lost messages changed, and the account before.
    pub(crate) fn commit(self) -> (i64, Account) {
        let lost = self.account.lost();
        let mut state = self.probe.state.lock();
        let before = std::mem::replace(&mut state.account, self.account);
        (state.face, state.arrivals) = (self.face, self.arrivals);
        if state.ahead.as_ref().is_some_and(|ahead| ahead.face.timestamp <= self.face.timestamp) {
            state.ahead = None;
        }
        state.is_recorded = false;
        state.version = state.version.wrapping_add(1);
        drop(state);
        (as_signed(lost) - as_signed(self.lost_before), before)
    }
}

/// The stamp of a message and how its power came about.
fn stamp(received: &Received) -> (Timestamp, Quality) {
    match &received.measurement.accounting {
        Some(message) => (message.timestamp, message.quality),
        None => (received.arrived, Quality::Measured),
    }
}

/// The session of a message; the beginning of time where it has none.
fn session(received: &Received) -> Timestamp {
    received.measurement.accounting.as_ref().map_or(Timestamp::EPOCH, |message| message.session)
}

impl Face {
    fn received_at(&self) -> Duration {
        Duration::from_micros(self.received_us)
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.interval_ms))
    }

    fn show(&mut self, received: &Received, timestamp: Timestamp, quality: Quality) {
        if self.is_shown {
            let since = received.received_at.saturating_sub(Duration::from_micros(self.received_us));
            self.observe_interval(since);
        }
        self.received_us = u64::try_from(received.received_at.as_micros()).unwrap_or(u64::MAX);
        (self.power, self.timestamp, self.quality) = (received.measurement.power, timestamp, quality);
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
pub(super) struct ById(pub(super) Arc<LiveProbe>);

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
