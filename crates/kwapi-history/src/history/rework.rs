//! Rows that late samples touch, made again from the journal: a piece of it a tick, so that however far back it is and
//! however much it has, one late sample costs little at a time.
//!
//! A file takes nothing older than its last update. So the time around late samples is written twice into an empty
//! file, as it came and in order, and what differs is put into the probe's own.

mod around;
mod end;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp, Watts, chain};
use parking_lot::Mutex;

use around::{Around, ROW_SECONDS, rows_begin};

use super::History;
use super::groups::{GroupFold, LateReach, PassFolds};
use super::late::LateLimits;
use super::probe::ProbeFiles;
use crate::journal::{Credited, Position};

/// Rows of groups are made again whether they have ended or not: a late sample more may make the least of a sum greater.
const ENDED_OR_NOT: Timestamp = Timestamp::from_micros(u64::MAX);

/// Probes whose rows are made again together, by reading the journal once.
#[derive(Debug)]
pub(super) struct Pass {
    reworks: HashMap<ProbeId, Rework>,
    /// Up to where the journal has been read, and where its end was then.
    cursor: Position,
    end: Position,
    samples: usize,
    /// Late samples of probes that have too many samples to be made again.
    given_up: usize,
    limits: LateLimits,
    /// What makes the rows of groups, where the files are theirs.
    folds: Option<Box<PassFolds>>,
}

/// A probe whose rows are made again.
#[derive(Debug)]
struct Rework {
    probe: Arc<ProbeFiles>,
    late: Vec<Timestamp>,
    around: Around,
    /// From when on rows are made again, of up to so many seconds.
    from: u64,
    row_seconds: u64,
    samples: Vec<(Timestamp, Watts)>,
    /// Of a group, whose rows are `samples`: as they were.
    as_it_was: Vec<(Timestamp, Watts)>,
}

impl History {
    /// Continues remaking the rows that late samples have touched, if it is time.
    pub(super) fn look_after_late(&self, now: Duration) {
        let end = self.reading.lock().reader.position();
        let mut going = self.pass.lock();
        let mut pass = if let Some(pass) = going.take() {
            pass
        } else if let Some(fold) = &self.fold {
            let Some(pass) = self.begin_pass_of_groups(fold, now, end) else { return };
            pass
        } else {
            let due = self.late.lock().due(now, self.config.flush_interval);
            if due.is_empty() {
                return;
            }
            self.begin_pass(due, end)
        };
        if self.read_on(&mut pass, end) {
            self.late.lock().ended = now;
        } else {
            *going = Some(pass);
        }
    }

    /// Notes that so many late samples are not in all their rows.
    pub(super) fn leave_out(&self, count: usize) {
        if count == 0 {
            return;
        }
        self.counts.late_left_out.fetch_add(count as u64, Ordering::Relaxed);
        if !std::mem::replace(&mut self.late.lock().is_reported, true) {
            tracing::warn!(
                count,
                "late measurements are missing from rows of RRD files: there are too many of them, or the journal since then is too long to be read again"
            );
        }
    }

    fn begin_pass(&self, due: Vec<(ProbeId, Vec<Timestamp>)>, end: Position) -> Pass {
        let (reach, limits) = {
            let late = self.late.lock();
            (late.reach(&self.journal, end), late.limits)
        };
        let mut reworks = HashMap::new();
        for (id, late) in due {
            let Some(probe) = self.probes.read().get(&id).cloned() else { continue };
            if probe.has_behind() {
                self.note_late(&id, &late);
            } else if let Some(rework) = self.begin_rework(probe, late, reach) {
                reworks.insert(id, rework);
            }
        }
        self.pass_of(reworks, None, end, limits)
    }

    fn pass_of(
        &self,
        reworks: HashMap<ProbeId, Rework>,
        folds: Option<Box<PassFolds>>,
        end: Position,
        limits: LateLimits,
    ) -> Pass {
        let begins = reworks.values().map(|rework| rework.from.saturating_sub(rework.around.before));
        let cursor = begins.min().map_or(end, |from| self.late.lock().place_of(from));
        Pass { reworks, cursor, end, samples: 0, given_up: 0, limits, folds }
    }

    /// A pass for late samples of members of groups, if there are some and it is time.
    fn begin_pass_of_groups(&self, fold: &Mutex<GroupFold>, now: Duration, end: Position) -> Option<Pass> {
        let (reach, limits) = {
            let late = self.late.lock();
            if !late.is_time(now, self.config.flush_interval) {
                return None;
            }
            (late.reach(&self.journal, end), late.limits)
        };
        let (around, chosen, left_out) = {
            let mut fold = fold.lock();
            let around = Around::of_groups(&fold);
            let until = Timestamp::from_seconds(fold.open_from());
            let chosen = fold.choose_late(limits.samples_max as u64, |late| {
                // A sample after it holds since then, if it is not further than a gap.
                if late.after(around.gap).seconds() + 1 >= until.seconds() {
                    return LateReach::NotYet;
                }
                let begin = around.rework_begin(&[late], ENDED_OR_NOT, reach);
                begin.map_or(LateReach::Never, |(from, _)| {
                    LateReach::Seconds(until.seconds().saturating_sub(from))
                })
            });
            let chosen = chosen.map(|chosen| (Box::new(PassFolds::new(&fold, &chosen)), chosen.files));
            (around, chosen, fold.take_left_out())
        };
        self.leave_out(left_out);
        let (folds, files) = chosen?;
        let mut reworks = HashMap::new();
        for (id, late) in files {
            let Some(probe) = self.probes.read().get(&id).cloned() else { continue };
            let Some((from, row_seconds)) = around.rework_begin(&late, ENDED_OR_NOT, reach) else { continue };
            let [longest, ..] = ROW_SECONDS;
            if row_seconds < longest {
                self.leave_out(late.len());
            }
            let (samples, as_it_was) = Default::default();
            reworks.insert(id, Rework { probe, late, around, from, row_seconds, samples, as_it_was });
        }
        Some(self.pass_of(reworks, Some(folds), end, limits))
    }

