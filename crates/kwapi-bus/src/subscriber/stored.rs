//! How far a source that keeps its messages has been read: up to when all of them are safe here, whether the present is shown
//! from elsewhere meanwhile, and whether another source comes first. Pure: time is an argument.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use kwapi_core::Timestamp;

use crate::transport::{Keeping, Token};

/// A source that has not been read to its end for so long is behind: the present is shown ahead of it…
const BEHIND_AFTER: Duration = Duration::from_secs(1);
/// …and for so long after it has come up, so that one that falls back again and again is not switched each time.
const SHOWN_AFTER: Duration = Duration::from_secs(10);
/// Sources that are behind are read in the order of their stamps, to within this: less than rows of groups wait for
/// (`kwapi-history`, `history/groups/fold.rs`).
const ORDER_WITHIN: Duration = Duration::from_secs(30);
/// A source that has delivered nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nor is any for longer than this: whoever signs old stamps for ever holds up no other site's record.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// Messages that were announced and do not come for so long, with none left by the source's own word, are gone: it was purged,
/// or they were known already. What was dropped is delivered again within ten seconds, what a site is to send again
/// within thirty.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// A source that keeps its messages until they are safe.
#[derive(Debug)]
pub(super) struct StoredSource {
    pub(super) source: usize,
    /// The source that delivers the same as it is published.
    pub(super) live: Option<usize>,
    /// Stamps of what was handed on and is not safe yet.
    open: BTreeMap<Token, Timestamp>,
    /// The stamp of what was handed on last.
    last: Option<Timestamp>,
    /// How many come after that.
    later: u64,
    /// Since when it has had nothing more by its own word, on the monotonic clock.
    drained_since: Option<Duration>,
    /// When it last delivered something, on the monotonic clock; before the first, when it was created.
    moved: Duration,
    /// When it was last read to its end.
    at_end: Option<Duration>,
    /// When it was last behind.
    behind_at: Option<Duration>,
    /// Up to when all of it is safe here; `None` before anything is known of it.
    pub(super) read_until: Option<Timestamp>,
    /// Since when it has waited for others.
    waits_since: Option<Duration>,
    connection: Keeping,
}

impl StoredSource {
    pub(super) fn new(source: usize, live: Option<usize>, now: Duration) -> Self {
        Self {
            source,
            live,
            open: BTreeMap::new(),
            last: None,
            later: 0,
            drained_since: None,
            moved: now,
            at_end: None,
            behind_at: None,
            read_until: None,
            waits_since: None,
            connection: Keeping::default(),
        }
    }

    /// Takes note of a message that is handed on.
    pub(super) fn note_message(&mut self, token: Token, stamp: Timestamp, later: u64, now: Duration) {
        self.open.insert(token, stamp);
        (self.last, self.moved) = (Some(stamp), now);
        self.passes_over(later, now);
    }

    /// Takes note of one that goes no further.
    pub(super) fn passes_over(&mut self, later: u64, now: Duration) {
        self.later = later;
        if later == 0 {
            self.at_end = Some(now);
        }
    }

    /// Takes note that messages are safe, or are to come again.
    pub(super) fn settles(&mut self, places: &RangeInclusive<Token>, is_safe: bool) {
        let settled: Vec<_> = self.open.range(places.clone()).map(|(token, _)| *token).collect();
        for token in settled {
            self.open.remove(&token);
            if !is_safe {
                self.later = self.later.max(1);
            }
        }
    }

    /// Takes note of how it is doing. Whether the present is to be shown from its other source.
    pub(super) fn look(&mut self, connection: Keeping, wall: Option<Timestamp>, now: Duration) -> bool {
        self.connection = connection;
        let is_drained = connection.works && connection.waiting == 0 && connection.fetched == 0;
        self.drained_since = is_drained.then(|| self.drained_since.unwrap_or(now));
        if self.drained_since.is_some_and(|since| now.saturating_sub(since.max(self.moved)) > GONE_AFTER) {
            self.later = 0;
        }
        let is_at_end = connection.works && self.left() == 0;
        if is_at_end {
            self.at_end = Some(now);
        }
        self.read_until = match self.open.first_key_value() {
            Some((_, stamp)) => Some(*stamp),
            None if is_at_end => wall.or(self.read_until),
            // What waits begins after what came last.
            None => self.last.or(self.read_until),
        };
        if let (Some(lacking), Some(wall)) = (connection.lacking_for, wall) {
            self.read_until = self.read_until.map(|until| until.min(wall.before(lacking)));
        }
        if self.at_end.is_none_or(|at| now.saturating_sub(at) > BEHIND_AFTER) {
            self.behind_at = Some(now);
        }
        self.behind_at.is_some_and(|at| now.saturating_sub(at) < SHOWN_AFTER)
    }

    /// How many messages wait there.
    fn left(&self) -> u64 {
        self.later.max(self.connection.waiting)
    }

    /// Whether others wait for what it is about to deliver: it is behind, and moves, or has just begun to connect.
    fn is_coming(&self, now: Duration) -> bool {
        (self.left() > 0 || !self.is_begun()) && now.saturating_sub(self.moved) < PATIENCE
    }

    fn is_begun(&self) -> bool {
        self.last.is_some() || self.connection.works
    }

    /// Whether it is left alone for now, as another has older messages.
    pub(super) fn waits(&self, now: Duration) -> bool {
        self.waits_since.is_some_and(|since| now.saturating_sub(since) < WAIT_MAX)
    }
}

/// Marks for each source whether it is left alone for now; returns whether any is waited for.
pub(super) fn note_order(sources: &mut [StoredSource], now: Duration) -> bool {
    if sources.len() < 2 {
        return false;
    }
    let coming = || sources.iter().filter(|source| source.is_coming(now));
    let is_one_unconnected = coming().any(|source| !source.is_begun());
    // What has delivered nothing yet may deliver anything.
    let oldest = coming().map(|source| source.last).min();
    for source in sources {
        let waits = match (source.last, oldest) {
            (Some(last), Some(Some(oldest))) => last.since(oldest) > ORDER_WITHIN,
            (Some(_), Some(None)) => true,
            // Of two of which nothing is known neither waits for the other.
            (None, Some(_)) => is_one_unconnected && source.is_begun(),
            (_, None) => false,
        };
        source.waits_since = waits.then(|| source.waits_since.unwrap_or(now));
    }
    oldest.is_some()
}

#[cfg(test)]
mod tests;
