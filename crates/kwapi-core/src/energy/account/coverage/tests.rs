use proptest::prelude::*;

use super::*;

/// Which seconds of the hour are covered, as a list.
struct Seconds(Vec<bool>);

impl Seconds {
    fn add(&mut self, from: u64, to: u64) -> u64 {
        let range = from as usize..to as usize;
        self.0[range].iter_mut().map(|second| u64::from(!std::mem::replace(second, true))).sum()
    }
}

proptest! {
    #[test]
    fn as_long_as_all_holes_are_known_it_covers_what_a_list_of_seconds_does(
        stretches in prop::collection::vec((0_u64..60, 0_u64..20), 1..8),
    ) {
        let (mut coverage, mut seconds) = (Coverage::new(10), Seconds(vec![false; 80]));
        for (from, length) in stretches {
            let to = from + length;
            prop_assert_eq!(coverage.add(from, to), seconds.add(from.max(10), to.max(10)), "{:?}", coverage);
        }
    }

    #[test]
    fn nothing_is_covered_twice_however_many_holes_there_are(
        stretches in prop::collection::vec((0_u64..1_000, 1_u64..20), 1..200),
    ) {
        let (mut coverage, mut seconds) = (Coverage::new(0), Seconds(vec![false; 1_100]));
        for (from, length) in stretches {
            let gained = coverage.add(from, from + length);
            prop_assert!(gained <= seconds.add(from, from + length), "{:?}", coverage);
        }
    }

    #[test]
    fn shares_are_of_the_time_gained(gained in 0_u64..1 << 60, shares: [u32; 3], unknown: u32) {
        let mut coverage = Coverage::new(0);
        coverage.share(gained, shares.map(u64::from), unknown.into());
        prop_assert!(coverage.by_status.iter().sum::<u64>() <= gained);
    }
}
