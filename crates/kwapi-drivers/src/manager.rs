//! The driver manager: keeps every configured meter measured, and each away from the others' troubles.
//!
//! One task a meter. Only here is anything retried, paced, stamped, derived or integrated. What a task does with a
//! reading is in [`source`], [`derive`]; when it reads, in [`pace`] and [`health`]; how it looks from outside, in
//! [`status`].

mod catch_panic;
mod derive;
mod health;
mod lateness;
mod meter;
mod outflow;
mod pace;
mod source;
mod spec;
mod status;
mod virtual_probes;

pub use derive::{Assumptions, CounterPower, power as derived_power};
pub use lateness::Lateness;
pub use outflow::Sink;
pub use spec::MeterSpec;
pub use status::{MeterState, MeterStatus, NoReadingCounts, ProbeStatus};
pub use virtual_probes::{VirtualError, VirtualSpec};

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::WallClock;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use meter::Meter;
use outflow::Outflow;
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
    /// A manager without meters, whose measurements go to `sink`. Made inside a tokio runtime.
    pub fn new(sink: Sink, clock: WallClock) -> Self {
        Self {
            outflow: Arc::new(Outflow::new(sink, clock)),
            pool: SharedPool::default(),
            meters: Mutex::default(),
        }
    }

    /// Keeps exactly these meters from now on: starts new ones, restarts those whose specification changed (once
    /// their old session is closed), stops the rest. Meters that are as they were miss no beat.
    pub fn apply(&self, specs: Vec<MeterSpec>) -> Applied {
        let mut meters = self.meters.lock();
        let mut before = std::mem::take(&mut *meters);
        let mut applied = Applied::default();
        for spec in specs {
            if meters.contains_key(&spec.name) {
                tracing::error!(meter = spec.name, "left out: another meter has this name");
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
                    self.start(spec, Some(running.task))
                }
                None => {
                    applied.started += 1;
                    self.start(spec, None)
                }
            };
            meters.insert(name, running);
        }
        applied.stopped = before.len();
        for running in before.values() {
            running.task.abort();
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
        let mut virtual_probes = self.outflow.virtual_probes.write();
        *virtual_probes = VirtualProbes::new(specs, &mut virtual_probes)?;
        Ok(())
    }

    /// How each meter is doing, in order of name.
    pub fn statuses(&self) -> Vec<MeterStatus> {
        let visible: Vec<_> = self.meters.lock().values().map(|running| running.visible.clone()).collect();
        let mut statuses: Vec<_> = visible.iter().map(|visible| visible.lock().snapshot()).collect();
        statuses.sort_by(|one, other| one.name.cmp(&other.name));
        statuses
    }

    /// How late polled readings have been in hand, behind the tick each was due at, since the manager began.
    pub fn lateness(&self) -> Lateness {
        self.outflow.lateness.snapshot()
    }

    /// Closes all sessions, within a second. A driver that blocks a thread is left behind.
    pub async fn stop(&self) {
        let stopping: Vec<_> = self.meters.lock().drain().map(|(_, running)| running.task).collect();
        for task in &stopping {
            task.abort();
        }
        let all = async {
            for task in stopping {
                _ = task.await;
            }
        };
        if timeout(STOP_MAX, all).await.is_err() {
            tracing::warn!("a driver does not let go of its meter");
        }
    }

    fn start(&self, spec: MeterSpec, predecessor: Option<JoinHandle<()>>) -> Running {
        let spec = Arc::new(spec);
        let since = self.outflow.now().wall;
        let visible = Arc::new(Mutex::new(Visible::new(&spec.name, spec.driver.name(), since)));
        let connector = spec.driver.connector(&self.pool);
        let meter = Meter::new(spec.clone(), connector, self.outflow.clone(), visible.clone());
        let task = tokio::spawn(async move {
            if let Some(predecessor) = predecessor {
                _ = predecessor.await; // Two sessions with one serial line or BMC disturb each other.
            }
            meter.run().await;
        });
        Running { spec, visible, task }
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
