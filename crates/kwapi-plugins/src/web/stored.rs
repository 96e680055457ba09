//! The pages over the store of [`kwapi_history`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Period, ProbeId, Quality, Series, Timestamp, WallClock, Watts, chain, is_silent};
use kwapi_history::rrd::RrdFileError;
use kwapi_history::{History, Windows, WindowsAnswer};

use super::{EnergySince, PowerHistory, ProbeNow, Unreadable};

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
    /// Whether the probe is silent.
    pub is_silent: bool,
}

/// Asks whoever keeps the accounts.
type AccountOf = dyn Fn(&ProbeId) -> Option<Accounted> + Send + Sync;

/// The history on disk, and the accounts beside it.
pub struct Stored {
    history: Arc<History>,
    clock: WallClock,
    max_gap: Duration,
    account: Box<AccountOf>,
    windows: Option<Windows>,
}

impl Stored {
    /// Pages over `history`; `account` gives a probe's energy total and the quality of its present value, where
    /// those are kept. A probe that nobody has heard since the start is silent `max_gap` after its newest sample.
    pub fn new(
        history: Arc<History>,
        clock: WallClock,
        max_gap: Duration,
        account: impl Fn(&ProbeId) -> Option<Accounted> + Send + Sync + 'static,
    ) -> Self {
        Self { history, clock, max_gap, account: Box::new(account), windows: None }
    }

    /// With a ledger: totals and the energy of each period are asked of it, and not of RRD files and `account`.
    #[must_use]
    pub fn with_windows(self, windows: Option<Windows>) -> Self {
        Self { windows, ..self }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

fn unreadable(probe: &ProbeId, error: &RrdFileError) -> Unreadable {
    Unreadable { probe: probe.clone(), cause: chain(error) }
}

impl PowerHistory for Stored {
    fn probes(&self) -> Vec<ProbeId> {
        self.history.probes()
    }

    fn fetch(&self, probe: &ProbeId, period: Period, now: u64) -> Result<Option<Series>, Unreadable> {
        let fetched = self.history.fetch(probe, period, Timestamp::from_seconds(now));
        fetched.map_err(|error| unreadable(probe, &error))
    }

    fn extremes(&self, probe: &ProbeId, period: Period, now: u64) -> Option<(Watts, Watts)> {
        // History has warned of it and counted it; averages have their own least and most.
        self.history.extremes(probe, period, Timestamp::from_seconds(now)).unwrap_or_default()
    }

    fn used(
        &self,
        probes: &[ProbeId],
        windows: &[(Timestamp, Timestamp)],
        now: Timestamp,
    ) -> Option<WindowsAnswer> {
        self.windows.as_ref().map(|answers| answers.ask(probes, windows, now))
    }

    fn rrd_file(&self, probe: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable> {
        self.history.rrd_bytes(probe).map_err(|error| unreadable(probe, &error))
    }

    fn latest(&self, probe: &ProbeId) -> Option<ProbeNow> {
        let last = self.history.last(probe).ok().flatten()?;
        if let Some(Accounted { power, at, energy, quality, is_silent }) = (self.account)(probe) {
            return Some(ProbeNow { power, at, quality, is_silent, account: Some(energy) });
        }
        // Nothing was heard of it since the start. What came over the bus was measured unless it says otherwise.
        let (power, at, quality) = (last.power, last.at, Quality::Measured);
        let is_silent = is_silent(self.clock.now().since(at), Duration::ZERO, self.max_gap);
        Some(ProbeNow { power, at, quality, is_silent, account: None })
    }

    fn newest(&self, probe: &ProbeId) -> Option<Timestamp> {
        self.history.last(probe).ok().flatten().map(|last| last.at)
    }
}
