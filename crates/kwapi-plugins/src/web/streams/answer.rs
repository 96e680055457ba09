//! `/stream/?id=…&node=…&total`: what these probes measure, what these groups and nodes of the tree come to, and all that the
//! caller sees, as Server-Sent Events (WHATWG HTML, section 9.2), for as long as both sides want it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Frame;
use kwapi_core::ProbeId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::super::route::{FormFields, STREAM};
use super::super::{Site, Viewer, answer};
use super::nodes::{NodesOf, StreamNode};
use super::total::TotalOf;
use super::view::{StreamFrame, StreamView};
use super::{LiveStreams, NoStream, StreamSeat, TICK};
use crate::auth::{Client, LastingCaller};
use crate::directory::ConfiguredProbes;
use crate::scope::Scope;

/// The most probes and nodes of a stream, together.
const PROBES_MAX: usize = 200;
/// How often it is checked whether the caller may still look.
const CHECK: Duration = Duration::from_secs(2);
/// Where nothing changes, a comment shows after so long that the stream is there.
const HEARTBEAT: Duration = Duration::from_secs(5);
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// How soon a browser tries again by itself, in milliseconds.
const RETRY: &str = "retry: 2000\n";
/// How soon who is refused may try again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Answers with a stream.
pub(in super::super) fn answer(
    site: &Arc<Site>,
    parts: &Parts,
    query: &FormFields,
    viewer: Viewer,
) -> Response {
    let requested: Vec<&str> = query.all("id").collect();
    let nodes: Vec<&str> = query.all("node").collect();
    let has_total = query.get("total").is_some();
    if requested.len().saturating_add(nodes.len()) > PROBES_MAX {
        return answer::bad_request(&format!("at most {PROBES_MAX} probes in a stream, with groups"));
    }
    if requested.is_empty() && nodes.is_empty() && !has_total {
        return answer::bad_request("id is missing: ?id=PROBE&id=PROBE, at most 200, or ?total");
    }
    // What is no id, or not the caller's to see, is as a probe that does not exist: there is nothing of it.
    let mut ids: Vec<ProbeId> = requested.iter().filter_map(|id| ProbeId::new(id).ok()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut nodes: Vec<StreamNode> = nodes.iter().filter_map(|node| StreamNode::parse(node)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let requested = RequestedView { ids, nodes, has_total };
    if parts.method == Method::HEAD {
        return headed(Body::empty());
    }
    let streams = &site.settings.streams;
    let view = requested.view(&viewer.scope);
    let joined = streams.take(viewer.name).and_then(|seat| Ok((seat, streams.join(site, view.clone())?)));
    let (seat, frames) = match joined {
        Ok(joined) => joined,
        Err(why) => return refused(why),
    };
    let client = parts.extensions.get::<Client>();
    let caller = site.logins.as_ref().zip(client);
    let watcher = Watcher {
        caller: caller.map(|(logins, client)| LastingCaller::new(logins, client, &parts.headers, STREAM)),
        configured: site.directory.configured(),
        site: Arc::clone(site),
        requested,
        view,
    };
    let last = parts.headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (events, receiver) = mpsc::channel(1);
    tokio::spawn(async move { watcher.follow(frames, events, last, seat).await });
    headed(Body::new(Events(receiver)))
}

fn refused(why: NoStream) -> Response {
    let (status, message) = match why {
        NoStream::Full => {
            (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open; this one renews itself less often")
        }
        NoStream::FullOfCaller => {
            (StatusCode::TOO_MANY_REQUESTS, "too many pages of this login are open; close some")
        }
    };
    (status, [(header::RETRY_AFTER, RETRY_AFTER)], format!("{message}\n")).into_response()
}

fn headed(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // nginx holds back what it proxies unless it is configured not to.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

/// What an address requests, each once and in order.
struct RequestedView {
    ids: Vec<ProbeId>,
    nodes: Vec<StreamNode>,
    has_total: bool,
}

impl RequestedView {
    /// Of its probes those within a scope, and what of the rest is to be sent to it.
    fn view(&self, scope: &Scope) -> StreamView {
        let nodes = || NodesOf { scope: TotalOf::new(scope), nodes: self.nodes.clone() };
        StreamView {
            probes: self.ids.iter().filter(|id| scope.allows(id)).cloned().collect(),
            total: self.has_total.then(|| TotalOf::new(scope)),
            nodes: (!self.nodes.is_empty()).then(nodes),
        }
    }
}

/// Who watches, and by what right.
struct Watcher {
    site: Arc<Site>,
    /// Where people have to log in.
    caller: Option<LastingCaller>,
    /// The configuration that it began with.
    configured: Arc<ConfiguredProbes>,
    requested: RequestedView,
    view: StreamView,
}

impl Watcher {
    /// Whether the same request would get the same stream now. After a reload each has to be requested again.
    async fn may_continue(&self) -> bool {
        if !Arc::ptr_eq(&self.configured, &self.site.directory.configured()) {
            return false;
        }
        let Some(caller) = &self.caller else { return true };
        let Some(now) = caller.caller().await else { return false };
        self.requested.view(now.scope()) == self.view
    }

    /// Sends what changes until the client is gone or may look no more. A client that has not taken the last event is sent the
    /// newest once it has.
    async fn follow(
        self,
        mut frames: watch::Receiver<Option<Arc<StreamFrame>>>,
        events: mpsc::Sender<Bytes>,
        last_event_id: Option<String>,
        seat: StreamSeat,
    ) {
        let mut checks = interval_at(Instant::now() + CHECK, CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent: Option<Sent> = None;
        let mut heartbeat = Instant::now() + HEARTBEAT;
        // Another's first frame may be there already, or one from before the last client left, which is not shown.
        frames.mark_changed();
        let (mut has_news, mut is_first) = (false, true);
        loop {
            tokio::select! {
                biased;
                () = events.closed() => return,
                _ = checks.tick() => {
                    if !self.may_continue().await {
                        return;
                    }
                }
                changed = frames.changed(), if !has_news => {
                    if changed.is_err() {
                        return;
                    }
                    let now = self.site.clock.now();
                    let is_new = |frame: &Arc<StreamFrame>| !is_first || frame.is_of(now, TICK);
                    has_news = frames.borrow_and_update().as_ref().is_some_and(is_new);
                    is_first = false;
                }
                permit = events.reserve(), if has_news => {
                    let Ok(permit) = permit else { return };
                    has_news = false;
                    let Some(frame) = frames.borrow_and_update().clone() else { continue };
                    let event = Sent::next(&mut sent, &frame, last_event_id.as_deref(), &seat.streams);
                    if !event.is_empty() {
                        permit.send(event);
                        heartbeat = Instant::now() + HEARTBEAT;
                    }
                }
                () = sleep_until(heartbeat), if !has_news => {
                    // Full: what is there shows as much.
                    _ = events.try_send(COMMENT);
                    heartbeat = Instant::now() + HEARTBEAT;
                }
            }
        }
    }
}

/// What a client was sent last.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    stamp: u64,
}

impl Sent {
    /// What a client is to be sent of the newest frame; empty where nothing has changed.
    fn next(
        sent: &mut Option<Self>,
        frame: &StreamFrame,
        last_event_id: Option<&str>,
        streams: &LiveStreams,
    ) -> Bytes {
        let before = sent.replace(Self { number: frame.number, stamp: frame.stamp });
        let Some(before) = before else {
            let known = last_event_id.and_then(|id| frame.known(id));
            let event = frame.event(known);
            return Bytes::from([RETRY.as_bytes(), &event].concat());
        };
        streams.skipped((frame.number - before.number).saturating_sub(1));
        frame.changes_since(before.stamp)
    }
}

/// A body of events.
struct Events(mpsc::Receiver<Bytes>);

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
