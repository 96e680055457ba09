use kwapi_core::Timestamp;
use proptest::prelude::*;

use super::*;

fn now_at(boottime: Duration) -> Now<'static> {
    let wall = Timestamp::from_seconds(1_800_000_000).after(boottime);
    Now { wall, monotonic: boottime, boottime, boot: "boot" }
}

fn due(ticks: &mut Ticks, boottime: Duration) -> Option<(ReadRequest, u64)> {
    ticks.due(now_at(boottime))
}

#[test]
fn ticks_two_seconds_back_are_due_and_older_ones_are_missed() {
    let mut ticks = Ticks::new(Duration::from_millis(1));
    let second = Duration::from_secs(1);
    assert_eq!(due(&mut ticks, second).map(|(request, missed)| (request.before, missed)), Some((0, 0)));
    assert_eq!(due(&mut ticks, second), None);
    assert_eq!(
        due(&mut ticks, 3 * second).map(|(request, missed)| (request.before, missed)),
        Some((1_999, 0))
    );
    assert_eq!(
        due(&mut ticks, 9 * second).map(|(request, missed)| (request.before, missed)),
        Some((2_000, 3_999))
    );
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

proptest! {
    #[test]
    fn each_tick_is_due_once_or_missed(
        interval_us in 1_000_u64..50_000, begin in 0_u64..1 << 40, steps in prop::collection::vec(0_u64..5_000_000, 1..60),
    ) {
        let interval = Duration::from_micros(interval_us);
        let mut ticks = Ticks::new(interval);
        let mut now_us = begin;
        let (mut total, mut begun, mut last) = (0, None, None);
        for step in steps {
            now_us += step;
            let now = Duration::from_micros(now_us);
            let Some((request, missed)) = due(&mut ticks, now) else { continue };
            let newest = now_us - micros(request.newest_age);
            let first = newest - interval_us * u64::from(request.before);
            if let Some(last) = last {
                prop_assert_eq!(first - last, interval_us * (missed + 1));
            }
            prop_assert!(now_us - first <= micros(LATE_MAX) + interval_us);
            total += u64::from(request.before) + 1 + missed;
            (begun, last) = (begun.or(Some(newest)), Some(newest));
            prop_assert!(ticks.until_next(now_at(now)) <= interval);
        }
        let between = begun.zip(last).map(|(begun, last)| (last - begun) / interval_us + 1);
        prop_assert_eq!(total, between.unwrap_or(0));
    }
}
