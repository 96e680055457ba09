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

/// Counts of delays, by how long, those beyond the last bound with it, and their sum.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len()],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BOUNDS_US.len()], sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(super) fn count(&self, late: Duration) {
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS_US.partition_point(|bound| *bound < late).min(BOUNDS_US.len() - 1);
        if let Some(count) = self.counts.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum_us.fetch_add(late, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> Lateness {
        let counts = BOUNDS_US.iter().zip(&self.counts);
        Lateness {
            counts: counts.map(|(bound, count)| (*bound, count.load(Ordering::Relaxed))).collect(),
            sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)),
        }
    }
}

/// How late readings have been since the manager began, by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Up to so many microseconds, and more than the bound before: so many.
    counts: Vec<(u64, u64)>,
    /// All delays together.
    sum: Duration,
}

impl Lateness {
    /// The delay that `share` (0 to 1) of all readings kept within, to a quarter of itself; `None` before the first.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total = self.count();
        let rank = (total as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0);
        let mut seen = 0;
        self.counts
            .iter()
            .find(|(_, count)| {
                seen += count;
                total > 0 && seen as f64 >= rank
            })
            .map(|(bound, _)| Duration::from_micros(*bound))
    }

    /// How many readings these are.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// All delays together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How many readings were up to each of `bounds` late, but later than the one before, and last how many were later than
    /// all. A bound stands for the next of those that are counted by, a quarter more at most.
    pub fn buckets<const N: usize>(&self, bounds: [Duration; N]) -> Vec<u64> {
        let mut buckets = vec![0; N + 1];
        for (bound, count) in &self.counts {
            // A bucket belongs to the first bound that does not begin below it.
            let begin = Duration::from_micros(bound * 4 / 5);
            let index = bounds.partition_point(|bound| *bound <= begin);
            if let Some(bucket) = buckets.get_mut(index) {
                *bucket += count;
            }
        }
        buckets
    }

    /// Those since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |index: usize| before.counts.get(index).map_or(0, |(_, count)| *count);
        let counts = self.counts.iter().enumerate();
        Self {
            counts: counts
                .map(|(index, (bound, count))| (*bound, count.saturating_sub(earlier(index))))
                .collect(),
            sum: self.sum.saturating_sub(before.sum),
        }
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
            let quantile = before.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((exact..=exact * 1.26).contains(&quantile), "{share}: {quantile}");
        }
        histogram.count(Duration::from_secs(3_600));
        let since = histogram.snapshot().since(&before);
        assert_eq!((since.count(), since.quantile(1.0).unwrap().as_secs()), (1, 22));
        assert_eq!((since.sum().as_secs(), before.sum().as_millis()), (3_600, 500_500));
        let buckets = histogram.snapshot().buckets([10, 100, 1_000].map(Duration::from_millis));
        assert_eq!(buckets.iter().sum::<u64>(), 1_001);
        let [ten, hundred, thousand, later] = buckets[..] else { panic!("{buckets:?}") };
        assert!((8..=13).contains(&ten) && (80..=125).contains(&(ten + hundred)), "{buckets:?}");
        assert!(thousand >= 875 && later == 1, "{buckets:?}");
    }
}
