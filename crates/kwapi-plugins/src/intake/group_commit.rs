//! Receipts that wait until the journal is on the disk: what a transport stores may be released there only when a power
//! failure here cannot take it. One sync serves all that came meanwhile.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Receipt;

/// How long a receipt waits for others…
const GATHER_MAX: Duration = Duration::from_millis(200);
/// …and for how many measurements: about 4 MiB of the journal.
const MEASUREMENTS_MAX: usize = 20_000;
/// A sync that failed is tried again after so long.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Forces to the disk what is in the journal.
pub(super) type Sync = Box<dyn FnMut() -> io::Result<()> + Send>;

/// A thread that syncs. How much waits is bounded by what a transport delivers unacknowledged.
#[derive(Debug)]
pub(super) struct GroupCommit {
    waiting: Arc<Waiting>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    receipts: Vec<Receipt>,
    measurements: usize,
    is_ended: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("receipts", &self.receipts.len()).finish_non_exhaustive()
    }
}

/// Where receipts are handed in.
#[derive(Clone, Debug)]
pub(super) struct GroupCommitQueue(Arc<Waiting>);

impl GroupCommit {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(mut sync: Sync) -> io::Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let theirs = Arc::clone(&waiting);
        let thread = std::thread::Builder::new().name("group-commit".to_owned()).spawn(move || {
            while let Some(receipts) = theirs.gather() {
                match sync() {
                    Ok(()) => receipts.into_iter().for_each(|receipt| receipt()),
                    // The journal reports it.
                    Err(_) => theirs.put_back(receipts),
                }
            }
        })?;
        Ok(Self { waiting, thread })
    }

    pub(super) fn queue(&self) -> GroupCommitQueue {
        GroupCommitQueue(Arc::clone(&self.waiting))
    }

    /// Has what waits synced, and ends.
    pub(super) fn finish(self) {
        self.waiting.state.lock().is_ended = true;
        self.waiting.changed.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the group commit thread panicked");
        }
    }
}

impl GroupCommitQueue {
    /// Calls `receipt` once all that is in the journal by now is on the disk.
    pub(super) fn push(&self, receipt: Receipt, measurements: usize) {
        let mut state = self.0.state.lock();
        state.receipts.push(receipt);
        state.measurements += measurements;
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Waiting {
    /// Waits for a receipt and a moment for others; `None` once there will be no more.
    fn gather(&self) -> Option<Vec<Receipt>> {
        let mut state = self.state.lock();
        while state.receipts.is_empty() {
            if state.is_ended {
                return None;
            }
            self.changed.wait(&mut state);
        }
        let until = Instant::now() + GATHER_MAX;
        while state.measurements < MEASUREMENTS_MAX && !state.is_ended {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.measurements = 0;
        Some(std::mem::take(&mut state.receipts))
    }

    /// Keeps receipts for the next sync; at the end they are dropped, and what they are for is delivered again.
    fn put_back(&self, receipts: Vec<Receipt>) {
        let mut state = self.state.lock();
        if state.is_ended {
            return;
        }
        let later = std::mem::replace(&mut state.receipts, receipts);
        state.receipts.extend(later);
        let until = Instant::now() + RETRY_INTERVAL;
        while !state.is_ended && !self.changed.wait_until(&mut state, until).timed_out() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A disk that responds as configured, and what came of the receipts.
    struct World {
        answers: mpsc::Sender<io::Result<()>>,
        syncs: mpsc::Receiver<()>,
        confirmed: mpsc::Receiver<u32>,
        sender: mpsc::Sender<u32>,
        commit: GroupCommit,
    }

    impl World {
        fn new() -> Self {
            let (answers, answer) = mpsc::channel();
            let (begin, syncs) = mpsc::channel();
            let (sender, confirmed) = mpsc::channel();
            let commit = GroupCommit::start(Box::new(move || {
                begin.send(()).unwrap();
                answer.recv().unwrap()
            }));
            Self { answers, syncs, confirmed, sender, commit: commit.unwrap() }
        }

        fn push(&self, number: u32) {
            let sender = self.sender.clone();
            self.commit.queue().push(Box::new(move || sender.send(number).unwrap()), 1);
        }
    }

    #[test]
    fn a_receipt_is_called_when_a_sync_that_began_after_it_has_returned() {
        let world = World::new();
        world.push(1);
        world.syncs.recv().unwrap();
        world.push(2);
        assert!(world.confirmed.try_recv().is_err(), "the disk has not answered");
        world.answers.send(Ok(())).unwrap();
        assert_eq!(world.confirmed.recv(), Ok(1));
        world.syncs.recv().unwrap();
        assert!(world.confirmed.try_recv().is_err(), "what came during a sync waits for the next");
        world.answers.send(Ok(())).unwrap();
        assert_eq!(world.confirmed.recv(), Ok(2));
        world.commit.finish();
    }

    #[test]
    fn a_sync_that_fails_confirms_nothing_and_is_tried_again() {
        let world = World::new();
        world.push(1);
        world.syncs.recv().unwrap();
        world.answers.send(Err(io::Error::other("no space"))).unwrap();
        world.push(2);
        world.syncs.recv().unwrap();
        assert!(world.confirmed.try_recv().is_err());
        world.answers.send(Ok(())).unwrap();
        assert_eq!([world.confirmed.recv(), world.confirmed.recv()], [Ok(1), Ok(2)]);
        world.commit.finish();
    }

    #[test]
    fn at_the_end_what_waits_is_synced_and_what_cannot_be_is_not_confirmed() {
        let world = World::new();
        world.push(1);
        world.answers.send(Ok(())).unwrap();
        let World { commit, confirmed, .. } = world;
        commit.finish();
        assert_eq!(confirmed.try_recv(), Ok(1));
        let world = World::new();
        world.push(1);
        world.answers.send(Err(io::Error::other("gone"))).unwrap();
        let World { commit, confirmed, .. } = world;
        commit.finish();
        assert!(confirmed.try_recv().is_err());
    }
}
