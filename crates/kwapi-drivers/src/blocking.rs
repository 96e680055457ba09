//! Calls that may block in the kernel or in a vendor's library: one at a time, on a thread that is not the runtime's.

use std::sync::Arc;
use std::thread;

use tokio::sync::{Mutex, oneshot};

use crate::driver::DriverError;

/// At most one thread for one kind of device. A call that hangs holds that thread and no other, however often its meter
/// is reopened: the next call waits for it, until the meter's deadline. The end of the process does not wait for it.
#[derive(Debug, Default)]
pub struct OneThread(Arc<Mutex<()>>);

impl OneThread {
    /// Runs `work` once the call before it has returned. `name` is the thread's, for `ps -L`; at most 15 bytes.
    ///
    /// # Errors
    /// `Link` when the system gives no thread, or `work` panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DriverError> {
        let turn = Arc::clone(&self.0).lock_owned().await;
        let (done, result) = oneshot::channel();
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            let value = work();
            drop(turn);
            // The caller may have given up.
            _ = done.send(value);
        })?;
        result.await.map_err(|_| DriverError::link(format!("thread {name} failed")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_call_that_hangs_holds_one_thread_and_the_next_waits_for_it() {
        let one = Arc::new(OneThread::default());
        let (release, released) = mpsc::channel::<()>();
        let hung = {
            let one = Arc::clone(&one);
            tokio::spawn(async move { one.run("hung", move || released.recv().is_ok()).await })
        };
        while one.0.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        hung.abort();
        assert!(hung.await.is_err(), "its meter has given up");
        let next = tokio::time::timeout(Duration::from_millis(50), one.run("next", || 1)).await;
        assert!(next.is_err(), "the thread is still held");
        release.send(()).unwrap();
        assert_eq!(one.run("next", || 2).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_panic_is_a_lost_link_and_the_next_call_runs() {
        let one = OneThread::default();
        let failed = one.run("fails", || assert!(std::hint::black_box(false))).await;
        assert!(matches!(failed, Err(DriverError::Link(_))), "{failed:?}");
        assert_eq!(one.run("next", || 3).await.unwrap(), 3);
    }
}
