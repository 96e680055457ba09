//! What the API and the pages show of this process's meters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::{ProbeId, Timestamp, WallClock};
use kwapi_drivers::manager::{Manager, MeterState, MeterStatus, PowerOrigin, ProbeStatus};
use kwapi_plugins::directory::{MeterHealth, MeterNow, ProbeOrigin};
use parking_lot::Mutex;

use super::status::{MeterReport, ProbeReport};

/// A look at the meters serves all queries within this time: one answer of the API looks up each of its probes.
const LOOK_AGE_MAX: Duration = Duration::from_secs(1);

/// A rack of outlets may have as many findings: the first show what is the matter.
const FINDINGS_MAX: usize = 4;

/// The meters, looked at once a second at most.
#[derive(Debug)]
pub(super) struct MeterLooks {
    manager: Arc<Manager>,
    clock: WallClock,
    last: Mutex<Option<MeterLook>>,
}

/// How the meters stood at a moment.
#[derive(Clone, Debug)]
struct MeterLook {
    at: Instant,
    problems: Arc<HashMap<ProbeId, String>>,
    accuracies: Arc<HashMap<ProbeId, f64>>,
    meters: Arc<[MeterNow]>,
    /// Of each meter, in the same order, its probes in order of their ids.
    probes: Arc<[Vec<ProbeFacts>]>,
}

/// What is known of where a probe's values come from.
#[derive(Clone, Debug)]
struct ProbeFacts {
    probe: ProbeId,
    power: Option<PowerOrigin>,
    has_counter: bool,
    counter_trusted: bool,
}

impl MeterLooks {
    pub(super) fn new(manager: Arc<Manager>, clock: WallClock) -> Self {
        Self { manager, clock, last: Mutex::new(None) }
    }

    /// Why the meter of `probe` last failed, if it has not been read since.
    pub(super) fn problem(&self, probe: &ProbeId) -> Option<String> {
        self.look().problems.get(probe).cloned()
    }

    /// What the device of `probe` reports of its accuracy, in percent of the reading.
    pub(super) fn accuracy(&self, probe: &ProbeId) -> Option<f64> {
        self.look().accuracies.get(probe).copied()
    }

    /// All meters, in the order of the configuration.
    pub(super) fn meters(&self) -> Arc<[MeterNow]> {
        self.look().meters
    }

    /// Where the values of `probe` come from, if a meter of this process has it.
    pub(super) fn origin(&self, probe: &ProbeId) -> Option<ProbeOrigin> {
        let look = self.look();
        look.meters.iter().zip(&*look.probes).find_map(|(meter, probes)| {
            let at = probes.binary_search_by(|facts| facts.probe.cmp(probe)).ok()?;
            Some(probes.get(at)?.origin(meter))
        })
    }

    fn look(&self) -> MeterLook {
        let mut last = self.last.lock();
        if let Some(look) = last.as_ref().filter(|look| look.at.elapsed() <= LOOK_AGE_MAX) {
            return look.clone();
        }
        let (statuses, now) = (self.manager.statuses(), self.clock.now());
        let problems = Arc::new(problems(&statuses));
        let probes = statuses.iter().flat_map(|meter| &meter.probes);
        let stated = probes.filter_map(|status| Some((status.probe.clone(), status.accuracy_percent?)));
        let accuracies = Arc::new(stated.collect());
        let of_meter = |meter: &MeterStatus| meter.probes.iter().map(ProbeFacts::new).collect();
        let probes = statuses.iter().map(of_meter).collect();
        let meters = statuses.into_iter().map(|status| meter_now(status, now)).collect();
        let look = MeterLook { at: Instant::now(), problems, accuracies, meters, probes };
        *last = Some(look.clone());
        look
    }
}

impl ProbeFacts {
    fn new(status: &ProbeStatus) -> Self {
        let ProbeStatus { probe, power_origin, has_counter, counter_trusted, .. } = status;
        let (has_counter, counter_trusted) = (*has_counter, *counter_trusted);
        Self { probe: probe.clone(), power: *power_origin, has_counter, counter_trusted }
    }

    fn origin(&self, meter: &MeterNow) -> ProbeOrigin {
        let power = self.power.map(|power| match power {
            PowerOrigin::Reported => "reported by the device",
            PowerOrigin::Counter => "from the advance of the device's energy register",
            PowerOrigin::Current => "estimated from current and voltage",
        });
        let energy = match (self.has_counter, self.counter_trusted) {
            (false, _) => "power over time; the device reports no register",
            (true, true) => "register of the device",
            (true, false) => "power over time, because the register of the device contradicts the power",
        };
        let MeterNow { driver, state, since, latency, .. } = *meter;
        ProbeOrigin { meter: meter.name.clone(), driver, state, since, latency, power, energy }
    }
}

