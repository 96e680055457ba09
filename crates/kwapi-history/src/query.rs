//! How much energy it was between two instants, and how sure that is: the one place that answers it.
//!
//! An answer is a sum of the ledger's rows: days, then quarter hours, then minutes towards its ends. Courses a row whose
//! end it does not reach, samples tell where its energy lies, where they are kept; else energy and time are taken in
//! proportion, and the answer says so. What lies before the ledger knows a probe comes from its RRD file, as far as that
//! goes, by itself and marked.

mod course;
mod cover;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Increment, Period, ProbeId, RowStep, Series, Timestamp, Watts};

use crate::History;
use crate::journal::Position;
use crate::ledger::{Ledger, LedgerRow, SeenRow};
use crate::samples::Samples;

use course::{Course, Courses};
use cover::{Cover, Piece};

/// Spans of a question at most, of all probes together.
const CELLS_MAX: usize = 1 << 20;

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Whose energy.
    pub probes: Vec<ProbeId>,
    /// From when…
    pub start: Timestamp,
    /// …until when.
    pub end: Timestamp,
    /// In spans that end at multiples of this since 1970 (UTC); in one where `None`.
    pub step: Option<Duration>,
    /// Now, for what ends today.
    pub now: Timestamp,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It ends before it begins, or there.
    #[error("the end must be after the start")]
    Reversed,
    /// Its step is shorter than a second.
    #[error("the step must be one second or longer")]
    Step,
    /// More spans than are answered at once.
    #[error(
        "{0} values were asked for; at most {CELLS_MAX} are answered at once: ask for fewer probes, a longer step or less time"
    )]
    TooMany(u128),
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// All before this position in the journal is in it, and nothing after.
    pub position: Position,
    /// In order of the ids.
    pub probes: Vec<ProbeEnergy>,
    /// Files that could not be read: their rows are missing.
    pub unreadable: Vec<String>,
    /// The hours, by their begins, in which samples should tell where a row's energy lies and do not: some of the
    /// probes' energy is taken in proportion to time there. Empty where no samples are kept.
    pub without_samples: Vec<Timestamp>,
}

/// The energy of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeEnergy {
    /// Whose.
    pub probe: ProbeId,
    /// Since when the ledger has it; `None` where it never heard of it.
    pub since: Option<Timestamp>,
    /// The newest stamp in the ledger.
    pub until: Option<Timestamp>,
    /// In order of time, without a gap.
    pub spans: Vec<EnergySpan>,
}

/// The energy of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EnergySpan {
    /// Its begin…
    pub start: Timestamp,
    /// …and end.
    pub end: Timestamp,
    /// Measured, estimated and bridged, in millijoules and milliseconds.
    pub known: Increment,
    /// Time of which nothing is known, in milliseconds.
    pub unknown_ms: u64,
    /// Time before the probe was first heard, and after it was last, in milliseconds.
    pub absent_ms: u64,
    /// The highest power measured; of a row that the span has in part, that of the whole row.
    pub peak: Option<Watts>,
    /// Whether it begins or ends within a row, so that energy there was taken in proportion to time.
    pub is_interpolated: bool,
    /// How many corrections are in it.
    pub corrections: u64,
    /// Energy before the ledger had the probe, from its RRD file, in millijoules; not in `known`…
    pub rrd_mj: u64,
    /// …and the time that it covers, in milliseconds.
    pub rrd_ms: u64,
}

impl EnergySpan {
    /// All energy, in millijoules.
    pub fn energy_mj(&self) -> i64 {
        self.known.energy_mj().saturating_add(i64::try_from(self.rrd_mj).unwrap_or(i64::MAX))
    }
}

/// Asks the ledger, and for what was before it the RRD files.
#[derive(Clone, Debug)]
pub struct Query {
    ledger: Arc<Ledger>,
    history: Option<Arc<History>>,
    samples: Option<Arc<Samples>>,
}

impl Query {
    /// Over a ledger and, where there is one, a history.
    pub fn new(ledger: Arc<Ledger>, history: Option<Arc<History>>) -> Self {
        Self { ledger, history, samples: None }
    }

    /// With samples, which tell where in a row its energy lies.
    #[must_use]
    pub fn with_samples(mut self, samples: Option<Arc<Samples>>) -> Self {
        self.samples = samples;
        self
    }

