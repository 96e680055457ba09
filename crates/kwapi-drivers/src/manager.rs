//! The driver manager: keeps every configured meter measured, and each away from the others' troubles.
//!
//! One task a meter. Only here is anything retried, paced, stamped, derived or integrated. What a task does with a
//! reading is in [`source`], [`derive`]; what of that outlives the process, in [`state`]; when it reads, in [`pace`] and
//! [`health`]; how it looks from outside, in [`status`].

mod catch_panic;
mod derive;
mod health;
mod host;
mod lateness;
mod logged;
mod meter;
mod outflow;
mod pace;
mod place;
mod probes;
mod published;
mod sampler;
mod spec;
mod stamps;
mod state;
mod status;
mod ticks;
mod virtual_probes;

pub use derive::{Assumptions, CounterPower, PowerOrigin, power as derived_power};
pub use host::Host;
pub use lateness::Lateness;
pub use logged::{LogRow, LogUnits, Logged, LoggedMeter};
pub use outflow::Sink;
pub use spec::MeterSpec;
#[cfg(feature = "fuzzing")]
pub(crate) use state::exercise_entry;
pub use status::{MeterState, MeterStatus, NoReadingCounts, ProbeStatus};
pub use virtual_probes::{VirtualError, VirtualSpec};

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::WallClock;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use meter::MeterTask;
use outflow::Outflow;
use state::ManagerState;
use status::Visible;
use virtual_probes::VirtualProbes;

use crate::registry::SharedPool;

/// How long [`Manager::stop`] waits for sessions to close.
const STOP_MAX: Duration = Duration::from_millis(900);

/// Keeps meters measured, until it is dropped.
pub struct Manager {
    outflow: Arc<Outflow>,
    pool: SharedPool,
    meters: Mutex<HashMap<String, Running>>,
}

/// A meter that is kept.
struct Running {
    spec: Arc<MeterSpec>,
    visible: Arc<Mutex<Visible>>,
    task: JoinHandle<()>,
}

/// What a reload did, in meters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// New ones.
    pub started: usize,
    /// Changed ones.
    pub restarted: usize,
    /// Those no longer wanted.
    pub stopped: usize,
    /// Those that noticed nothing.
    pub kept: usize,
    /// Those left out, because their name was taken.
    pub refused: usize,
}

impl Manager {
    /// A manager without meters, whose measurements go to `sink`, and which keeps nothing over its end. Made inside a
    /// tokio runtime.
    pub fn new(sink: Sink, clock: WallClock) -> Self {
        Self::with(sink, clock, Host::of_runtime(), ManagerState::default())
    }

    /// A manager on `host` that keeps in `directory` what a meter's register needs to cover the time between two
    /// processes. Only one manager may use a directory; one that cannot use it reports that and keeps nothing.
    pub fn keeping(sink: Sink, clock: WallClock, host: Host, directory: PathBuf) -> Self {
        Self::with(sink, clock, host, ManagerState::start(directory))
    }

    fn with(sink: Sink, clock: WallClock, host: Host, state: ManagerState) -> Self {
        Self {
            outflow: Arc::new(Outflow::new(sink, clock, host, state)),
            pool: SharedPool::default(),
            meters: Mutex::default(),
        }
    }

    /// Keeps exactly these meters from now on: starts new ones, restarts those whose specification changed (once
    /// their old session is closed), stops the rest. Meters that are as they were miss no beat.
    pub fn apply(&self, specs: Vec<MeterSpec>) -> Applied {
        let named = specs.iter().flat_map(|spec| spec.outlets.named());
        let templates = specs.iter().filter_map(|spec| spec.outlets.template());
        let probes = named.map(|outlet| outlet.probe.clone()).collect();
        self.outflow.state.configure(probes, templates.map(str::to_owned).collect());
        let mut meters = self.meters.lock();
        let mut before = std::mem::take(&mut *meters);
        let mut applied = Applied::default();
        for spec in specs {
            if meters.contains_key(&spec.name) {
                tracing::error!(meter = spec.name, "ignored: duplicate meter name");
                applied.refused += 1;
                continue;
            }
            let name = spec.name.clone();
            let running = match before.remove(&name) {
                Some(running) if *running.spec == spec && !running.task.is_finished() => {
                    applied.kept += 1;
                    running
                }
                Some(running) => {
                    applied.restarted += 1;
                    running.task.abort();
                    self.start(spec, Some(running))
                }
                None => {
                    applied.started += 1;
                    self.start(spec, None)
                }
            };
            meters.insert(name, running);
        }
        applied.stopped = before.len();
        for running in before.into_values() {
            running.task.abort();
            let outflow = self.outflow.clone();
            tokio::spawn(async move { running.ended(&outflow).await });
        }
        let Applied { started, restarted, stopped, kept, refused } = applied;
        tracing::info!(started, restarted, stopped, kept, refused, "meters");
        applied
    }

