//! Whether the consumer is still what the history requires, and what waits for it. A server does not say that an operator has
//! paused or changed it, or purged the stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::nats::connection::Connection;
use crate::transport::nats::consumer::ConsumerPlan;
use crate::transport::nats::jetstream::check;
use crate::transport::nats::link::Link;
use crate::transport::nats::wire::Message;

/// How often the server is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The request of one connection that stands.
pub(super) struct ConsumerWatch {
    link: Arc<Link>,
    looked_at: Instant,
    /// Its number, and how many messages had been brought then.
    requested: Option<(u64, u64)>,
}

impl ConsumerWatch {
    /// Of a consumer that was looked up just now.
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, looked_at: Instant::now(), requested: None }
    }

    /// Asks when it is time.
    pub(super) fn request(&mut self, connection: &mut Connection, plan: &ConsumerPlan) {
        if self.looked_at.elapsed() > LOOK_INTERVAL {
            let (number, reply) = connection.reply_address();
            connection.publish(&format!("$JS.API.{}", plan.info_request()), Some(&reply), b"");
            self.requested = Some((number, self.link.messages.load(Ordering::Relaxed)));
            self.looked_at = Instant::now();
        }
    }

    /// Whether a message is the answer; it is taken note of.
    ///
    /// # Errors
    /// When the consumer is not as it is wanted: the next connection changes it, or tells why it cannot.
    pub(super) fn takes(
        &mut self,
        number: Option<u64>,
        message: &Message,
        plan: &ConsumerPlan,
    ) -> Result<bool, String> {
        let Some((_, delivered)) = self.requested.filter(|(requested, _)| Some(*requested) == number) else {
            return Ok(false);
        };
        self.requested = None;
        // One that was deleted is told to the request for messages.
        if check(&message.payload).is_err() {
            return Ok(true);
        }
        let Ok(info) = serde_json::from_slice(&message.payload) else { return Ok(true) };
        let state = plan.state(&info)?.ok_or("the configuration of the consumer was changed")?;
        // Of what is being brought, each message says how many come after it.
        if delivered == self.link.messages.load(Ordering::Relaxed) {
            self.link.waiting.store(state.undelivered, Ordering::Relaxed);
        }
        Ok(true)
    }
}
