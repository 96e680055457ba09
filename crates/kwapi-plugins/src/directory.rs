//! The directory: what a probe is and how it is doing, in one place, for every caller: the API, the pages, `/metrics`,
//! scopes.
//!
//! Each answer has its source: labels and accuracy come from the local configuration, which a reload replaces, and
//! where it has nothing from the probe's publisher; sums, and the labels that decide who sees what, from the
//! configuration alone; power and energy from what is live, and from history where nothing was received of it since the
//! start; what ails it from the drivers of this process, if it has any. A process that lacks a source has nothing from
//! there.

mod configured;
mod history;
mod meters;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Period, ProbeId, Quality, Series, Timestamp, Totals, Watts, is_silent};
use kwapi_history::{EnergySpan, Groups, Query, Samples, Windows, WindowsAnswer};
use parking_lot::RwLock;

use crate::descriptions::{Described, Descriptions};
use crate::live::Live;

pub use configured::ConfiguredProbes;
pub use history::{PowerHistory, Unreadable};
pub use meters::{MeterHealth, MeterNow, ProbeOrigin};

/// The operator's labels of a probe, by name.
pub type Labels = BTreeMap<String, String>;

type AccuracyOf = dyn Fn(&ProbeId) -> Option<f64> + Send + Sync;
type ProblemOf = dyn Fn(&ProbeId) -> Option<String> + Send + Sync;
type OriginOf = dyn Fn(&ProbeId) -> Option<ProbeOrigin> + Send + Sync;
type AllMeters = dyn Fn() -> Arc<[MeterNow]> + Send + Sync;

/// Who determines how accurate a meter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccuracySource {
    /// The operator, in this process's configuration.
    Configuration,
    /// The device, to this process.
    Device,
    /// The publisher.
    Publisher,
}

impl AccuracySource {
    /// In one word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Device => "device",
            Self::Publisher => "publisher",
        }
    }
}

/// What is known of a probe right now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ProbeNow {
    /// The newest power.
    pub(crate) power: Watts,
    /// When it was measured.
    pub(crate) at: Timestamp,
    /// How it came about.
    pub(crate) quality: Quality,
    /// Whether the probe is silent: `power` is not that of now.
    pub(crate) is_silent: bool,
    /// Energy so far; `None` where nothing was received of it since the start, or nothing has been recorded yet.
    pub(crate) account: Option<EnergySince>,
}

/// An energy total with the instant since which it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EnergySince {
    /// Where it counts from.
    pub(crate) since: Timestamp,
    /// What it reaches to where that is before the present power, since the disk takes nothing or a backlog is read; else
    /// `None`.
    pub(crate) until: Option<Timestamp>,
    /// Energy and the make-up of its time.
    pub(crate) totals: Totals,
}

/// What is known of probes. Clones are handles of the same directory.
#[derive(Clone, Default)]
pub struct Directory {
    configured: Arc<RwLock<Arc<ConfiguredProbes>>>,
    live: Live,
    history: Option<Arc<dyn PowerHistory>>,
    groups: Option<Groups>,
    windows: Option<Windows>,
    problems: Option<Arc<ProblemOf>>,
    meters: Option<Arc<AllMeters>>,
    origins: Option<Arc<OriginOf>>,
    device_accuracy: Option<Arc<AccuracyOf>>,
    descriptions: Option<Descriptions>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("live", &self.live).finish_non_exhaustive()
    }
}

impl Directory {
    /// A directory of what is configured, where nothing is received or kept and no meter is read.
    pub fn new(configured: ConfiguredProbes) -> Self {
        Self { configured: Arc::new(RwLock::new(Arc::new(configured))), ..Self::default() }
    }

    /// The same, with what is live here.
    #[must_use]
    pub fn with_live(self, live: Live) -> Self {
        Self { live, ..self }
    }

    /// The same, with the history that is kept here.
    #[must_use]
    pub fn with_history(self, history: Arc<dyn PowerHistory>) -> Self {
        Self { history: Some(history), ..self }
    }

    /// The same, with the history of groups, where it is kept.
    #[must_use]
    pub fn with_groups(self, groups: Option<Groups>) -> Self {
        Self { groups, ..self }
    }

    /// The same, with a ledger: totals and the energy of periods are looked up in it, and not in rows of history.
    #[must_use]
    pub fn with_windows(self, windows: Option<Windows>) -> Self {
        Self { windows, ..self }
    }

    /// The same, with the meters of this process: `problem` returns why a probe is not read, if it is not.
    #[must_use]
    pub fn with_problems(self, problem: impl Fn(&ProbeId) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { problems: Some(Arc::new(problem)), ..self }
    }

