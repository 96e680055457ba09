//! How the exchange with each peer is doing: for `/metrics`, `/readyz`, `kwapi status` and the log.

use std::sync::Arc;

use kwapi_core::{Energy, ProbeId, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::metrics::{Exposition, MetricSource};

/// Of probes that differ, so many are named.
const SHOWN_MAX: usize = 5;

/// How the exchange with one peer is doing. Clones are of the same.
#[derive(Clone, Debug)]
pub struct ApiPeer {
    place: Arc<str>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    exchanges: u64,
    failures: u64,
    taken: u64,
    /// Bytes in which it reported where accounts stand, and how many of them.
    standings_bytes: u64,
    standings: u64,
    divergences: u64,
    /// Whether it has been tried since the start, with or without success.
    is_tried: bool,
    last_exchange: Option<Timestamp>,
    problem: Option<String>,
    /// Those that differed in the last exchange.
    diverged: Vec<Divergence>,
    /// The process there that was last exchanged with.
    instance: Option<String>,
}

/// A probe with different totals in two instances, at the same message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Divergence {
    pub(super) probe: ProbeId,
    pub(super) own: Energy,
    pub(super) others: Energy,
    /// By how much they differ at the same message; they were not queried at the same instant.
    pub(super) by: Energy,
}

/// A peer as `/peers` shows it and `kwapi status` reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiPeerReport {
    /// Its address.
    pub peer: String,
    /// Whether the last exchange succeeded.
    pub is_up: bool,
    /// When accounts were last compared, in Unix seconds.
    pub last_exchange: Option<f64>,
    /// Accounts in which it had something new, since the start.
    pub accounts_taken: u64,
    /// Probes whose totals differed in the last exchange.
    pub diverged: u64,
    /// Why the last exchange failed, if it did.
    pub problem: Option<String>,
}

impl ApiPeer {
    pub(super) fn new(place: String) -> Self {
        Self { place: place.into(), state: Arc::default() }
    }

    /// Its address.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether it has been tried since the start: before that, totals may be behind those that the peer has shown.
    pub fn is_tried(&self) -> bool {
        self.state.lock().is_tried
    }

    /// What is wrong, as a sentence, if anything is.
    pub fn trouble(&self) -> Option<String> {
        let state = self.state.lock();
        if let Some(problem) = &state.problem {
            return Some(format!("peer {}: {problem}; totals are not compared", self.place));
        }
        let first = state.diverged.first()?;
        let more = match state.diverged.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        Some(format!("peer {}: totals differ at the same message: {first}{more}", self.place))
    }

    /// For `/peers`.
    pub fn report(&self) -> ApiPeerReport {
        let state = self.state.lock();
        ApiPeerReport {
            peer: self.place.to_string(),
            is_up: state.is_tried && state.problem.is_none(),
            last_exchange: state.last_exchange.map(Timestamp::seconds_f64),
            accounts_taken: state.taken,
            diverged: state.diverged.len() as u64,
            problem: state.problem.clone(),
        }
    }

    /// It reported where so many accounts stand, in so many bytes.
    pub(super) fn count_standings(&self, bytes: usize, standings: usize) {
        let mut state = self.state.lock();
        state.standings_bytes += bytes as u64;
        state.standings += standings as u64;
    }

    /// An exchange came to nothing.
    pub(super) fn fail(&self, problem: &str) {
        let mut state = self.state.lock();
        state.failures += 1;
        state.is_tried = true;
        let is_new = state.problem.as_deref() != Some(problem);
        state.problem = Some(problem.to_owned());
        drop(state);
        if is_new {
            tracing::warn!(peer = %self.place, "cannot exchange totals with the peer: {problem}; serving without it");
        }
    }

    /// An exchange with the process `instance` succeeded: so many accounts had something new, and these differed.
    ///
    /// The first exchange with a process is where one of two takes what the other has, and shows nothing of whether they
    /// count alike.
    pub(super) fn succeed(&self, instance: &str, taken: usize, diverged: Vec<Divergence>, now: Timestamp) {
        let mut state = self.state.lock();
        state.exchanges += 1;
        state.taken += taken as u64;
        state.is_tried = true;
        state.last_exchange = Some(now);
        let was_away = state.problem.take().is_some();
        let is_known = state.instance.as_deref() == Some(instance);
        state.instance = Some(instance.to_owned());
        let diverged = if is_known { diverged } else { Vec::new() };
        state.divergences += diverged.len() as u64;
        let before = std::mem::replace(&mut state.diverged, diverged.clone());
        drop(state);
        let peer = &self.place;
        if was_away || !is_known {
            tracing::info!(%peer, accounts_taken = taken, "totals are compared with the peer");
        }
        for divergence in diverged.iter().filter(|new| is_none_of(&before, new)).take(SHOWN_MAX) {
            tracing::error!(%peer, "totals differ at the same message: {divergence}");
        }
        if diverged.len() > SHOWN_MAX {
            tracing::error!(%peer, probes = diverged.len(), "totals differ at the same message");
        }
        if diverged.is_empty() && !before.is_empty() {
            tracing::info!(%peer, "totals agree again");
        }
    }
}

fn is_none_of(before: &[Divergence], new: &Divergence) -> bool {
    before.iter().all(|divergence| divergence.probe != new.probe)
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { probe, own, others, by } = self;
        let kwh = [own, others, by].map(|energy| energy.kwh());
        let [own, others, by] = kwh;
        write!(f, "{probe}: {own:.6} kWh here, {others:.6} kWh there, {by:.9} kWh apart")
    }
}

impl MetricSource for ApiPeer {
    fn collect(&self, out: &mut Exposition) {
        let state = self.state.lock().clone();
        let peer = [("peer", &*self.place)];
        let is_up = state.is_tried && state.problem.is_none();
        out.sample("kwapi_api_peer_up", &peer, f64::from(u8::from(is_up)));
        out.counts(
            &peer,
            [
                ("kwapi_api_peer_exchanges", state.exchanges),
                ("kwapi_api_peer_failures", state.failures),
                ("kwapi_api_peer_accounts_taken", state.taken),
                ("kwapi_api_peer_standings", state.standings),
                ("kwapi_api_peer_standings_bytes", state.standings_bytes),
                ("kwapi_api_peer_divergences", state.divergences),
            ],
        );
        out.count("kwapi_api_peer_diverged_probes", &peer, state.diverged.len() as u64);
        if let Some(at) = state.last_exchange {
            out.sample("kwapi_api_peer_last_exchange_timestamp_seconds", &peer, at.seconds_f64());
        }
    }
}
