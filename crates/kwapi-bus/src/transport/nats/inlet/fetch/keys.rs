//! Keys that change while messages are fetched: where another key may verify what was set aside, the stream is read again, in
//! order (ADR 0057).

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::super::aside::SETTLE_MAX;
use super::super::fetched::Place;
use super::{ACKNOWLEDGEMENTS_MAX, Fetcher};
use crate::transport::nats::connection::Connection;
use crate::transport::nats::consumer::{ConsumerPlan, ConsumerState};

/// How often it is looked whether they are.
const KEYS_INTERVAL: Duration = Duration::from_millis(10);

impl Fetcher {
    /// Where keys were accepted with which the stream is to be read again, waits until what was delivered is settled (a few
    /// seconds at most: what a journal let go of comes again) and messages are verified with these keys.
    pub(super) async fn settle_keys(&mut self) -> Result<(), String> {
        let Some(aside) = self.aside.clone().filter(|aside| aside.is_due()) else { return Ok(()) };
        let until = Instant::now() + SETTLE_MAX;
        let mut places = Vec::new();
        while !self.known.open.is_empty() {
            let settled = self.acknowledgements.recv_many(&mut places, ACKNOWLEDGEMENTS_MAX);
            match timeout_at(until, settled).await {
                // The subscriber has ended, which the next wait for its acknowledgements finds.
                Ok(0) => return Ok(()),
                Ok(_) => self.settle(places.drain(..)).await?,
                Err(_) => break,
            }
        }
        aside.drained();
        let until = Instant::now() + SETTLE_MAX;
        while !aside.is_ready() && Instant::now() < until {
            self.waker.wake();
            sleep(KEYS_INTERVAL).await;
        }
        Ok(())
    }

    /// Has the stream read again from the first message that no key verified, where one may now; the consumer's state then.
    pub(super) async fn read_again(
        &mut self,
        connection: &mut Connection,
        plan: &ConsumerPlan,
        state: Option<&ConsumerState>,
    ) -> Result<Option<ConsumerState>, String> {
        let Some(aside) = &self.aside else { return Ok(None) };
        // What is settled without a hole; an earlier process has acknowledged what it received.
        let delivered = self.known.open.first().map_or(self.known.newest, |first| first.saturating_sub(1));
        let acknowledged = state.map_or(0, |state| state.acknowledged);
        let Some(recall) = aside.recall(delivered.max(acknowledged)) else { return Ok(None) };
        aside.write().await?;
        let tag = recall.tag();
        if state.is_some_and(|state| state.recall.as_deref() == Some(&*tag)) {
            return Ok(None); // Under way.
        }
        let state = plan.set_back(connection, recall.from, &tag).await?;
        (self.known.newest, self.known.open) = (recall.from.saturating_sub(1), BTreeSet::new());
        Ok(Some(state))
    }

    /// Takes note that messages are settled; what of them was set aside is on the disk then.
    pub(super) async fn settle(
        &mut self,
        places: impl Iterator<Item = impl Borrow<Place>>,
    ) -> Result<(), String> {
        for place in places {
            let (generation, number, _) = place.borrow().sequence;
            if generation == self.known.generation {
                self.known.open.remove(&number);
            }
        }
        let Some(aside) = &self.aside else { return Ok(()) };
        aside.settled(self.known.open.first().copied().unwrap_or(self.known.newest.saturating_add(1)));
        aside.write().await
    }
}
