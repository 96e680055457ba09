//! What an instance of the API answers another: where its accounts stand, and those that are requested.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kwapi_core::{Pattern, ProbeId, Standing};
use tokio::sync::Notify;

use super::sealed::{Nonces, Opened, PeerIdentity, PeerKeys, PeerRefusal, SealedKind, Sealer};
use super::wire::{PeerRequest, REQUEST_BYTES_MAX, push_standing};
use crate::http::{AnswerTurns, FORM, HttpError, StreamHead, StreamSink};
use crate::live::{AccountsWriter, Live};
use crate::metrics::{Exposition, MetricSource};

/// Where instances query each other.
pub const PATH: &str = "/v2/peer";
/// A question has arrived by then, or is not waited for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is handed to the connection at a time.
const PART_BYTES: usize = 64 << 10;

/// Answers other instances; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct PeerServer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: Live,
    identity: PeerIdentity,
    keys: ArcSwap<PeerKeys>,
    nonces: Nonces,
    turns: AnswerTurns,
    requested: Notify,
    answered: AtomicU64,
    refused: [AtomicU64; PeerRefusal::ALL.len()],
}

impl PeerServer {
    /// One that serves `live`.
    pub fn new(live: Live, identity: PeerIdentity, keys: PeerKeys) -> Self {
        Self(Arc::new(Inner {
            live,
            identity,
            keys: ArcSwap::from_pointee(keys),
            nonces: Nonces::default(),
            turns: AnswerTurns::default(),
            requested: Notify::new(),
            answered: AtomicU64::default(),
            refused: Default::default(),
        }))
    }

    /// Accepts and signs with other keys from now on, here and in the exchanges of this server's process.
    pub fn verify_with(&self, keys: PeerKeys) {
        self.0.keys.store(Arc::new(keys));
    }

    pub(super) fn live(&self) -> &Live {
        &self.0.live
    }

    pub(super) fn identity(&self) -> &PeerIdentity {
        &self.0.identity
    }

    pub(super) fn keys(&self) -> Arc<PeerKeys> {
        self.0.keys.load_full()
    }

    /// Returns once another instance has sent a request.
    pub(super) async fn requested(&self) {
        self.0.requested.notified().await;
    }

    /// Takes a question apart, if it is one that is answered.
    fn judge(&self, request: &[u8]) -> Result<(PeerRequest, Sealer), PeerRefusal> {
        let Inner { live, identity, nonces, .. } = &*self.0;
        let (keys, now) = (self.keys(), live.wall().now());
        let Opened { instance, at, nonce, probes, payload } = keys.open(request, SealedKind::Request, now)?;
        if identity.is(instance) {
            return Err(PeerRefusal::Itself);
        }
        nonces.note(nonce, at, now)?;
        let request = PeerRequest::decode(payload)?;
        // An answer has no more than what the requester's key covers, nor what our own key does.
        let mut sealer =
            keys.sealer(SealedKind::Answer, identity, now, nonce).ok_or(PeerRefusal::UnknownKey)?;
        sealer.limits.push(probes);
        Ok((request, sealer))
    }

    /// What is sent, in one piece: the answer to a site of a hundred thousand probes has some megabytes.
    fn payload(&self, request: &PeerRequest, limits: &[Pattern]) -> Vec<u8> {
        let live = &self.0.live;
        match request {
            PeerRequest::Standings => {
                let mut out = Vec::new();
                each_standing(live, limits, |probe, standing| push_standing(&mut out, probe, &standing));
                out
            }
            PeerRequest::Digests(theirs) => {
                let (mut own, mut has_others) = (theirs.empty(), false);
                each_standing(live, limits, |probe, standing| has_others |= !own.add(probe, &standing));
                let mut out = Vec::new();
                if own == *theirs && !has_others {
                    return out;
                }
                each_standing(live, limits, |probe, standing| {
                    if own.differs(theirs, own.bucket(probe)) || standing.constant().is_none() {
                        push_standing(&mut out, probe, &standing);
                    }
                });
                out
            }
            PeerRequest::Accounts(ids) => {
                let mut out = AccountsWriter::file();
                for id in ids {
                    live.with_account(id, |probe, account| {
                        if limits.iter().all(|limit| limit.matches(probe)) {
                            out.account(probe, account);
                        }
                    });
                }
                out.bytes().to_vec()
            }
        }
    }

