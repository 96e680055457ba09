//! The forwarder's thread: messages downstream, subscriptions upstream, beacons round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kwapi_core::{Timestamp, WallClock};
use zmq::Message;

use super::Counts;
use super::beacon::{self, BeaconAction, Beacons};
use super::link::{LinkCounts, Upstream};
use super::subscriptions::{SubscriptionFrame, Subscriptions, subscription_frame};
use crate::transport::zeromq::{ListenerQueues, OpenSocket};
use crate::worker::STOP_POLL_MS;

/// How many messages one socket may deliver before the next has its turn.
const TURN_MAX: usize = 1_024;
/// Before the stamp of a message of ours.
const STAMP: &[u8] = b"\"timestamp_us\":";

/// A link on which a forwarder is listened to.
pub(super) struct Downstream {
    pub(super) open: OpenSocket,
    pub(super) counts: Arc<LinkCounts>,
    /// Whether a forwarder listens there. Others are sent no beacons.
    pub(super) receives_beacons: bool,
}

/// What the thread works with.
pub(super) struct Relay {
    upstream: Vec<Upstream>,
    downstream: Vec<Downstream>,
    counts: Arc<Counts>,
    wall: WallClock,
    beacons: Beacons,
    subscriptions: Subscriptions,
}

impl Relay {
    pub(super) fn new(
        upstream: Vec<Upstream>,
        downstream: Vec<Downstream>,
        counts: Arc<Counts>,
        wall: WallClock,
    ) -> Self {
        let (beacons, subscriptions) = (Beacons::new(), Subscriptions::default());
        Self { upstream, downstream, counts, wall, beacons, subscriptions }
    }

