//! How late readings are, behind the tick of the grid that each was due at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds, in microseconds: each a quarter more than the one before, from half a millisecond to some 20 s.
const BOUNDS_US: [u64; 49] = bounds();

const fn bounds() -> [u64; 49] {
    let mut bounds = [500; 49];
    let mut index = 1;
    while index < bounds.len() {
        // Clippy has no better word for an index that a constant bounds.
        #[expect(clippy::indexing_slicing, reason = "evaluated while compiling, which fails beyond the end")]
        {
            bounds[index] = bounds[index - 1] * 5 / 4;
        }
        index += 1;
    }
    bounds
}

/// Counts of delays, by how long; those beyond the last bound are counted with it.
#[derive(Debug)]
pub(super) struct Histogram([AtomicU64; BOUNDS_US.len()]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BOUNDS_US.len()])
    }
}

impl Histogram {
    pub(super) fn count(&self, late: Duration) {
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS_US.partition_point(|bound| *bound < late).min(BOUNDS_US.len() - 1);
        if let Some(count) = self.0.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> Lateness {
        let counts = BOUNDS_US.iter().zip(&self.0);
        Lateness(counts.map(|(bound, count)| (*bound, count.load(Ordering::Relaxed))).collect())
    }
}

/// How late readings have been since the manager began, by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lateness(Vec<(u64, u64)>);

impl Lateness {
    /// The delay that `share` (0 to 1) of all readings kept within, to a quarter of itself; `None` before the first.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total = self.count();
        let rank = (total as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0);
        let mut seen = 0;
        self.0
            .iter()
            .find(|(_, count)| {
                seen += count;
                total > 0 && seen as f64 >= rank
            })
            .map(|(bound, _)| Duration::from_micros(*bound))
    }

    /// How many readings these are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Those since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |index: usize| before.0.get(index).map_or(0, |(_, count)| *count);
        let counts = self.0.iter().enumerate();
        Self(counts.map(|(index, (bound, count))| (*bound, count.saturating_sub(earlier(index)))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_a_quarter_of_itself() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        for milliseconds in 1..=1_000 {
            histogram.count(Duration::from_millis(milliseconds));
        }
        let before = histogram.snapshot();
        for (share, exact) in [(0.5, 500.0), (0.99, 990.0), (0.001, 1.0)] {
            let told = before.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((exact..=exact * 1.26).contains(&told), "{share}: {told}");
        }
        histogram.count(Duration::from_secs(3_600));
        let since = histogram.snapshot().since(&before);
        assert_eq!((since.count(), since.quantile(1.0).unwrap().as_secs()), (1, 22));
    }
}
