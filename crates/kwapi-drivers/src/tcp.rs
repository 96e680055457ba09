//! Connections to what is behind a network: a meter, or a converter of its serial line.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::DriverError;

/// What is in the same building answers within this or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to `host:port`.
///
/// # Errors
/// `Link`, with what to check.
pub(crate) async fn connect(host: &str) -> Result<TcpStream, DriverError> {
    let lost = |why: String| {
        DriverError::link(format!("{host}: {why}; check that the device is on and the port is right"))
    };
    timeout(CONNECT_TIMEOUT, TcpStream::connect(host))
        .await
        .map_err(|_| lost(format!("connection timed out after {CONNECT_TIMEOUT:?}")))?
        .map_err(|error| lost(error.to_string()))
}
