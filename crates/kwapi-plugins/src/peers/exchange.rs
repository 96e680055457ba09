//! Queries a peer for where its accounts stand, and takes those in which it has something that is not known here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Account, Energy, Pattern, ProbeId, Standing, StandingOrder, chain};
use parking_lot::Mutex;
use reqwest::{Client, StatusCode, Url};
use tokio::task::JoinHandle;

use super::ApiPeerConfig;
use super::adopted::Adopter;
use super::digest::{Compared, Digests};
use super::sealed::{Opened, PeerRefusal, SealedKind, draw};
use super::served::{PATH, PeerServer};
use super::state::{ApiPeer, Divergence};
use super::wire::{ACCOUNTS_MAX, ANSWER_BYTES_MAX, PeerRequest, read_peer_accounts, read_standings};
use crate::live::Live;
use crate::upstream::sender;

/// How often totals are compared.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long is waited after a failure, at first and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a peer has to answer a question.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An account that is ahead of ours is taken once we have received what it has, so that power and energy of an answer
/// stay of one message; if that does not come, after this long.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);
/// How often is looked whether it has come.
const CATCH_UP_LOOK: Duration = Duration::from_millis(50);
/// So much of a peer's own words is passed on.
const WORDS_MAX: usize = 300;
/// So much of a refusal is read.
const REFUSAL_BYTES_MAX: usize = 16 << 10;

/// The exchange with a peer, at work. It ends when this is dropped.
#[derive(Debug)]
pub struct PeerTask {
    /// How it is doing.
    pub peer: ApiPeer,
    task: JoinHandle<()>,
}

impl Drop for PeerTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client for one peer.
pub(super) fn client(config: &ApiPeerConfig) -> Result<(Client, Url), String> {
    let url = config.address()?;
    let client = sender(&url, TIMEOUT, config.ca_file.as_deref())?.timeout(TIMEOUT);
    Ok((client.build().map_err(|error| format!("{url}: {}", chain(&error)))?, url))
}

/// Starts to exchange with a peer, for the process of `server`; `adopter` merges. Only probes of `patterns` are taken;
/// none: all. To be called within a tokio runtime.
///
/// # Errors
/// When its address makes no sense or its file cannot be read.
pub fn start(
    config: &ApiPeerConfig,
    server: &PeerServer,
    adopter: &Adopter,
    patterns: &[Pattern],
) -> Result<PeerTask, String> {
    let (client, url) = client(config)?;
    let peer = ApiPeer::new(url.origin().ascii_serialization());
    let exchange = Exchange {
        client,
        url: url.join(PATH).map_err(|error| error.to_string())?,
        server: server.clone(),
        adopter: adopter.clone(),
        patterns: patterns.to_vec(),
        peer: peer.clone(),
        compared: Arc::default(),
        without_digests: None,
    };
    Ok(PeerTask { peer, task: tokio::spawn(exchange.work()) })
}

struct Exchange {
    client: Client,
    url: Url,
    server: PeerServer,
    adopter: Adopter,
    patterns: Vec<Pattern>,
    peer: ApiPeer,
    compared: Arc<Mutex<Compared>>,
    /// The process there that does not support digests, if it is of an earlier version.
    without_digests: Option<String>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// It is not understood, as by an earlier version.
    #[error("{0}")]
    NotUnderstood(String),
    #[error("{0}")]
    Failed(String),
}

/// What a peer answered, and who it was.
struct Answered {
    instance: String,
    probes: Pattern,
    payload: Vec<u8>,
}

/// What is to be done about a peer's accounts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Comparison {
    /// To be taken, and where they stand there.
    pub(super) wanted: Vec<(ProbeId, Standing)>,
    pub(super) diverged: Vec<Divergence>,
}

