//! The end of a process: SIGTERM and Ctrl-C begin it, everything else watches for it.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whatever has not stopped by then is left behind: systemd would kill us later, an operator sooner.
pub(crate) const STOP_LIMIT: Duration = Duration::from_millis(2_500);

/// Sent to everyone who has something to finish.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens for SIGTERM and SIGINT from now on. A second one ends the process at once.
    ///
    /// # Errors
    /// When the kernel grants no signal handler.
    pub(crate) fn on_signals() -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // A request for a reload is never an end, also of a service that has nothing to reload.
        _ = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            for first in [true, false] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "Ctrl-C",
                };
                if first {
                    tracing::info!("{name}: stopping");
                    sender.send_replace(true);
                } else {
                    std::process::exit(130);
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Whether the end has begun.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the end has begun.
    pub(crate) async fn begun(&self) {
        let mut receiver = self.0.clone();
        // The sender lives as long as its task; without it there is nobody left to wait for.
        _ = receiver.wait_for(|begun| *begun).await;
    }
}
