//! The access log: one line a request, where it is configured.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{Method, StatusCode};

/// Logs method, path, status, duration and peer. The path is logged as it was sent (percent-encoded) and quoted; the
/// query and all headers are left out, since a careless client may put a token there.
pub(super) fn answered(method: &Method, path: &str, status: StatusCode, took: Duration, peer: SocketAddr) {
    let (status, millis, peer) = (status.as_u16(), took.as_secs_f64() * 1e3, peer.ip());
    tracing::info!(target: "kwapi::access", %method, ?path, status, millis, %peer);
}

/// Logs a request that could not be read; nothing of it is repeated.
pub(super) fn refused(status: StatusCode, peer: SocketAddr) {
    let (status, peer) = (status.as_u16(), peer.ip());
    tracing::info!(target: "kwapi::access", status, %peer, "unreadable request");
}
