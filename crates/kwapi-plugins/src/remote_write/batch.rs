//! What of the journal is sent, in which order.
//!
//! Of a series a server takes only what is newer than all before, and of a request it may refuse all for one sample that is not.
//! So what is late goes in requests of its own, and a request is made of **pieces** that are the same however often the journal is
//! read: what was sent before a kill is then refused piece by piece, and what was not is taken.

use std::collections::HashMap;
use std::time::Duration;

use kwapi_core::{Gaps, Pattern, ProbeId, Timestamp, is_silent};
use kwapi_history::journal::{Credited, Position};

use super::message::{STALE, Sample};

/// Records of a piece, and of a request: with the longest labels there may be, 20 MB before compression.
pub(super) const REQUEST_RECORDS_MAX: usize = 4_000;
/// Records after which a batch is sent.
pub(super) const BATCH_RECORDS_MAX: usize = 20_000;
/// A series that ended so long ago starts afresh with its next sample.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(86_400);
/// A series that ended longer before a start gets no marker: Prometheus refuses what is an hour older than its newest sample,
/// and shows no series for longer than five minutes after its last.
const MARKED_WITHIN: Duration = Duration::from_secs(3_000);

/// What is sent whole, together with others or alone.
pub(super) type Piece = Vec<(ProbeId, Sample)>;

/// What is sent before a place in the journal is committed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Samples that are newer than all before them.
    pub(super) pieces: Vec<Piece>,
    /// Samples that are not.
    pub(super) late: Vec<Piece>,
    /// The place after it, once it has anything of the journal.
    pub(super) end: Option<Position>,
    /// Samples left out, since their probe had another in the same millisecond.
    pub(super) same_stamp: u64,
    records: usize,
}

impl Batch {
    /// Adds what was appended to the journal together.
    pub(super) fn add(&mut self, records: &[Credited], end: Position, tracker: &mut Tracker) {
        for part in records.chunks(REQUEST_RECORDS_MAX) {
            let (mut piece, mut late) = (Piece::new(), Piece::new());
            for record in part {
                match tracker.take(record) {
                    Order::Next { end, sample } => {
                        piece.extend(end.map(|end| (record.probe.clone(), end)));
                        piece.push((record.probe.clone(), sample));
                    }
                    Order::Late(sample) => late.push((record.probe.clone(), sample)),
                    Order::SameStamp => self.same_stamp += 1,
                    Order::Unwanted => {}
                }
            }
            self.push(piece);
            if !late.is_empty() {
                self.late.push(late);
            }
        }
        self.records += records.len();
        self.end = Some(end);
    }

    /// Adds a piece; one that is empty is none.
    pub(super) fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.records >= BATCH_RECORDS_MAX
    }

    /// Whether there is neither a sample nor a place to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.late.is_empty() && self.end.is_none()
    }
}

/// Pieces in a row, as many to a request as it may have.
pub(super) fn requests(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut requests = Vec::new();
    let mut rest = pieces;
    while !rest.is_empty() {
        let (mut count, mut records) = (0, 0);
        for piece in rest {
            records += piece.len();
            if count > 0 && records > REQUEST_RECORDS_MAX {
                break;
            }
            count += 1;
        }
        let (request, after) = rest.split_at(count);
        requests.push(request);
        rest = after;
    }
    requests
}

/// The samples of pieces by probe, each probe's by their stamps.
pub(super) fn by_probe(pieces: &[Piece]) -> Vec<(ProbeId, Vec<Sample>)> {
    let mut places: HashMap<&ProbeId, usize> = HashMap::new();
    let mut probes: Vec<(ProbeId, Vec<Sample>)> = Vec::new();
    for (probe, sample) in pieces.iter().flatten() {
        let place = *places.entry(probe).or_insert(probes.len());
        match probes.get_mut(place) {
            Some((_, samples)) => samples.push(*sample),
            None => probes.push((probe.clone(), vec![*sample])),
        }
    }
    for (_, samples) in &mut probes {
        // Those that are late may be in any order, and there twice.
        samples.sort_by_key(|sample| sample.at_ms);
        samples.dedup_by_key(|sample| sample.at_ms);
    }
    probes
}

/// How a record stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Next {
        /// Where the series ended, if it was silent in between.
        end: Option<Sample>,
        sample: Sample,
    },
    Late(Sample),
    SameStamp,
    Unwanted,
}

/// No interval is taken to be longer than this.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// The series that are sent: how far each is, and whether it continues.
#[derive(Debug)]
pub(super) struct Tracker {
    patterns: Vec<Pattern>,
    gaps: Gaps,
    /// As many as the journal has probes of one day.
    probes: HashMap<ProbeId, Tracked>,
}

