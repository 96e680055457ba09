//! Requests for the messages of a stream, of which the next is there when one is served.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::json;

use crate::transport::nats::connection::Connection;
use crate::transport::nats::consumer::ConsumerPlan;
use crate::transport::nats::wire::Message;

/// Messages asked for at a time…
const REQUEST_MESSAGES: u64 = 2_000;
/// …and bytes, so that what is under way is little where nobody reads it for a while: a server closes a connection that it
/// cannot write to for ten seconds…
const REQUEST_BYTES: u64 = 1 << 20;
/// …and requests that stand, so that the next is there when one is served.
const REQUESTS: usize = 2;
/// How long a request stands.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How often the server says that there is nothing; one that does not is connected to anew.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(3);
/// Status codes of JetStream: a heartbeat; nothing came in time; a request or its consumer has ended.
const IDLE_HEARTBEAT: u16 = 100;
const REQUEST_TIMEOUT: u16 = 408;
const CONFLICT: u16 = 409;
/// The header of a message whose payload the consumer leaves out, as an operator has configured it.
const PAYLOAD_SIZE: &str = "Nats-Msg-Size";

/// Requests for messages that stand.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The number of each, and how many it may still bring.
    open: VecDeque<(u64, u64)>,
    /// Whether the next message is larger than [`REQUEST_BYTES`]: it is requested by itself.
    is_giant: bool,
}

impl Requests {
    /// Asks for more, so that [`REQUESTS`] stand.
    pub(super) fn fill(&mut self, connection: &mut Connection, plan: &ConsumerPlan) {
        while self.open.len() < REQUESTS {
            let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            let is_giant = std::mem::take(&mut self.is_giant);
            let messages = if is_giant { 1 } else { REQUEST_MESSAGES };
            let mut request = json!({
                "batch": messages,
                "expires": nanoseconds(REQUEST_TIME),
                "idle_heartbeat": nanoseconds(HEARTBEAT),
            });
            if let (Some(request), false) = (request.as_object_mut(), is_giant) {
                request.insert("max_bytes".to_owned(), REQUEST_BYTES.into());
            }
            let (number, reply) = connection.reply_address();
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", plan.stream, plan.name);
            connection.publish(&subject, Some(&reply), request.to_string().as_bytes());
            self.open.push_back((number, messages));
        }
    }

    /// Takes note of what came for the request of this number, or by the stream's own subject; says whether it is a message
    /// of the stream.
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
            return Ok(message.reply.is_some());
        };
        match *code {
            IDLE_HEARTBEAT => {}
            REQUEST_TIMEOUT => self.end(number),
            CONFLICT if text.contains("Exceeds MaxBytes") => {
                let is_it = |(open, left): &(u64, u64)| Some(*open) == number && *left == REQUEST_MESSAGES;
                self.is_giant |= self.open.iter().any(is_it);
                self.end(number);
            }
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

    fn message(status: Option<(u16, &str)>) -> Message {
        let status = status.map(|(code, text)| (code, text.to_owned()));
        Message {
            subject: "power.a".to_owned(),
            reply: Some("back".to_owned()),
            status,
            head: Bytes::new(),
            payload: Bytes::new(),
        }
    }

    #[test]
    fn a_request_stands_until_it_is_served_or_ended() {
        let open = VecDeque::from([(1, 2), (2, 5)]);
        let mut requests = Requests { open, is_giant: false };
        assert_eq!(requests.note(None, &message(None)), Ok(true));
        assert_eq!(requests.note(None, &message(None)), Ok(true));
        assert_eq!(requests.open, [(2, 5)]);
        assert_eq!(requests.note(Some(2), &message(Some((100, "Idle Heartbeat")))), Ok(false));
        assert_eq!(requests.note(Some(1), &message(Some((408, "Request Timeout")))), Ok(false));
        assert_eq!(requests.open, [(2, 5)]);
        assert_eq!(requests.note(Some(2), &message(Some((408, "Request Timeout")))), Ok(false));
        assert_eq!(requests.open, []);
        assert_eq!(requests.note(None, &message(None)), Ok(true));
        for (status, expected) in [
            ((409, "Consumer Deleted"), "the consumer was deleted"),
            (
                (409, "Exceeded MaxRequestBatch of 5"),
                "the consumer limits requests: Exceeded MaxRequestBatch of 5",
            ),
            ((409, "Leadership Change"), "cannot fetch messages: 409 Leadership Change"),
            ((503, ""), "no response from the stream"),
        ] {
            assert_eq!(requests.note(Some(2), &message(Some(status))), Err(expected.to_owned()));
        }
        let cut =
            Message { head: Bytes::from_static(b"NATS/1.0\r\nNats-Msg-Size: 7\r\n\r\n"), ..message(None) };
        assert_eq!(requests.note(None, &cut), Err("the consumer delivers headers only".to_owned()));
    }
    #[test]
    fn a_message_that_is_larger_than_a_request_is_requested_by_itself() {
        let open = VecDeque::from([(1, REQUEST_MESSAGES - 1), (2, REQUEST_MESSAGES)]);
        let mut requests = Requests { open, is_giant: false };
        let full = message(Some((409, "Message Size Exceeds MaxBytes")));
        assert_eq!(requests.note(Some(1), &full), Ok(false));
        assert!(!requests.is_giant, "something was delivered for it");
        assert_eq!(requests.note(Some(2), &full), Ok(false));
        assert!(requests.is_giant && requests.open.is_empty());
    }
}
