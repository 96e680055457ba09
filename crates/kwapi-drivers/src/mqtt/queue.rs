//! The messages of one meter that wait to be read.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::driver::DriverError;

/// Full: the oldest is dropped and counted. A meter reads as fast as it can, so this is some seconds of a busy
/// broker.
const MESSAGES_MAX: usize = 1024;
/// So many bytes of topics and payloads likewise: a broker may send messages of 256 KiB.
const BYTES_MAX: usize = 4 << 20;

/// One message of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// Kept by the broker from some earlier time.
    pub(super) is_retained: bool,
}

impl Message {
    fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// Why no more messages come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Lost(String),
    Refused(String),
}

impl From<End> for DriverError {
    fn from(end: End) -> Self {
        match end {
            End::Lost(why) => Self::link(why),
            End::Refused(why) => Self::Refused(why),
        }
    }
}

/// Filled by the connection, emptied by one meter.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    dropped: u64,
    end: Option<End>,
}

impl Queue {
    pub(super) fn push(&self, message: Message) {
        let mut state = self.state.lock();
        state.bytes += message.bytes();
        while state.messages.len() >= MESSAGES_MAX || state.bytes > BYTES_MAX {
            let Some(oldest) = state.messages.pop_front() else { break };
            state.bytes -= oldest.bytes();
            state.dropped += 1;
        }
        state.messages.push_back(message);
        drop(state);
        self.changed.notify_one();
    }

    /// No more will come; what is queued can still be read.
    pub(super) fn end(&self, end: End) {
        self.state.lock().end.get_or_insert(end);
        self.changed.notify_one();
    }

    /// The oldest message, waited for; loses none when cancelled.
    pub(super) async fn next(&self) -> Result<Message, End> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                if let Some(message) = state.messages.pop_front() {
                    state.bytes -= message.bytes();
                    return Ok(message);
                }
                if let Some(end) = &state.end {
                    return Err(end.clone());
                }
            }
            changed.await;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: usize) -> Message {
        Message { topic: n.to_string(), payload: Vec::new(), is_retained: false }
    }

    #[tokio::test]
    async fn a_full_queue_drops_its_oldest_and_counts() {
        let queue = Queue::default();
        for n in 0..MESSAGES_MAX + 3 {
            queue.push(message(n));
        }
        queue.end(End::Lost("gone".to_owned()));
        queue.end(End::Refused("later".to_owned()));
        assert_eq!((queue.dropped(), queue.next().await), (3, Ok(message(3))));
        for n in 4..MESSAGES_MAX + 3 {
            assert_eq!(queue.next().await, Ok(message(n)));
        }
        for _ in 0..2 {
            assert_eq!(queue.next().await, Err(End::Lost("gone".to_owned())), "the first end stays");
        }
    }

    #[tokio::test]
    async fn large_messages_are_bounded_by_their_bytes() {
        let queue = Queue::default();
        let large = |n: usize| Message { payload: vec![0; 256 << 10], ..message(n) };
        for n in 0..20 {
            queue.push(large(n));
        }
        let first = queue.next().await.expect("a message").topic;
        assert_eq!((queue.dropped(), first.as_str()), (5, "5"));
        queue.push(large(20));
        assert_eq!(queue.dropped(), 5, "what was taken makes room");
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let queue = Queue::default();
        let (next, ()) = tokio::join!(queue.next(), async { queue.push(message(1)) });
        assert_eq!(next, Ok(message(1)));
    }
}
