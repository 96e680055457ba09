//! Batches that wait to be appended, and what there is to report of them.

use std::collections::VecDeque;
use std::time::Duration;

use kwapi_bus::Batch;
use kwapi_history::journal::Position;
use parking_lot::Mutex;

use super::HELD_MAX;
use crate::live::Live;

/// Called once a batch is where it will not be lost. Dropped uncalled, it means: deliver again.
pub type Receipt = Box<dyn FnOnce() + Send>;

/// A batch that waits, and its receipt.
pub(super) type Held = (Batch, Receipt);

/// Batches that wait, in order.
pub(super) struct Inbox {
    live: Live,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: VecDeque<Held>,
    samples: usize,
    /// Why the journal takes nothing, since the first failure.
    failure: Option<String>,
    /// Since when an append has been under way, on the monotonic clock.
    appending_since: Option<Duration>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Inbox").field("samples", &state.samples).finish_non_exhaustive()
    }
}

impl Inbox {
    pub(super) fn new(live: Live) -> Self {
        Self { live, state: Mutex::default() }
    }

    /// Keeps a batch for later and shows its watts meanwhile. Full: the oldest are dropped and counted.
    pub(super) fn hold(&self, batch: Batch, receipt: Receipt) {
        self.live.show_ahead(&batch);
        let mut state = self.state.lock();
        state.samples += batch.measurements.len();
        state.held.push_back((batch, receipt));
        let mut dropped = 0;
        while state.samples > HELD_MAX
            && let Some((oldest, _)) = state.held.pop_front()
        {
            state.samples -= oldest.measurements.len();
            dropped += oldest.measurements.len();
        }
        drop(state);
        self.live.tally().dropped(dropped as u64);
    }

    /// The oldest batches, of up to `samples` together, at least one where there is one.
    pub(super) fn oldest(&self, samples: usize) -> Vec<Held> {
        let mut state = self.state.lock();
        let mut taken = Vec::new();
        let mut count = 0;
        while let Some((batch, _)) = state.held.front() {
            count += batch.measurements.len();
            if count > samples && !taken.is_empty() {
                break;
            }
            state.samples -= batch.measurements.len();
            taken.extend(state.held.pop_front());
        }
        taken
    }

    /// Puts batches back in their places at the front.
    pub(super) fn put_back(&self, batches: Vec<Held>) {
        let mut state = self.state.lock();
        for held in batches.into_iter().rev() {
            state.samples += held.0.measurements.len();
            state.held.push_front(held);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().held.is_empty()
    }

    /// Notes that an append begins.
    pub(super) fn appending(&self) {
        self.state.lock().appending_since = Some(self.live.now());
    }

    /// Notes how an append ended; returns whether that is news.
    pub(super) fn appended(&self, result: &std::io::Result<Position>) -> bool {
        let mut state = self.state.lock();
        state.appending_since = None;
        let had_failed = state.failure.is_some();
        match result {
            Ok(_) => state.failure = None,
            Err(error) => {
                state.failure = Some(error.to_string());
            }
        }
        had_failed != result.is_err()
    }

    /// How long the append under way has taken, if one is.
    pub(super) fn appending_for(&self) -> Option<Duration> {
        let since = self.state.lock().appending_since?;
        Some(self.live.now().saturating_sub(since))
    }

    /// What keeps measurements from being recorded, if anything does.
    pub(super) fn trouble(&self) -> Option<String> {
        /// A disk that is busy for a moment is no trouble.
        const PATIENCE: Duration = Duration::from_secs(5);
        let state = self.state.lock();
        let waiting = state.samples;
        if let Some(failure) = &state.failure {
            return Some(format!("cannot write the journal, {waiting} measurements queued: {failure}"));
        }
        let since = state.appending_since?;
        drop(state);
        let seconds = self.live.now().saturating_sub(since);
        (seconds > PATIENCE).then(|| {
            format!("disk not responding for {} s, {waiting} measurements queued", seconds.as_secs())
        })
    }
}
