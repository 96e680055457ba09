//! What waits for slow listeners, in sum. libzmq bounds the queue of each connection and not all of them: here the bound
//! of each falls as connections become many.

use std::time::{Duration, Instant};

use zmq_sys::bounds;

use super::OpenSocket;

/// So many connections have whole queues; of more, each has its share of these.
const WHOLE_QUEUES: u64 = 8;
/// No share is less than this many messages, or than the whole queue is.
const SHARE_MIN: i32 = 64;
/// A connection that has come is found this late at the latest: where another has gone, their number is as before.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// The queues of the listeners that come to bound endpoints of a publisher or forwarder.
#[derive(Debug)]
pub(crate) struct ListenerQueues {
    /// How many connections there were when it last looked, and when that was.
    connections: u64,
    looked_at: Instant,
}

impl ListenerQueues {
    /// Queues as they are opened: whole.
    pub(crate) fn new() -> Self {
        Self { connections: 0, looked_at: Instant::now() }
    }

    /// Gives each listener its share. To be called after each wait of the thread that owns `sockets`.
    pub(crate) fn share<'s>(&mut self, sockets: impl IntoIterator<Item = &'s OpenSocket>) {
        let connections = bounds::connections();
        let had_whole = self.connections <= WHOLE_QUEUES;
        let is_due = connections > WHOLE_QUEUES && self.looked_at.elapsed() >= LOOKED_AT_EVERY;
        let has_changed = connections != self.connections && !(had_whole && connections <= WHOLE_QUEUES);
        if !has_changed && !is_due {
            return;
        }
        (self.connections, self.looked_at) = (connections, Instant::now());
        for open in sockets.into_iter().filter(|open| open.is_open_to_all()) {
            // libzmq puts it to the connections that stand, too.
            if let Err(error) = open.socket.set_sndhwm(share_of(open.high_water(), connections)) {
                tracing::warn!(%error, "cannot bound the queues of slow subscribers");
            }
        }
    }
}

/// How many messages may wait for each of so many listeners.
fn share_of(high_water: i32, connections: u64) -> i32 {
    let each = u64::from(high_water.unsigned_abs()).saturating_mul(WHOLE_QUEUES) / connections.max(1);
    i32::try_from(each).unwrap_or(i32::MAX).max(SHARE_MIN).min(high_water)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_have_whole_queues_and_more_have_their_share_of_these() {
        for (high_water, connections, expected) in [
            (400_000, 0, 400_000),
            (400_000, 8, 400_000),
            (400_000, 9, 355_555),
            (400_000, 4_096, 781),
            (2_000, 100, 160),
            (2_000, 4_096, 64),
            (10, 4_096, 10),
            (i32::MAX, 1, i32::MAX),
        ] {
            assert_eq!(share_of(high_water, connections), expected, "{high_water} for {connections}");
        }
    }
}