#[derive(Clone, Copy, Debug)]
struct Tracked {
    at: Timestamp,
    /// The newest stamp of the series, in milliseconds.
    newest_ms: u64,
    /// About how far apart its samples are; zero while there is one.
    interval: Duration,
    has_ended: bool,
}

impl Tracked {
    /// Whether a gap is longer than its probe is taken to be there.
    fn is_over(&self, gap: Duration, max_gap: Duration) -> bool {
        is_silent(gap, self.interval, max_gap)
    }

    fn end(&mut self) -> Sample {
        self.has_ended = true;
        // Right after the last sample, so that whatever comes later is in order.
        self.newest_ms += 1;
        Sample { at_ms: self.newest_ms, power: STALE, energy: Some(STALE) }
    }
}

impl Tracker {
    /// Of the probes that match; of all without patterns. One that is not received for as long as `gaps` states, or
    /// some of its intervals, is silent.
    pub(super) fn new(patterns: Vec<Pattern>, gaps: Gaps) -> Self {
        Self { patterns, gaps, probes: HashMap::new() }
    }

    fn includes(&self, probe: &ProbeId) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(probe))
    }

    /// Continues where a process before this one was: with probes of which nothing has come since, and when they were
    /// measured last. To be called once all that was in the journal at the start has been taken.
    pub(super) fn resume(&mut self, before: Vec<(ProbeId, Timestamp)>, now: Timestamp) {
        for (probe, at) in before {
            if now.since(at) < MARKED_WITHIN && self.includes(&probe) {
                let newest_ms = at.micros() / 1_000;
                let tracked = Tracked { at, newest_ms, interval: Duration::ZERO, has_ended: false };
                self.probes.entry(probe).or_insert(tracked);
            }
        }
    }

    fn take(&mut self, record: &Credited) -> Order {
        if !self.includes(&record.probe) {
            return Order::Unwanted;
        }
        let at_ms = record.at.micros() / 1_000;
        let energy = record.taken.map(|taken| taken.register.energy.joules());
        let sample = Sample { at_ms, power: record.power.0, energy };
        let Some(tracked) = self.probes.get_mut(&record.probe) else {
            let tracked =
                Tracked { at: record.at, newest_ms: at_ms, interval: Duration::ZERO, has_ended: false };
            self.probes.insert(record.probe.clone(), tracked);
            return Order::Next { end: None, sample };
        };
        if at_ms < tracked.newest_ms {
            // The total is of when it arrived: at its stamp it would stand above later ones.
            return Order::Late(Sample { energy: None, ..sample });
        }
        if at_ms == tracked.newest_ms {
            return Order::SameStamp;
        }
        let gap = record.at.since(tracked.at);
        let is_over = !tracked.has_ended
            && !tracked.interval.is_zero()
            && tracked.is_over(gap, self.gaps.of(&record.probe));
        // A marker and the sample need a millisecond each.
        let end = (is_over && at_ms > tracked.newest_ms + 1).then(|| tracked.end());
        tracked.interval = if tracked.interval.is_zero() {
            gap.min(INTERVAL_MAX)
        } else {
            let bounded = gap.min(tracked.interval * 5 + Duration::from_secs(1)).min(INTERVAL_MAX);
            tracked.interval.saturating_sub(tracked.interval / 4) + bounded / 4
        };
        (tracked.at, tracked.newest_ms, tracked.has_ended) = (record.at, at_ms, false);
        Order::Next { end, sample }
    }

    /// Markers for the series of probes that are silent at `now`; forgets those that have been for long.
    pub(super) fn silent(&mut self, now: Timestamp) -> Piece {
        self.probes.retain(|_, tracked| !tracked.has_ended || now.since(tracked.at) < FORGOTTEN_AFTER);
        let gaps = self.gaps.clone();
        self.end(|probe, tracked| tracked.is_over(now.since(tracked.at), gaps.of(probe)))
    }

    /// Markers for all series: what comes next in the journal is not known.
    pub(super) fn lost(&mut self) -> Piece {
        self.end(|_, _| true)
    }

    fn end(&mut self, is_over: impl Fn(&ProbeId, &Tracked) -> bool) -> Piece {
        let over =
            self.probes.iter_mut().filter(|(probe, tracked)| !tracked.has_ended && is_over(probe, tracked));
        over.map(|(probe, tracked)| (probe.clone(), tracked.end())).collect()
    }
}

#[cfg(test)]
mod tests;
