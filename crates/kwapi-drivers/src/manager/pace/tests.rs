use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn phases_are_spread_over_the_interval() {
    let mut tenths = [0; 10];
    for meter in 0..10_000 {
        let first = Pace::new(&format!("node{meter:04}-bmc"), SECOND).first(Duration::ZERO);
        tenths[(first.as_millis() / 100).min(9) as usize] += 1;
    }
    assert!(tenths.iter().all(|count| (900..1_100).contains(count)), "{tenths:?}");
}

#[test]
fn a_long_interval_is_begun_soon() {
    assert!(Pace::new("a", Duration::from_secs(3_600)).first(SECOND) <= SECOND + START_SPREAD);
}

#[test]
fn a_late_read_shifts_no_later_one_and_missed_ticks_are_skipped() {
    let mut pace = Pace::new("a", SECOND);
    let tick = pace.first(Duration::ZERO);
    assert_eq!(pace.next(tick + milliseconds(30), tick + milliseconds(400)), tick + SECOND);
    assert_eq!(pace.next(tick + SECOND, tick + milliseconds(3_500)), tick + 4 * SECOND);
    assert_eq!(pace.ticks_missed, 2);
}

#[test]
fn a_slow_device_is_read_as_fast_as_it_answers_until_it_is_quick_again() {
    let mut pace = Pace::new("a", SECOND);
    let mut now = pace.first(Duration::ZERO);
    for _ in 0..3 {
        assert!(!pace.is_slow());
        now = pace.next(now, now + milliseconds(1_500));
    }
    assert!(pace.is_slow());
    assert_eq!(pace.next(now, now + milliseconds(1_500)), now + milliseconds(1_650));
    for _ in 0..10 {
        now = pace.next(now, now + milliseconds(100));
    }
    assert!(!pace.is_slow());
}

proptest! {
    #[test]
    fn the_next_read_is_ahead_and_within_an_interval_or_the_time_the_device_takes(
        name in ".{0,20}", interval in 1_u64..100_000, start in 0_u64..10_000_000, took in prop::collection::vec(0_u64..300_000, 1..20),
    ) {
        let interval = milliseconds(interval);
        let mut pace = Pace::new(&name, interval);
        let mut now = pace.first(milliseconds(start));
        for took in took {
            let finished = now + milliseconds(took);
            let next = pace.next(now, finished);
            prop_assert!(next >= finished);
            prop_assert!(next <= finished + interval.max(milliseconds(took)));
            now = next;
        }
    }
}