impl Exchange {
    async fn work(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.exchange().await {
                Ok(()) => {
                    pause = PAUSE_MIN;
                    tokio::time::sleep(INTERVAL).await;
                }
                Err(problem) => {
                    self.peer.fail(&problem);
                    tokio::time::sleep(PAUSE_MIN).await;
                    // A peer that queries us is back.
                    _ = tokio::time::timeout(pause.saturating_sub(PAUSE_MIN), self.server.requested()).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Compares once, and takes what is to be taken.
    async fn exchange(&mut self) -> Result<(), String> {
        let live = self.server.live().clone();
        let own = tokio::task::spawn_blocking(move || own_digests(&live))
            .await
            .map_err(|error| error.to_string())?;
        let requested = self.compared.lock().request(&own);
        let Answered { instance, probes, payload } = self.request_standings(&requested).await?;
        let (live, patterns) = (self.server.live().clone(), self.patterns.clone());
        let compared = Arc::clone(&self.compared);
        let (bytes, peer) = (payload.len(), self.peer.clone());
        let compare = move || {
            let standings = read_standings(&payload, live.config().probes_max)?;
            peer.count_standings(bytes, standings.len());
            let is_ours =
                |probe: &ProbeId| patterns.is_empty() || patterns.iter().any(|of| of.matches(probe));
            let theirs =
                standings.iter().filter(|(probe, _)| probes.matches(probe) && is_ours(probe)).cloned();
            let found = compare(theirs, |probe| {
                live.with_account(probe.as_str(), |_, account| account.standing())?
            });
            compared.lock().note(own, &requested, &standings, found.wanted.iter().map(|(probe, _)| probe));
            Ok(found)
        };
        let compared = tokio::task::spawn_blocking(compare).await.map_err(|error| error.to_string())?;
        let Comparison { wanted, diverged } = compared.map_err(|refusal: PeerRefusal| refusal.to_string())?;
        self.catch_up(&wanted).await;
        let mut taken = 0;
        for part in wanted.chunks(ACCOUNTS_MAX) {
            taken += self.take(&instance, part).await?;
        }
        self.peer.succeed(&instance, taken, diverged, self.server.live().wall().now());
        Ok(())
    }

    /// Where accounts stand there that differ from what was `requested` with; all, of an instance of an earlier version.
    async fn request_standings(&mut self, requested: &Digests) -> Result<Answered, String> {
        if let Some(known) = &self.without_digests {
            let answered = self.request(&PeerRequest::Standings).await.map_err(|error| error.to_string())?;
            if answered.instance != *known {
                self.without_digests = None;
            }
            return Ok(answered);
        }
        match self.request(&PeerRequest::Digests(requested.clone())).await {
            Err(Unanswered::NotUnderstood(_)) => {
                let answered =
                    self.request(&PeerRequest::Standings).await.map_err(|error| error.to_string())?;
                self.without_digests = Some(answered.instance.clone());
                tracing::info!(peer = %self.peer.place(), "the peer is of an older version: all totals are compared each time");
                Ok(answered)
            }
            answered => answered.map_err(|error| error.to_string()),
        }
    }

    /// Waits until we have received what the peer has of these probes, or for [`CATCH_UP_MAX`].
    async fn catch_up(&self, wanted: &[(ProbeId, Standing)]) {
        let live = self.server.live();
        let is_behind = |(probe, theirs): &(ProbeId, Standing)| {
            let own = live.with_account(probe.as_str(), |_, account| account.standing()).flatten();
            own.is_none_or(|own| !own.covers(theirs))
        };
        let waiting = async {
            while wanted.iter().any(is_behind) {
                tokio::time::sleep(CATCH_UP_LOOK).await;
            }
        };
        _ = tokio::time::timeout(CATCH_UP_MAX, waiting).await;
    }

    /// Takes the accounts of `part`; how many had something new.
    async fn take(&self, instance: &str, part: &[(ProbeId, Standing)]) -> Result<usize, String> {
        let ids = part.iter().map(|(probe, _)| probe.to_string()).collect();
        let answered = self.request(&PeerRequest::Accounts(ids)).await.map_err(|error| error.to_string())?;
        if answered.instance != instance {
            return Err("it was restarted meanwhile".to_owned());
        }
        let accounts = read_peer_accounts(&answered.payload).map_err(|refusal| refusal.to_string())?;
        let requested: HashSet<&ProbeId> = part.iter().map(|(probe, _)| probe).collect();
        let is_requested =
            |(probe, _): &(ProbeId, Account)| requested.contains(probe) && answered.probes.matches(probe);
        let accounts = accounts.into_iter().filter(is_requested).collect();
        self.adopter.adopt(accounts).await.ok_or_else(|| "this process is stopping".to_owned())
    }

    /// Sends one request.
    async fn request(&self, question: &PeerRequest) -> Result<Answered, Unanswered> {
        let failed = Unanswered::Failed;
        let (server, keys) = (&self.server, self.server.keys());
        let nonce = draw().map_err(failed)?;
        let now = server.live().wall().now();
        let sealed = keys
            .seal(SealedKind::Request, server.identity(), now, &nonce, &question.encode())
            .ok_or_else(|| failed("no `key` in [bus] is valid now".to_owned()))?;
        let request = self.client.post(self.url.clone()).body(sealed);
        let mut response = request.send().await.map_err(|error| failed(chain(&error.without_url())))?;
        let status = response.status();
        let is_answer = status == StatusCode::OK;
        let bytes_max = if is_answer { ANSWER_BYTES_MAX } else { REFUSAL_BYTES_MAX };
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| failed(chain(&error.without_url())))? {
            if body.len() + part.len() > bytes_max {
                return Err(failed(format!("its answer is larger than {bytes_max} bytes")));
            }
            body.extend_from_slice(&part);
        }
        if !is_answer {
            let words = refusal(status, &body);
            let is_understood = status != StatusCode::BAD_REQUEST;
            return Err(if is_understood { failed(words) } else { Unanswered::NotUnderstood(words) });
        }
        let now = server.live().wall().now();
        let opened =
            keys.open(&body, SealedKind::Answer, now).map_err(|refusal| failed(refusal.to_string()))?;
        let Opened { instance, nonce: answered, probes, payload, .. } = opened;
        if answered != nonce {
            return Err(failed(PeerRefusal::Replayed.to_string()));
        }
        if server.identity().is(instance) {
            return Err(failed(PeerRefusal::Itself.to_string()));
        }
        Ok(Answered { instance: instance.to_owned(), probes, payload: payload.to_vec() })
    }
}

/// Digests of all accounts here.
pub(super) fn own_digests(live: &Live) -> Digests {
    let mut own = Digests::of_probes(live.probes());
    live.each_account(|probe, account| {
        if let Some(standing) = account.standing() {
            own.add(probe, &standing);
        }
    });
    own
}

/// The error of a peer that refuses.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let words = json.pointer("/error/message").and_then(|message| message.as_str()).unwrap_or_default();
    let words: String =
        words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(WORDS_MAX).collect();
    let advice = match status {
        StatusCode::UNAUTHORIZED => "; configure the same `key` in [bus] of both instances",
        StatusCode::NOT_FOUND => "; it has no `peers` in [api], or is no API of Kwapi",
        _ => "",
    };
    if words.is_empty() { format!("{status}{advice}") } else { format!("{status}: {words}{advice}") }
}

/// Compares where a peer's accounts stand with `own`.
pub(super) fn compare(
    theirs: impl Iterator<Item = (ProbeId, Standing)>,
    own: impl Fn(&ProbeId) -> Option<Standing>,
) -> Comparison {
    let mut comparison = Comparison::default();
    for (probe, theirs) in theirs {
        let own = own(&probe);
        match own.map_or(StandingOrder::Behind, |own| own.compare(&theirs)) {
            StandingOrder::Equal | StandingOrder::Ahead => continue,
            StandingOrder::Behind => {}
            StandingOrder::Differs(by) => {
                if let Some(own) = own.filter(|_| by > Energy::ZERO) {
                    let (own, others) = (own.energy, theirs.energy);
                    comparison.diverged.push(Divergence { probe: probe.clone(), own, others, by });
                }
            }
        }
        comparison.wanted.push((probe, theirs));
    }
    comparison
}
