//! What the directory looks up in history: which probes have one, and what they measured.

use kwapi_core::{Period, ProbeId, Series, Timestamp, Watts, chain};
use kwapi_history::rrd::RrdFileError;
use kwapi_history::{Groups, History, Latest};

/// Where the past of probes is. Calls may read the disk.
pub trait PowerHistory: Send + Sync + 'static {
    /// Every probe there is, in any order.
    fn probes(&self) -> Vec<ProbeId>;

    /// The newest sample; `None` before the first.
    fn last(&self, probe: &ProbeId) -> Option<Latest>;

    /// The archive that serves `period`, as it stands at `now` (Unix seconds); `None` when the probe is not known.
    ///
    /// # Errors
    /// When there is history and it cannot be read.
    fn fetch(&self, probe: &ProbeId, period: Period, now: u64) -> Result<Option<Series>, Unreadable>;

    /// The least and the most power of any second of `period`, where more than the averages of [`PowerHistory::fetch`]
    /// is known.
    fn extremes(&self, probe: &ProbeId, period: Period, now: u64) -> Option<(Watts, Watts)>;

    /// The probe's RRD file with everything in it; `None` when the probe is not known.
    ///
    /// # Errors
    /// When there is history and it cannot be read.
    fn rrd_file(&self, probe: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable>;
}

/// Where the past of groups is: each is named by its path.
impl PowerHistory for Groups {
    fn probes(&self) -> Vec<ProbeId> {
        self.names()
    }

    fn last(&self, group: &ProbeId) -> Option<Latest> {
        Self::last(self, group.as_str()).ok().flatten()
    }

    fn fetch(&self, group: &ProbeId, period: Period, now: u64) -> Result<Option<Series>, Unreadable> {
        let fetched = Self::fetch(self, group.as_str(), period, Timestamp::from_seconds(now));
        fetched.map_err(|error| unreadable(group, &error))
    }

    fn extremes(&self, group: &ProbeId, period: Period, now: u64) -> Option<(Watts, Watts)> {
        Self::extremes(self, group.as_str(), period, Timestamp::from_seconds(now)).unwrap_or_default()
    }

    fn rrd_file(&self, group: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable> {
        self.rrd_bytes(group.as_str()).map_err(|error| unreadable(group, &error))
    }
}

/// A probe's history is there and cannot be read: not the same as none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read the history of {probe}: {cause}")]
pub struct Unreadable {
    /// Whose.
    pub probe: ProbeId,
    /// Why, with its causes, on one line.
    pub cause: String,
}

fn unreadable(probe: &ProbeId, error: &RrdFileError) -> Unreadable {
    Unreadable { probe: probe.clone(), cause: chain(error) }
}

impl PowerHistory for History {
    fn probes(&self) -> Vec<ProbeId> {
        Self::probes(self)
    }

    fn last(&self, probe: &ProbeId) -> Option<Latest> {
        // Whoever draws it gets the error that it cannot be read.
        Self::last(self, probe).ok().flatten()
    }

    fn fetch(&self, probe: &ProbeId, period: Period, now: u64) -> Result<Option<Series>, Unreadable> {
        let fetched = Self::fetch(self, probe, period, Timestamp::from_seconds(now));
        fetched.map_err(|error| unreadable(probe, &error))
    }

    fn extremes(&self, probe: &ProbeId, period: Period, now: u64) -> Option<(Watts, Watts)> {
        // History has warned of it and counted it; averages have their own least and most.
        Self::extremes(self, probe, period, Timestamp::from_seconds(now)).unwrap_or_default()
    }

    fn rrd_file(&self, probe: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable> {
        self.rrd_bytes(probe).map_err(|error| unreadable(probe, &error))
    }
}