    /// Sends the answer; whether all of it went out.
    fn send(&self, request: &PeerRequest, mut sealer: Sealer, sink: &mut StreamSink) -> bool {
        let payload = self.payload(request, &sealer.limits);
        sink.begin(StreamHead { media_type: "application/octet-stream", header: None });
        let mut is_taken = sink.send(std::mem::take(&mut sealer.line));
        for part in payload.chunks(PART_BYTES) {
            sealer.update(part);
            is_taken = is_taken && sink.send(part.to_vec());
        }
        is_taken && sink.send(sealer.signature())
    }
}

/// Hands over where accounts stand, of probes within all `limits`.
fn each_standing(live: &Live, limits: &[Pattern], mut each: impl FnMut(&ProbeId, Standing)) {
    live.each_account(|probe, account| {
        if limits.iter().all(|limit| limit.matches(probe))
            && let Some(standing) = account.standing()
        {
            each(probe, standing);
        }
    });
}

/// The route. It is not behind the API's authentication: a request must be signed.
pub fn router(server: PeerServer) -> Router {
    Router::new().route(PATH, axum::routing::any(answer)).with_state(server)
}

async fn answer(State(server): State<PeerServer>, request: Request) -> Response {
    let allow = [(header::ALLOW, HeaderValue::from_static(FORM))];
    match *request.method() {
        Method::POST => {}
        Method::OPTIONS => return (StatusCode::OK, allow).into_response(),
        _ => {
            let error =
                HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "This resource is for other instances.");
            return (allow, error).into_response();
        }
    }
    let read = tokio::time::timeout(REQUEST_TIMEOUT, to_bytes(request.into_body(), REQUEST_BYTES_MAX)).await;
    let Ok(Ok(bytes)) = read else { return server.refuse(PeerRefusal::Malformed) };
    match server.judge(&bytes) {
        Ok((bytes, sealer)) => {
            server.0.answered.fetch_add(1, Ordering::Relaxed);
            server.0.requested.notify_waiters();
            let turns = server.0.turns.clone();
            turns.answer(move |sink| Ok(server.send(&bytes, sealer, sink))).await
        }
        Err(refusal) => server.refuse(refusal),
    }
}

impl PeerServer {
    fn refuse(&self, refusal: PeerRefusal) -> Response {
        if let Some((count, _)) =
            self.0.refused.iter().zip(PeerRefusal::ALL).find(|(_, other)| *other == refusal)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let (status, message) = match refusal {
            PeerRefusal::Malformed | PeerRefusal::Version => (StatusCode::BAD_REQUEST, refusal.to_string()),
            // Whoever has no key does not learn which there are.
            PeerRefusal::UnknownKey | PeerRefusal::WrongSignature => {
                (StatusCode::UNAUTHORIZED, "signed with another key".to_owned())
            }
            PeerRefusal::Stale | PeerRefusal::Replayed => (StatusCode::FORBIDDEN, refusal.to_string()),
            PeerRefusal::Itself => (StatusCode::CONFLICT, refusal.to_string()),
            PeerRefusal::TooMany => (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()),
        };
        HttpError::new(status, message).into_response()
    }
}

impl MetricSource for PeerServer {
    fn collect(&self, out: &mut Exposition) {
        let requests = out.family("kwapi_api_peer_asks");
        requests.count(&[("result", "answered")], self.0.answered.load(Ordering::Relaxed));
        for (count, refusal) in self.0.refused.iter().zip(PeerRefusal::ALL) {
            requests.count(&[("result", refusal.label())], count.load(Ordering::Relaxed));
        }
    }
}
