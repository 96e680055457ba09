//! What the listeners of a forwarder want.

use std::collections::BTreeMap;

use super::beacon;

/// A subscription is a byte and a topic of at most 201, before which the bus may put some of its own; a longer one is not
/// passed on.
const SUBSCRIPTION_BYTES_MAX: usize = 256;

/// What came from downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionFrame {
    /// To be passed upstream.
    Pass,
    /// A forwarder downstream requests beacons (or no longer does): that is between it and us.
    Beacons(bool),
    /// No subscription, or too long.
    Refuse,
}

/// What a frame from downstream requests.
pub(super) fn subscription_frame(frame: &[u8]) -> SubscriptionFrame {
    match frame {
        [0 | 1, ..] if frame.len() > SUBSCRIPTION_BYTES_MAX => SubscriptionFrame::Refuse,
        [is_wanted @ (0 | 1), topic @ ..] if topic == beacon::TOPIC => {
            SubscriptionFrame::Beacons(*is_wanted == 1)
        }
        [0 | 1, ..] => SubscriptionFrame::Pass,
        _ => SubscriptionFrame::Refuse,
    }
}

/// The topics subscribed to, and at how many sockets each. A socket reports a topic's first subscriber and its last, and
/// libzmq bounds how many topics it may have.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(BTreeMap<Box<[u8]>, u32>);

impl Subscriptions {
    /// Takes note of a frame that is passed upstream.
    pub(super) fn note(&mut self, frame: &[u8]) {
        let Some((is_wanted, topic)) = frame.split_first() else { return };
        if *is_wanted == 1 {
            *self.0.entry(topic.into()).or_default() += 1;
        } else if let Some(count) = self.0.get_mut(topic) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(topic);
            }
        }
    }

    /// How many topics there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The frames that subscribe to all of it again.
    pub(super) fn frames(&self) -> impl Iterator<Item = Vec<u8>> {
        self.0.iter().flat_map(|(topic, count)| (0..*count).map(move |_| [&[1], &**topic].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_passed_and_beacons_are_not() {
        for (frame, expected) in [
            (&b"\x01lyon."[..], SubscriptionFrame::Pass),
            (b"\x00lyon.", SubscriptionFrame::Pass),
            (b"\x01", SubscriptionFrame::Pass),
            (b"\x01\0forwarder.", SubscriptionFrame::Beacons(true)),
            (b"\x00\0forwarder.", SubscriptionFrame::Beacons(false)),
            (b"\x01\0forwarder.x", SubscriptionFrame::Pass),
            (b"\x02lyon.", SubscriptionFrame::Refuse),
            (b"", SubscriptionFrame::Refuse),
        ] {
            assert_eq!(subscription_frame(frame), expected, "{frame:?}");
        }
        let long = [&[1], vec![b'x'; SUBSCRIPTION_BYTES_MAX].as_slice()].concat();
        assert_eq!(subscription_frame(&long), SubscriptionFrame::Refuse);
        assert_eq!(subscription_frame(&long[..SUBSCRIPTION_BYTES_MAX]), SubscriptionFrame::Pass);
    }

    #[test]
    fn a_topic_ends_with_the_last_socket_that_subscribes_to_it() {
        let mut subscriptions = Subscriptions::default();
        for frame in [b"\x01a.", b"\x01a.", b"\x01b."] {
            subscriptions.note(frame);
        }
        assert_eq!(subscriptions.frames().collect::<Vec<_>>(), [b"\x01a.", b"\x01a.", b"\x01b."]);
        for (frame, left) in [(b"\x00a.", 2), (b"\x00a.", 1), (b"\x00a.", 1), (b"\x00c.", 1), (b"\x00b.", 0)]
        {
            subscriptions.note(frame);
            assert_eq!(subscriptions.len(), left, "{frame:?}");
        }
    }
}
