use super::*;

fn parts(energy: u64, estimated: u64, bridged: u64) -> Totals {
    let [energy, estimated, bridged] = [energy, estimated, bridged].map(Energy::from_millijoules);
    Totals { energy, estimated, bridged, ..Totals::default() }
}

#[test]
fn parts_that_exceed_their_whole_are_unsound() {
    assert!(parts(10, 4, 6).is_sound());
    assert!(!parts(9, 4, 6).is_sound());
    assert!(!parts(u64::MAX, u64::MAX, 1).is_sound());
    assert_eq!(parts(10, 4, 5).measured().millijoules(), 1);
}

#[test]
fn what_travels_is_rounded_down_and_its_parts_never_exceed_it() {
    let sums = Sums { measured_uj: 999, estimated_uj: 1_999, bridged_uj: 999, ..Sums::default() };
    let totals = sums.since(&Sums::default());
    assert_eq!(totals, parts(3, 1, 0));
    assert!(totals.is_sound());
}

#[test]
fn each_member_counts_from_its_own_base() {
    let base = Sums {
        measured_uj: 1_000,
        estimated_uj: 2_000,
        bridged_uj: 4_000,
        measured: Duration::from_millis(1),
        estimated: Duration::from_millis(2),
        bridged: Duration::from_millis(4),
        unknown: Duration::from_millis(8),
    };
    assert_eq!(base.since(&base), Totals::default());
    let totals = base.since(&Sums::default());
    assert_eq!(
        [totals.measured_ms, totals.estimated_ms, totals.bridged_ms, totals.unknown_ms],
        [1, 2, 4, 8]
    );
    assert_eq!(Totals { measured_ms: 0, estimated_ms: 0, bridged_ms: 0, unknown_ms: 0, ..totals }, parts(7, 2, 4));
}
