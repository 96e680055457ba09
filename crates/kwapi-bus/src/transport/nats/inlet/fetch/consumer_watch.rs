//! Whether the consumer is still what the history requires, and what waits for it. A server does not report that an
//! operator has paused or changed it, or purged the stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::nats::connection::Connection;
use crate::transport::nats::consumer::ConsumerPlan;
use crate::transport::nats::jetstream::{CONSUMER_NOT_FOUND, STREAM_NOT_FOUND, check};
use crate::transport::nats::link::Link;
use crate::transport::nats::wire::Message;

/// How often the server is polled.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The request of one connection that stands.
pub(super) struct ConsumerWatch {
    link: Arc<Link>,
    looked_at: Instant,
    /// Its number, and how many messages had been delivered then.
    requested: Option<(u64, u64)>,
}

impl ConsumerWatch {
    /// Of a consumer that was looked up just now.
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, looked_at: Instant::now(), requested: None }
    }

    /// Sends the request when it is due.
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
    /// When the consumer is not as required, or the server cannot report it, as without a leader of its cluster:
    /// the next connection changes it, or reports why it cannot.
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
        match check(&message.payload) {
            Ok(()) => {}
            Err(_) if message.status.is_some() => return Err("no response from the stream".to_owned()),
            // One that was deleted is reported to the request for messages.
            Err(error) if error.is(CONSUMER_NOT_FOUND) || error.is(STREAM_NOT_FOUND) => return Ok(true),
            Err(error) => return Err(plan.lookup_problem(&error)),
        }
        let Ok(info) = serde_json::from_slice(&message.payload) else { return Ok(true) };
        let state = plan.state(&info)?.ok_or("the configuration of the consumer was changed")?;
        // While messages are delivered, each carries how many come after it.
        if delivered == self.link.messages.load(Ordering::Relaxed) {
            self.link.waiting.store(state.undelivered, Ordering::Relaxed);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::transport::nats::link::NatsSide;

    fn take(status: Option<u16>, answer: &'static str) -> Result<bool, String> {
        let link = Arc::new(Link::new("nats://a/power", NatsSide::Subscribe));
        let mut watch = ConsumerWatch { requested: Some((7, 0)), ..ConsumerWatch::new(link) };
        let plan =
            ConsumerPlan { stream: "power".to_owned(), name: "centre".to_owned(), filters: Vec::new() };
        let status = status.map(|code| (code, String::new()));
        let payload = Bytes::from_static(answer.as_bytes());
        let message = Message { subject: String::new(), reply: None, status, head: Bytes::new(), payload };
        assert_eq!(watch.takes(Some(8), &message, &plan), Ok(false), "another's answer");
        watch.takes(Some(7), &message, &plan)
    }

    #[test]
    fn a_server_without_an_answer_is_a_problem_and_a_consumer_that_is_gone_is_reported_elsewhere() {
        let no_leader = r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#;
        let problem = take(None, no_leader).unwrap_err();
        assert!(problem.starts_with("cannot look up consumer centre: JetStream system"), "{problem}");
        assert!(problem.ends_with("its cluster has no leader now"), "{problem}");
        assert_eq!(take(Some(503), ""), Err("no response from the stream".to_owned()));
        assert!(take(None, "").is_err());
        for gone in [10_014, 10_059] {
            let answer = format!(r#"{{"error":{{"err_code":{gone},"description":"not found"}}}}"#);
            assert_eq!(take(None, answer.leak()), Ok(true));
        }
    }
}
