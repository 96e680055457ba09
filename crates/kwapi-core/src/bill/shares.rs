//! Whose a probe's energy is, and since when: values of a label, with shares.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::tariff::{Decimal, QUARTER_MS};

/// A value's share of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Value of the label.
    pub value: String,
    /// Its share, above 0 and up to 1.
    pub share: Decimal,
    /// From when until when, in Unix milliseconds.
    pub valid: Range<u64>,
}

/// The shares of a probe. At no time are they more than the whole; what they leave belongs to nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Share>")]
pub struct Shares(Vec<Share>);

impl TryFrom<Vec<Share>> for Shares {
    type Error = SharesError;

    fn try_from(shares: Vec<Share>) -> Result<Self, SharesError> {
        Self::new(shares)
    }
}

/// Why these are no shares. Each is named by its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharesError {
    /// No share of a whole.
    #[error("share must be above 0 and at most 1")]
    NotAShare(usize),
    /// It begins or ends within a quarter hour, whose energy has one owner.
    #[error("begins or ends within a quarter hour")]
    WithinQuarter(usize),
    /// It ends before it begins.
    #[error("ends before it begins")]
    Reversed(usize),
    /// Together they are more than the whole.
    #[error("shares add up to more than 1")]
    TooMuch(usize),
}

impl SharesError {
    /// Which of the shares is at fault.
    pub fn place(&self) -> usize {
        match self {
            Self::NotAShare(place)
            | Self::WithinQuarter(place)
            | Self::Reversed(place)
            | Self::TooMuch(place) => *place,
        }
    }
}

impl Shares {
    /// These shares.
    ///
    /// # Errors
    /// When one is no share, or several are more than the whole.
    pub fn new(shares: Vec<Share>) -> Result<Self, SharesError> {
        for (place, share) in shares.iter().enumerate() {
            if share.share <= Decimal::ZERO || share.share > Decimal::ONE {
                return Err(SharesError::NotAShare(place));
            }
            let is_whole = |at: u64| at == u64::MAX || at.is_multiple_of(QUARTER_MS);
            if !is_whole(share.valid.start) || !is_whole(share.valid.end) {
                return Err(SharesError::WithinQuarter(place));
            }
            if share.valid.is_empty() {
                return Err(SharesError::Reversed(place));
            }
        }
        let shares = Self(shares);
        for share in &shares.0 {
            let mut sum = 0_i64;
            let at =
                shares.0.iter().enumerate().filter(|(_, other)| other.valid.contains(&share.valid.start));
            for (place, other) in at {
                sum = sum.saturating_add(other.share.billionths());
                if sum > Decimal::ONE.billionths() {
                    return Err(SharesError::TooMuch(place));
                }
            }
        }
        Ok(shares)
    }

    /// All of it is one value's, always.
    pub fn whole(value: impl Into<String>) -> Self {
        Self(vec![Share { value: value.into(), share: Decimal::ONE, valid: 0..u64::MAX }])
    }

    /// What of them applies from `span`'s start until its end, in Unix milliseconds: in that time they are the same.
    #[must_use]
    pub fn within(&self, span: &Range<u64>) -> Self {
        let mut shares = self.0.clone();
        for share in &mut shares {
            share.valid = share.valid.start.max(span.start)..share.valid.end.min(span.end);
        }
        shares.retain(|share| !share.valid.is_empty());
        Self(shares)
    }

    /// Those that apply at a Unix millisecond.
    pub(super) fn at(&self, at: u64) -> impl Iterator<Item = &Share> {
        self.0.iter().filter(move |share| share.valid.contains(&at))
    }

    /// The instants at which they change, in no order.
    pub(super) fn changes(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|share| [share.valid.start, share.valid.end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(value: &str, share: &str, valid: Range<u64>) -> Share {
        let quarters = |at: u64| if at == u64::MAX { at } else { at * QUARTER_MS };
        let valid = quarters(valid.start)..quarters(valid.end);
        Share { value: value.to_owned(), share: share.parse().unwrap(), valid }
    }

    #[test]
    fn more_than_the_whole_at_any_time_is_refused() {
        let moved = vec![share("a", "1", 0..10), share("b", "0.6", 10..u64::MAX), share("c", "0.4", 10..20)];
        assert!(Shares::new(moved).is_ok());
        let twice = vec![share("a", "0.7", 0..10), share("b", "0.4", 9..u64::MAX)];
        assert_eq!(Shares::new(twice), Err(SharesError::TooMuch(1)));
        let within = vec![share("a", "0.7", 0..u64::MAX), share("b", "0.4", 9..10)];
        assert_eq!(Shares::new(within), Err(SharesError::TooMuch(1)));
        for wrong in ["0", "-0.1", "1.000000001"] {
            assert_eq!(Shares::new(vec![share("a", wrong, 0..1)]), Err(SharesError::NotAShare(0)));
        }
        assert_eq!(Shares::new(vec![share("a", "1", 3..3)]), Err(SharesError::Reversed(0)));
        let begins_within = Share { valid: 1..QUARTER_MS, ..share("a", "1", 0..1) };
        assert_eq!(Shares::new(vec![begins_within]), Err(SharesError::WithinQuarter(0)));
    }
}
