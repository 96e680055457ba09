//! Which messages that follow each other are sent as one, and whether the server takes such ones: see [`batch`] and ADR 0056.

use std::time::Duration;

use bytes::Bytes;
use kwapi_core::Pattern;
use tokio::time::Instant;

use crate::transport::nats::outgoing::Outgoing;
use crate::transport::nats::{batch, subject};

/// Windows of messages are sent so far apart at least, while they are not full, so that batches form.
pub(super) const LINGER: Duration = Duration::from_millis(20);
/// After a server has refused batches, single messages are sent for so long…
const SINGLE_MIN: Duration = Duration::from_secs(10);
/// …and twice as long each time that it refuses them again, up to this.
const SINGLE_MAX: Duration = Duration::from_secs(3_600);

/// Whether batches are sent to a server, and how large.
#[derive(Debug)]
pub(super) struct Batching {
    /// The most measurements in one; 1: none is made.
    count_max: usize,
    /// Single messages are sent until then.
    single_until: Option<Instant>,
    single_for: Duration,
    /// When a window was sent last.
    sent_at: Option<Instant>,
}

/// Messages that follow each other and are sent as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) count: usize,
    /// The topic of all, or what their topics begin with.
    pub(super) begin: String,
    /// Whether all are of one probe.
    is_of_one: bool,
}

impl Batching {
    pub(super) fn new(count_max: usize) -> Self {
        Self { count_max: count_max.max(1), single_until: None, single_for: SINGLE_MIN, sent_at: None }
    }

    /// Until when to wait for more messages, where `waiting` are there and a window takes `full`; then a window is sent.
    pub(super) fn linger_until(&self, waiting: usize, full: usize) -> Option<Instant> {
        let lingers = self.count_max > 1 && waiting < full;
        self.sent_at.filter(|_| lingers).map(|at| at + LINGER)
    }

    /// Divides a window, which is sent now, into runs. Of each message there are its number, and itself.
    pub(super) fn runs<'a>(
        &mut self,
        window: impl Iterator<Item = (u64, &'a Outgoing)>,
        probes: &[Pattern],
        bytes_max: usize,
        now: Instant,
    ) -> Vec<Run> {
        self.sent_at = Some(now);
        let is_single = self.single_until.is_some_and(|until| now < until);
        let count_max = if is_single { 1 } else { self.count_max };
        let bytes_max = bytes_max.min(batch::WRITTEN_BYTES_MAX).saturating_sub(batch::BEGIN_BYTES);
        runs(window, probes, count_max, bytes_max)
    }

    /// Takes note that the server has stored a batch; where it has refused another a moment ago, that counts.
    pub(super) fn works(&mut self, now: Instant) {
        if self.single_until.is_none_or(|until| now >= until) {
            (self.single_until, self.single_for) = (None, SINGLE_MIN);
        }
    }

    /// Takes note that the server refuses a batch; returns for how long none is sent, where that is not known already.
    pub(super) fn refused(&mut self, now: Instant) -> Option<Duration> {
        if self.single_until.is_some_and(|until| now < until) {
            return None;
        }
        let wait = self.single_for;
        self.single_until = Some(now + wait);
        self.single_for = (2 * wait).min(SINGLE_MAX);
        Some(wait)
    }
}

impl Run {
    pub(super) fn is_batch(&self) -> bool {
        self.count > 1
    }

    /// Where it is published.
    pub(super) fn subject(&self, stream: &str) -> String {
        if self.is_of_one {
            subject::of(stream, self.begin.strip_suffix('.').unwrap_or(&self.begin))
        } else {
            subject::of_batch(stream, &self.begin)
        }
    }

    /// What is published: all of `messages`, which are those of the run.
    pub(super) fn payload<'a>(&self, mut messages: impl Iterator<Item = &'a Outgoing>) -> Bytes {
        if !self.is_batch() {
            return messages.next().map(|message| message.payload().clone()).unwrap_or_default();
        }
        let mut out = batch::begin();
        messages.for_each(|message| batch::push(&mut out, &self.begin, message));
        out.into()
    }
}

/// Divides messages into runs: of numbers that follow each other, so that one number gives the others; of what the same
/// key may publish, so that nothing keeps others from being stored; and below one word at least.
fn runs<'a>(
    window: impl Iterator<Item = (u64, &'a Outgoing)>,
    probes: &[Pattern],
    count_max: usize,
    bytes_max: usize,
) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    let (mut last_number, mut last_kind, mut bytes) = (None, None, 0);
    for (number, message) in window {
        let topic = message.topic();
        let kind = kind_of(topic, probes);
        let next_bytes = batch::bytes_of(message);
        let follows = kind.is_some()
            && kind == last_kind
            && last_number.and_then(|last: u64| last.checked_add(1)) == Some(number)
            && bytes + next_bytes <= bytes_max;
        let run = all.last_mut().filter(|run| follows && run.count < count_max);
        let longer = run.and_then(|run| run.begin_with(topic).map(|begin| (run, begin)));
        if let Some((run, (begin, is_of_one))) = longer {
            (run.count, run.is_of_one) = (run.count + 1, is_of_one);
            run.begin.truncate(begin);
            bytes += next_bytes;
        } else {
            all.push(Run { count: 1, begin: topic.to_owned(), is_of_one: true });
            bytes = next_bytes;
        }
        (last_number, last_kind) = (Some(number), kind);
    }
    all
}

impl Run {
    /// How much of what its topics begin with is left if `topic` is added, and whether it is of one probe then; `None` where
    /// they have nothing in common.
    fn begin_with(&self, topic: &str) -> Option<(usize, bool)> {
        if self.is_of_one && self.begin == topic {
            return Some((topic.len(), true));
        }
        let own = if self.is_of_one { parent(&self.begin) } else { &self.begin };
        let same = own.bytes().zip(parent(topic).bytes()).take_while(|(one, other)| one == other).count();
        // Whole words; a dot is no part of another character.
        let common = own.as_bytes().get(..same)?.iter().rposition(|byte| *byte == b'.')? + 1;
        Some((common, false))
    }
}

/// What a topic has before its last word, with the dot.
fn parent(topic: &str) -> &str {
    let id = topic.strip_suffix('.').unwrap_or(topic);
    id.rfind('.').and_then(|dot| id.get(..=dot)).unwrap_or_default()
}

/// By which of the patterns a topic may be published; `None` by none, which whoever receives it refuses.
fn kind_of(topic: &str, probes: &[Pattern]) -> Option<usize> {
    let id = topic.strip_suffix('.').unwrap_or(topic);
    probes.iter().position(|pattern| pattern.matches_id(id))
}

#[cfg(test)]
mod tests;
