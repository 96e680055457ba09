//! How much energy it was between two instants, and how sure that is: the one place that answers it.
//!
//! An answer is a sum of the ledger's rows: days, then quarter hours, then minutes towards its ends. Within a row whose
//! end it does not reach, samples show where its energy lies, where they are kept; otherwise energy and time are taken in
//! proportion, and the answer states that. What lies before the ledger's first record of a probe comes from its RRD
//! file, as far as that goes, by itself and marked.
//!
//! An answer is true at one position in the journal, however long it takes to read: [`Batches`] has it a part at a time.

mod batches;
mod course;
mod cover;
mod power;
mod request;
mod settled;
mod span;
mod statuses;
mod step;
mod stretch;
mod sums;
mod windows;
mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Period, ProbeId, Series, Timestamp};

use crate::History;
use crate::ledger::{Ledger, LedgerSight, StoppedLedger, UnreadableRows};
use crate::samples::{SampleRow, Samples, StoppedSamples, UnreadableSamples};

pub use batches::Batches;
pub use power::{PowerMembers, PowerQuery, PowerSpan};
pub use request::{Answer, EnergyRequest, EnergyRequestError, ProbeEnergy};
pub use span::EnergySpan;
pub use step::{CalendarStep, EnergyStep};
pub use sums::{MemberCounts, SumEnergy, SumMembers};
pub use windows::{WindowEnergy, Windows, WindowsAnswer};

use batches::Edges;
use course::Courses;
use cover::Cover;
use within::{CoveredRow, CutRows};

/// Spans of an answer that is made at once, of all probes or sums together.
const CELLS_MAX: usize = 1 << 18;
/// Spans of an answer that is made a part at a time.
const CELLS_STREAMED_MAX: usize = 1 << 26;

/// How long an answer waits for the ledger to have what is in the journal. It has it within a moment, unless its disk is
/// stuck: the answer states by its position what is in it.
const KEEP_UP_MAX: Duration = Duration::from_millis(250);

/// Queries the ledger, and for what was before it the RRD files.
#[derive(Clone, Debug)]
pub struct Query {
    source: LedgerSource,
    history: Option<Arc<History>>,
    samples: Option<SamplesSource>,
}

#[derive(Clone, Debug)]
enum LedgerSource {
    Running(Arc<Ledger>),
    Stopped(Arc<StoppedLedger>),
}

#[derive(Clone, Debug)]
enum SamplesSource {
    Running(Arc<Samples>),
    Stopped(Arc<StoppedSamples>),
}

impl SamplesSource {
    /// The begin of the oldest hour of which samples are kept; `None` where there are none.
    fn kept_from(&self) -> Option<Timestamp> {
        match self {
            Self::Running(samples) => samples.kept_from(),
            Self::Stopped(samples) => samples.kept_from(),
        }
    }

    fn energies(
        &self,
        probes: &[ProbeId],
        times: Range<u64>,
        each: impl FnMut(&ProbeId, SampleRow),
    ) -> Vec<UnreadableSamples> {
        match self {
            Self::Running(samples) => samples.energies(probes, times, each),
            Self::Stopped(samples) => samples.energies(probes, times, each),
        }
    }
}

impl Query {
    /// Over a ledger and, where there is one, a history.
    pub fn new(ledger: Arc<Ledger>, history: Option<Arc<History>>) -> Self {
        Self { source: LedgerSource::Running(ledger), history, samples: None }
    }

    /// Over the ledger of a service that does not run, and its samples, if it kept some.
    pub fn of_stopped(ledger: StoppedLedger, samples: Option<StoppedSamples>) -> Self {
        let samples = samples.map(|samples| SamplesSource::Stopped(Arc::new(samples)));
        Self { source: LedgerSource::Stopped(Arc::new(ledger)), history: None, samples }
    }

    /// With samples, which show where in a row its energy lies.
    #[must_use]
    pub fn with_samples(mut self, samples: Option<Arc<Samples>>) -> Self {
        self.samples = samples.map(SamplesSource::Running);
        self
    }

    /// The samples of a running process that it reads; `None` where there are none.
    pub fn samples(&self) -> Option<&Samples> {
        match &self.samples {
            Some(SamplesSource::Running(samples)) => Some(samples),
            Some(SamplesSource::Stopped(_)) | None => None,
        }
    }

    /// All probes of which something is known, in order of their ids.
    pub fn probes(&self) -> Vec<ProbeId> {
        let mut probes = match &self.source {
            LedgerSource::Running(ledger) => ledger.probes(),
            LedgerSource::Stopped(ledger) => ledger.probes(),
        };
        probes.extend(self.history.iter().flat_map(|history| history.probes()));
        probes.sort_unstable();
        probes.dedup();
        probes
    }

