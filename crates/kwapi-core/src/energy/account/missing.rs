//! Messages further back than a run's window that have not come: at a thousand a second the window is a sixteenth of a
//! second, and another route may be slower than that.

use serde::{Deserialize, Serialize};

/// Messages are waited for as long as this, in the publisher's microseconds…
pub(super) const SPAN_US: u64 = 2_000_000;
/// …and for so many after them: two seconds of a thousand a second.
pub(super) const MESSAGES_MAX: u64 = 2_048;
/// Stretches of them that are remembered. Full: the oldest is given up, as if it were too old.
const STRETCHES_MAX: usize = 32;

/// Sequence numbers of messages that may yet come, in stretches from one to another, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Missing(Vec<(u64, u64)>);

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the messages from one to another, which are after all others.
    pub(super) fn add(&mut self, from: u64, to: u64) {
        match self.0.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(from) => *last = to,
            Some(_) | None => self.0.push((from, to)),
        }
        self.hold_to_bound();
    }

    /// Forgets messages below `seq`: nobody waits for them any more.
    pub(super) fn forget_below(&mut self, seq: u64) {
        self.0.retain(|(_, to)| *to >= seq);
        if let Some((from, _)) = self.0.first_mut() {
            *from = seq.max(*from);
        }
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&seq))
    }

    /// Takes a message out that has come; whether it was among them.
    pub(super) fn take(&mut self, seq: u64) -> bool {
        let Some(at) = self.0.iter().position(|(from, to)| (*from..=*to).contains(&seq)) else {
            return false;
        };
        let (from, to) = self.0.remove(at);
        if seq < to {
            self.0.insert(at, (seq + 1, to));
        }
        if from < seq {
            self.0.insert(at, (from, seq - 1));
        }
        self.hold_to_bound();
        true
    }

    /// Whether these can have been kept: in order, and no more than are.
    pub(super) fn is_within_bounds(&self) -> bool {
        let are_in_order = self.0.windows(2).all(|pair| matches!(pair, [(_, to), (from, _)] if to < from));
        are_in_order && self.0.len() <= STRETCHES_MAX && self.0.iter().all(|(from, to)| from <= to)
    }

    fn hold_to_bound(&mut self) {
        if self.0.len() > STRETCHES_MAX {
            self.0.remove(0);
        }
    }
}
