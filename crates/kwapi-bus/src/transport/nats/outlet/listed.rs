//! The consumers that a site keeps its messages for, and each one's reported position.

use std::time::Duration;

use kwapi_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::transport::nats::position::{PositionKeys, Standing, StandingRefusal};

/// A report older than this is rejected…
const AGE_MAX: Duration = Duration::from_secs(300);
/// …and so is one stamped further ahead than this.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// Consumers of an endpoint.
pub(crate) const CONSUMERS_MAX: usize = 8;

/// The listed consumers of one stream.
#[derive(Debug)]
pub(in crate::transport::nats) struct ListedConsumers {
    spool: String,
    all: Vec<Listed>,
    refused: [u64; StandingRefusal::ALL.len()],
    /// What keeps their reports from being received.
    pub(in crate::transport::nats) trouble: Option<String>,
    /// Up to where the server has confirmed the messages of the spool, or never will.
    pub(super) reached: u64,
    /// Messages that were sent again.
    pub(in crate::transport::nats) repeated: u64,
}

/// A listed consumer, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::transport::nats) struct Listed {
    pub(in crate::transport::nats) name: String,
    /// Up to here it has everything on its disk; 0 where it never reported.
    pub(in crate::transport::nats) durable: u64,
    /// The stamp of its latest report, Unix µs; 0 where there was none.
    #[serde(rename = "said_us")]
    pub(in crate::transport::nats) reported_us: u64,
}

impl ListedConsumers {
    pub(super) fn new(spool: String, names: &[String]) -> Self {
        let all = names.iter().map(|name| Listed { name: name.clone(), ..Listed::default() }).collect();
        let refused = [0; StandingRefusal::ALL.len()];
        Self { spool, all, refused, trouble: None, reached: 0, repeated: 0 }
    }

    /// Takes up what is known of those that are listed still.
    pub(super) fn remember(&mut self, known: &[Listed]) {
        for listed in &mut self.all {
            if let Some(known) = known.iter().find(|known| known.name == listed.name) {
                listed.clone_from(known);
            }
        }
    }

    pub(in crate::transport::nats) fn all(&self) -> &[Listed] {
        &self.all
    }

    /// Up to here every listed consumer has everything on its disk.
    pub(super) fn durable(&self) -> u64 {
        self.all.iter().map(|listed| listed.durable).min().unwrap_or_default()
    }

    /// How often a report was refused, by cause.
    pub(in crate::transport::nats) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        StandingRefusal::ALL.iter().map(|cause| cause.name()).zip(self.refused)
    }

    /// Receives a report of a consumer's position. `pass` is the present one, `newest` the greatest number there is.
    /// Returns the number after which it lacks something, if it does.
    ///
    /// # Errors
    /// When it is refused, which is counted.
    pub(super) fn receive(
        &mut self,
        payload: &[u8],
        keys: &PositionKeys,
        now: Timestamp,
        pass: u64,
        newest: u64,
    ) -> Result<Option<u64>, StandingRefusal> {
        self.verify(payload, keys, now, pass, newest).inspect_err(|cause| {
            if let Some(count) = self.refused.get_mut(*cause as usize) {
                *count += 1;
            }
        })
    }

    fn verify(
        &mut self,
        payload: &[u8],
        keys: &PositionKeys,
        now: Timestamp,
        pass: u64,
        newest: u64,
    ) -> Result<Option<u64>, StandingRefusal> {
        let standing = Standing::read(payload, keys)?;
        let listed = self.all.iter_mut().find(|listed| listed.name == standing.consumer);
        let Some(listed) = listed.filter(|_| standing.spool == self.spool) else {
            return Err(StandingRefusal::Foreign);
        };
        if now.since(standing.at) > AGE_MAX || standing.at.since(now) > AHEAD_MAX {
            return Err(StandingRefusal::Clock);
        }
        if standing.at.micros() <= listed.reported_us {
            return Err(StandingRefusal::Replayed);
        }
        if standing.taken > newest {
            return Err(StandingRefusal::Ahead);
        }
        listed.reported_us = standing.at.micros();
        // A journal that was restored has less: what was released is gone.
        listed.durable = listed.durable.max(standing.durable);
        // In what an earlier pass delivers, anything may be missing.
        Ok((standing.missing == pass).then_some(standing.taken))
    }
}

#[cfg(test)]
mod tests;