    /// The same, with what pages show of the meters of this process.
    #[must_use]
    pub fn with_meters(self, meters: impl Fn() -> Arc<[MeterNow]> + Send + Sync + 'static) -> Self {
        Self { meters: Some(Arc::new(meters)), ..self }
    }

    /// The same, where `origin` returns where the values of a probe of this process's meters come from.
    #[must_use]
    pub fn with_origins(
        self,
        origin: impl Fn(&ProbeId) -> Option<ProbeOrigin> + Send + Sync + 'static,
    ) -> Self {
        Self { origins: Some(Arc::new(origin)), ..self }
    }

    /// The same, where `accuracy` returns what the devices of this process report of their own accuracy, in percent of
    /// the reading.
    #[must_use]
    pub fn with_device_accuracy(
        self,
        accuracy: impl Fn(&ProbeId) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        Self { device_accuracy: Some(Arc::new(accuracy)), ..self }
    }

    /// The same, with publishers' descriptions of their probes.
    #[must_use]
    pub fn with_descriptions(self, descriptions: Option<Descriptions>) -> Self {
        Self { descriptions, ..self }
    }

    /// Applies a new configuration: every query from now on is answered from it.
    pub fn replace(&self, configured: ConfiguredProbes) {
        *self.configured.write() = Arc::new(configured);
    }

    /// What is configured now: another one after each reload.
    pub(crate) fn configured(&self) -> Arc<ConfiguredProbes> {
        Arc::clone(&self.configured.read())
    }

    /// The labels of a probe, to be shown and searched by: as configured here and, of names that are not, as its publisher
    /// describes it. Who may see a probe and who is billed for it is decided by [`Directory::configured_labels`].
    pub(crate) fn labels(&self, probe: &ProbeId) -> Labels {
        let configured = Arc::clone(&self.configured.read());
        let mut labels = (configured.labels)(probe);
        if let Some(described) = self.described(probe) {
            let published = described.description.labels.iter();
            let published = published.filter(|(name, _)| !configured.has_label(probe, &labels, name));
            let published: Vec<_> = published.map(|(name, value)| (name.clone(), value.clone())).collect();
            labels.extend(published);
        }
        labels
    }

    /// The names of those labels of a probe that its publisher has given it, and not the configuration of this process.
    pub(crate) fn labels_of_publisher(&self, probe: &ProbeId) -> Vec<String> {
        let Some(described) = self.described(probe) else { return Vec::new() };
        let configured = Arc::clone(&self.configured.read());
        let own = (configured.labels)(probe);
        let names = described.description.labels.keys();
        names.filter(|name| !configured.has_label(probe, &own, name)).cloned().collect()
    }

    /// The labels that the configuration of this process gives a probe.
    pub(crate) fn configured_labels(&self, probe: &ProbeId) -> Labels {
        let configured = Arc::clone(&self.configured.read());
        (configured.labels)(probe)
    }

    /// A probe's description by its publisher.
    pub(crate) fn described(&self, probe: &ProbeId) -> Option<Arc<Described>> {
        self.descriptions.as_ref().and_then(|descriptions| descriptions.of(probe))
    }

    /// The accuracy of a probe's meter, in percent of its reading, and its source: as configured, as the device
    /// reports, or as its publisher does.
    pub(crate) fn accuracy(&self, probe: &ProbeId) -> Option<(f64, AccuracySource)> {
        let configured = Arc::clone(&self.configured.read());
        let of_device = || self.device_accuracy.as_ref().and_then(|accuracy| accuracy(probe));
        let of_publisher = || self.described(probe)?.description.accuracy_percent;
        let by = |source| move |percent| (percent, source);
        (configured.accuracy)(probe)
            .map(by(AccuracySource::Configuration))
            .or_else(|| of_device().map(by(AccuracySource::Device)))
            .or_else(|| of_publisher().map(by(AccuracySource::Publisher)))
    }