    /// Returns from when on the rows of a probe are made again, where the journal is read from the second `reach` at the
    /// earliest. `None` where nothing can be made again.
    fn begin_rework(&self, probe: Arc<ProbeFiles>, late: Vec<Timestamp>, reach: u64) -> Option<Rework> {
        let gap = self.config.gaps.of(&probe.id);
        let around = Around { gap, before: gap.as_secs().saturating_mul(2).saturating_add(1) };
        let count = late.len();
        let mut late = late;
        late.retain(|at| around.is_reached(around.touched(*at), reach));
        self.leave_out(count - late.len());
        let (until, _) = probe.newest()?;
        // Another of the newest stamp changes nothing.
        late.retain(|at| *at < until);
        let (from, row_seconds) = around.rework_begin(&late, until, reach)?;
        let [longest, ..] = ROW_SECONDS;
        if late.iter().min().is_some_and(|first| rows_begin(around.touched(*first), longest, until) < from) {
            self.leave_out(late.len());
        }
        let (samples, as_it_was) = Default::default();
        Some(Rework { probe, late, around, from, row_seconds, samples, as_it_was })
    }

    /// Reads on up to `end`, where the history has come to, or as far as it may; there, makes rows of some probes again.
    /// Returns whether all are done.
    fn read_on(&self, pass: &mut Pass, end: Position) -> bool {
        let grown = self.journal.bytes_between(std::mem::replace(&mut pass.end, end), end);
        let bytes_max = pass.limits.tick_bytes_max.saturating_add(grown);
        let (mut put_off, cursor) = (Vec::new(), pass.cursor);
        let replayed = self.journal.replay_part(cursor..end, bytes_max, |record| {
            pass.take(record, &mut put_off);
        });
        self.leave_out(std::mem::take(&mut pass.given_up));
        for Rework { probe, late, .. } in put_off {
            self.note_late(&probe.id, &late);
        }
        let has_more = match replayed {
            Ok(replayed) => {
                self.counts.late_bytes_read.fetch_add(replayed.bytes, Ordering::Relaxed);
                pass.cursor = replayed.end;
                replayed.bytes >= bytes_max && pass.cursor < end
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the journal; rows that late measurements touch are left as they are");
                self.leave_out(pass.reworks.values().map(|rework| rework.late.len()).sum());
                return true;
            }
        };
        if has_more && !pass.reworks.is_empty() {
            return false;
        }
        let ids: Vec<ProbeId> = pass.reworks.keys().take(pass.limits.files_max).cloned().collect();
        for id in ids {
            let Some(rework) = pass.reworks.remove(&id) else { continue };
            pass.samples -= rework.samples.len() + rework.as_it_was.len();
            match self.end_rework(rework, end) {
                Ok(None) => {}
                Ok(Some(rework)) => {
                    pass.samples += rework.samples.len() + rework.as_it_was.len();
                    pass.reworks.insert(id, rework);
                }
                Err(error) => {
                    self.counts.flush_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(probe = %id, error = %chain(&error), "cannot write late measurements into an RRD file");
                }
            }
        }
        pass.reworks.is_empty()
    }
}

impl Pass {
    /// Takes a record of the journal, if it concerns rows that are made again. Where there are too many, it puts off some
    /// of the probes.
    fn take(&mut self, record: &Credited, put_off: &mut Vec<Rework>) {
        if let Some(folds) = &mut self.folds {
            let [as_it_was, corrected] = folds.take(record);
            for row in &as_it_was {
                self.take_row(row, |rework| &mut rework.as_it_was);
            }
            for row in &corrected {
                self.take_row(row, |rework| &mut rework.samples);
            }
            return;
        }
        let Some(rework) = self.reworks.get_mut(&record.probe) else { return };
        if record.at.seconds() < rework.from.saturating_sub(rework.around.before) {
            return;
        }
        rework.samples.push((record.at, record.power));
        self.samples += 1;
        if self.samples <= self.limits.samples_max {
            return;
        }
        let is_alone = self.reworks.len() == 1;
        let ids: Vec<ProbeId> = self.reworks.keys().take(self.reworks.len().div_ceil(2)).cloned().collect();
        for mut rework in ids.iter().filter_map(|id| self.reworks.remove(id)) {
            self.samples -= std::mem::take(&mut rework.samples).len();
            if is_alone {
                self.given_up += rework.late.len();
            } else {
                put_off.push(rework);
            }
        }
    }

    /// Takes a row of a group, if it is made again. There are twice as many as were chosen, and those of the time that the
    /// pass takes; where that is as long again, it is given up.
    fn take_row(&mut self, row: &Credited, rows: impl Fn(&mut Rework) -> &mut Vec<(Timestamp, Watts)>) {
        let Some(rework) = self.reworks.get_mut(&row.probe) else { return };
        // The one before states what held.
        if row.at.seconds() + 1 < rework.from {
            return;
        }
        rows(rework).push((row.at, row.power));
        self.samples += 1;
        if self.samples / 4 > self.limits.samples_max {
            self.given_up += self.reworks.drain().map(|(_, rework)| rework.late.len()).sum::<usize>();
            self.samples = 0;
        }
    }
}
