//! A future whose panic is an error: a driver that panics takes down neither its task nor the process.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs `future`; if it panics, drops it and returns the panic's message.
///
/// What the future borrowed is used afterwards, so it must hold no half-changed state across a panic: the manager
/// gives it only what is replaced with the next session or guarded by a lock that it takes between polls.
pub(super) async fn catch_panic<F: Future>(future: F) -> Result<F::Output, String> {
    CatchPanic(Some(Box::pin(future))).await
}

struct CatchPanic<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err("polled after its end".to_owned())) };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => {
                let message = message(panic.as_ref());
                let future = self.0.take();
                // What a session does when dropped may panic once more; the first message is the one to report.
                _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
                Poll::Ready(Err(message))
            }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the driver panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("again");
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_its_message() {
        assert_eq!(catch_panic(async { 7 }).await, Ok(7));
        let caught = catch_panic(async {
            tokio::task::yield_now().await;
            panic!("index {} out of range", 9)
        });
        assert_eq!(caught.await, Err::<(), _>("the driver panicked: index 9 out of range".to_owned()));
    }

    #[tokio::test]
    async fn a_session_that_panics_when_dropped_is_caught_too() {
        let caught = catch_panic(async {
            let _guard = Box::pin(PanicsWhenDropped);
            std::future::ready(()).await;
        });
        assert_eq!(caught.await, Err("the driver panicked: again".to_owned()));
    }
}