/// Why each troubled probe has no reading, as its meter's latest round left it.
fn problems(statuses: &[MeterStatus]) -> HashMap<ProbeId, String> {
    let mut all = HashMap::new();
    for meter in statuses {
        for status in &meter.probes {
            let problem = match (&status.problem, meter.state.is_up()) {
                (Some(problem), _) => Some(problem.to_string()),
                (None, false) => meter.last_error.clone(),
                (None, true) => None,
            };
            all.extend(problem.map(|problem| (status.probe.clone(), problem)));
        }
    }
    all
}

fn meter_now(status: MeterStatus, now: Timestamp) -> MeterNow {
    let (state, since, driver) = (status.state, status.since, status.driver);
    let (latency, last_reading, is_slow) = (status.last_latency, status.last_reading, status.is_slow);
    let silent = status.probes.iter().filter(|probe| ProbeReport::is_old(probe, now));
    let silent: Vec<ProbeId> = silent.map(|probe| probe.probe.clone()).collect();
    let report = MeterReport::new(status, now);
    let mut findings: Vec<String> = report
        .probes
        .iter()
        .flat_map(|probe| {
            // Why one outlet of a meter that answers is silent; of one that does not, the meter's error states it.
            let problem = probe.problem.as_ref().filter(|_| state.is_up() && probe.is_silent == Some(true));
            problem
                .cloned()
                .into_iter()
                .chain(probe.present_findings())
                .map(|finding| format!("{}: {finding}", probe.probe))
        })
        .collect();
    let slow = is_slow.then(|| "answers more slowly than its interval".to_owned());
    // Of one that is not read, that is no news.
    let missed = report.missed().filter(|_| state.is_up());
    findings.splice(0..0, slow.into_iter().chain(missed));
    if findings.len() > FINDINGS_MAX {
        let more = findings.len() - FINDINGS_MAX;
        findings.truncate(FINDINGS_MAX);
        findings.push(format!("and {more} more: kwapi status"));
    }
    let is_odd = !findings.is_empty() || !silent.is_empty();
    let health = match state {
        MeterState::Starting => MeterHealth::Starting,
        MeterState::Running | MeterState::Waiting if !is_odd => MeterHealth::Well,
        MeterState::Running | MeterState::Waiting | MeterState::Trial => MeterHealth::WorthALook,
        MeterState::Failing
        | MeterState::Backoff
        | MeterState::Hung
        | MeterState::Crashed
        | MeterState::Refused
        | MeterState::Tripped => MeterHealth::Troubled,
    };
    let advice = match health {
        MeterHealth::Troubled | MeterHealth::WorthALook => advice(state, is_slow),
        MeterHealth::Starting | MeterHealth::Well => None,
    };
    MeterNow {
        name: report.name,
        driver,
        state: state.as_str(),
        health,
        since,
        last_error: report.last_error,
        advice,
        findings,
        latency,
        last_reading,
        probes: report.probes.len(),
        silent,
    }
}

/// What an operator can do about a meter in this state.
const fn advice(state: MeterState, is_slow: bool) -> Option<&'static str> {
    match state {
        MeterState::Failing => {
            Some("see what the device itself shows; it is connected, but none of its answers was a reading.")
        }
        MeterState::Backoff | MeterState::Tripped => Some(
            "check that the device has power and network, and that this host reaches its address. It is tried again at least once a minute.",
        ),
        MeterState::Hung => Some(
            "raise deadline_seconds if the device is just slow; otherwise restart its management controller. It is tried again at least once a minute.",
        ),
        MeterState::Crashed => {
            Some("report it, with the log: this is a bug in Kwapi. It is tried again at least once a minute.")
        }
        MeterState::Refused => Some(
            "follow the message: mostly it is the password, or a key of this meter. A reload that changes the meter tries it at once, otherwise it is tried every 5 minutes, so that the account is not locked.",
        ),
        MeterState::Waiting => Some("check that its sender runs: the link is up, and nothing comes."),
        MeterState::Running if is_slow => Some(
            "raise interval_seconds, or read fewer outlets. Energy is right where the meter has a counter.",
        ),
        MeterState::Running => Some("compare with what the device itself shows."),
        MeterState::Starting | MeterState::Trial => None,
    }
}

#[cfg(test)]
mod tests;
