//! What is known of a stream since this process began, and where a consumer that is made now begins.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::transport::nats::consumer::Begin;

/// What is known of the stream since this process began.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How many streams of this name there were.
    pub(super) generation: u64,
    /// When it was created.
    created: Option<Value>,
    /// The number of the newest message delivered.
    pub(super) newest: u64,
    /// Those that were delivered and not acknowledged.
    pub(super) open: BTreeSet<u64>,
}

impl Known {
    /// Takes note of the stream as it is now, by when it was created; returns where a consumer created now begins.
    /// `last` is the number of its newest message: one that is less than was delivered has lost messages.
    pub(super) fn meet(&mut self, created: Value, last: u64) -> Begin {
        match self.created.replace(created) {
            None => Begin::Now,
            before if before == self.created && last >= self.newest => {
                Begin::Sequence(self.open.first().copied().unwrap_or(self.newest.saturating_add(1)))
            }
            // All of it came after we did, or what we have of it is known when it comes.
            Some(_) => {
                self.generation += 1;
                (self.newest, self.open) = (0, BTreeSet::new());
                Begin::All
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_is_made_again_continues_where_it_was() {
        let mut known = Known::default();
        assert_eq!(known.meet("monday".into(), 9), Begin::Now);
        (known.newest, known.open) = (9, BTreeSet::from([7, 9]));
        assert_eq!(known.meet("monday".into(), 9), Begin::Sequence(7));
        known.open.clear();
        assert_eq!(known.meet("monday".into(), 12), Begin::Sequence(10));
        assert_eq!((known.meet("tuesday".into(), 12), known.generation), (Begin::All, 1));
        assert_eq!(known.meet("tuesday".into(), 12), Begin::Sequence(1));
        known.newest = 9;
        // It has lost the newest, whose numbers others will have.
        assert_eq!((known.meet("tuesday".into(), 8), known.generation), (Begin::All, 2));
    }
}
