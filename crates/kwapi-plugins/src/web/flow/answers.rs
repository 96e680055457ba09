//! What all probes that are seen measure now, and what they used in a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::{Period, Timestamp};
use kwapi_graph::window;
use kwapi_history::journal::Position;
use kwapi_history::{EnergyRequest, EnergyRequestError, EnergySpan, EnergyStep, Query};
use parking_lot::Mutex;

use super::super::Site;
use super::super::overview::Seen;
use super::super::range::Range;
use super::FlowProbe;

/// A probe that was not received for longer is not of the present.
const PRESENT_AGE_MAX: Duration = Duration::from_secs(86_400);
/// Querying all probes may take at most one part in so many of the time…
const REST: u32 = 9;
/// …unless it is done as quickly as this.
const CHEAP: Duration = Duration::from_millis(50);
/// As many answers are kept that took longer: one has some 200 bytes a probe. Full: the oldest is dropped.
const KEPT_MAX: usize = 2;

/// The time whose energy is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum FlowTime {
    Period(Period),
    Range(Range),
}

impl FlowTime {
    fn range(self, now: Timestamp) -> Range {
        match self {
            Self::Range(range) => range,
            Self::Period(period) => {
                Range { from: Timestamp::from_seconds(window(period, now.seconds()).0), to: now }
            }
        }
    }
}

/// What probes measured.
#[derive(Debug)]
pub(in super::super) struct FlowAnswer {
    /// In order of their ids; sums of others are none of them.
    pub(in super::super) probes: Vec<FlowProbe>,
    /// The position in the journal that energy is true at; `None` where no ledger is kept.
    pub(in super::super) position: Option<Position>,
    /// Why some of it could not be read.
    pub(in super::super) unreadable: Vec<String>,
}

/// Answers that took long to make. They are of everything: what a scope shows is queried each time.
#[derive(Debug, Default)]
pub(in super::super) struct FlowAnswers(Mutex<VecDeque<KeptAnswer>>);

#[derive(Debug)]
struct KeptAnswer {
    time: FlowTime,
    answer: Arc<FlowAnswer>,
    took: Duration,
    made: Instant,
}

/// What the probes that are seen measure now, and what they used in `time`.
///
/// # Errors
/// When the time makes no sense to the ledger.
pub(in super::super) fn read(
    site: &Site,
    seen: &Seen,
    time: FlowTime,
    now: Timestamp,
) -> Result<Arc<FlowAnswer>, EnergyRequestError> {
    if !seen.is_everything {
        return FlowAnswer::read(site, seen, time, now).map(Arc::new);
    }
    let mut all = site.flows.0.lock();
    all.retain(|kept| kept.took > CHEAP && kept.made.elapsed() < kept.took.saturating_mul(REST));
    if let Some(kept) = all.iter().find(|kept| kept.time == time) {
        return Ok(Arc::clone(&kept.answer));
    }
    // Requests meanwhile wait for this answer.
    let made = Instant::now();
    let answer = Arc::new(FlowAnswer::read(site, seen, time, now)?);
    if all.len() >= KEPT_MAX {
        all.pop_front();
    }
    all.push_back(KeptAnswer { time, answer: Arc::clone(&answer), took: made.elapsed(), made });
    Ok(answer)
}

impl FlowAnswer {
    fn read(site: &Site, seen: &Seen, time: FlowTime, now: Timestamp) -> Result<Self, EnergyRequestError> {
        let mut ids = site.directory.known();
        ids.retain(|probe| seen.scope.allows(probe) && !site.directory.is_sum(probe));
        let energy = site.directory.query().map(|query| energies(query, &ids, time, now)).transpose()?;
        let (energies, position, unreadable) = match energy {
            Some((energies, position, unreadable)) => (energies, Some(position), unreadable),
            None => (vec![None; ids.len()], None, Vec::new()),
        };
        let probes = ids.into_iter().zip(energies).map(|(probe, energy)| {
            let latest = site.directory.now(&probe);
            let watts = latest.as_ref().filter(|latest| !latest.is_silent).map(|latest| latest.power.0);
            let is_present = latest.is_some_and(|latest| now.since(latest.at) < PRESENT_AGE_MAX);
            FlowProbe { probe, watts, is_present, energy }
        });
        let probes = probes.collect();
        // Where a file lies is for operators.
        let cause_of = |cause: String| {
            if seen.is_everything { cause } else { "a file of the ledger cannot be read".to_owned() }
        };
        Ok(Self { probes, position, unreadable: unreadable.into_iter().map(cause_of).collect() })
    }
}

type Energies = (Vec<Option<EnergySpan>>, Position, Vec<String>);

/// What `probes` (in order of their ids) used in a time.
fn energies(
    query: &Query,
    probes: &[kwapi_core::ProbeId],
    time: FlowTime,
    now: Timestamp,
) -> Result<Energies, EnergyRequestError> {
    let Range { from: start, to: end } = time.range(now);
    let is_to_now = matches!(time, FlowTime::Period(_));
    let request =
        EnergyRequest { probes: probes.to_vec(), start, end, step: EnergyStep::Whole, is_to_now, now };
    let mut batches = query.batches(&request)?;
    let mut energies: Vec<Option<EnergySpan>> = vec![None; probes.len()];
    while let Some(batch) = batches.next_batch() {
        for of in batch {
            let place = probes.binary_search(&of.probe).ok().and_then(|at| energies.get_mut(at));
            if let Some(place) = place {
                *place = of.spans.first().copied();
            }
        }
    }
    let unreadable = batches.unreadable().into_iter().map(|file| file.cause).collect();
    Ok((energies, batches.position(), unreadable))
}
