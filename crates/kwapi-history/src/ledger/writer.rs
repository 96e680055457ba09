//! A thread that reads the journal for a ledger and keeps its files up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kwapi_core::WallClock;

use super::Ledger;

/// How often [`Ledger::tick`] is called.
const TICK: Duration = Duration::from_secs(1);
/// How long a stop may wait for the thread to notice.
const NOTICE: Duration = Duration::from_millis(200);

/// Reads the journal as it grows and calls [`Ledger::tick`] once a second, from a thread of its own, until it is stopped or
/// dropped; then writes what is done and what is open.
#[derive(Debug)]
pub struct LedgerWriter {
    ledger: Arc<Ledger>,
    wall: WallClock,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LedgerWriter {
    /// Starts the thread. `clock` is the process's monotonic clock.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        ledger: Arc<Ledger>,
        clock: impl Fn() -> Duration + Send + 'static,
        wall: WallClock,
    ) -> std::io::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (theirs, stopping, now) = (Arc::clone(&ledger), Arc::clone(&is_stopping), wall.clone());
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let mut ticked = Instant::now();
            while !stopping.load(Ordering::Relaxed) {
                let left = TICK.saturating_sub(ticked.elapsed());
                theirs.follow(left.min(NOTICE), || now.now());
                if ticked.elapsed() >= TICK {
                    ticked = Instant::now();
                    theirs.tick(clock(), now.now());
                }
            }
        })?;
        Ok(Self { ledger, wall, is_stopping, thread: Some(thread) })
    }

    /// Stops the thread and, unless it is past `deadline` then, writes. Says whether the files have all of it; if not, the
    /// journal has the rest.
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
        let now = self.wall.now();
        self.ledger.catch_up(now);
        self.ledger.write(now).is_ok()
    }
}

impl Drop for LedgerWriter {
    fn drop(&mut self) {
        self.end(None);
    }
}
