//! Wall time where clocks are set or drift, and where a run was not received from its begin.

use super::rules::{Plugin, Publisher, joules};
use super::*;

/// A plugin that has received ours from 1 000 to 1 050.
fn plugin() -> Plugin {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
    plugin
}

/// A message of `publisher` at a true second, stamped otherwise.
fn stamped(publisher: Publisher, second: u64, stamp: u64) -> Accounting {
    Accounting { timestamp: Timestamp::from_seconds(stamp), ..publisher.at(second) }
}

#[test]
fn sums_that_fall_are_taken_for_no_less_than_they_were() {
    let mut plugin = plugin();
    let ours = Publisher::new(1_000);
    let less = Accounting { totals: ours.at(1_010).totals, ..ours.at(1_060) };
    plugin.receive(1_060, less);
    plugin.follow(&Publisher::new(1_100), 1_100..=1_120);
    plugin.check(5_000 + 2_000, [70, 0, 50]);
}

#[test]
fn time_of_a_session_received_from_its_first_message_begins_with_that_less_its_own() {
    // Named for ten seconds before its first reading.
    let mut plugin = plugin();
    plugin.follow(&Publisher { session: 1_090, ..Publisher::new(1_100) }, 1_100..=1_120);
    plugin.check(5_000 + 2_000, [70, 0, 50]);
    // The stop before a run ends there, too.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_050);
    let run_2 = Publisher { session: 1_090, ..Publisher::on_curve(1_100, 1_000, 2, 10_000) };
    plugin.follow(&run_2, 1_100..=1_120);
    plugin.check(12_000, [70, 50, 0]);
    // It has ten seconds of its own in its first message, as after a clock that was set back.
    let mut plugin = self::plugin();
    let first = Accounting { seq: 0, ..Publisher::new(1_100).at(1_110) };
    plugin.receive(1_110, first);
    plugin.check(5_000 + 1_000, [60, 0, 50]);
}

#[test]
fn time_of_a_session_received_later_begins_at_its_id() {
    let mut plugin = plugin();
    plugin.follow(&Publisher::new(1_100), 1_120..=1_130);
    plugin.check(5_000 + 3_000, [80, 0, 50]);
    // Its stamps run behind the id, or are at it.
    for (stamp, measured) in [(1_090, 60), (1_110, 50)] {
        let mut plugin = self::plugin();
        plugin.receive(1_110, stamped(Publisher { session: 1_110, ..Publisher::new(1_100) }, 1_110, stamp));
        assert_eq!(plugin.account.totals().measured_ms, measured * 1_000, "{stamp}");
    }
}

#[test]
fn statuses_from_before_the_first_message_received_do_not_count() {
    let ours = Publisher::new(1_000);
    let mut plugin = Plugin::default();
    for second in [1_060, 1_070] {
        let totals = Totals {
            measured_ms: (second - 1_060) * 1_000,
            estimated_ms: 40_000,
            unknown_ms: 20_000,
            ..ours.at(second).totals
        };
        plugin.receive(second, Accounting { totals, ..ours.at(second) });
    }
    assert_eq!(
        plugin.account.totals(),
        Totals { energy: joules(1_000), measured_ms: 10_000, ..Totals::default() }
    );
}

/// The clock was set forward by an hour before the first message received of a session that follows.
#[test]
fn a_step_before_the_first_message_received_of_a_session_is_unknown() {
    let mut plugin = plugin();
    plugin.receive(1_150, stamped(Publisher::new(1_100), 1_150, 4_750));
    plugin.check(5_000 + 5_000, [100, 0, 3_650]);
}

/// A hundredth, and a second, is drift.
#[test]
fn a_clock_that_runs_fast_by_a_hundredth_was_not_set() {
    for (ahead, measured) in [(10, 1_060), (11, 1_061), (12, 1_050)] {
        let mut plugin = plugin();
        plugin.receive(2_050, stamped(Publisher::new(1_000), 2_050, 2_050 + ahead));
        let unknown = 1_050 + ahead - measured;
        plugin.check(105_000, [measured, 0, unknown]);
    }
}

/// The clock is set forward by 100 s between two messages; the first of them comes late, before all others.
#[test]
fn a_step_is_known_in_whatever_order_it_is_received() {
    let ours = Publisher::new(1_000);
    let steps = |second: u64| {
        if second < 1_050 {
            0
        } else if second < 1_150 {
            100
        } else {
            200
        }
    };
    for order in [[1_040, 1_100, 1_200], [1_100, 1_040, 1_200], [1_100, 1_200, 1_040], [1_200, 1_100, 1_040]]
    {
        let mut plugin = Plugin::default();
        for second in order {
            plugin.receive(1_200, stamped(ours, second, second + steps(second)));
        }
        plugin.check(16_000, [160, 0, 200]);
        // 1 200 to 1 300 was passed over; half of it is lived through.
        let lived = Publisher { session: 1_401, ..Publisher::new(1_240) };
        plugin.receive(1_241, lived.at(1_240));
        plugin.receive(1_250, lived.at(1_290));
        assert_eq!(plugin.account.totals().measured_ms, 160_000 + 50_000, "{order:?}");
    }
}

#[test]
fn of_more_steps_than_are_known_by_their_place_the_sum_is_unknown() {
    let ours = Publisher::new(1_000);
    let mut plugin = Plugin::default();
    for step in 0..=11 {
        let second = 1_000 + step * 10;
        plugin.receive(second, stamped(ours, second, second + step * 100));
        plugin.check(step * 1_000, [step * 10, 0, step * 100]);
    }
}

/// The clock leapt by 80 s and fell back by more; whoever keeps no record begins in the hole that the leap left. Nothing is
/// known of a stop there, though the register ticks later.
#[test]
fn a_stop_begins_no_earlier_than_the_newest_stamp() {
    let mut plugin = Plugin::default();
    let ours = Publisher::new(1_000);
    plugin.follow(&ours, 1_000..=1_010);
    plugin.receive(1_020, stamped(ours, 1_020, 1_100));
    plugin.receive(1_030, Publisher { session: 1_101, offset: -180, ..Publisher::new(1_030) }.at(1_030));
    let fresh = |begin| Publisher { session: 1_030, ..Publisher::on_curve(1_050, 840, 5, begin) };
    plugin.receive(1_060, fresh(500).at(1_050));
    plugin.receive(1_070, fresh(505).at(1_060));
    let totals = plugin.account.totals();
    assert_eq!((plugin.refused, totals.energy, totals.bridged), (0, joules(2_000 + 1_005), joules(5)));
    assert_eq!((totals.measured_ms, totals.bridged_ms), (30_000, 0));
}
