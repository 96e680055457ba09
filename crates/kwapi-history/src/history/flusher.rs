//! A thread that keeps a history's files up.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::History;

/// How often [`History::tick`] is called.
const TICK: Duration = Duration::from_secs(1);

/// How long a stop may write files; a service is stopped in three seconds, and the journal has the rest.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Calls [`History::tick`] once a second from a thread of its own, until it is stopped or dropped; then writes
/// what can be written in two seconds.
#[derive(Debug)]
pub struct Flusher {
    history: Arc<History>,
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts the thread. `clock` is the monotonic clock that stamps [`super::Arrival::heard`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        history: Arc<History>,
        clock: impl Fn() -> Duration + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (theirs, stopping) = (Arc::clone(&history), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("history".to_owned()).spawn(move || {
            let (stopped, wake) = &*stopping;
            let mut stopped = stopped.lock();
            while !*stopped {
                wake.wait_for(&mut stopped, TICK);
                if !*stopped {
                    parking_lot::MutexGuard::unlocked(&mut stopped, || theirs.tick(clock()));
                }
            }
        })?;
        Ok(Self { history, stop, thread: Some(thread) })
    }

    /// Stops the thread and writes what waits. Says whether the files have all of it; if not, the journal has the rest.
    pub fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        let Some(thread) = self.thread.take() else { return true };
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        _ = thread.join();
        self.history.flush_within(STOP_LIMIT)
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.end();
    }
}
