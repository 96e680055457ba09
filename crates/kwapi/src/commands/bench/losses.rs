//! What was lost on the way from the meters to the accounts, by cause.

use kwapi_plugins::live::Live;

use crate::stack::Stack;
use crate::stack::drivers::Drivers;

/// What has been lost since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Messages known to exist by their sequence that have not come.
    lost: u64,
    /// Dropped, as the publisher's thread did not keep up with the meters.
    unsent: u64,
    /// Dropped, as the intake did not keep up with the bus.
    untaken: u64,
    /// Dropped, as the journal took nothing.
    unrecorded: u64,
    /// Refused by the bus or an account.
    refused: u64,
}

impl Losses {
    /// Of a process that both publishes and collects.
    pub(super) fn now(stack: &Stack) -> Self {
        let published = stack.drivers().map(Drivers::counters).unwrap_or_default();
        let (untaken, by_bus) = stack
            .received()
            .map_or((0, 0), |bus| (bus.dropped, bus.refused.iter().map(|(_, count)| count).sum::<u64>()));
        let collected = stack.live().map(Live::counts).unwrap_or_default();
        let by_account =
            [collected.session_closed, collected.conflicting_publisher, collected.too_many_probes];
        Self {
            lost: collected.lost,
            unsent: published.dropped + published.unsigned + published.failed,
            untaken,
            unrecorded: collected.dropped,
            refused: by_bus + by_account.iter().sum::<u64>(),
        }
    }

    /// What was lost from `earlier` on.
    fn since(&self, earlier: &Self) -> Self {
        Self {
            lost: self.lost.saturating_sub(earlier.lost),
            unsent: self.unsent.saturating_sub(earlier.unsent),
            untaken: self.untaken.saturating_sub(earlier.untaken),
            unrecorded: self.unrecorded.saturating_sub(earlier.unrecorded),
            refused: self.refused.saturating_sub(earlier.refused),
        }
    }

    /// The causes there are, in words, and how many messages each has cost. What nobody has counted was dropped by a socket, whose
    /// queue was full.
    fn causes(&self) -> Vec<(&'static str, u64)> {
        let counted = [
            ("the publisher did not keep up", self.unsent),
            ("the intake did not keep up", self.untaken),
            ("the journal could not be written", self.unrecorded),
            ("refused", self.refused),
        ];
        let known = counted.iter().map(|(_, count)| count).sum();
        let by_sockets = ("a queue of the bus was full", self.lost.saturating_sub(known));
        counted.into_iter().chain([by_sockets]).filter(|(_, count)| *count > 0).collect()
    }
}

/// Prints what was lost from the start until measuring began, and from then on.
pub(super) fn print([at_start, before, after]: [&Losses; 3]) {
    for (when, losses) in
        [("lost", after.since(before)), ("lost before, since the start", before.since(at_start))]
    {
        println!("| {when} | {} |", losses.lost);
        for (cause, count) in losses.causes() {
            println!("| …{cause} | {count} |");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_has_its_cause_and_what_nobody_counted_was_dropped_by_a_socket() {
        let before = Losses { lost: 5, untaken: 5, ..Losses::default() };
        let after = Losses { lost: 105, untaken: 45, refused: 1, ..before };
        let causes = after.since(&before).causes();
        assert_eq!(
            causes,
            [("the intake did not keep up", 40), ("refused", 1), ("a queue of the bus was full", 59)]
        );
        assert_eq!(after.since(&after).causes(), []);
    }
}
