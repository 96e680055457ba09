use proptest::prelude::*;

use super::*;

fn lost() -> SessionEnd {
    SessionEnd::Link("gone".to_owned())
}

/// The pauses of a meter that only fails, without jitter.
fn pauses(count: usize) -> Vec<u64> {
    let mut health = Health::default();
    (0..count).map(|_| health.failed(&lost(), 0.5).as_secs()).collect()
}

#[test]
fn pauses_double_up_to_the_longest() {
    assert_eq!(pauses(9), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn a_lost_packet_now_and_then_is_forgiven_and_a_flapping_link_is_not() {
    let flap = |good_seconds: u64| {
        let (mut health, mut now, mut pause) = (Health::default(), 0, 0);
        for _ in 0..50 {
            for _ in 0..good_seconds {
                now += 1;
                health.good(Duration::from_secs(now));
            }
            pause = health.failed(&lost(), 0.5).as_secs();
        }
        pause
    };
    assert_eq!(flap(50), 1);
    assert_eq!(flap(3), 60);
}

#[test]
fn the_breaker_opens_after_a_minute_of_failures_and_closes_after_a_trial() {
    let mut health = Health::default();
    for _ in 0..TRIP_FAILURES {
        assert!(!health.is_tripped());
        health.failed(&lost(), 0.5);
    }
    assert!(health.is_tripped());
    health.good(Duration::from_secs(100));
    assert!(health.is_tripped(), "half open");
    health.good(Duration::from_secs(110));
    assert!(!health.is_tripped());
    health.failed(&lost(), 0.5);
    assert!(health.is_tripped(), "a failure soon after opens it at once");
}

proptest! {
    #[test]
    fn a_refusal_never_pauses_less_than_five_minutes_and_nothing_longer_than_six(
        chance in 0.0..1.0_f64, failures in 0_usize..20,
    ) {
        let mut health = Health::default();
        for _ in 0..failures {
            let pause = health.failed(&lost(), chance);
            prop_assert!(pause >= BACKOFF_MIN.mul_f64(0.8) && pause <= BACKOFF_MAX.mul_f64(1.2));
        }
        let pause = health.failed(&SessionEnd::Refused(String::new()), chance);
        prop_assert!(pause >= REFUSED_PAUSE && pause <= REFUSED_PAUSE.mul_f64(1.2));
    }
}