    /// The probes that the ledger has a measurement of from `at` or later, in order of their ids.
    pub fn measured_since(&self, at: Timestamp) -> Vec<ProbeId> {
        let at = at.micros() / 1_000;
        match &self.source {
            LedgerSource::Running(ledger) => ledger.measured_since(at),
            LedgerSource::Stopped(ledger) => ledger.measured_since(at),
        }
    }

    /// Answers a question at once. Reads files, and may take a while.
    ///
    /// # Errors
    /// See [`EnergyRequestError`].
    pub fn energy(&self, request: &EnergyRequest) -> Result<Answer, EnergyRequestError> {
        request.check(request.probes.len(), CELLS_MAX)?;
        let mut batches = Batches::new(self, request);
        let mut answer = Answer { position: batches.position(), ..Answer::default() };
        while let Some(batch) = batches.next_batch() {
            for next in batch {
                match answer.probes.last_mut() {
                    Some(last) if last.probe == next.probe => last.spans.extend(next.spans),
                    _ => answer.probes.push(next),
                }
            }
        }
        answer.unreadable = batches.unreadable();
        answer.without_samples = batches.without_samples();
        Ok(answer)
    }

    /// Answers a question a part at a time: a thousand probes over a month by minute are not in memory at once.
    ///
    /// # Errors
    /// See [`EnergyRequestError`].
    pub fn batches(&self, request: &EnergyRequest) -> Result<Batches<'_>, EnergyRequestError> {
        request.check(request.probes.len(), CELLS_STREAMED_MAX)?;
        Ok(Batches::new(self, request))
    }

    fn sight(&self, probes: &[ProbeId], from: u64, to: u64) -> LedgerSight<'_> {
        if let LedgerSource::Running(ledger) = &self.source {
            ledger.keep_up(KEEP_UP_MAX);
        }
        self.sight_now(probes, from, to)
    }

    /// The same, without waiting for what is in the journal and not in the ledger yet.
    fn sight_now(&self, probes: &[ProbeId], from: u64, to: u64) -> LedgerSight<'_> {
        match &self.source {
            LedgerSource::Running(ledger) => ledger.sight(probes, from, to),
            LedgerSource::Stopped(ledger) => ledger.sight(probes, from, to),
        }
    }

    /// The energy of `probes` (in order of their ids) in the spans between `edges`. Files that cannot be read are added to
    /// `unreadable`.
    fn spans(
        &self,
        sight: &LedgerSight<'_>,
        probes: &[ProbeId],
        edges: &Edges,
        now: Timestamp,
        unreadable: &mut BTreeMap<String, UnreadableRows>,
        without_samples: &mut BTreeSet<u64>,
    ) -> Vec<ProbeEnergy> {
        let mut cover = Cover::default();
        for (span, (from, to)) in edges.covered().enumerate() {
            cover.span(span, from, to, sight.kept_from);
        }
        let edges = &edges.spans;
        let empty: Vec<EnergySpan> = edges.iter().map(|(from, to)| EnergySpan::new(*from, *to)).collect();
        let mut all: Vec<Vec<EnergySpan>> = vec![empty; probes.len()];
        let mut cut = CutRows::default();
        let mut last: Option<(ProbeId, usize, u64)> = None;
        let place = |probe: &ProbeId| {
            let since = sight.probes.get(probe).map_or(0, |seen| seen.since);
            Some((probe.clone(), probes.binary_search(probe).ok()?, since))
        };
        let seen = sight.rows(probes, &cover.ranges(), |probe, row| {
            if cover.is_cut(row.step, row.row.begin) {
                cut.add(probe, row);
                return;
            }
            if last.as_ref().is_none_or(|(of, ..)| of != probe) {
                last = place(probe);
            }
            let Some((_, at, since)) = &last else { return };
            let Some(spans) = all.get_mut(*at) else { return };
            let covered = CoveredRow::whole(row);
            for piece in cover.pieces(row.step, row.row.begin) {
                if let Some(span) = spans.get_mut(piece.span) {
                    within::add(span, &covered, piece, *since, None);
                }
            }
        });
        let rows_cut = cover.rows_cut();
        let samples = self.samples.as_ref().filter(|_| !rows_cut.is_empty());
        let courses = samples.map(|samples| Courses::read(samples, probes, &rows_cut));
        for (probe, row) in cut.rows() {
            let begin = row.seen.row.begin;
            let Some((_, at, since)) = place(probe) else { continue };
            let Some(spans) = all.get_mut(at) else { continue };
            let course = courses
                .as_ref()
                .and_then(|courses| courses.course(probe, begin..row.seen.end, &row.seen.row.increment));
            for piece in cover.pieces(row.seen.step, begin) {
                let Some(span) = spans.get_mut(piece.span) else { continue };
                let is_interpolated = within::add(span, row, piece, since, course.as_ref());
                if is_interpolated && courses.is_some() {
                    without_samples.insert(begin - begin % 3_600_000);
                }
            }
        }
        for file in seen.unreadable {
            let (from, to) = (file.start.micros() / 1_000, file.end.micros() / 1_000);
            for span in cover.spans_within(file.step, from, to) {
                all.iter_mut()
                    .filter_map(|spans| spans.get_mut(span))
                    .for_each(|span| span.is_incomplete = true);
            }
            unreadable.insert(file.cause.clone(), file);
        }
        let mut answers = Vec::with_capacity(probes.len());
        for (probe, mut spans) in probes.iter().zip(all) {
            let recorded = sight.probes.get(probe).map(|seen| (seen.since, seen.until));
            let (since, until) = recorded.unwrap_or((u64::MAX, 0));
            if let Some((first, _)) = edges.first()
                && *first < since
            {
                self.add_rrd(probe, since, now, &mut spans);
            }
            for (span, (from, to)) in spans.iter_mut().zip(edges) {
                let recorded = (*to).min(until).saturating_sub((*from).max(since));
                let known = u64::try_from(span.known.known_ms()).unwrap_or(0);
                span.unknown_ms = recorded.saturating_sub(known);
                let rest = (to - from).saturating_sub(recorded.max(known));
                span.absent_ms = rest.saturating_sub(span.rrd_ms);
            }
            let (since, until) = recorded.map(|(since, until)| (instant(since), instant(until))).unzip();
            answers.push(ProbeEnergy { probe: probe.clone(), since, until, spans });
        }
        answers
    }

    /// Adds what a probe's RRD file has from before `since`.
    fn add_rrd(&self, probe: &ProbeId, since: u64, now: Timestamp, spans: &mut [EnergySpan]) {
        let Some(history) = &self.history else { return };
        let Some(first) = spans.first() else { return };
        // A file that begins with the ledger has nothing from before it: its first rows reach back by an interval.
        let file_since = history.since(probe).unwrap_or(0);
        if since / 1_000 <= file_since.saturating_add(1) {
            return;
        }
        let age = now.since(first.start).as_secs();
        let period = Period::ALL.into_iter().find(|period| period.seconds() >= age).unwrap_or(Period::Year);
        let Ok(Some(series)) = history.fetch(probe, period, now) else { return };
        for span in spans {
            let from = (span.start.micros() / 1_000).max(file_since.saturating_mul(1_000));
            let to = (span.end.micros() / 1_000).min(since);
            (span.rrd_mj, span.rrd_ms) = of_series(&series, from, to, now);
        }
    }
}

