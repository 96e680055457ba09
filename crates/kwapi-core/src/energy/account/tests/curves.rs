//! What curves are good for: the highest point received less the lowest known, whatever the order of their runs' points.

use super::rules::{Publisher, WATTS, joules};
use super::*;
use crate::CurvePoint;

/// Receives runs of one curve, each with the points (in joules) at which its session begins and stands, a message a
/// point.
fn account_of(runs: &[&[(u64, u64)]]) -> Account {
    let mut account = Account::default();
    for (run, points) in (1..).zip(runs) {
        let from = 1_000 + u64::from(run) * 100;
        for (seq, (begin, value)) in (0..).zip(*points) {
            let message = Accounting {
                seq,
                totals: Totals {
                    energy: joules(value - begin),
                    measured_ms: seq * 10_000,
                    ..Totals::default()
                },
                curve: Some(CurvePoint { id: Timestamp::from_seconds(1_000), run, begin: joules(*begin) }),
                ..Publisher::new(from).at(from + seq * 10)
            };
            account.credit(&message, Duration::ZERO, MAX_GAP).unwrap();
        }
    }
    account
}

/// Total and bridged, in joules.
fn sums(runs: &[&[(u64, u64)]]) -> (u64, u64) {
    let totals = account_of(runs).totals();
    (totals.energy.millijoules() / 1_000, totals.bridged.millijoules() / 1_000)
}

#[test]
fn a_curve_is_good_for_its_highest_point_less_its_lowest() {
    // The account's first run rises by what its register ticked first after the stop before it.
    assert_eq!(sums(&[&[(15, 15), (16, 18)]]), (3, 1));
    // Watts had overshot: the next runs begin below, one after the other.
    assert_eq!(sums(&[&[(0, 20)], &[(15, 15)], &[(12, 12)]]), (8, 8));
    // A run that ends below the one before it lowers nothing: what the third has up to there was credited.
    assert_eq!(sums(&[&[(0, 0), (0, 20)], &[(15, 16)], &[(20, 21)]]), (21, 0));
    assert_eq!(sums(&[&[(0, 0), (0, 20)], &[(15, 16)], &[(22, 23)]]), (23, 2));
    // The lowest point known is of the account's first curve alone.
    assert_eq!(sums(&[&[(5, 5), (5, 20)], &[(25, 26)]]), (21, 5));
}

/// Message 1 of a run whose three parts are 3, 2 and 1 kJ, which begins `below` joules below what was credited.
fn cut(below: u64) -> [u64; 3] {
    let mut account = Account::default();
    let first = Publisher::on_curve(1_000, 1_000, 1, 0);
    for second in [1_000, 1_100] {
        account.credit(&first.at(second), Duration::ZERO, MAX_GAP).unwrap();
    }
    let run = Publisher::on_curve(1_200, 1_000, 2, 100 * WATTS - below);
    let totals = Totals {
        energy: joules(6_000),
        estimated: joules(2_000),
        bridged: joules(1_000),
        ..run.at(1_260).totals
    };
    account.credit(&Accounting { totals, ..run.at(1_260) }, Duration::ZERO, MAX_GAP).unwrap();
    let totals = account.totals();
    [totals.measured(), totals.estimated, totals.bridged].map(|energy| energy.millijoules() / 1_000)
}

#[test]
fn measured_energy_is_cut_first_then_estimated_then_bridged() {
    assert_eq!(cut(0), [13_000, 2_000, 1_000]);
    assert_eq!(cut(1_000), [12_000, 2_000, 1_000]);
    assert_eq!(cut(4_000), [10_000, 1_000, 1_000]);
    assert_eq!(cut(5_500), [10_000, 0, 500]);
    assert_eq!(cut(9_000), [10_000, 0, 0]);
}

/// As a publisher never sends them.
#[test]
fn parts_that_exceed_their_whole_are_held_to_it() {
    let publisher = Publisher::new(1_000);
    let mut account = Account::default();
    account.credit(&publisher.at(1_000), Duration::ZERO, MAX_GAP).unwrap();
    let totals = Totals { estimated: joules(900), bridged: joules(700), ..publisher.at(1_010).totals };
    account.credit(&Accounting { totals, ..publisher.at(1_010) }, Duration::ZERO, MAX_GAP).unwrap();
    let totals = account.totals();
    assert_eq!((totals.energy, totals.estimated, totals.bridged), (joules(1_000), joules(300), joules(700)));
}