    /// The samples, where they are kept.
    pub fn samples(&self) -> Option<&Arc<Samples>> {
        self.samples.as_ref()
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Answers a question. Reads files, and may take a while.
    ///
    /// # Errors
    /// See [`AskError`].
    pub fn energy(&self, ask: &Ask) -> Result<Answer, AskError> {
        let edges = edges(ask)?;
        let mut probes = ask.probes.clone();
        probes.sort_unstable();
        probes.dedup();
        let kept_from = self.ledger.kept_from();
        let mut cover = Cover::default();
        for (span, (from, to)) in edges.iter().enumerate() {
            cover.span(span, *from, *to, kept_from);
        }
        let seen = self.ledger.rows(&probes, &cover.ranges());
        let mut sums: HashMap<ProbeId, Vec<EnergySpan>> = HashMap::new();
        let empty: Vec<EnergySpan> = edges
            .iter()
            .map(|(from, to)| EnergySpan {
                start: instant(*from),
                end: instant(*to),
                ..EnergySpan::default()
            })
            .collect();
        let mut answer = Answer { position: seen.position, unreadable: seen.unreadable, ..Answer::default() };
        let courses = self.samples.as_ref().map(|samples| {
            let mut courses = Courses::read(samples, &probes, &cover.rows_cut());
            answer.unreadable.append(&mut courses.unreadable);
            courses
        });
        let mut without_samples = BTreeSet::new();
        for row in with_corrections(seen.rows, &cover) {
            let spans = sums.entry(row.seen.row.probe.clone()).or_insert_with(|| empty.clone());
            let begin = row.seen.row.row.begin;
            let course = courses.as_ref().filter(|_| row.is_cut).and_then(|courses| {
                let increment = &row.seen.row.row.increment;
                courses.course(&row.seen.row.probe, begin..row.seen.end, increment)
            });
            for piece in cover.pieces(row.seen.step, begin) {
                if let Some(span) = spans.get_mut(piece.span) {
                    let is_in_proportion = add(span, &row, piece, course.as_ref());
                    if is_in_proportion && courses.is_some() {
                        without_samples.insert(begin - begin % 3_600_000);
                    }
                }
            }
        }
        answer.without_samples = without_samples.into_iter().map(instant).collect();
        for probe in probes {
            let mut spans = sums.remove(&probe).unwrap_or_else(|| empty.clone());
            let heard = seen.spans.get(&probe).copied();
            let (since, until) = heard.unwrap_or((u64::MAX, 0));
            if let Some((first, _)) = edges.first()
                && *first < since
            {
                self.add_rrd(&probe, since, ask.now, &mut spans);
            }
            for (span, (from, to)) in spans.iter_mut().zip(&edges) {
                let heard = (*to).min(until).saturating_sub((*from).max(since));
                let known = u64::try_from(span.known.known_ms()).unwrap_or(0);
                span.unknown_ms = heard.saturating_sub(known);
                let rest = (to - from).saturating_sub(heard.max(known));
                span.absent_ms = rest.saturating_sub(span.rrd_ms);
            }
            let (since, until) = heard.map(|(since, until)| (instant(since), instant(until))).unzip();
            answer.probes.push(ProbeEnergy { probe, since, until, spans });
        }
        Ok(answer)
    }

    /// Adds what a probe's RRD file has from before `since`.
    fn add_rrd(&self, probe: &ProbeId, since: u64, now: Timestamp, spans: &mut [EnergySpan]) {
        let Some(history) = &self.history else { return };
        let Some(first) = spans.first() else { return };
        let age = now.since(first.start).as_secs();
        let period = Period::ALL.into_iter().find(|period| period.seconds() >= age).unwrap_or(Period::Year);
        let Ok(Some(series)) = history.fetch(probe, period, now) else { return };
        for span in spans {
            let (from, to) = (span.start.micros() / 1_000, (span.end.micros() / 1_000).min(since));
            (span.rrd_mj, span.rrd_ms) = of_series(&series, from, to, now);
        }
    }
}

/// Millijoules and milliseconds that a series knows between two Unix milliseconds.
fn of_series(series: &Series, from: u64, to: u64, now: Timestamp) -> (u64, u64) {
    let (mut joules, mut known_ms) = (0.0, 0.0);
    for (index, watts) in series.watts.iter().enumerate() {
        let begin = series.row_start(index).saturating_mul(1_000);
        let overlap = to.min(begin.saturating_add(series.step * 1_000)).saturating_sub(from.max(begin));
        if let (Some(watts), true) = (watts, overlap > 0) {
            let known = series.known_seconds(index, now.seconds()) as f64 / series.step as f64;
            joules += watts * overlap as f64 / 1e3 * known;
            known_ms += overlap as f64 * known;
        }
    }
    let energy = kwapi_core::Energy::from_joules(joules).unwrap_or_default();
    let known = Duration::try_from_secs_f64(known_ms / 1e3).unwrap_or_default();
    (energy.millijoules(), u64::try_from(known.as_millis()).unwrap_or(u64::MAX))
}

/// The spans of a question, in Unix milliseconds.
fn edges(ask: &Ask) -> Result<Vec<(u64, u64)>, AskError> {
    let (start, end) = (ask.start.micros() / 1_000, ask.end.micros() / 1_000);
    if end <= start {
        return Err(AskError::Reversed);
    }
    let step = match ask.step {
        None => u64::MAX,
        Some(step) if step < Duration::from_secs(1) => return Err(AskError::Step),
        Some(step) => u64::try_from(step.as_millis()).unwrap_or(u64::MAX),
    };
    let count = u128::from((end - start) / step) + 1;
    let cells = count * ask.probes.len().max(1) as u128;
    if cells > CELLS_MAX as u128 {
        return Err(AskError::TooMany(cells));
    }
    let mut edges = Vec::new();
    let mut from = start;
    while from < end {
        let to = end.min((from - from % step).saturating_add(step));
        edges.push((from, to));
        from = to;
    }
    Ok(edges)
}

/// A row, with its corrections where it is cut: only together they are what its samples tell.
struct WithCorrections {
    seen: SeenRow,
    corrections: u64,
    /// Whether a span begins or ends within it.
    is_cut: bool,
}

fn with_corrections(rows: Vec<SeenRow>, cover: &Cover) -> impl Iterator<Item = WithCorrections> {
    let mut cut: BTreeMap<(RowStep, u64, ProbeId), WithCorrections> = BTreeMap::new();
    let mut whole = Vec::new();
    for seen in rows {
        let begin = seen.row.row.begin;
        let corrections = u64::from(seen.row.correction > 0);
        if !cover.is_cut(seen.step, begin) {
            whole.push(WithCorrections { seen, corrections, is_cut: false });
        } else if let Some(row) = cut.get_mut(&(seen.step, begin, seen.row.probe.clone())) {
            row.seen.row.row.merge(&seen.row.row);
            // An open row's end is the newest stamp; it has no corrections, and they have none.
            row.seen.end = row.seen.end.min(seen.end);
            row.corrections += corrections;
        } else {
            let key = (seen.step, begin, seen.row.probe.clone());
            cut.insert(key, WithCorrections { seen, corrections, is_cut: true });
        }
    }
    whole.into_iter().chain(cut.into_values())
}

/// Adds a row, or as much of it as belongs to the span; says whether that was taken in proportion to time.
fn add(span: &mut EnergySpan, row: &WithCorrections, piece: &Piece, course: Option<&Course>) -> bool {
    let SeenRow { end, row: LedgerRow { row: kwapi_core::Row { begin, increment, peak }, .. }, .. } =
        &row.seen;
    let (begin, end) = (*begin, *end);
    span.corrections += row.corrections;
    if peak.is_some_and(|peak| span.peak.is_none_or(|before| before < peak)) {
        span.peak = *peak;
    }
    let (from, to) = piece.clip.map_or((begin, end), |(from, to)| (from.max(begin), to.min(end)));
    if from <= begin && to >= end {
        span.known.add(increment, 1);
        return false;
    }
    if to <= from {
        return false;
    }
    if let Some(course) = course {
        span.known.add(&course.between(from, to), 1);
        return false;
    }
    span.is_interpolated = true;
    let length = i128::from(end.saturating_sub(begin).max(1));
    // What is before an instant, so that two spans that meet there add up to what both have.
    let before = |part: i64, at: u64| i128::from(part) * i128::from(at.saturating_sub(begin)) / length;
    let share = |part: i64| i64::try_from(before(part, to) - before(part, from)).unwrap_or(0);
    span.known.add(&Increment { mj: increment.mj.map(share), ms: increment.ms.map(share) }, 1);
    true
}

fn instant(milliseconds: u64) -> Timestamp {
    Timestamp::from_micros(milliseconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
