//! Receiving what is published: by a plain subscription, which keeps nothing and gets no acknowledgements.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Ended, Fetched, Fetcher};
use crate::transport::nats::RETRY_INTERVAL;
use crate::transport::nats::connection::{Connection, Event};
use crate::transport::nats::wire::Message;

/// What shows the present and is not allowed to is tried again after so long.
const NOT_ALLOWED_INTERVAL: Duration = Duration::from_secs(60);

/// Why what is published is no longer received, while the connection stands.
enum LiveOutcome {
    /// Nobody takes any more.
    Ended,
    /// The server does not allow it.
    NotAllowed(String),
}

impl Fetcher {
    /// Receives what is published while that is requested, until nobody takes any more. What shows the present `ahead`
    /// of the record is dropped where there is no room.
    pub(in super::super) async fn fetch_live(&mut self, mut wanted: watch::Receiver<bool>, is_ahead: bool) {
        loop {
            let mut connection = self.servers.open(&self.link).await;
            let wait = match self.receive(&mut connection, &mut wanted, is_ahead).await {
                Ok(LiveOutcome::Ended) => return,
                Ok(LiveOutcome::NotAllowed(complaint)) => {
                    self.link.fails(format!("the server reports: {complaint}"));
                    // Only its configuration changes that, and its record is kept all the same.
                    if is_ahead { NOT_ALLOWED_INTERVAL } else { RETRY_INTERVAL }
                }
                Err(problem) => {
                    self.link.fails(problem);
                    RETRY_INTERVAL
                }
            };
            sleep(wait).await;
        }
    }

    async fn receive(
        &mut self,
        connection: &mut Connection,
        wanted: &mut watch::Receiver<bool>,
        is_ahead: bool,
    ) -> Result<LiveOutcome, String> {
        // Also where it is not wanted now: whether it is allowed shows before it is needed.
        let mut subscriptions: Vec<u64> =
            self.filters.iter().map(|filter| connection.subscribe(filter)).collect();
        // Once it has read them, it has reported what it does not allow.
        connection.settle().await?;
        let mut is_reported = false;
        let mut places = Vec::new();
        loop {
            if !connection.has_early() && !std::mem::replace(&mut is_reported, true) {
                self.link.works();
            }
            let is_wanted = *wanted.borrow_and_update();
            if is_reported && is_wanted == subscriptions.is_empty() {
                if is_wanted {
                    subscriptions = self.filters.iter().map(|filter| connection.subscribe(filter)).collect();
                } else {
                    subscriptions.drain(..).for_each(|number| connection.unsubscribe(number));
                }
                connection.flush().await?;
            }
            tokio::select! {
                event = connection.next() => match event? {
                    Event::Complaint(complaint) => return Ok(LiveOutcome::NotAllowed(complaint)),
                    Event::Message(message) => {
                        let count = self.count(&message);
                        let Message { subject, payload, .. } = message;
                        let fetched = Fetched { subject, payload, place: None, position: None, later: 0 };
                        let is_taken = if is_ahead {
                            self.show(fetched, count)
                        } else {
                            self.fetched.room(&fetched).await.map(|room| room.take(fetched)).is_ok()
                        };
                        if !is_taken {
                            return Ok(LiveOutcome::Ended);
                        }
                        self.waker.wake();
                    }
                },
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return Ok(LiveOutcome::Ended);
                    }
                }
                count = self.acknowledgements.recv_many(&mut places, 1) => {
                    if count == 0 {
                        return Ok(LiveOutcome::Ended);
                    }
                    places.clear();
                }
            }
        }
    }

    /// Hands on what shows the present; where there is no room it is dropped and counted. Whether anybody takes any more.
    fn show(&self, fetched: Fetched, count: u64) -> bool {
        match self.fetched.room_now(&fetched) {
            Ok(Some(room)) => room.take(fetched),
            Ok(None) => _ = self.link.dropped.fetch_add(count, Ordering::Relaxed),
            Err(Ended) => return false,
        }
        true
    }
}