    /// Whether a probe has all of these labels.
    pub(crate) fn has_labels(&self, probe: &ProbeId, wanted: &Labels) -> bool {
        let labels = self.labels(probe);
        wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    /// Whether the configuration of this process gives a probe all of these labels.
    pub(crate) fn has_configured_labels(&self, probe: &ProbeId, wanted: &Labels) -> bool {
        let labels = self.configured_labels(probe);
        wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    /// Whether a probe is the sum of others, which totals count in its place.
    pub(crate) fn is_sum(&self, probe: &ProbeId) -> bool {
        self.configured.read().sums.contains(probe)
    }

    /// All probes that are sums of others. The same set until the configuration changes.
    pub(crate) fn sums(&self) -> Arc<HashSet<ProbeId>> {
        Arc::clone(&self.configured.read().sums)
    }

    /// Why a probe is not read, if it is not and its meter is one of this process.
    pub(crate) fn last_error(&self, probe: &ProbeId) -> Option<String> {
        self.problems.as_ref().and_then(|problem| problem(probe))
    }

    /// The meters of this process; `None` where it reads none.
    pub(crate) fn meters(&self) -> Option<Arc<[MeterNow]>> {
        self.meters.as_ref().map(|meters| meters())
    }

    /// Where the values of a probe come from; `None` where no meter of this process has it.
    pub(crate) fn origin(&self, probe: &ProbeId) -> Option<ProbeOrigin> {
        self.origins.as_ref().and_then(|origin| origin(probe))
    }

    /// What is live, to be listed.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// What a probe measures now: its newest message, or before the first since the start its newest sample.
    pub(crate) fn now(&self, probe: &ProbeId) -> Option<ProbeNow> {
        if let Some((_, view)) = self.live.probe(probe.as_str()) {
            let present = view.present;
            let until = (view.timestamp != present.timestamp).then_some(view.timestamp);
            let account = EnergySince { since: view.since, until, totals: view.totals };
            // Of a probe that was never credited anything nothing is known, not that it used nothing.
            let account = (view.since > Timestamp::EPOCH).then_some(account);
            let (power, at, quality) = (present.power, present.timestamp, present.quality);
            return Some(ProbeNow { power, at, quality, is_silent: view.is_silent, account });
        }
        let last = self.history.as_ref()?.last(probe)?;
        let age = self.live.wall().now().since(last.at);
        let is_silent = is_silent(age, Duration::ZERO, self.live.config().gaps.of(probe));
        // What came over the bus was measured unless it states otherwise.
        Some(ProbeNow {
            power: last.power,
            at: last.at,
            quality: Quality::Measured,
            is_silent,
            account: None,
        })
    }

    /// The history of probes, where it is kept.
    pub(crate) fn history(&self) -> Option<&dyn PowerHistory> {
        self.history.as_deref()
    }

    /// The history of groups, where it is kept.
    pub(crate) fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    /// What questions about energy are answered from, where a ledger is kept.
    pub(crate) fn query(&self) -> Option<&Query> {
        self.windows.as_ref().map(Windows::query)
    }

    /// The samples that are kept; `None` where none are.
    pub(crate) fn samples(&self) -> Option<&Samples> {
        self.query().and_then(Query::samples)
    }

    /// Every probe in the ledger or history, in order of their ids.
    pub(crate) fn known(&self) -> Vec<ProbeId> {
        self.query().map_or_else(
            || {
                let mut kept = self.kept();
                kept.sort_unstable();
                kept
            },
            Query::probes,
        )
    }

    /// Every probe that has a history, in any order.
    pub(crate) fn kept(&self) -> Vec<ProbeId> {
        self.history.as_ref().map(|history| history.probes()).unwrap_or_default()
    }

    /// When the newest sample of a probe's history was measured.
    pub(crate) fn newest_kept(&self, probe: &ProbeId) -> Option<Timestamp> {
        Some(self.history.as_ref()?.last(probe)?.at)
    }

    /// See [`PowerHistory::fetch`].
    pub(crate) fn fetch(
        &self,
        probe: &ProbeId,
        period: Period,
        now: u64,
    ) -> Result<Option<Series>, Unreadable> {
        self.history.as_ref().map_or(Ok(None), |history| history.fetch(probe, period, now))
    }

    /// What the accounts of `probes` have come to, and what they used in each of `windows` (begin and end), at one position
    /// in the journal; `None` where no ledger is kept: then rows show what was used.
    pub(crate) fn used(
        &self,
        probes: &[ProbeId],
        windows: &[(Timestamp, Timestamp)],
        now: Timestamp,
    ) -> Option<WindowsAnswer> {
        self.windows.as_ref().map(|answers| answers.energy(probes, windows, now))
    }

    /// How sure the energy of a probe is in a window (begin and end), by stretches of `step`, see [`Windows::statuses`]; `None`
    /// where no ledger is kept too.
    pub(crate) fn statuses(
        &self,
        probe: &ProbeId,
        window: (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Option<Vec<EnergySpan>> {
        self.windows.as_ref()?.statuses(probe, window, step, now)
    }

    /// The same of `probes` together, see [`Windows::sum_statuses`].
    pub(crate) fn sum_statuses(
        &self,
        probes: &[ProbeId],
        window: (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Option<Vec<EnergySpan>> {
        self.windows.as_ref()?.sum_statuses(probes, window, step, now)
    }

    /// See [`PowerHistory::rrd_file`].
    pub(crate) fn rrd_file(&self, probe: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable> {
        self.history.as_ref().map_or(Ok(None), |history| history.rrd_file(probe))
    }
}

#[cfg(test)]
mod tests;
