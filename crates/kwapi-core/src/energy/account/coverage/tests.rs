use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;

/// Which seconds of the hour are covered, as a list.
struct Seconds(Vec<bool>);

impl Seconds {
    fn add(&mut self, from: u64, to: u64) -> u64 {
        let range = from as usize..to as usize;
        SECOND
            * self.0[range].iter_mut().map(|second| u64::from(!std::mem::replace(second, true))).sum::<u64>()
    }
}

proptest! {
    #[test]
    fn as_long_as_all_holes_are_known_it_covers_what_a_list_of_seconds_does(
        stretches in prop::collection::vec((0_u64..60, 0_u64..20), 1..8),
    ) {
        let (mut coverage, mut seconds) = (Coverage::new(10 * SECOND), Seconds(vec![false; 80]));
        for (from, length) in stretches {
            let to = from + length;
            prop_assert_eq!(coverage.add(from * SECOND, to * SECOND), seconds.add(from.max(10), to.max(10)), "{:?}", coverage);
        }
    }

    #[test]
    fn nothing_is_covered_twice_however_many_holes_there_are(
        stretches in prop::collection::vec((0_u64..1_000, 1_u64..20), 1..200),
    ) {
        let (mut coverage, mut seconds) = (Coverage::new(0), Seconds(vec![false; 1_100]));
        for (from, length) in stretches {
            let gained = coverage.add(from * SECOND, (from + length) * SECOND);
            prop_assert!(gained <= seconds.add(from, from + length), "{:?}", coverage);
        }
    }

    #[test]
    fn shares_are_of_the_time_gained(gained in 0_u64..1 << 60, shares: [u32; 3], unknown: u32) {
        let mut coverage = Coverage::new(0);
        coverage.share(gained, shares.map(u64::from), unknown.into());
        prop_assert!(coverage.by_status.iter().sum::<u64>() <= gained);
    }

    #[test]
    fn shares_are_whole_milliseconds_and_where_all_is_known_they_are_all_of_it(
        gained in 0_u64..1 << 40, shares: [u16; 3],
    ) {
        let (gained, shares) = (gained * 1_000, shares.map(u64::from));
        let parts = split(gained, shares, 0);
        prop_assert!(parts.iter().all(|part| part % 1_000 == 0), "{parts:?}");
        prop_assert_eq!(parts.iter().sum::<u64>(), if shares == [0; 3] { 0 } else { gained });
        for (part, share) in parts.into_iter().zip(shares) {
            let exact = gained as f64 * share as f64 / shares.iter().sum::<u64>().max(1) as f64;
            prop_assert!((part as f64 - exact).abs() <= 3_000.0, "{part} of {exact}");
        }
    }

    /// Cutting instants one by one loses nothing between them.
    #[test]
    fn what_adjoins_leaves_nothing_uncovered(mut instants in prop::collection::vec(0_u64..10_000_000, 2..20)) {
        instants.sort_unstable();
        let (first, last) = (instants[0], instants[instants.len() - 1]);
        let mut coverage = Coverage::new(first);
        let gained: u64 = instants.windows(2).map(|pair| coverage.add(pair[0], pair[1])).sum();
        prop_assert_eq!(gained, whole_ms(last) - whole_ms(first));
    }
}
