//! Where running totals come from: a service's API, or the configured meters, read by this process.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{
    Account, Energy, Measurement, MonotonicClock, Pattern, ProbeId, Timestamp, Totals, WallClock, Watts,
};
use kwapi_drivers::manager::Manager;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::tally::{Parts, Point};
use crate::commands::client::{ClientFailure, KwapiClient};
use crate::config::Config;

/// A page of the API is smaller than this.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The energy of as many probes as there may be is smaller than this.
const ENERGY_BYTES_MAX: usize = 256 << 20;
/// How long a history may take to have what the API shows already: on a busy machine it is a moment behind.
const LEDGER_DELAY_MAX: Duration = Duration::from_secs(3);
/// How often it is queried meanwhile.
const LEDGER_INTERVAL: Duration = Duration::from_millis(250);
/// Pages that are read at most: more would be a server that never ends.
const PAGES_MAX: usize = 1_000;

/// A source of readings.
pub(super) enum TotalsSource {
    Service(Service),
    Meters(Meters),
}

impl TotalsSource {
    /// The newest reading of each wanted probe.
    ///
    /// # Errors
    /// See [`ClientFailure`].
    pub(super) async fn points(&self, wanted: &[Pattern]) -> Result<Vec<(ProbeId, Point)>, ClientFailure> {
        match self {
            Self::Service(service) => service.points(wanted).await,
            Self::Meters(meters) => Ok(meters.points(wanted)),
        }
    }

    /// What the wanted probes used between two instants, where somebody keeps a ledger that has it to the instant; of
    /// others nothing. A history that does not have all of it yet is waited for, [`LEDGER_DELAY_MAX`] at most.
    pub(super) async fn energy(
        &self,
        wanted: &[Pattern],
        start: Timestamp,
        end: Timestamp,
    ) -> HashMap<ProbeId, Parts> {
        // Of meters that are read here there is none.
        let Self::Service(service) = self else { return HashMap::new() };
        let until = Instant::now() + LEDGER_DELAY_MAX;
        loop {
            // One that keeps none responds with 501, and an earlier version does not support the query: then totals are
            // used.
            let Ok(answer) = service.energy(wanted, start, end).await else { return HashMap::new() };
            let exact: HashMap<_, _> = answer.iter().filter_map(ProbeAnswer::exact).collect();
            if exact.len() == answer.len() || Instant::now() >= until {
                return exact;
            }
            sleep(LEDGER_INTERVAL).await;
        }
    }

    /// Whether all energy is of registers, where that is known.
    pub(super) fn is_register(&self) -> Option<bool> {
        match self {
            Self::Service(_) => None,
            Self::Meters(meters) => Some(meters.state.lock().values().all(|meter| meter.has_register)),
        }
    }

    /// Closes sessions.
    pub(super) async fn stop(self) {
        if let Self::Meters(meters) = self {
            meters.manager.stop().await;
        }
    }
}

/// A kwapi with an API.
pub(super) struct Service(pub(super) KwapiClient);

#[derive(Deserialize)]
struct Page {
    next: Option<String>,
    probes: Vec<ApiProbe>,
}

#[derive(Deserialize)]
struct ApiProbe {
    id: ProbeId,
    watts: f64,
    energy_timestamp: f64,
    joules: f64,
    estimated_joules: f64,
    bridged_joules: f64,
    time: Time,
    /// Absent: nobody describes it, or a version before answers.
    description: Option<ApiDescription>,
}

#[derive(Deserialize)]
struct ApiDescription {
    accuracy_percent: Option<f64>,
}

#[derive(Deserialize)]
struct Time {
    measured_seconds: f64,
    estimated_seconds: f64,
    bridged_seconds: f64,
    unknown_seconds: f64,
}

/// What `/v2/energy` answers.
#[derive(Deserialize)]
struct EnergyAnswer {
    energy: Vec<ProbeAnswer>,
}

#[derive(Deserialize)]
struct ProbeAnswer {
    probe: ProbeId,
    rows: Vec<EnergyRow>,
}

#[derive(Deserialize)]
struct EnergyRow {
    measured_joules: Option<f64>,
    estimated_joules: Option<f64>,
    bridged_joules: Option<f64>,
    rrd_joules: Option<f64>,
    measured_seconds: f64,
    estimated_seconds: f64,
    bridged_seconds: f64,
    unknown_seconds: f64,
    absent_seconds: f64,
    is_interpolated: bool,
    is_incomplete: bool,
}

impl ProbeAnswer {
    /// The parts of the only row, if they are exact.
    fn exact(&self) -> Option<(ProbeId, Parts)> {
        let [row] = &self.rows[..] else { return None };
        Some((self.probe.clone(), row.parts()?))
    }
}

impl EnergyRow {
    /// Its parts, if that is exact and of all of the time.
    fn parts(&self) -> Option<Parts> {
        let is_exact = !self.is_interpolated && !self.is_incomplete && self.rrd_joules.is_none();
        (is_exact && self.absent_seconds == 0.0).then(|| Parts {
            measured_joules: self.measured_joules.unwrap_or_default(),
            estimated_joules: self.estimated_joules.unwrap_or_default(),
            bridged_joules: self.bridged_joules.unwrap_or_default(),
            measured_seconds: self.measured_seconds,
            estimated_seconds: self.estimated_seconds,
            bridged_seconds: self.bridged_seconds,
            unknown_seconds: self.unknown_seconds,
        })
    }
}

