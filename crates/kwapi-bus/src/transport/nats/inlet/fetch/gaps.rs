//! Messages that the stream has dropped before they were delivered: by its limits while the history was behind, or as
//! an operator purged it. They show as a gap in the numbers of the stream, where a consumer receives all of them.

use std::sync::Arc;

use kwapi_core::Timestamp;

use crate::transport::nats::consumer::{ConsumerPlan, ConsumerState};
use crate::transport::nats::jetstream::Delivered;
use crate::transport::nats::link::Link;

/// How far the stream was delivered, by its numbers.
pub(super) struct Gaps {
    link: Arc<Link>,
    /// Which stream of this name.
    generation: u64,
    /// The greatest number delivered; `None` where some are for others, so that a gap means nothing.
    newest: Option<u64>,
    /// When that message was stored.
    stored: Option<Timestamp>,
}

impl Gaps {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, generation: 0, newest: None, stored: None }
    }

    /// Takes note of a consumer that is fetched from now on. What an earlier process has acknowledged was delivered.
    pub(super) fn begin(&mut self, plan: &ConsumerPlan, state: &ConsumerState, generation: u64) {
        let is_known = self.newest.is_some() && self.generation == generation;
        if plan.takes_all() && !is_known {
            (self.generation, self.newest, self.stored) = (generation, Some(state.acknowledged), None);
        }
    }

    /// Takes note of a message that is delivered; what is missing before it is counted and reported.
    pub(super) fn note(&mut self, delivered: Delivered) {
        let Some(newest) = &mut self.newest else { return };
        if delivered.sequence <= *newest {
            return;
        }
        let lost = delivered.sequence - *newest - 1;
        let since = self.stored.replace(delivered.stored);
        *newest = delivered.sequence;
        if lost == 0 {
            return;
        }
        self.link.note_lost(lost, delivered.stored);
        tracing::warn!(
            endpoint = self.link.endpoint(),
            messages = lost,
            stored_after = since.map(Timestamp::seconds),
            stored_before = delivered.stored.seconds(),
            "NATS: the stream dropped messages before this history received them (limits of the stream, or a purge)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::nats::link::NatsSide;

    fn state(acknowledged: u64) -> ConsumerState {
        ConsumerState { acknowledged, ..ConsumerState::default() }
    }

    #[test]
    fn what_lacks_in_the_numbers_of_a_stream_is_counted_once() {
        let link = Arc::new(Link::new("nats://a/power", NatsSide::Subscribe));
        let mut gaps = Gaps::new(link.clone());
        let plan = |filter: &str| ConsumerPlan {
            stream: "power".to_owned(),
            name: "centre".to_owned(),
            filters: vec![filter.to_owned()],
        };
        let at = |seconds: u64| Timestamp::from_seconds(1_790_000_000 + seconds);
        let deliver = |gaps: &mut Gaps, numbers: &[u64]| {
            for sequence in numbers {
                let (sequence, stored) = (*sequence, at(*sequence));
                gaps.note(Delivered { times: 1, sequence, delivery: 1, stored, pending: 0 });
            }
            let link = link.snapshot(0);
            (link.lost, link.lost_until)
        };
        gaps.begin(&plan("power.lyon.>"), &state(3), 0);
        assert_eq!(deliver(&mut gaps, &[9, 12]), (0, None), "the others are of other probes");
        gaps.begin(&plan("power.>"), &state(12), 0);
        assert_eq!(
            deliver(&mut gaps, &[13, 14]),
            (0, None),
            "an earlier process has acknowledged those before"
        );
        assert_eq!(deliver(&mut gaps, &[20]), (5, Some(at(20))));
        gaps.begin(&plan("power.>"), &state(12), 0);
        assert_eq!(deliver(&mut gaps, &[13, 14, 20, 21]), (5, Some(at(20))), "delivered again");
        gaps.begin(&plan("power.>"), &state(100), 1);
        assert_eq!(deliver(&mut gaps, &[101, 103]), (6, Some(at(103))), "another stream of this name");
    }
}
