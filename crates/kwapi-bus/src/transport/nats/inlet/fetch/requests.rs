//! Requests for the messages of a stream, of which the next is there when one is served.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::json;

use crate::transport::nats::connection::Connection;
use crate::transport::nats::consumer::ConsumerPlan;
use crate::transport::nats::jetstream::Delivered;
use crate::transport::nats::wire::Message;

/// Messages requested at a time, each of which may be a batch of 16 KiB: what is in flight is little where nobody reads
/// for a while…
const REQUEST_MESSAGES: u64 = 250;
/// …and requests that stand, so that the next is there when one is served.
const REQUESTS: usize = 2;
/// How long a request stands: so long it takes messages with it where its connection is dead and the server has not noticed.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How often the server reports that there is nothing; one that does not is reconnected to.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(3);
/// Status codes of JetStream: a heartbeat; nothing came in time; a request or its consumer has ended.
const IDLE_HEARTBEAT: u16 = 100;
const REQUEST_TIMEOUT: u16 = 408;
const CONFLICT: u16 = 409;
/// The header of a message whose payload the consumer leaves out, as an operator has configured it.
const PAYLOAD_SIZE: &str = "Nats-Msg-Size";

/// The requests of one connection, of a consumer that was made or set back just now.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Those that stand: the number of each, and how many messages it may still deliver.
    open: VecDeque<(u64, u64)>,
    /// How many messages were delivered for all of them.
    delivered: u64,
}

impl Requests {
    /// Requests more, so that [`REQUESTS`] stand.
    pub(super) fn fill(&mut self, connection: &mut Connection, plan: &ConsumerPlan) {
        while self.open.len() < REQUESTS {
            let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            let request = json!({
                "batch": REQUEST_MESSAGES,
                "expires": nanoseconds(REQUEST_TIME),
                "idle_heartbeat": nanoseconds(HEARTBEAT),
            });
            let (number, reply) = connection.reply_address();
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", plan.stream, plan.name);
            connection.publish(&subject, Some(&reply), request.to_string().as_bytes());
            self.open.push_back((number, REQUEST_MESSAGES));
        }
    }

    /// Takes note of what was received for the request of this number, or by the stream's own subject; returns whether
    /// it is a message of the stream.
    ///
    /// # Errors
    /// When there will be no more: why.
    pub(super) fn note(&mut self, number: Option<u64>, message: &Message) -> Result<bool, String> {
        let Some((code, text)) = &message.status else {
            if message.payload.is_empty() && message.header(PAYLOAD_SIZE).is_some() {
                return Err("the consumer delivers headers only".to_owned());
            }
            // A message of the stream has its own subject: it serves the oldest request that stands.
            if let Some((_, left)) = self.open.front_mut() {
                *left -= 1;
                if *left == 0 {
                    self.open.pop_front();
                }
            }
            let Some(delivered) = message.reply.as_deref().and_then(Delivered::read) else {
                return Ok(false);
            };
            self.delivered += 1;
            if delivered.delivery != self.delivered {
                // It comes back after seconds, when later ones have been taken: all that follows is fetched again, in order.
                return Err("some messages were delivered to another client of the consumer; each history \
                            requires a consumer of its own"
                    .to_owned());
            }
            return Ok(true);
        };
        match *code {
            IDLE_HEARTBEAT => {}
            REQUEST_TIMEOUT => self.end(number),
            CONFLICT if text.contains("Deleted") => return Err("the consumer was deleted".to_owned()),
            // A limit of the consumer that is not ours: it is removed by the next connection.
            CONFLICT if text.contains("Exceeded MaxRequest") => {
                return Err(format!("the consumer limits requests: {text}"));
            }
            CONFLICT if text.contains("Batch Completed") || text.contains("Exceeded") => self.end(number),
            503 => return Err("no response from the stream".to_owned()),
            code => return Err(format!("cannot fetch messages: {code} {text}")),
        }
        Ok(false)
    }

    fn end(&mut self, number: Option<u64>) {
        self.open.retain(|(open, _)| Some(*open) != number);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(status: Option<(u16, &str)>, delivery: u64) -> Message {
        Message {
            subject: "power.a".to_owned(),
            reply: Some(format!("$JS.ACK.power.centre.1.300.{delivery}.1790000000000000000.5")),
            status: status.map(|(code, text)| (code, text.to_owned())),
            head: Bytes::new(),
            payload: Bytes::new(),
        }
    }

    fn status(code: u16, text: &str) -> Message {
        message(Some((code, text)), 0)
    }

    #[test]
    fn a_request_stands_until_it_is_served_or_ended() {
        let mut requests = Requests { open: VecDeque::from([(1, 2), (2, 5)]), delivered: 0 };
        assert_eq!(requests.note(None, &message(None, 1)), Ok(true));
        assert_eq!(requests.note(None, &message(None, 2)), Ok(true));
        assert_eq!(requests.open, [(2, 5)]);
        assert_eq!(requests.note(Some(2), &status(100, "Idle Heartbeat")), Ok(false));
        assert_eq!(requests.note(Some(1), &status(408, "Request Timeout")), Ok(false));
        assert_eq!(requests.open, [(2, 5)]);
        assert_eq!(requests.note(Some(2), &status(408, "Request Timeout")), Ok(false));
        assert_eq!(requests.open, []);
        assert_eq!(requests.note(None, &message(None, 3)), Ok(true));
        for ((code, text), expected) in [
            ((409, "Consumer Deleted"), "the consumer was deleted"),
            (
                (409, "Exceeded MaxRequestBatch of 5"),
                "the consumer limits requests: Exceeded MaxRequestBatch of 5",
            ),
            ((409, "Leadership Change"), "cannot fetch messages: 409 Leadership Change"),
            ((503, ""), "no response from the stream"),
        ] {
            assert_eq!(requests.note(Some(2), &status(code, text)), Err(expected.to_owned()));
        }
        let cut =
            Message { head: Bytes::from_static(b"NATS/1.0\r\nNats-Msg-Size: 7\r\n\r\n"), ..message(None, 4) };
        assert_eq!(requests.note(None, &cut), Err("the consumer delivers headers only".to_owned()));
    }

    #[test]
    fn a_message_that_does_not_follow_the_one_before_is_not_taken() {
        for deliveries in [&[2][..], &[1, 2, 4], &[1, 1], &[1, 2, 1]] {
            let mut requests = Requests::default();
            let (last, before) = deliveries.split_last().unwrap();
            for delivery in before {
                assert_eq!(requests.note(None, &message(None, *delivery)), Ok(true), "{deliveries:?}");
            }
            let problem = requests.note(None, &message(None, *last)).unwrap_err();
            assert!(problem.contains("another client of the consumer"), "{problem}");
        }
        let mut requests = Requests::default();
        let other = Message { reply: Some("back".to_owned()), ..message(None, 0) };
        assert_eq!(requests.note(None, &other), Ok(false), "it is not of a consumer");
        assert_eq!(requests.note(None, &message(None, 1)), Ok(true));
    }
}