impl Service {
    async fn energy(
        &self,
        wanted: &[Pattern],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<ProbeAnswer>, ClientFailure> {
        let instant = |at: Timestamp| {
            let micros =
                i64::try_from(at.micros()).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
            micros.map_or_else(|| at.seconds().to_string(), |at| at.to_string())
        };
        let mut pairs: Vec<_> = wanted.iter().map(|pattern| ("pattern", pattern.to_string())).collect();
        pairs.extend([("start", instant(start)), ("end", instant(end)), ("format", "json".to_owned())]);
        let body = self.0.get("/v2/energy", &pairs).await?.whole(ENERGY_BYTES_MAX).await?;
        let answer: EnergyAnswer = serde_json::from_slice(&body)
            .map_err(|_| ClientFailure::Other(format!("{} is not a kwapi API", self.0.place())))?;
        Ok(answer.energy)
    }

    async fn points(&self, wanted: &[Pattern]) -> Result<Vec<(ProbeId, Point)>, ClientFailure> {
        let mut points = Vec::new();
        self.probes(wanted, |probe| points.push((probe.id.clone(), probe.point()))).await?;
        Ok(points)
    }

    /// How accurate the meters of the wanted probes are, in percent of the reading, where that is known there.
    pub(super) async fn accuracy(&self, wanted: &[Pattern]) -> Result<BTreeMap<ProbeId, f64>, ClientFailure> {
        let mut all = BTreeMap::new();
        self.probes(wanted, |probe| {
            let percent = probe.description.as_ref().and_then(|description| description.accuracy_percent);
            all.extend(percent.map(|percent| (probe.id.clone(), percent)));
        })
        .await?;
        Ok(all)
    }

    /// Hands over the wanted probes, a page after the other.
    async fn probes(&self, wanted: &[Pattern], mut each: impl FnMut(&ApiProbe)) -> Result<(), ClientFailure> {
        let mut pairs: Vec<_> = wanted.iter().map(|pattern| ("pattern", pattern.to_string())).collect();
        let mut path = "/v2/probes/".to_owned();
        for _ in 0..PAGES_MAX {
            let body = self.0.get(&path, &pairs).await?.whole(ANSWER_BYTES_MAX).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|_| ClientFailure::Other(format!("{} is not a kwapi API", self.0.place())))?;
            page.probes.iter().for_each(&mut each);
            let Some(next) = page.next else { return Ok(()) };
            // It has the patterns in it.
            (path, pairs) = (next, Vec::new());
        }
        Ok(())
    }
}

impl ApiProbe {
    fn point(&self) -> Point {
        let energy = |joules: f64| Energy::from_joules(joules).unwrap_or_default();
        let stamp = Duration::try_from_secs_f64(self.energy_timestamp).unwrap_or_default();
        let ms = |seconds: f64| {
            let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            u64::try_from(seconds.as_millis()).unwrap_or(u64::MAX)
        };
        let totals = Totals {
            energy: energy(self.joules),
            estimated: energy(self.estimated_joules),
            bridged: energy(self.bridged_joules),
            measured_ms: ms(self.time.measured_seconds),
            estimated_ms: ms(self.time.estimated_seconds),
            bridged_ms: ms(self.time.bridged_seconds),
            unknown_ms: ms(self.time.unknown_seconds),
        };
        Point { at: Timestamp::EPOCH.after(stamp), watts: Watts(self.watts), totals }
    }
}

/// The meters of a configuration, read here.
pub(super) struct Meters {
    manager: Manager,
    state: Arc<Mutex<HashMap<ProbeId, Metered>>>,
}

/// A probe that is measured here.
#[derive(Debug, Default)]
struct Metered {
    account: Account,
    watts: Watts,
    has_register: bool,
}

impl Meters {
    /// Starts reading.
    pub(super) fn start(config: &Config, wall: WallClock, monotonic: MonotonicClock) -> Self {
        let state: Arc<Mutex<HashMap<ProbeId, Metered>>> = Arc::default();
        let (kept, max_gap) = (state.clone(), config.max_gap());
        let sink = Arc::new(move |measurement: Measurement, _| {
            let Some(accounting) = measurement.accounting else { return };
            let mut state = kept.lock();
            let meter = state.entry(measurement.probe).or_default();
            meter.watts = measurement.power;
            meter.has_register = accounting.curve.is_some();
            // What is refused changes nothing.
            _ = meter.account.credit(&accounting, monotonic.now(), max_gap);
        });
        let manager = Manager::new(sink, wall);
        manager.apply(config.meters.clone());
        Self { manager, state }
    }

    /// What the devices report of their accuracy, in percent of the reading.
    pub(super) fn accuracy(&self) -> BTreeMap<ProbeId, f64> {
        let probes = self.manager.statuses().into_iter().flat_map(|meter| meter.probes);
        probes.filter_map(|status| Some((status.probe, status.accuracy_percent?))).collect()
    }

    fn points(&self, wanted: &[Pattern]) -> Vec<(ProbeId, Point)> {
        let state = self.state.lock();
        let is_wanted =
            |probe: &ProbeId| wanted.is_empty() || wanted.iter().any(|pattern| pattern.matches(probe));
        let chosen = state.iter().filter(|(probe, _)| is_wanted(probe));
        chosen
            .map(|(probe, meter)| {
                let (at, totals) = (meter.account.last(), meter.account.totals());
                (probe.clone(), Point { at, watts: meter.watts, totals })
            })
            .collect()
    }
}
