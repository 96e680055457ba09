//! A thread that reads the journal for what is made of it, and keeps its files up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kwapi_core::{Timestamp, WallClock};

/// How often [`JournalConsumer::tick`] is called.
const TICK: Duration = Duration::from_secs(1);
/// How long a stop may wait for the thread to notice.
const NOTICE: Duration = Duration::from_millis(200);

/// What a reader of the journal does from a thread of its own.
pub trait JournalConsumer: Send + Sync + 'static {
    /// What the thread is called.
    const THREAD: &'static str;

    /// Takes what comes into the journal, for so long.
    fn follow(&self, limit: Duration, wall: &dyn Fn() -> Timestamp);

    /// Does what is due at `now`, on the process's monotonic clock.
    fn tick(&self, now: Duration, wall: Timestamp);

    /// Takes what is in the journal and writes all of it; returns whether that went well.
    fn finish(&self, wall: Timestamp) -> bool;
}

/// Reads the journal as it grows and calls [`JournalConsumer::tick`] once a second, from a thread of its own, until it is stopped or
/// dropped; then writes what is there.
#[derive(Debug)]
pub struct ReaderThread<T: JournalConsumer> {
    of: Arc<T>,
    wall: WallClock,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<T: JournalConsumer> ReaderThread<T> {
    /// Starts the thread. `clock` is the process's monotonic clock.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        of: Arc<T>,
        clock: impl Fn() -> Duration + Send + 'static,
        wall: WallClock,
    ) -> std::io::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (theirs, stopping, now) = (Arc::clone(&of), Arc::clone(&is_stopping), wall.clone());
        let thread = std::thread::Builder::new().name(T::THREAD.to_owned()).spawn(move || {
            let mut ticked = Instant::now();
            while !stopping.load(Ordering::Relaxed) {
                let left = TICK.saturating_sub(ticked.elapsed());
                theirs.follow(left.min(NOTICE), &|| now.now());
                if ticked.elapsed() >= TICK {
                    ticked = Instant::now();
                    theirs.tick(clock(), now.now());
                }
            }
        })?;
        Ok(Self { of, wall, is_stopping, thread: Some(thread) })
    }

    /// Stops the thread and, unless it is past `deadline` then, writes. Returns whether the files have all of it; if
    /// not, the journal has the rest.
    pub fn stop_by(mut self, deadline: Instant) -> bool {
        self.end(Some(deadline))
    }

    fn end(&mut self, deadline: Option<Instant>) -> bool {
        let Some(thread) = self.thread.take() else { return true };
        self.is_stopping.store(true, Ordering::Relaxed);
        _ = thread.join();
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return false;
        }
        self.of.finish(self.wall.now())
    }
}

impl<T: JournalConsumer> Drop for ReaderThread<T> {
    fn drop(&mut self) {
        self.end(None);
    }
}
