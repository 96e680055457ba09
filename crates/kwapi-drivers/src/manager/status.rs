//! What an operator can see of a meter.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kwapi_core::{NoReading, NotBridged, ProbeId, Timestamp, Watts};

use super::derive::PowerOrigin;
use super::pace::MeterPace;
use super::probes::MeterProbes;

/// Longer error messages are cut: they come from outside and are kept per meter.
const ERROR_CHARS_MAX: usize = 300;

/// How a meter is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeterState {
    /// Not yet opened, or opened and not yet read.
    Starting,
    /// The link stands, and its sender has sent nothing yet, or nothing lately: a meter that sends when it likes is well.
    Waiting,
    /// It is read.
    Running,
    /// The link stands, but the last rounds returned nothing (busy, malformed, no outlet answered).
    Failing,
    /// The link failed; it is reopened after a pause.
    Backoff,
    /// It did not answer by its deadline; it is reopened after a pause.
    Hung,
    /// Its driver panicked; it is reopened after a pause.
    Crashed,
    /// It refuses (wrong password, no such device); it is tried rarely.
    Refused,
    /// It failed so often that it is only tried now and then.
    Tripped,
    /// It answers again after that, and is not yet trusted.
    Trial,
}

impl MeterState {
    /// All states, for whoever counts meters by state.
    pub const ALL: [Self; 10] = [
        Self::Starting,
        Self::Waiting,
        Self::Running,
        Self::Failing,
        Self::Backoff,
        Self::Hung,
        Self::Crashed,
        Self::Refused,
        Self::Tripped,
        Self::Trial,
    ];

    /// The state in one word, for metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Failing => "failing",
            Self::Backoff => "backoff",
            Self::Hung => "hung",
            Self::Crashed => "crashed",
            Self::Refused => "refused",
            Self::Tripped => "tripped",
            Self::Trial => "trial",
        }
    }

    /// Whether nothing is wrong with it: readings come, or would if its sender sent any.
    pub const fn is_up(self) -> bool {
        match self {
            Self::Waiting | Self::Running | Self::Trial => true,
            Self::Starting
            | Self::Failing
            | Self::Backoff
            | Self::Hung
            | Self::Crashed
            | Self::Refused
            | Self::Tripped => false,
        }
    }
}

impl fmt::Display for MeterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Outlets that reported nothing, by cause, since the meter was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the variants of kwapi_core::NoReading")]
pub struct NoReadingCounts {
    pub not_ready: u64,
    pub not_available: u64,
    pub no_such_outlet: u64,
    pub implausible: u64,
    pub stale: u64,
}

impl NoReadingCounts {
    pub(super) fn add(&mut self, no_reading: &NoReading) {
        let count = match no_reading {
            NoReading::NotReady(_) => &mut self.not_ready,
            NoReading::NotAvailable(_) => &mut self.not_available,
            NoReading::NoSuchOutlet(_) => &mut self.no_such_outlet,
            NoReading::Implausible(_) => &mut self.implausible,
            NoReading::Stale(_) => &mut self.stale,
        };
        *count += 1;
    }
}

/// One meter, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterStatus {
    /// The operator's name for it.
    pub name: String,
    /// Its driver.
    pub driver: &'static str,
    /// How it is doing.
    pub state: MeterState,
    /// Since when.
    pub since: Timestamp,
    /// The latest error there was, also when all is well again.
    pub last_error: Option<String>,
    /// How long the latest answer took; `None` before the first, and for meters that push.
    pub last_latency: Option<Duration>,
    /// When the latest reading came.
    pub last_reading: Option<Timestamp>,
    /// Rounds that returned readings.
    pub reads: u64,
    /// Rounds and openings that failed.
    pub failures: u64,
    /// How many of them since the latest reading.
    pub consecutive_failures: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Ticks of the interval that passed without a read.
    pub ticks_missed: u64,
    /// Whether it answers more slowly than its interval, and is read as fast as it answers.
    pub is_slow: bool,
    /// Outlets that reported nothing, by cause.
    pub no_readings: NoReadingCounts,
    /// Probes beyond the meter's bound, which are not measured.
    pub probes_refused: u64,
    /// What is known of each probe, in order of id.
    pub probes: Vec<ProbeStatus>,
}

/// One probe, as its meter's latest round left it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeStatus {
    /// Which.
    pub probe: ProbeId,
    /// The latest power.
    pub power: Option<Watts>,
    /// When that was measured.
    pub measured_at: Option<Timestamp>,
    /// How long after that its power may still stand for the present.
    pub max_gap: Duration,
    /// Why there is nothing newer, if there is not.
    pub problem: Option<NoReading>,
    /// How often the outlet's own counter was reset or jumped.
    pub counter_resets: u64,
    /// Whether the outlet's own counter, if it has one, still has the last word; not once it contradicted the watts.
    pub counter_trusted: bool,
    /// How many values of power were absurd: above `max_watts`, or far above all that the outlet has shown.
    pub outliers: u64,
    /// How many of them came in a row, to the latest.
    pub outliers_in_a_row: u32,
    /// Whether its messages are held, as the wall clock is not to be trusted after the host's boot.
    pub is_held: bool,
    /// Why the time before this process is not bridged by the outlet's counter, if it is not.
    pub not_bridged: Option<NotBridged>,
    /// Another probe that is read from the same register, if there is one: only one of the two is bridged over a restart.
    pub counter_shared_with: Option<ProbeId>,
    /// How accurate its power is, in percent of the reading, where the device itself reports it.
    pub accuracy_percent: Option<f64>,
    /// How its latest power came about; `None` before the first.
    pub power_origin: Option<PowerOrigin>,
    /// Whether its device counts energy itself.
    pub has_counter: bool,
}

