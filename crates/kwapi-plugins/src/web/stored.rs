//! The pages over the store of [`kwapi_history`].

use std::fmt;
use std::sync::Arc;

use kwapi_core::{ProbeId, Quality, Timestamp, Watts};
use kwapi_history::{History, Period, Series};

use super::{EnergySince, Latest, PowerHistory};

/// What whoever keeps the accounts knows of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accounted {
    /// Its present power. History knows only what came in order of its stamps, and a clock may be set back.
    pub power: Watts,
    /// When that was measured.
    pub at: Timestamp,
    /// Its energy total.
    pub energy: EnergySince,
    /// How the newest power came about.
    pub quality: Quality,
}

/// Asks whoever keeps the accounts.
type Account = dyn Fn(&ProbeId) -> Option<Accounted> + Send + Sync;

/// The history on disk, and the accounts beside it. A file that cannot be read is logged and shows as no data.
pub struct Stored {
    history: Arc<History>,
    account: Box<Account>,
}

impl Stored {
    /// Pages over `history`; `account` gives a probe's energy total and the quality of its present value, where
    /// those are kept.
    pub fn new(
        history: Arc<History>,
        account: impl Fn(&ProbeId) -> Option<Accounted> + Send + Sync + 'static,
    ) -> Self {
        Self { history, account: Box::new(account) }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

impl PowerHistory for Stored {
    fn probes(&self) -> Vec<ProbeId> {
        self.history.probes()
    }

    fn fetch(&self, probe: &ProbeId, period: Period, now: u64) -> Option<Series> {
        let fetched = self.history.fetch(probe, period, Timestamp::from_seconds(now));
        fetched.unwrap_or_else(|error| {
            tracing::debug!(%probe, %error, "cannot read the history");
            Some(Series { step: period.step_seconds(), ..Series::default() })
        })
    }

    fn extremes(&self, probe: &ProbeId, period: Period, now: u64) -> Option<(Watts, Watts)> {
        self.history.extremes(probe, period, Timestamp::from_seconds(now)).unwrap_or_else(|error| {
            tracing::debug!(%probe, %error, "cannot read the peaks");
            None
        })
    }

    fn rrd_file(&self, probe: &ProbeId) -> Option<Vec<u8>> {
        self.history.rrd_bytes(probe).unwrap_or_else(|error| {
            tracing::warn!(%probe, %error, "cannot read the RRD file");
            None
        })
    }

    fn latest(&self, probe: &ProbeId) -> Option<Latest> {
        let last = self.history.last(probe).ok().flatten()?;
        Some(match (self.account)(probe) {
            Some(Accounted { power, at, energy, quality }) => {
                Latest { power, at, quality, account: Some(energy) }
            }
            // Nobody knows: what came over the bus was measured unless it says otherwise.
            None => Latest { power: last.power, at: last.at, quality: Quality::Measured, account: None },
        })
    }

    fn newest(&self, probe: &ProbeId) -> Option<Timestamp> {
        self.history.last(probe).ok().flatten().map(|last| last.at)
    }
}
