//! The seed's services, wired from the crates: each is started here, watched through its metrics, and stopped.

pub(crate) mod api;
pub(crate) mod drivers;
pub(crate) mod forwarder;
mod metrics;
mod readiness;
pub(crate) mod rrd;
pub(crate) mod status;

use std::future::Future;
use std::time::Instant;

use kwapi_bus::BusContext;
use kwapi_core::{Clocks, MonotonicClock, Timestamp, WallClock};
use kwapi_plugins::http::{Listen, Listener, ServeError};

use crate::ports;

/// What all services of a process have in common.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) bus: BusContext,
    pub(crate) clock: WallClock,
    pub(crate) monotonic: MonotonicClock,
}

impl Process {
    /// One a process.
    pub(crate) fn new() -> Self {
        Self { bus: BusContext::new(), clock: wall_clock(), monotonic: monotonic_clock() }
    }

    /// Both clocks, for whoever compares what others measured.
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks { wall: self.clock.clone(), monotonic: self.monotonic.clone() }
    }
}

/// The system's clock; below the binary, nobody else asks it.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the wall clock")]
pub(crate) fn wall_clock() -> WallClock {
    WallClock::new(|| {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    })
}

/// A monotonic clock that begins now.
fn monotonic_clock() -> MonotonicClock {
    let origin = Instant::now();
    MonotonicClock::new(move || origin.elapsed())
}

/// Binds a listener, with an error that says who usually lives there and which `key` moves it.
///
/// # Errors
/// When the address is taken or the certificate unusable.
pub(crate) fn bind(listen: &Listen, key: &str) -> Result<Listener, String> {
    Listener::bind(listen).map_err(|error| match error {
        ServeError::Occupied { address } => {
            ports::cannot_listen(address, key, &std::io::ErrorKind::AddrInUse.into())
        }
        ServeError::Listen { address, source } => ports::cannot_listen(address, key, &source),
        error @ ServeError::Tls { .. } => crate::config::chain(&error),
    })
}

/// An HTTP server on its way: ends when told to, after the answers under way.
#[derive(Debug)]
pub(crate) struct Server(tokio::task::JoinHandle<()>);

impl Server {
    pub(crate) fn start(
        listener: Listener,
        router: axum::Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let address = listener.address();
        Self(tokio::spawn(async move {
            if let Err(error) = listener.serve(router, shutdown).await {
                tracing::error!(%address, %error, "the HTTP server has failed");
            }
        }))
    }

    pub(crate) async fn ended(self) {
        _ = self.0.await;
    }
}

/// Tells systemd, if it started us, that the service is up.
pub(crate) fn notify_ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
}