/// What a meter's task writes and a snapshot reads.
#[derive(Debug)]
pub(super) struct Visible {
    /// `probes` stays empty here.
    pub(super) status: MeterStatus,
    /// Of the probes of which the device reports it, the accuracy in percent.
    pub(super) accuracy: BTreeMap<ProbeId, f64>,
    pub(super) probes: MeterProbes,
}

impl Visible {
    pub(super) fn new(name: &str, driver: &'static str, since: Timestamp) -> Self {
        let status = MeterStatus {
            name: name.to_owned(),
            driver,
            state: MeterState::Starting,
            since,
            last_error: None,
            last_latency: None,
            last_reading: None,
            reads: 0,
            failures: 0,
            consecutive_failures: 0,
            sessions: 0,
            ticks_missed: 0,
            is_slow: false,
            no_readings: NoReadingCounts::default(),
            probes_refused: 0,
            probes: Vec::new(),
        };
        Self { status, accuracy: BTreeMap::new(), probes: MeterProbes::default() }
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, error: &str) {
        self.status.failures += 1;
        self.status.consecutive_failures += 1;
        if self.status.last_error.as_deref() != Some(error) {
            self.status.last_error = Some(error.chars().take(ERROR_CHARS_MAX).collect());
        }
    }

    /// Enters `state`; logs one line if that is a change.
    pub(super) fn enter(&mut self, state: MeterState, now: Timestamp) {
        let MeterStatus { name, driver, last_error, .. } = &self.status;
        if self.status.state == state {
            return;
        }
        let error = last_error.as_deref().unwrap_or("cause unknown");
        // Each line begins with the state, in the one word that `kwapi status` and the metrics have for it.
        match state {
            // A fleet that starts well is one line of the manager's, not one of each meter.
            MeterState::Running if self.status.state == MeterState::Starting => {
                tracing::debug!(meter = name, driver, "running");
            }
            MeterState::Starting => tracing::debug!(meter = name, driver, "starting"),
            MeterState::Waiting => tracing::info!(meter = name, driver, "waiting: no data received yet"),
            MeterState::Running => tracing::info!(meter = name, driver, "running"),
            MeterState::Trial => tracing::info!(meter = name, driver, "trial: responding again"),
            MeterState::Failing => tracing::warn!(meter = name, driver, error, "failing: no readings"),
            MeterState::Backoff => {
                tracing::warn!(meter = name, driver, error, "backoff: link lost, reconnecting");
            }
            MeterState::Hung => {
                tracing::warn!(meter = name, driver, error, "hung: timed out, reconnecting");
            }
            MeterState::Crashed => {
                tracing::error!(meter = name, driver, error, "crashed: driver bug, restarting it");
            }
            MeterState::Refused => {
                tracing::error!(meter = name, driver, error, "refused: access refused, retrying every 5 min");
            }
            MeterState::Tripped => {
                tracing::error!(meter = name, driver, error, "tripped: circuit open, retrying every 60 s");
            }
        }
        self.status.state = state;
        self.status.since = now;
    }

    /// Notes the pace of the meter; logs once that its device is slower than its interval, and once that it no longer is.
    pub(super) fn note_pace(&mut self, pace: &MeterPace, interval: Duration) {
        let MeterStatus { name, last_latency: latency, is_slow, ticks_missed, .. } = &mut self.status;
        *ticks_missed = pace.ticks_missed;
        if *is_slow == pace.is_slow() {
            return;
        }
        *is_slow = pace.is_slow();
        if *is_slow {
            tracing::warn!(
                meter = name.as_str(),
                ?latency,
                ?interval,
                "slower than its interval; reading as fast as it responds"
            );
        } else {
            tracing::info!(meter = name.as_str(), ?latency, ?interval, "back within its interval");
        }
    }

    pub(super) fn snapshot(&self) -> MeterStatus {
        let mut probes: Vec<_> = self
            .probes
            .iter()
            .map(|probe| ProbeStatus {
                outliers: probe.source.outliers().0,
                outliers_in_a_row: probe.source.outliers().1,
                is_held: probe.source.is_held(),
                not_bridged: probe.source.not_bridged(),
                counter_shared_with: None, // The manager sets it.
                accuracy_percent: self.accuracy.get(probe.source.probe()).copied(),
                probe: probe.source.probe().clone(),
                power: probe.latest.map(|(power, _)| power),
                measured_at: probe.latest.map(|(_, timestamp)| timestamp),
                max_gap: probe.source.max_gap(),
                problem: probe.problem.as_deref().cloned(),
                counter_resets: probe.source.counter_resets,
                counter_trusted: probe.source.counter_trusted(),
                power_origin: probe.source.power_origin,
                has_counter: probe.source.has_counter(),
            })
            .collect();
        probes.sort_by(|one, other| one.probe.cmp(&other.probe));
        MeterStatus { probes, ..self.status.clone() }
    }
}
