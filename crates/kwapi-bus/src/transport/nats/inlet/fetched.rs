//! Messages on their way from the thread that fetches to the subscriber's: bounded by their number, and by what they take.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{self, Permit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages that were fetched and the subscriber has not taken yet…
const FETCHED_MAX: usize = 4_096;
/// …and their bytes. One that is larger waits until there is no other.
const BYTES_MAX: u32 = 4 << 20;

/// A message as it was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) subject: String,
    pub(super) payload: Bytes,
    pub(super) place: Option<Place>,
    /// Its place at its site, from its header.
    pub(super) position: Option<String>,
    /// How many more wait for the consumer.
    pub(super) later: u64,
}

/// Where a message stands in a stream, and where to acknowledge it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) sequence: Sequence,
    /// The connection that it came on: no other acknowledges it. A server that has lost its newest messages gives their numbers
    /// to others.
    pub(super) connection: u64,
    pub(super) reply: String,
}

/// What identifies a message of a stream: which stream of this name, as one can be deleted and recreated, the number
/// there, and the end of its payload, which is part of its signature.
pub(super) type Sequence = (u64, u64, [u8; TAIL_BYTES]);

/// Bytes of a payload that are looked at.
pub(super) const TAIL_BYTES: usize = 24;

/// The last bytes of a payload.
pub(super) fn tail(payload: &[u8]) -> [u8; TAIL_BYTES] {
    payload.last_chunk().copied().unwrap_or_else(|| {
        let mut tail = [0; TAIL_BYTES];
        tail.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        tail
    })
}

/// Nobody takes any more.
#[derive(Debug)]
pub(super) struct Ended;

/// What a message takes until the subscriber has it.
type Taken = (Fetched, OwnedSemaphorePermit);

/// The end of the thread that fetches.
#[derive(Clone, Debug)]
pub(super) struct FetchedSender {
    messages: mpsc::Sender<Taken>,
    bytes: Arc<Semaphore>,
}

/// The end of the subscriber.
#[derive(Debug)]
pub(super) struct FetchedReceiver(mpsc::Receiver<Taken>);

/// Room for one message.
pub(super) struct Room<'a>(Permit<'a, Taken>, OwnedSemaphorePermit);

pub(super) fn channel() -> (FetchedSender, FetchedReceiver) {
    let (messages, receiver) = mpsc::channel(FETCHED_MAX);
    let bytes = Arc::new(Semaphore::new(BYTES_MAX as usize));
    (FetchedSender { messages, bytes }, FetchedReceiver(receiver))
}

/// What a message counts.
fn bytes_of(fetched: &Fetched) -> u32 {
    let bytes = fetched.payload.len().saturating_add(fetched.subject.len());
    u32::try_from(bytes).unwrap_or(BYTES_MAX).min(BYTES_MAX)
}

impl FetchedSender {
    /// Waits until there is room for a message. Dropping the future loses nothing.
    pub(super) async fn room(&self, fetched: &Fetched) -> Result<Room<'_>, Ended> {
        let bytes = self.bytes.clone().acquire_many_owned(bytes_of(fetched)).await.map_err(|_| Ended)?;
        let permit = self.messages.reserve().await.map_err(|_| Ended)?;
        Ok(Room(permit, bytes))
    }

    /// Room for a message, if there is some now.
    pub(super) fn room_now(&self, fetched: &Fetched) -> Result<Option<Room<'_>>, Ended> {
        let Ok(bytes) = self.bytes.clone().try_acquire_many_owned(bytes_of(fetched)) else { return Ok(None) };
        match self.messages.try_reserve() {
            Ok(permit) => Ok(Some(Room(permit, bytes))),
            Err(mpsc::error::TrySendError::Full(())) => Ok(None),
            Err(mpsc::error::TrySendError::Closed(())) => Err(Ended),
        }
    }
}

impl Room<'_> {
    pub(super) fn take(self, fetched: Fetched) {
        self.0.send((fetched, self.1));
    }
}

impl FetchedReceiver {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages wait.
    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    pub(super) fn try_recv(&mut self) -> Option<Fetched> {
        self.0.try_recv().ok().map(|(fetched, _)| fetched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(bytes: usize) -> Fetched {
        let payload = Bytes::from(vec![b'x'; bytes]);
        Fetched { subject: String::new(), payload, place: None, position: None, later: 0 }
    }

    #[test]
    fn messages_wait_by_their_bytes_and_one_that_is_larger_than_all_room_passes_alone() {
        let (sender, mut receiver) = channel();
        let send = |bytes: usize| {
            let message = fetched(bytes);
            sender.room_now(&message).unwrap().map(|room| room.take(message)).is_some()
        };
        assert!(send(3 << 20) && !send(3 << 20) && send(1 << 20) && !send(1));
        assert_eq!(receiver.try_recv().map(|it| it.payload.len()), Some(3 << 20));
        assert!(!send(100 << 20) && send(100));
        while receiver.try_recv().is_some() {}
        assert!(send(100 << 20) && !send(1));
        assert!(receiver.try_recv().is_some());
        let count = (0..2 * FETCHED_MAX).filter(|_| send(1)).count();
        assert_eq!(count, FETCHED_MAX);
        drop(receiver);
        assert!(sender.room_now(&fetched(1)).is_err());
    }
}
