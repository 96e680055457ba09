//! What is accepted from a source: pure over frames, whatever the transport. No socket, and no clock except as an
//! argument.

mod clocks;
mod skew;

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;

pub(crate) use clocks::{ArrivalTime, ClockWatch};
pub use skew::Skew;
pub(crate) use skew::Skews;

use crate::key::{Key, KeyError, Scheme};
use crate::message::{Verified, Verifier};
use crate::refusal::Refusal;

/// One stamp far ahead ends an RRD, and hides the present until its time has come.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// How old a measurement may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgeLimits {
    /// Where nothing stores messages on the way.
    pub(crate) live: Duration,
    /// Where something does.
    pub(crate) stored: Duration,
}

/// How the messages of one source are verified: its keys, and how old they may be.
#[derive(Debug)]
pub(crate) struct Verification {
    verifier: Verifier,
    /// In the order of the verifier's keys.
    keys: Vec<Key>,
    /// See [`Key::print`]; in their order.
    prints: Vec<String>,
    age_max: AgeLimits,
    skews: Arc<Skews>,
}

impl Verification {
    /// For the source at `url`, whose messages are signed with one of `keys` under `scheme`.
    pub(crate) fn new(
        url: String,
        scheme: Scheme,
        keys: impl IntoIterator<Item = Key>,
        age_max: AgeLimits,
    ) -> Result<Self, KeyError> {
        let keys: Vec<Key> = keys.into_iter().collect();
        let verifier = Verifier::new(scheme, keys.iter().cloned())?;
        let skews = Arc::new(Skews::new(url, verifier.key_ids()));
        let prints = keys.iter().map(Key::print).collect();
        Ok(Self { verifier, keys, prints, age_max, skews })
    }

    /// The same, which notes in `skews` what it finds of its publishers' clocks: those of a source with the same keys.
    #[must_use]
    pub(crate) fn with_skews(self, skews: Arc<Skews>) -> Self {
        Self { skews, ..self }
    }

    /// What distinguishes the key at a place from others ([`Key::print`]).
    pub(crate) fn print(&self, key: usize) -> Option<&str> {
        self.prints.get(key).map(String::as_str)
    }

    /// How far its publishers' clocks are from ours.
    pub(crate) fn skews(&self) -> &Arc<Skews> {
        &self.skews
    }

    /// Reads one message, and judges its key and its age. Its publisher's skew is measured before its age is judged.
    pub(crate) fn verify(
        &self,
        frames: &[&[u8]],
        present: &ArrivalTime,
        is_live: bool,
    ) -> Result<Verified, Refusal> {
        let verified = self.verifier.decode(frames)?;
        let index = verified.key.as_ref().map_or(0, |(index, _)| *index);
        // By the message's own stamp, whose age is judged below: what is on its way when a key ends is not lost.
        let stamp = verified.measurement.accounting.as_ref().map(|accounting| accounting.timestamp);
        let at = stamp.or_else(|| present.label());
        if let Some((key, at)) = self.keys.get(index).zip(at)
            && !key.is_valid(at)
        {
            return Err(Refusal::KeyValidity);
        }
        if let Some(accounting) = &verified.measurement.accounting {
            // What waited in a store shows nothing about its publisher's clock.
            if is_live || present.wall.since(accounting.timestamp) <= self.age_max.live {
                self.skews.observe(index, present, accounting.timestamp);
            }
            self.judge_age(accounting.timestamp, present, is_live)?;
        } else if present.label().is_none() {
            return Err(Refusal::Clock);
        }
        Ok(verified)
    }

    /// A stamp is in time if it is by the wall clock as it is, or as it was before it was set a moment ago: what was
    /// stamped by the same clock just before is neither late nor early. Where our clock is known to be wrong, the
    /// time is taken from the publishers' clocks, and what is on record is not reported again.
    fn judge_age(&self, stamp: Timestamp, present: &ArrivalTime, is_live: bool) -> Result<(), Refusal> {
        let max_age = if is_live { self.age_max.live } else { self.age_max.stored };
        let judge = |now: Timestamp| {
            if stamp.since(now) > AHEAD_MAX {
                return Err(Refusal::Future);
            }
            if now.since(stamp) > max_age {
                return Err(Refusal::Stale);
            }
            Ok(())
        };
        judge(present.wall).or_else(|cause| {
            if present.as_before.iter().any(|before| judge(*before).is_ok()) {
                return Ok(());
            }
            match self.by_publishers(present) {
                Some(_) if stamp.after(max_age) < present.not_before => Err(Refusal::Stale),
                Some(now) => judge(now),
                None => Err(cause),
            }
        })
    }

    /// The time by the publishers' clocks, where our own clock is known to be wrong. The first of all to send is its
    /// own witness.
    fn by_publishers(&self, present: &ArrivalTime) -> Option<Timestamp> {
        let witness = || Skews::agreed(std::iter::once(&*self.skews), present.monotonic);
        if present.is_wall_wrong() { present.by_publishers.or_else(witness) } else { None }
    }
}

#[cfg(test)]
mod tests;