    /// Publishes exactly these sums from now on; those that are as they were keep their accounts.
    ///
    /// # Errors
    /// When they make no sense; then the sums before stay.
    pub fn apply_virtual(&self, specs: Vec<VirtualSpec>) -> Result<(), VirtualError> {
        let sums: HashSet<_> = specs.iter().map(|spec| spec.probe.clone()).collect();
        let mut virtual_probes = self.outflow.virtual_probes.write();
        let new = VirtualProbes::new(specs, &mut virtual_probes)?;
        let gone = std::mem::replace(&mut *virtual_probes, new);
        drop(virtual_probes);
        self.outflow.state.leave(None, gone.into_entries(self.outflow.now().boot));
        self.outflow.state.configure_sums(sums);
        Ok(())
    }

    /// What is wrong with the wall clock or with the state on disk, if anything is.
    pub fn troubles(&self) -> Vec<String> {
        self.outflow.clock_trouble().into_iter().chain(self.outflow.state.trouble()).collect()
    }

    /// How each meter is doing, in order of name.
    pub fn statuses(&self) -> Vec<MeterStatus> {
        let visible: Vec<_> = self.meters.lock().values().map(|running| running.visible.clone()).collect();
        let mut statuses: Vec<_> = visible.iter().map(|visible| visible.lock().snapshot()).collect();
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
        let shared = self.outflow.state.shared_registers();
        if !shared.is_empty() {
            for probe in statuses.iter_mut().flat_map(|status| &mut status.probes) {
                probe.counter_shared_with = shared.get(&probe.probe).cloned();
            }
        }
        statuses
    }

    /// How late polled readings have been in hand, behind the tick each was due at, since the manager began.
    pub fn lateness(&self) -> Lateness {
        self.outflow.lateness.snapshot()
    }

    /// Closes all sessions, within a second. A driver that blocks a thread is left behind.
    pub async fn stop(&self) {
        let mut stopping: Vec<_> = self.meters.lock().drain().map(|(_, running)| running).collect();
        for running in &stopping {
            running.task.abort();
        }
        let all = async {
            for running in &mut stopping {
                _ = (&mut running.task).await;
            }
        };
        if timeout(STOP_MAX, all).await.is_err() {
            tracing::warn!("driver did not stop in time");
        }
        let (state, boot) = (&self.outflow.state, self.outflow.now().boot);
        for running in &stopping {
            let probes = std::mem::take(&mut running.visible.lock().probes);
            let entries = probes.into_all().into_iter().flat_map(|probe| probe.source.into_entries(boot));
            state.leave_last(running.spec.outlets.template(), entries).await;
        }
        let sums = std::mem::take(&mut *self.outflow.virtual_probes.write());
        state.leave_last(None, sums.into_entries(boot).into_iter()).await;
        state.finish().await;
    }

    fn start(&self, spec: MeterSpec, predecessor: Option<Running>) -> Running {
        let spec = Arc::new(spec);
        let outflow = self.outflow.clone();
        let since = outflow.now().wall;
        let visible = Arc::new(Mutex::new(Visible::new(&spec.name, spec.driver.name(), since)));
        let connector = spec.driver.connector(&self.pool);
        let meter = MeterTask::new(spec.clone(), connector, outflow.clone(), visible.clone());
        let task = tokio::spawn(async move {
            if let Some(predecessor) = predecessor {
                predecessor.ended(&outflow).await; // Two sessions with one serial line or BMC disturb each other.
            }
            meter.run().await;
        });
        Running { spec, visible, task }
    }
}

impl Running {
    /// Waits for the end of a meter that was requested to end, and keeps what it has come to.
    async fn ended(mut self, outflow: &Outflow) {
        _ = (&mut self.task).await;
        self.leave(outflow);
    }

    /// Leaves to the state what the meter's probes have come to, for whoever reads them next.
    fn leave(&self, outflow: &Outflow) {
        let probes = std::mem::take(&mut self.visible.lock().probes);
        let boot = outflow.now().boot;
        let entries =
            probes.into_all().into_iter().flat_map(|probe| probe.source.into_entries(boot)).collect();
        outflow.state.leave(self.spec.outlets.template(), entries);
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        for running in self.meters.lock().values() {
            running.task.abort();
        }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("meters", &self.meters.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