    /// Until requested to stop, or the bus fails as a whole.
    pub(super) fn run(&mut self, stop: &AtomicBool) {
        let mut queues = ListenerQueues::new();
        let mut beacon_at = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            queues.share(self.downstream.iter().map(|link| &link.open));
            let mut items: Vec<_> = self
                .downstream
                .iter()
                .map(|link| &link.open)
                .chain(self.upstream.iter().filter_map(Upstream::socket))
                .map(|open| open.socket.as_poll_item(zmq::POLLIN))
                .collect();
            match zmq::poll(&mut items, STOP_POLL_MS) {
                Ok(_) | Err(zmq::Error::EINTR) => {}
                Err(error) => {
                    tracing::error!(%error, "forwarder stopped");
                    return;
                }
            }
            let mut readable = items.iter().map(zmq::PollItem::is_readable).collect::<Vec<_>>().into_iter();
            for index in 0..self.downstream.len() {
                if readable.next() == Some(true) {
                    self.pass_subscriptions(index);
                }
            }
            for index in 0..self.upstream.len() {
                if self.upstream.get(index).is_some_and(|link| link.socket().is_some())
                    && readable.next() == Some(true)
                {
                    self.pass_messages(index);
                }
            }
            self.downstream.iter_mut().for_each(|link| link.open.drop_removed());
            self.upstream.iter_mut().filter_map(Upstream::socket_mut).for_each(OpenSocket::drop_removed);
            if beacon_at.elapsed() >= beacon::INTERVAL {
                let now = Instant::now();
                beacon_at = now;
                self.send_beacon();
                let subscriptions = &self.subscriptions;
                for link in &mut self.upstream {
                    link.look(now, |open| {
                        for frame in subscriptions.frames() {
                            _ = open.socket.send(frame, zmq::DONTWAIT);
                        }
                    });
                }
            }
        }
    }

    /// The XPUB socket reports a topic's first subscriber and its last; XSUB counts what several of them require.
    fn pass_subscriptions(&mut self, index: usize) {
        for _ in 0..TURN_MAX {
            let Some(link) = self.downstream.get_mut(index) else { return };
            let Ok(frame) = link.open.socket.recv_bytes(zmq::DONTWAIT) else { return };
            match subscription_frame(&frame) {
                SubscriptionFrame::Refuse => {
                    self.counts.refused_subscriptions.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                SubscriptionFrame::Beacons(is_wanted) => {
                    link.receives_beacons = is_wanted;
                    if is_wanted {
                        self.send_beacon();
                    }
                    continue;
                }
                SubscriptionFrame::Pass => {}
            }
            self.counts.subscriptions.fetch_add(1, Ordering::Relaxed);
            let here = &link.counts.subscriptions; // Nobody else writes it.
            let before = here.load(Ordering::Relaxed);
            let is_wanted = frame.first() == Some(&1);
            here.store(if is_wanted { before + 1 } else { before.saturating_sub(1) }, Ordering::Relaxed);
            self.subscriptions.note(&frame);
            for link in &self.upstream {
                link.counts.subscriptions.store(self.subscriptions.len() as u64, Ordering::Relaxed);
                if let Some(open) = link.subscribed()
                    && open.socket.send(frame.as_slice(), zmq::DONTWAIT).is_err()
                {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Passes messages on frame by frame, whatever they are: who listens judges them. Only beacons are read here.
    fn pass_messages(&mut self, index: usize) {
        let Some(link) = self.upstream.get(index) else { return };
        let Some(open) = link.socket() else { return };
        let mut frame = Message::new();
        let (mut messages, mut bytes, mut failed) = (0, 0, 0);
        let (mut is_first_frame, mut stamp) = (true, None);
        let mut beacons: Vec<Vec<u8>> = Vec::new();
        while messages < TURN_MAX && open.socket.recv(&mut frame, zmq::DONTWAIT).is_ok() {
            let more = frame.get_more();
            if is_first_frame && *frame == *beacon::TOPIC {
                beacons.extend(rest_of(open, more));
                continue;
            }
            is_first_frame = !more;
            let flags = if more { zmq::SNDMORE | zmq::DONTWAIT } else { zmq::DONTWAIT };
            bytes += frame.len() as u64;
            if messages == 0 && !more {
                stamp = stamp_of(&frame);
            }
            if let Some((last, others)) = self.downstream.split_last() {
                for other in others {
                    failed += u64::from(other.open.socket.send(&*frame, flags).is_err());
                }
                // The last one gets the frame itself.
                let frame = std::mem::replace(&mut frame, Message::new());
                failed += u64::from(last.open.socket.send(frame, flags).is_err());
            }
            messages += usize::from(!more);
        }
        if messages > 0 {
            link.counts.note_message(self.wall.now(), stamp);
        }
        let count = messages as u64;
        self.counts.messages.fetch_add(count, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counts.failed.fetch_add(failed, Ordering::Relaxed);
        for counts in self.downstream.iter().map(|link| &link.counts).chain([&link.counts]) {
            counts.messages.fetch_add(count, Ordering::Relaxed);
            counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        for payload in beacons {
            self.take_beacon(index, &payload);
        }
    }

    fn take_beacon(&mut self, index: usize, payload: &[u8]) {
        match self.beacons.receive(payload) {
            BeaconAction::Relay(payload) => self.send(&payload),
            BeaconAction::Loop { others, is_ours } => {
                if let Some(link) = self.upstream.get_mut(index)
                    && link.socket().is_some()
                    && (is_ours || link.is_on_trial())
                {
                    link.cut(others, Instant::now());
                    self.beacons.has_cut();
                }
            }
            BeaconAction::Ignore => {}
        }
    }

    fn send_beacon(&mut self) {
        let payload = self.beacons.next();
        self.send(&payload);
    }

    /// Sends a beacon to the forwarders downstream.
    fn send(&self, payload: &[u8]) {
        for link in self.downstream.iter().filter(|link| link.receives_beacons) {
            let socket = &link.open.socket;
            let topic = socket.send(beacon::TOPIC, zmq::SNDMORE | zmq::DONTWAIT);
            // One that is lost is followed by the next.
            _ = topic.and_then(|()| socket.send(payload, zmq::DONTWAIT));
        }
    }
}

/// Receives the rest of a message whose first frame has `more`; its second frame, if it has just two.
fn rest_of(open: &OpenSocket, mut more: bool) -> Option<Vec<u8>> {
    let mut frames = Vec::new();
    while more {
        let mut frame = Message::new();
        open.socket.recv(&mut frame, zmq::DONTWAIT).ok()?;
        more = frame.get_more();
        frames.push(frame);
    }
    match frames.as_slice() {
        [payload] => Some(payload.to_vec()),
        _ => None,
    }
}

/// When a message of ours was measured. Nobody has verified it: it is shown, and nothing is decided by it.
fn stamp_of(payload: &[u8]) -> Option<Timestamp> {
    let at = payload.windows(STAMP.len()).position(|window| window == STAMP)?;
    let digits = payload.get(at + STAMP.len()..)?;
    let length = digits.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let micros = std::str::from_utf8(digits.get(..length)?).ok()?.parse().ok()?;
    Some(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_of_a_message_is_found() {
        let micros = |payload: &str| stamp_of(payload.as_bytes()).map(Timestamp::micros);
        assert_eq!(micros(r#"{"probe_id":"a","w":1,"timestamp_us":17,"seq":0}"#), Some(17));
        assert_eq!(micros(r#"{"timestamp_us":18446744073709551615"#), Some(u64::MAX));
        for other in ["", r#"{"timestamp":17.5}"#, r#"{"timestamp_us":"#, r#"{"timestamp_us":-1}"#] {
            assert_eq!(micros(other), None, "{other}");
        }
        assert_eq!(micros(r#"{"timestamp_us":99999999999999999999"#), None);
    }
}