/// Millijoules and milliseconds that a series has between two Unix milliseconds.
fn of_series(series: &Series, from: u64, to: u64, now: Timestamp) -> (i64, u64) {
    let (mut joules, mut known_ms) = (0.0, 0.0);
    let step = series.step.max(1).saturating_mul(1_000);
    let first =
        (from.saturating_sub(series.start.saturating_mul(1_000)) / step).min(series.watts.len() as u64);
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    for (index, watts) in series.watts.iter().enumerate().skip(first) {
        let begin = series.row_start(index).saturating_mul(1_000);
        if begin >= to {
            break;
        }
        let overlap = to.min(begin.saturating_add(step)).saturating_sub(from.max(begin));
        if let (Some(watts), true) = (watts, overlap > 0) {
            let known = series.known_seconds(index, now.seconds()) as f64 / series.step as f64;
            joules += watts * overlap as f64 / 1e3 * known;
            known_ms += overlap as f64 * known;
        }
    }
    let energy = kwapi_core::Energy::from_joules(joules).unwrap_or_default();
    let known = Duration::try_from_secs_f64(known_ms / 1e3).unwrap_or_default();
    let signed = i64::try_from(energy.millijoules()).unwrap_or(i64::MAX);
    (signed, u64::try_from(known.as_millis()).unwrap_or(u64::MAX))
}

fn instant(milliseconds: u64) -> Timestamp {
    Timestamp::from_micros(milliseconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
