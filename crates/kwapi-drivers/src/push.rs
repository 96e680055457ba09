//! The meter that only its owner has a script for: one JSON object a line, over a Unix socket or loopback TCP.
//!
//! ```text
//! {"outlet": "7", "watts": 61.5, "volts": 230.1, "amperes": 0.31, "joules_total": 120000, "timestamp": 1795393618.8}
//! ```
//!
//! All members but one of `watts`, `amperes` and `joules_total` may be left out; `outlet` is then `1`. `joules_total`
//! is the meter's own counter, `joules_resolution` one tick of it (0.001 when left out); `timestamp` is when it was
//! measured, in Unix seconds; `"estimated": true` marks that nobody measured it. A line that is wrong is answered with
//! one line, `{"error": "…"}`; one that is right, with nothing. There is no password: who may open the socket
//! may write.
//!
//! ```text
//! echo '{"watts": 61.5}' | nc -NU /run/kwapi/boiler.sock
//! ```

mod line;
mod listener;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use line::parse_line;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Cadence, Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use listener::{Listener, Pushed};

/// Readings not yet taken. Full: the sender waits, as its socket makes it.
const QUEUE_MAX: usize = 1_024;
/// A listener without clients is healthy; it reports that this often.
const QUIET: Duration = Duration::from_secs(1);

/// `driver = "push"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// `unix:/run/kwapi/boiler.sock`, or a loopback address and port, `127.0.0.1:4711`.
    pub listen: String,
}

/// A listening socket.
#[derive(Debug)]
pub struct Push {
    queue: mpsc::Receiver<Pushed>,
    accepting: JoinHandle<()>,
    listening_on: String,
    received: u64,
}

impl Driver for Push {
    const NAME: &'static str = "push";
    const SUMMARY: &'static str = "any script or program: JSON lines over a Unix or loopback TCP socket";
    const CADENCE: Cadence = Cadence::Pushed;
    const INTERVAL_MIN: Duration = Duration::from_millis(1);
    const KEYS: &'static [DriverKey] =
        &[DriverKey::required("listen", "unix:/path, or a loopback address with a port")
            .naming(Names::Socket)];
    type Config = PushConfig;
    type Shared = ();

    fn check(config: &PushConfig) -> Result<(), ConfigError> {
        listener::check(&config.listen)
    }

    async fn open(config: &PushConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let listener = Listener::bind(&config.listen).await?;
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let accepting = tokio::spawn(listener.accept(outlets.clone(), sender));
        Ok(Self { queue, accepting, listening_on: config.listen.clone(), received: 0 })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        match timeout(QUIET, self.queue.recv()).await {
            Ok(Some(pushed)) => self.take(pushed, readings),
            Ok(None) => return Err(DriverError::link("socket closed")),
            Err(_) => {}
        }
        // Whatever else is there, but each probe once a round at most as often as the queue is long.
        for _ in 0..QUEUE_MAX {
            let Ok(pushed) = self.queue.try_recv() else { break };
            self.take(pushed, readings);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        vec![Finding {
            what: "socket".to_owned(),
            value: self.listening_on.clone(),
            is_used: true,
            why: format!("{} readings received so far", self.received),
        }]
    }
}

impl Push {
    fn take(&mut self, (probe, reading): Pushed, readings: &mut Readings) {
        self.received += 1;
        readings.push(&probe, Ok(reading));
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.accepting.abort(); // The connections end with it.
    }
}

#[cfg(test)]
mod tests;
