//! One connection: from its first byte to its end, every request answered in our shape, also those that hyper cannot
//! read.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{Method, Request, Response, StatusCode, Version, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tower::Service as _;

use super::counts::ServerCounts;
use super::error::HttpError;
use super::gate::Gate;
use super::host::Hosts;
use super::log;
use super::origin::ClientConnection;
use super::seats::{Busy, Seat};

/// A client has this long to send a request's head, and a connection may idle this long between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest request head; more is answered with 414 or 431.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What a client still sends while it is informed that its request cannot be read is taken for this long…
const LINGER: Duration = Duration::from_secs(1);
/// …and up to this size: a connection closed with unread bytes is reset, and the client may lose the answer.
const LINGER_BYTES_MAX: u64 = 1 << 20;

/// How far a server is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Requests under way are answered, no more are taken.
    Closing,
    /// What is not done now is dropped.
    Over,
}

/// What all connections of a server have in common.
#[derive(Clone, Debug)]
pub(super) struct Front {
    pub(super) router: Router,
    pub(super) counts: Arc<ServerCounts>,
    pub(super) hosts: Arc<Hosts>,
    pub(super) access_log: bool,
    pub(super) is_encrypted: bool,
}

/// Serves a connection until either side ends it.
pub(super) async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    front: Front,
    seat: Arc<Seat>,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = Requests { front: front.clone(), seat, peer };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .keep_alive(true)
        .serve_connection(TokioIo::new(Gate::new(stream)), requests);
    let ended = loop {
        tokio::select! {
            biased;
            ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                if changed.is_err() || now == Phase::Over {
                    return;
                }
                if now == Phase::Closing {
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().into_inner();
    let refusal = ended.err().and_then(|error| refusal_of(&error, &parts.read_buf));
    tokio::select! {
        () = part(&mut stream, peer, &front, refusal) => {}
        _ = phase.wait_for(|phase| *phase == Phase::Over) => {}
    }
}

/// Informs the client, in plain text, that this port expects TLS.
pub(super) async fn refuse_plain<S>(mut stream: S, peer: SocketAddr, front: &Front)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let error = HttpError::bad_request("This port requires TLS; use https.");
    part(&mut stream, peer, front, Some(error)).await;
}

/// Reports why, if there is something to report, and ends the connection so that it is received.
async fn part<S>(stream: &mut S, peer: SocketAddr, front: &Front, refusal: Option<HttpError>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parting = async {
        if let Some(error) = refusal {
            front.counts.refused_head(error.status());
            if front.access_log {
                log::refused(error.status(), peer);
            }
            stream.write_all(&error.message_bytes()).await?;
        }
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Whatever fails here: the client is gone.
    _ = timeout(LINGER, parting).await;
}

/// What to report to a client whose request ended hyper's patience; nothing, if it sent none or is gone.
fn refusal_of(error: &hyper::Error, unread: &[u8]) -> Option<HttpError> {
    if error.is_parse_too_large() {
        let first_line = unread.iter().position(|byte| *byte == b'\n').unwrap_or(unread.len());
        let (status, message) = if first_line > HEAD_BYTES_MAX / 2 {
            (StatusCode::URI_TOO_LONG, "URL too long; the limit for request headers is 64 KiB.")
        } else {
            let message = "Too many or too large headers; the limit is 100 headers of 64 KiB in total.";
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message)
        };
        return Some(HttpError::new(status, message));
    }
    if error.is_parse() {
        return Some(HttpError::bad_request(format!("Malformed HTTP/1.1 request: {error}.")));
    }
    if unread.is_empty() {
        return None;
    }
    if error.is_timeout() {
        let message = "Request headers not received within 30 seconds.";
        return Some(HttpError::new(StatusCode::REQUEST_TIMEOUT, message));
    }
    error
        .is_incomplete_message()
        .then(|| HttpError::bad_request("Connection closed before the end of the request headers."))
}

/// The requests of one connection.
struct Requests {
    front: Front,
    seat: Arc<Seat>,
    peer: SocketAddr,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let begin = Instant::now();
        let Front { router, counts, hosts, access_log, is_encrypted } = &self.front;
        let connection =
            ClientConnection { address: self.peer.ip().to_canonical(), is_encrypted: *is_encrypted };
        let (mut router, counts, hosts, peer) = (router.clone(), counts.clone(), hosts.clone(), self.peer);
        let busy = self.seat.busy();
        let route = counts.route(request.uri().path());
        let method = request.method().clone();
        let path = access_log.then(|| request.uri().path().to_owned());
        Box::pin(async move {
            let response = match check(&request).and_then(|()| hosts.check(&request)) {
                Ok(()) => {
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(connection);
                    router.call(request).await?
                }
                Err(error) => error.into_response(),
            };
            let response = in_shape(response, &method);
            let took = begin.elapsed();
            counts.answered(route, &method, response.status(), took);
            if let Some(path) = path {
                log::answered(&method, &path, response.status(), took, peer);
            }
            Ok(response.map(|body| Body::new(UnderWay { body, _busy: busy })))
        })
    }
}

/// An answer's body; its connection is busy until it has been handed over.
struct UnderWay {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for UnderWay {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// What a server must refuse (RFC 9112, section 3.2) and hyper lets pass.
fn check<B>(request: &Request<B>) -> Result<(), HttpError> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    match hosts {
        0 if request.version() == Version::HTTP_11 => Err(HttpError::bad_request("Missing Host header.")),
        0 | 1 => Ok(()),
        _ => Err(HttpError::bad_request("More than one Host header.")),
    }
}

/// Gives an error without a body one that states what is wrong. Bodies that are there have more detail.
fn in_shape(response: Response<Body>, method: &Method) -> Response<Body> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || *method == Method::HEAD || response.body().size_hint().exact() != Some(0) {
        return response;
    }
    let message = match status {
        StatusCode::NOT_FOUND => "Not found.",
        StatusCode::METHOD_NOT_ALLOWED => "This resource is read-only.",
        StatusCode::BAD_REQUEST => "Bad request.",
        _ => "This request cannot be served.",
    };
    let mut shaped = HttpError::new(status, message).into_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
            shaped.headers_mut().append(name, value.clone());
        }
    }
    shaped
}

/// Whether the system is out of something that ends with time, so that accepting is worth another try.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
