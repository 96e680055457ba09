//! Keys that change while messages are fetched: where another key may verify what was set aside, the stream is read again, in
//! order (ADR 0057).

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::super::aside::{Aside, SETTLE_MAX};
use super::super::fetched::Place;
use super::{ACKNOWLEDGEMENTS_MAX, Fetcher};
use crate::transport::nats::connection::Connection;
use crate::transport::nats::consumer::{ConsumerPlan, ConsumerState};

/// How often it is looked whether a consumer may be made again that has to be.
const RIGHT_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked whether they are.
const KEYS_INTERVAL: Duration = Duration::from_millis(10);

/// Whether the server lets the consumer be made again, where messages cannot be read again without.
pub(super) struct RightWatch {
    looked_at: Instant,
    /// The number of the request that stands.
    requested: Option<u64>,
}

impl RightWatch {
    /// Of a connection on which the consumer was looked up just now, and the right with it.
    pub(super) fn new() -> Self {
        Self { looked_at: Instant::now(), requested: None }
    }

    /// Sends the request when it is due.
    pub(super) fn request(
        &mut self,
        connection: &mut Connection,
        plan: &ConsumerPlan,
        aside: Option<&Aside>,
    ) {
        if self.looked_at.elapsed() > RIGHT_INTERVAL && aside.is_some_and(Aside::is_withholding) {
            self.requested = Some(plan.request_deletion(connection));
            self.looked_at = Instant::now();
        }
    }

    /// Whether a message is the answer, which comes where it is allowed.
    pub(super) fn takes(&mut self, number: Option<u64>, aside: Option<&Aside>) -> bool {
        let is_answer = number.is_some() && number == self.requested;
        if is_answer {
            self.requested = None;
            aside.into_iter().for_each(Aside::try_again);
        }
        is_answer
    }
}

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
        let under_way = state.and_then(|state| state.recall.as_deref());
        let Some(from) = aside.wanted(under_way) else {
            aside.is_read();
            return Ok(None);
        };
        if state.is_some_and(|state| !state.reaches(from)) && !plan.may_be_deleted(connection).await? {
            // All continues as before those keys were accepted.
            aside.withhold(under_way, plan.deletion_problem());
            aside.write().await?;
            return Ok(None);
        }
        // What is settled without a hole; an earlier process has acknowledged what it received.
        let delivered = self.known.open.first().map_or(self.known.newest, |first| first.saturating_sub(1));
        let acknowledged = state.map_or(0, |state| state.acknowledged);
        let Some(recall) = aside.recall(delivered.max(acknowledged)) else { return Ok(None) };
        aside.write().await?;
        let state = plan.set_back(connection, recall.from, &recall.tag()).await?;
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
