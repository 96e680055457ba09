//! The first reading of a process: does the register's curve continue?

use std::time::Duration;

use super::super::integrator::Integrator;
use super::super::status::Sums;
use super::packed::PackedSums;
use super::running::{Published, Running, SourceCurve};
use super::{
    Clocks, Held, KEEP_EVERY, KEEP_STAMP_EVERY, NotBridged, STEP_MIN, Sample, SessionEntry, Starting,
};
use crate::{Energy, Timestamp};

/// How long a first message is held back while the wall clock may still be set right after a boot.
const HOLD_MAX: Duration = Duration::from_secs(600);
/// A session whose clock is behind the stamps on record gets an id this much later than they, besides the time between
/// two records: the newest stamps of a process that was killed are not on record.
const ID_MARGIN: Duration = Duration::from_secs(5);

impl Starting {
    /// Takes a reading. If it is the first that counts: the session from there on, and why the time before is not bridged.
    pub(super) fn take(
        &mut self,
        sample: &Sample,
        clocks: &Clocks<'_>,
    ) -> Option<(Running, Option<NotBridged>)> {
        let mut advance = self.advance(sample, clocks);
        if self.is_doubtful(advance.err(), clocks) {
            let limits = self.limits;
            let since = clocks.boottime;
            let held =
                self.held.get_or_insert_with(|| Held { integrator: Integrator::within(limits), since });
            if clocks.boottime.saturating_sub(held.since) < HOLD_MAX {
                held.integrator.record_observation(sample.at, &sample.observation());
                return None;
            }
            if self.is_behind(clocks) {
                advance = Err(NotBridged::Clock); // Else the register did jump.
            }
        }
        Some(self.begin(sample, clocks, advance))
    }

    /// The register's advance over the stop, if the curve continues.
    fn advance(&self, sample: &Sample, clocks: &Clocks<'_>) -> Result<(usize, Energy), NotBridged> {
        let counter = sample.counter.as_ref().filter(|_| !sample.register.is_of_session);
        let counter = counter.ok_or(NotBridged::NoState)?;
        let kept = self.past.iter().enumerate().find(|(_, entry)| {
            entry.register.as_deref().is_some_and(|kept| kept.path() == sample.register.path.as_deref())
        });
        let (index, entry) = kept.ok_or(NotBridged::NoState)?;
        Ok((index, entry.advance(sample, counter, clocks, &self.limits, self.not_before)?))
    }

    /// Whether the wall clock may be wrong and may yet be corrected. After a boot without a clock chip it is before
    /// what is on record, or before the program was made; or it resumed where it stood, and the register seems to have
    /// jumped.
    fn is_doubtful(&self, not_bridged: Option<NotBridged>, clocks: &Clocks<'_>) -> bool {
        let has_booted = self.last().is_none_or(|last| *last.boot != *clocks.boot);
        has_booted && (self.is_behind(clocks) || not_bridged == Some(NotBridged::Jumped))
    }

    /// Whether the wall clock is before what is on record, or before the program was made.
    fn is_behind(&self, clocks: &Clocks<'_>) -> bool {
        clocks.wall < self.last().map_or(self.not_before, |last| self.not_before.max(last.wall))
    }

    /// The newest entry of the state.
    fn last(&self) -> Option<&SessionEntry> {
        self.past.iter().max_by_key(|entry| entry.newest)
    }

