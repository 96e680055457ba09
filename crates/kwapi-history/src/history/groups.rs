//! The history of groups: RRD files of their power and of the share of it that is known, in a directory and a name space of
//! their own, made by a reader of the journal (ADR 0033).
//!
//! A group is a prefix of its members' paths. It has a row a second; what a member's sample adds to a second that has
//! been written already comes into the rows later, as for probes (ADR 0041).

mod fold;
mod late;
mod member;
mod pass;
mod tree;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Gaps, Period, ProbeId, Series, Timestamp, Watts};

use super::{Flusher, History, HistoryConfig, HistoryCounters, Latest};
use crate::journal::{Credited, Journal, OpenError, Position, Replayed};
use crate::rrd::RrdFileError;
use crate::store::FileSample;

pub(super) use fold::{GroupFold, Reached, record_of};
pub(super) use late::LateReach;
pub(super) use pass::PassFolds;

/// The folder of the groups' files in the directory of history.
const FOLDER: &str = "groups";
/// Rows follow each other by a second: what is further apart has unknown time between it.
const ROW: Duration = Duration::from_secs(1);

/// Which groups there are, and how their files are kept.
#[derive(Clone, Debug, Default)]
pub struct GroupsConfig {
    /// How far files may trail.
    pub flush_interval: Duration,
    /// Samples of a member that are further apart have unknown time between them.
    pub gaps: Gaps,
    /// Sums of others: they are members of no group.
    pub sums: HashSet<ProbeId>,
    /// Probes received within a day, which are members before they are received again.
    pub recent: Vec<ProbeId>,
}

/// What the history of groups counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupsCounters {
    /// Groups that have files.
    pub groups: u64,
    /// Measurements that came too late to count in their groups.
    pub late: u64,
    /// Times a group was not made, since there are too many or its path is too long.
    pub refused: u64,
    /// Of the files.
    pub files: HistoryCounters,
}

/// The open history of groups over a journal. All its methods may be called from several threads.
#[derive(Clone, Debug)]
pub struct Groups {
    history: Arc<History>,
}

impl Groups {
    /// Opens the files of groups. What the journal has is read once a thread runs ([`Groups::start`]).
    ///
    /// # Errors
    /// When their directory belongs to another process or cannot be read.
    pub fn open(config: GroupsConfig, journal: &Journal, now: Timestamp) -> Result<Self, OpenError> {
        let mut fold = GroupFold::new(config.gaps, config.sums);
        fold.note_recent(&config.recent, now);
        let files = HistoryConfig {
            rrd_directory: Some(journal.home().join(FOLDER)),
            flush_interval: config.flush_interval,
            gaps: Gaps::new(ROW),
            probes: Vec::new(),
        };
        Ok(Self { history: Arc::new(History::open_as(files, journal, Some(fold))?) })
    }

    /// Starts the thread that keeps the files up.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        &self,
        clock: impl Fn() -> Duration + Send + 'static,
        wall: kwapi_core::WallClock,
    ) -> std::io::Result<Flusher> {
        Flusher::start(self.history.clone(), clock, wall)
    }

    /// Takes all that is in the journal now.
    pub fn catch_up(&self) {
        self.history.catch_up();
    }

    /// Replaces the sums of others, which a reload of the configuration may have changed.
    pub fn set_sums(&self, sums: HashSet<ProbeId>) {
        if let Some(fold) = &self.history.fold {
            fold.lock().set_sums(sums);
        }
    }

    /// The paths of all groups that have a history.
    pub fn names(&self) -> Vec<ProbeId> {
        let probes = self.history.probes.read();
        probes.keys().filter_map(|id| ProbeId::new(tree::group_of(id)?).ok()).collect()
    }

    /// The newest second of a group that is written.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last(&self, group: &str) -> Result<Option<Latest>, RrdFileError> {
        tree::power_id(group).map_or(Ok(None), |id| self.history.last(&id))
    }

    /// A group's average power, as [`History::fetch`] has it of a probe.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn fetch(&self, group: &str, period: Period, now: Timestamp) -> Result<Option<Series>, RrdFileError> {
        tree::power_id(group).map_or(Ok(None), |id| self.history.fetch(&id, period, now))
    }

    /// The least and the most of the seconds of a period.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn extremes(
        &self,
        group: &str,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<(Watts, Watts)>, RrdFileError> {
        tree::power_id(group).map_or(Ok(None), |id| self.history.extremes(&id, period, now))
    }

    /// The share of a group's members at the ends of paths that its power has in it, from 0 to 1, over the time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn known_share(
        &self,
        group: &str,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<Series>, RrdFileError> {
        tree::known_share_id(group).map_or(Ok(None), |id| self.history.fetch(&id, period, now))
    }

    /// A group's RRD file of power, with everything determined by now in it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rrd_bytes(&self, group: &str) -> Result<Option<Vec<u8>>, RrdFileError> {
        tree::power_id(group).map_or(Ok(None), |id| self.history.rrd_bytes(&id))
    }

    /// Running totals.
    pub fn counters(&self) -> GroupsCounters {
        let files = self.history.counters();
        let (late, refused) = self.history.fold.as_ref().map_or((0, 0), |fold| {
            let fold = fold.lock();
            (fold.late, fold.refused())
        });
        GroupsCounters { groups: files.probes / 2, late, refused, files }
    }

    /// What keeps files of groups from being written, or the journal from being read.
    pub fn trouble(&self) -> Option<String> {
        self.history.trouble()
    }
}

impl History {
    /// What is known beyond what waits for the files.
    pub(super) fn open_samples(&self, id: &ProbeId) -> Vec<FileSample> {
        self.fold.as_ref().map(|fold| fold.lock().open(id)).unwrap_or_default()
    }

    /// Hands over what the files are made of, from the journal: its records, or what groups come to by them.
    pub(super) fn replay(
        &self,
        from: Position,
        mut each: impl FnMut(&Credited),
    ) -> std::io::Result<Replayed> {
        let Some(fold) = &self.fold else { return self.journal.replay(from, each) };
        let mut again = fold.lock().emptied();
        self.journal.replay(from, |record| {
            again.take(std::slice::from_ref(record)).iter().for_each(&mut each);
        })
    }
}

#[cfg(test)]
mod tests;
