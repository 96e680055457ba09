//! How a sink is doing, for the log, `/metrics` and `kwapi status`.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Losses, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::batch::Piece;
use crate::metrics::{Exposition, MetricSource};

/// Refusals are logged this often at most.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(600);

/// Of what a server reports about samples that it refuses, so much is shown.
const WORDS_SHOWN: usize = 200;

/// How a sink is doing. Clones are of the same.
#[derive(Clone, Debug)]
pub struct RemoteWrite {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) counters: Counters,
    /// The newest stamp that the server has.
    newest: Option<Timestamp>,
    trouble: Option<String>,
    losses: Losses,
    refusal_logged: Option<Instant>,
    repeat_logged: Option<Instant>,
}

/// Samples are pairs of power and energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) sent: u64,
    pub(super) refused: u64,
    /// Refused where an earlier attempt, or a process before this one, may have sent them already.
    pub(super) repeated: u64,
    pub(super) same_stamp: u64,
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) losses: u64,
}

impl RemoteWrite {
    /// What keeps it from sending, or is refused of what it sends, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        let state = self.state.lock();
        let loss = state.losses.present(Instant::now().into_std());
        let refused = loss
            .map(|loss| format!("remote write {} to {}: {}", self.name, self.place, loss.text("samples")));
        state.trouble.clone().or(refused)
    }

    /// How many samples the server has taken since the start, each a power and an energy.
    pub fn sent(&self) -> u64 {
        self.state.lock().counters.sent
    }

    pub(super) fn fail(&self, cause: &str) {
        let trouble = format!(
            "remote write {}: cannot send to {}: {cause}; measurements wait in the journal",
            self.name, self.place
        );
        let mut state = self.state.lock();
        state.counters.failures += 1;
        // The cause may change a little from one attempt to the next.
        let is_new = state.trouble.is_none();
        state.trouble = Some(trouble.clone());
        drop(state);
        if is_new {
            tracing::warn!("{trouble}");
        }
    }

    pub(super) fn works(&self) {
        if self.state.lock().trouble.take().is_some() {
            tracing::info!(name = %self.name, server = %self.place, "remote write works again");
        }
    }

    pub(super) fn count_sent(&self, pieces: &[Piece]) {
        let newest_ms = pieces.iter().flatten().map(|(_, sample)| sample.at_ms).max().unwrap_or_default();
        let newest = Timestamp::from_micros(newest_ms.saturating_mul(1_000));
        let mut state = self.state.lock();
        state.counters.sent += count(pieces);
        state.losses.pass();
        state.newest = state.newest.max(Some(newest));
    }

    pub(super) fn count_refused(&self, pieces: &[Piece], words: &str, is_repeat: bool) {
        let samples = count(pieces);
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { counters, losses, refusal_logged, repeat_logged, .. } = &mut *state;
        let (counter, logged) = if is_repeat {
            (&mut counters.repeated, repeat_logged)
        } else {
            (&mut counters.refused, refusal_logged)
        };
        *counter += samples;
        if !is_repeat {
            let words: String = words.chars().take(WORDS_SHOWN).collect();
            losses.lose(samples, format!("refused by the server, and dropped: {words}"), now.into_std());
        }
        if logged.is_some_and(|at| now.duration_since(at) < REFUSAL_LOG_INTERVAL) {
            return;
        }
        *logged = Some(now);
        drop(state);
        let (name, server) = (&self.name, &self.place);
        if is_repeat {
            tracing::info!(%name, %server, samples, "samples refused that the server may have from an earlier attempt: {words}");
        } else {
            tracing::warn!(%name, %server, samples, "samples refused by the server, and dropped: {words}");
        }
    }
}

impl MetricSource for RemoteWrite {
    fn collect(&self, out: &mut Exposition) {
        let State { counters, newest, trouble, .. } = self.state.lock().clone();
        let name = ("name", self.name.as_str());
        let samples = out.family("kwapi_remote_write_samples");
        for (result, count) in [
            ("sent", counters.sent),
            ("refused", counters.refused),
            ("repeated", counters.repeated),
            ("same_stamp", counters.same_stamp),
        ] {
            samples.count(&[name, ("result", result)], count);
        }
        out.counts(
            &[name],
            [
                ("kwapi_remote_write_requests", counters.requests),
                ("kwapi_remote_write_failures", counters.failures),
                ("kwapi_remote_write_losses", counters.losses),
            ],
        );
        let up = f64::from(u8::from(trouble.is_none()));
        out.sample("kwapi_remote_write_up", &[name], up);
        if let Some(newest) = newest {
            out.sample("kwapi_remote_write_newest_timestamp_seconds", &[name], newest.seconds_f64());
        }
    }
}

fn count(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}
