//! What groups come to with what came late, by two folds that read the journal again (ADR 0041): one takes records as they
//! came, with the late samples that are in the files; the other those too that are to come into them. Each late sample is
//! put where its member's samples are in order, or into its seconds at the last moment at which they are open.

use std::collections::{HashMap, HashSet, VecDeque};

use kwapi_core::{ProbeId, Timestamp};

use super::fold::{GroupFold, WAITED_SECONDS, record_of};
use super::late::{ChosenLate, LateSample};
use crate::journal::Credited;

/// The two folds of a pass over the journal.
#[derive(Debug)]
pub(in super::super) struct PassFolds {
    as_it_was: FoldWithLate,
    corrected: FoldWithLate,
}

/// A fold of the journal that takes some samples before they come.
#[derive(Debug)]
struct FoldWithLate {
    fold: GroupFold,
    /// Of each member in order of time.
    of: HashMap<ProbeId, VecDeque<Credited>>,
    /// All of them, in order of time.
    due: VecDeque<(Timestamp, ProbeId)>,
    /// Those that were taken and come again where the journal has them: older than all around them, as from a clock that was
    /// set back.
    taken: HashSet<(ProbeId, Timestamp)>,
}

impl PassFolds {
    /// Two folds of the groups of `fold`, for some late samples.
    pub(in super::super) fn new(fold: &GroupFold, chosen: &ChosenLate) -> Self {
        let [as_it_was, corrected] = [&chosen.before, &chosen.after]
            .map(|late| FoldWithLate::new(fold.of_the_same_members(chosen.seconds), late));
        Self { as_it_was, corrected }
    }

    /// Takes a record of the journal. Returns the rows that follow from it, as they were and as they are to be.
    pub(in super::super) fn take(&mut self, record: &Credited) -> [Vec<Credited>; 2] {
        [&mut self.as_it_was, &mut self.corrected].map(|fold| fold.take(record))
    }
}

impl FoldWithLate {
    fn new(fold: GroupFold, late: &[LateSample]) -> Self {
        let mut late: Vec<&LateSample> = late.iter().collect();
        late.sort_by_key(|late| late.at);
        let due = late.iter().map(|late| (late.at, late.member.clone())).collect();
        let mut of: HashMap<ProbeId, VecDeque<Credited>> = HashMap::new();
        for late in late {
            let record = record_of(&late.member, late.at, late.power);
            of.entry(late.member.clone()).or_default().push_back(record);
        }
        Self { fold, of, due, taken: HashSet::new() }
    }

    fn take(&mut self, record: &Credited) -> Vec<Credited> {
        let mut rows = Vec::new();
        let is_due = |at: Timestamp| at.seconds().saturating_add(WAITED_SECONDS) <= record.at.seconds();
        while self.due.front().is_some_and(|(at, _)| is_due(*at)) {
            if let Some((at, member)) = self.due.pop_front() {
                self.put(&member, |late| late.at <= at, &mut rows);
            }
        }
        self.put(&record.probe, |late| late.at < record.at, &mut rows);
        if self.taken.is_empty() || !self.taken.remove(&(record.probe.clone(), record.at)) {
            rows.extend(self.fold.take(std::slice::from_ref(record)));
        }
        rows
    }

    /// Takes late samples of a member.
    fn put(&mut self, member: &ProbeId, is_wanted: impl Fn(&Credited) -> bool, rows: &mut Vec<Credited>) {
        let Some(late) = self.of.get_mut(member) else { return };
        while late.front().is_some_and(&is_wanted) {
            let Some(taken) = late.pop_front() else { return };
            rows.extend(self.fold.take(std::slice::from_ref(&taken)));
            self.taken.insert((taken.probe, taken.at));
        }
    }
}
