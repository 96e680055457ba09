//! The access log: one line a request, for those who ask for it.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;

/// A middleware that logs method, path, status, duration and peer. The path is logged as it was sent (percent-encoded)
/// and quoted; the query and all headers are left out, since a careless client may put a token there.
pub(super) async fn log_access(request: Request, next: Next) -> Response {
    let begin = tokio::time::Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let response = next.run(request).await;
    let millis = begin.elapsed().as_secs_f64() * 1e3;
    let peer = peer.map(|peer| peer.ip());
    tracing::info!(target: "kwapi::access", %method, ?path, status = response.status().as_u16(), millis, ?peer);
    response
}
