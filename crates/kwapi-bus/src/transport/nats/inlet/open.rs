//! What was handed on and is not acknowledged yet. Each measurement has a token; a message of the server, which may hold
//! several, is acknowledged when all of them are safe.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use super::fetched::{Place, Sequence};
use crate::transport::Token;

/// Messages in flight.
#[derive(Debug, Default)]
pub(super) struct Open {
    next: Token,
    /// By the token of the first measurement of each.
    messages: BTreeMap<Token, OpenMessage>,
    /// The first token of each.
    first: HashMap<Sequence, Token>,
    /// The measurements that are neither safe nor dropped.
    unsettled: BTreeSet<Token>,
}

#[derive(Debug)]
struct OpenMessage {
    place: Place,
    /// How many of its measurements are unsettled.
    left: u64,
    /// Whether one was dropped: the message is delivered again.
    is_released: bool,
}

impl Open {
    /// How many measurements are under way.
    pub(super) fn length(&self) -> usize {
        self.unsettled.len()
    }

    /// The token of the first of the `count` measurements of a message, the others follow it; `None` where the message is
    /// under way already, and is acknowledged as it came last.
    pub(super) fn begin(&mut self, place: Place, count: u64) -> Option<Token> {
        if let Some(known) = self.first.get(&place.sequence).and_then(|token| self.messages.get_mut(token)) {
            known.place = place;
            return None;
        }
        let first = self.next;
        self.next += count.max(1);
        self.first.insert(place.sequence, first);
        self.unsettled.extend(first..self.next);
        let left = self.next - first;
        self.messages.insert(first, OpenMessage { place, left, is_released: false });
        Some(first)
    }

    /// The number in the stream of the message that a measurement is of, while it is under way.
    pub(super) fn number(&self, token: Token) -> Option<u64> {
        let (_, message) = self.messages.range(..=token).next_back()?;
        self.unsettled.contains(&token).then_some(message.place.sequence.1)
    }

    /// Takes note that measurements are safe, or were dropped; returns the messages that are to be acknowledged.
    pub(super) fn end(&mut self, tokens: &RangeInclusive<Token>, is_safe: bool) -> Vec<Place> {
        let ended: Vec<Token> = self.unsettled.range(tokens.clone()).copied().collect();
        let mut safe = Vec::new();
        for token in ended {
            self.unsettled.remove(&token);
            let Some((first, message)) = self.messages.range_mut(..=token).next_back() else { continue };
            message.left -= 1;
            message.is_released |= !is_safe;
            let first = *first;
            if message.left == 0
                && let Some(OpenMessage { place, is_released, .. }) = self.messages.remove(&first)
            {
                self.first.remove(&place.sequence);
                if !is_released {
                    safe.push(place);
                }
            }
        }
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::super::fetched::{TAIL_BYTES, tail};
    use super::*;

    fn place(stream: u64, number: u64, reply: &str) -> Place {
        Place { sequence: (stream, number, tail(b"{}")), connection: 1, reply: reply.into() }
    }

    fn replies(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| place.reply.as_str()).collect()
    }

    #[test]
    fn a_message_under_way_is_handed_on_once_and_acknowledged_as_it_came_last() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "first"), 1), Some(0));
        assert_eq!(open.begin(place(1, 8, "other"), 1), Some(1));
        assert_eq!(open.begin(place(1, 7, "again"), 1), None);
        assert_eq!(replies(&open.end(&(0..=0), true)), ["again"]);
        assert_eq!(replies(&open.end(&(0..=0), true)), [""; 0]);
        assert_eq!(open.begin(place(1, 7, "later"), 1), Some(2), "no longer under way");
        assert_eq!(replies(&open.end(&(0..=9), true)), ["other", "later"]);
        assert!(open.first.is_empty() && open.messages.is_empty() && open.unsettled.is_empty());
    }

    #[test]
    fn a_batch_is_acknowledged_when_the_last_of_it_is_safe() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "batch"), 40), Some(0));
        assert_eq!(open.begin(place(1, 8, "single"), 1), Some(40));
        assert_eq!(replies(&open.end(&(10..=50), true)), ["single"]);
        assert_eq!(replies(&open.end(&(10..=30), true)), [""; 0], "each counts once");
        assert_eq!(replies(&open.end(&(0..=8), true)), [""; 0]);
        assert_eq!(open.begin(place(1, 7, "batch again"), 40), None);
        assert_eq!(replies(&open.end(&(9..=9), true)), ["batch again"]);
        assert!(open.first.is_empty() && open.messages.is_empty() && open.unsettled.is_empty());
    }

    #[test]
    fn a_batch_of_which_something_was_let_go_of_is_not_acknowledged_and_handed_on_when_it_comes_again() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "batch"), 3), Some(0));
        assert_eq!(replies(&open.end(&(1..=1), false)), [""; 0]);
        assert_eq!(open.begin(place(1, 7, "again"), 3), None, "the others are under way");
        assert_eq!(replies(&open.end(&(0..=2), true)), [""; 0]);
        assert_eq!(open.begin(place(1, 7, "again"), 3), Some(3));
        assert_eq!(replies(&open.end(&(3..=5), true)), ["again"]);
    }

    #[test]
    fn another_message_that_was_given_the_number_of_a_lost_one_is_handed_on() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "before"), 1), Some(0));
        let other = Place { sequence: (1, 7, tail(b"another")), ..place(1, 7, "after") };
        assert_eq!(open.begin(other, 1), Some(1));
        assert_eq!(tail(&[b'x'; 100]), [b'x'; TAIL_BYTES]);
    }

    #[test]
    fn the_numbers_of_another_stream_of_the_same_name_are_others() {
        let mut open = Open::default();
        assert_eq!(open.begin(place(1, 7, "before"), 1), Some(0));
        assert_eq!(open.begin(place(2, 7, "after"), 1), Some(1));
    }
}
