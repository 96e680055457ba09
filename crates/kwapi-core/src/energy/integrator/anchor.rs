//! Where a register and the total that follows it are tied together.

/// Where the register and the total were last known to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The total then.
    pub(crate) total_uj: u128,
    /// What the register has advanced since.
    pub(crate) counted_uj: u128,
    /// What the trusted watts have added up to since.
    pub(crate) integrated_uj: u128,
    /// How far into its tick the register may have been then: nothing when the anchor was dropped at a tick.
    pub(crate) slack_uj: u128,
}

impl Anchor {
    pub(super) fn at(total_uj: u128, slack_uj: u128) -> Self {
        Self { total_uj, counted_uj: 0, integrated_uj: 0, slack_uj }
    }

    /// Where the register puts the total: the least of it, and the most with a tick of `resolution_uj`.
    pub(super) fn range(&self, resolution_uj: u128) -> (u128, u128) {
        let counted = self.total_uj.saturating_add(self.counted_uj);
        (counted.saturating_sub(self.slack_uj), counted.saturating_add(resolution_uj))
    }
}