    fn begin(
        &mut self,
        sample: &Sample,
        clocks: &Clocks<'_>,
        advance: Result<(usize, Energy), NotBridged>,
    ) -> (Running, Option<NotBridged>) {
        let newest = self.past.iter().map(|entry| entry.newest).max().unwrap_or_default();
        let after = self.past.iter().map(latest_unkept).max().unwrap_or_default();
        let is_each_stamp_kept =
            self.limits.interval >= KEEP_EVERY && self.past.iter().all(|entry| entry.curve.is_some());
        let held = self.held.take();
        let past = std::mem::take(&mut self.past);
        let begun = match (advance, &sample.counter) {
            (Ok((index, advance)), Some(_)) => past
                .get(index)
                .and_then(|entry| Some((entry, entry.register.as_deref()?, entry.curve?)))
                .map(|(entry, kept, curve)| {
                    let mut integrator = self.resumed(entry);
                    integrator.anchor = kept.anchor().map(Box::new);
                    integrator.resume(sample.at, &sample.observation(), advance);
                    let begin_uj = integrator.sums.total_uj();
                    let curve = SourceCurve { id: curve, run: entry.run.saturating_add(1), begin_uj };
                    (integrator, curve, kept.serial())
                }),
            _ => None,
        };
        let may_be_behind = past.iter().any(|entry| may_be_behind(entry, sample, clocks));
        let latest = if may_be_behind { after } else { newest };
        let id = if sample.timestamp > latest { sample.timestamp } else { after };
        if let Some((integrator, curve, serial)) = begun {
            let base = integrator.sums;
            let mut running = Running::new(sample, clocks, integrator, id, Some(curve), base);
            running.register = sample.register.knowing(serial);
            (running, None)
        } else {
            let has_register = sample.counter.is_some() && !sample.register.is_of_session;
            let not_bridged = advance.err().filter(|_| has_register && !past.is_empty());
            let (mut integrator, id) = match held {
                // What was read meanwhile is this session's, and it is named for the first of it.
                Some(held) => {
                    let began = sample.timestamp.before(clocks.boottime.saturating_sub(held.since));
                    // The clock was mended over a boot: it may have been ahead, and stamps not on record be later.
                    let next = Timestamp::from_micros(newest.micros().saturating_add(1));
                    let (latest, earliest) = if is_each_stamp_kept { (newest, next) } else { (after, after) };
                    (held.integrator, if began > latest { began } else { earliest })
                }
                None => (Integrator::within(self.limits), id),
            };
            if let (false, Some(last)) = (has_register, past.iter().max_by_key(|entry| entry.newest)) {
                integrator.watts_max = integrator.watts_max.max(last.largest()); // What this outlet is known to draw.
            }
            integrator.record_observation(sample.at, &sample.observation());
            let curve = has_register.then_some(SourceCurve { id, run: 1, begin_uj: 0 });
            (Running::new(sample, clocks, integrator, id, curve, Sums::default()), not_bridged)
        }
    }

    /// The integrator of a curve as it was left.
    fn resumed(&self, entry: &SessionEntry) -> Integrator {
        let mut integrator = Integrator::within(self.limits);
        integrator.watts_max = entry.largest();
        integrator.sums.measured_uj = entry.total_uj; // Only the sum matters from here.
        integrator
    }
}

/// Later than any stamp of the process that left this entry.
fn latest_unkept(entry: &SessionEntry) -> Timestamp {
    let every = if entry.curve.is_some() { KEEP_EVERY } else { KEEP_STAMP_EVERY };
    entry.newest.after(every + ID_MARGIN)
}

/// Whether the wall clock may have been set back between this entry and the reading, so that stamps that were published
/// and not kept may be later than now: it shows less than has passed since, or there was a boot, and it is unknown.
fn may_be_behind(entry: &SessionEntry, sample: &Sample, clocks: &Clocks<'_>) -> bool {
    let elapsed = sample.at.saturating_sub(entry.boottime);
    *entry.boot != *clocks.boot || sample.timestamp.after(STEP_MIN) < entry.wall.after(elapsed)
}

impl Running {
    fn new(
        sample: &Sample,
        clocks: &Clocks<'_>,
        integrator: Integrator,
        id: Timestamp,
        curve: Option<SourceCurve>,
        base: Sums,
    ) -> Self {
        let is_resumed = curve.is_some_and(|curve| curve.run > 1);
        Self {
            integrator,
            id,
            seq: 0,
            stamp: sample.timestamp,
            wall: clocks.wall,
            boottime: clocks.boottime,
            at: sample.at,
            register: sample.register.clone(),
            counter: sample.counter.map(Box::new),
            curve: curve.map(Box::new),
            base: (base != Sums::default()).then(|| Box::new(base)),
            published: Published { sums: PackedSums::of(&base), at: sample.at, stamp: id },
            stop_at: sample.counter.filter(|_| is_resumed).map(|counter| counter.value),
            kept_at: None,
            must_sync: true,
            must_be_alone: true,
            is_without_state: false,
        }
    }
}
