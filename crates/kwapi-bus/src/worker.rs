//! A thread with a socket of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// How long a thread waits on its sockets before it looks whether to stop, in milliseconds.
pub(crate) const STOP_POLL_MS: i64 = 100;

/// A running thread, requested to stop and joined (up to [`STOP_POLL_MS`]) when dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `work` until it returns; it is to return soon after `stop` is set.
    pub(crate) fn start(
        name: &str,
        work: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> Result<Self, io::Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Worker {
    /// Whether it is still working.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a bus thread panicked");
        }
    }
}
