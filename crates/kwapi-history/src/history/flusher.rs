//! A thread that reads the journal for a history and keeps its files up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kwapi_core::WallClock;

use super::History;

/// How often [`History::tick`] is called.
const TICK: Duration = Duration::from_secs(1);
/// How long a stop may wait for the thread to notice.
const NOTICE: Duration = Duration::from_millis(200);
/// How long a stop may write files; a service is stopped in three seconds, and the journal has the rest.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Reads the journal as it grows and calls [`History::tick`] once a second, from a thread of its own, until it is stopped
/// or dropped; then writes what can be written in two seconds.
#[derive(Debug)]
pub struct Flusher {
    history: Arc<History>,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts the thread. `clock` is the process's monotonic clock, `wall` labels what the journal keeps.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        history: Arc<History>,
        clock: impl Fn() -> Duration + Send + 'static,
        wall: WallClock,
    ) -> std::io::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (theirs, stopping) = (Arc::clone(&history), Arc::clone(&is_stopping));
        let name = if history.fold.is_some() { "groups" } else { "history" };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut ticked = Instant::now();
            while !stopping.load(Ordering::Relaxed) {
                let left = TICK.saturating_sub(ticked.elapsed());
                theirs.follow(left.min(NOTICE));
                if ticked.elapsed() >= TICK {
                    ticked = Instant::now();
                    theirs.tick(clock(), wall.now());
                }
            }
        })?;
        Ok(Self { history, is_stopping, thread: Some(thread) })
    }

    /// Stops the thread and writes what waits. Returns whether the files have all of it; if not, the journal has the
    /// rest.
    pub fn stop(mut self) -> bool {
        self.end(Instant::now() + STOP_LIMIT)
    }

    /// As [`Flusher::stop`], but begins no more files after `deadline`: of a hundred thousand probes only some are written
    /// by then, whoever stops.
    pub fn stop_by(mut self, deadline: Instant) -> bool {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Instant) -> bool {
        let Some(thread) = self.thread.take() else { return true };
        self.is_stopping.store(true, Ordering::Relaxed);
        _ = thread.join();
        self.history.flush_within(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.end(Instant::now() + STOP_LIMIT);
    }
}
