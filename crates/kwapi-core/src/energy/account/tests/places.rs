//! Where a message belongs, each condition by itself, at its very bound.

use super::rules::{Plugin, Publisher, WATTS, joules};
use super::*;

/// A publisher without a register whose session is named otherwise than its first reading.
fn named(session: u64, from: u64) -> Publisher {
    Publisher { session, ..Publisher::new(from) }
}

#[test]
fn a_session_that_left_its_curve_and_lives_on_beside_its_successor_is_a_rivals() {
    let mut plugin = Plugin::default();
    let run_1 = Publisher::on_curve(1_000, 1_000, 1, 0);
    plugin.follow(&run_1, 1_000..=1_050);
    plugin.follow(&Publisher::on_curve(1_060, 1_000, 2, 6_000), 1_060..=1_100);
    let without = Publisher { curve: Some((1_001, 1, 0)), ..run_1 };
    plugin.receive(1_101, without.at(1_060));
    assert_eq!(plugin.refused, 0, "before its successor began");
    plugin.receive(1_102, without.at(1_070));
    assert_eq!(plugin.refused, 1);
    plugin.check(10_000, [100, 0, 0]);
}

/// Ids are later than all stamps before them; one that is a stamp is another's.
#[test]
fn a_session_named_for_the_newest_stamp_is_no_follower() {
    for (session, refused) in [(1_050, 1), (1_051, 0)] {
        let mut plugin = Plugin::default();
        plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
        plugin.receive(1_060, named(session, 1_051).at(1_061));
        assert_eq!(plugin.refused, refused, "{session}");
    }
}

/// The clock is set back in a run; another manager's curve has the id of that run.
#[test]
fn a_curve_named_as_the_newest_run_is_no_follower() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_050);
    let set_back = Publisher { session: 1_200, offset: -500, ..Publisher::on_curve(1_060, 1_000, 2, 6_000) };
    plugin.follow(&set_back, 1_060..=1_100);
    let other = Publisher { session: 1_300, ..Publisher::on_curve(1_110, 1_200, 2, 50_000) };
    plugin.follow(&other, 1_110..=1_120);
    // Of its first run it is unknown whose it was.
    assert_eq!((plugin.refused, plugin.account.totals().energy), (0, joules(10_000 + 1_000)));
}

/// A new curve of which the second run is received first: all of it counts, and the first run is late.
#[test]
fn a_new_curve_counts_from_its_begin_though_its_second_run_is_received_first() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_020);
    let (run_1, run_2) =
        (Publisher::on_curve(1_040, 1_040, 1, 0), Publisher::on_curve(1_100, 1_040, 2, 6_000));
    plugin.follow(&run_2, 1_100..=1_120);
    plugin.check(2_000 + 8_000, [40, 60, 20]);
    plugin.receive(1_121, run_1.at(1_070));
    plugin.check(2_000 + 8_000, [70, 30, 20]);
    assert_eq!(plugin.refused, 0);
}

/// A run of another's curve that began after ours ended; its register ticks later.
#[test]
fn the_stop_of_a_run_that_came_after_ours_is_its_own() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_100);
    let run_2 = |begin| Publisher::on_curve(1_150, 900, 2, begin);
    plugin.receive(1_150, run_2(77_000).at(1_150));
    plugin.receive(1_160, run_2(77_500).at(1_160));
    plugin.check(10_000 + 1_500, [110, 0, 50]);
    assert_eq!(plugin.account.totals().bridged, joules(500));
}

/// The clock was a day ahead, and is right; whoever begins now keeps no record of ids.
#[test]
fn a_publisher_without_records_counts_from_where_its_curve_or_run_began() {
    for (curve, begin, expected) in [(1_100, 6_000, 6_000), (900, 77_000, 0)] {
        let mut plugin = Plugin::default();
        plugin.follow(&Publisher::new(1_000), 1_000..=1_020);
        plugin.receive(1_030, named(87_000, 1_030).at(1_030));
        let fresh = Publisher::on_curve(1_100, curve, 2, begin);
        plugin.receive(1_060, fresh.at(1_120));
        plugin.receive(1_070, fresh.at(1_130));
        assert_eq!(
            (plugin.refused, plugin.account.totals().energy),
            (0, joules(2_000 + expected + 30 * WATTS)),
            "curve {curve}"
        );
    }
}

/// A session between two others, all received late.
fn receive_between(session: u64, stamp: u64) -> Result<(), Refused> {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
    plugin.follow(&Publisher::new(1_200), 1_200..=1_220);
    let late = named(session, session).at(stamp);
    plugin.account.credit(&late, Duration::from_secs(1_221), Duration::from_secs(25)).map(|_| ())
}

#[test]
fn a_late_session_fits_after_the_last_stamp_before_it_and_up_to_the_next_begin() {
    assert_eq!(receive_between(1_050, 1_100), Ok(()));
    assert_eq!(receive_between(1_049, 1_099), Err(Refused::ConflictingPublisher));
    assert_eq!(receive_between(1_100, 1_200), Ok(()));
    assert_eq!(receive_between(1_100, 1_210), Err(Refused::ConflictingPublisher));
}

#[test]
fn a_late_session_fits_after_all_stamps_of_the_curve_before_though_its_clock_was_set_back() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_100);
    let set_back = Publisher { session: 1_101, offset: -300, ..Publisher::on_curve(1_110, 1_000, 2, 11_000) };
    plugin.follow(&set_back, 1_110..=1_120);
    plugin.follow(&Publisher::new(1_300), 1_300..=1_320);
    for (session, refused) in [(950, 1), (1_102, 1)] {
        plugin.receive(1_321, named(session, session).at(1_250));
        assert_eq!(plugin.refused, refused, "{session}");
    }
}

/// The first runs of the curve are closed: what is from before them is closed too, and no rival's.
#[test]
fn what_is_from_before_all_that_is_open_is_closed() {
    let mut plugin = Plugin::default();
    for run in 0..6 {
        let from = 1_000 + u64::from(run) * 20;
        let publisher = Publisher::on_curve(from, 1_000, run + 1, (from - 1_000) * WATTS);
        plugin.follow(&publisher, from..=from + 10);
    }
    let late = Publisher::new(900).at(950);
    let answer = plugin.account.credit(&late, Duration::from_secs(1_111), Duration::from_secs(25));
    assert_eq!(answer.map(|_| ()), Err(Refused::SessionClosed));
    assert!(!plugin.account.has_conflict());
}

/// An account of messages of the original, until 1 020, and then of one with totals: its energy and its stop's seconds.
fn after_legacy(publisher: &Publisher, seconds: std::ops::RangeInclusive<u64>) -> (u64, u64) {
    let mut plugin = Plugin::default();
    for second in [1_000, 1_010, 1_020] {
        let received_at = Duration::from_secs(second);
        plugin
            .account
            .credit_legacy(Watts(10.0), Timestamp::from_seconds(second), received_at, Duration::from_secs(25))
            .unwrap();
    }
    plugin.follow(publisher, seconds);
    let totals = plugin.account.totals();
    (totals.energy.millijoules() / 1_000 - 200, totals.bridged_ms / 1_000)
}

#[test]
fn after_messages_of_the_original_what_began_later_counts_and_what_they_cover_does_not() {
    assert_eq!(after_legacy(&Publisher::new(1_030), 1_050..=1_060), (3_000, 0), "a session");
    assert_eq!(
        after_legacy(&Publisher::on_curve(1_050, 1_030, 2, 500), 1_060..=1_070),
        (2_500, 20),
        "a curve"
    );
    assert_eq!(after_legacy(&Publisher::on_curve(1_050, 900, 2, 500), 1_060..=1_070), (2_000, 0), "a run");
    assert_eq!(after_legacy(&Publisher::new(900), 1_060..=1_070), (1_000, 0), "one that ran beside");
}

/// Run 2 is known, and run 1 comes late, or lives on.
#[test]
fn a_lower_run_is_late_up_to_the_id_of_the_lowest_that_is_known() {
    for (stamp, refused) in [(1_100, 0), (1_101, 1)] {
        let mut plugin = Plugin::default();
        plugin.follow(&Publisher::on_curve(1_100, 1_000, 2, 10_000), 1_100..=1_120);
        let run_1 = Publisher::on_curve(1_000, 1_000, 1, 0).at(1_090);
        plugin.receive(1_121, Accounting { timestamp: Timestamp::from_seconds(stamp), ..run_1 });
        assert_eq!(plugin.refused, refused, "stamped {stamp}");
    }
}

#[test]
fn a_former_run_is_late_up_to_the_id_of_the_next() {
    for (stamp, refused) in [(1_100, 0), (1_101, 1)] {
        let mut plugin = Plugin::default();
        let run_1 = Publisher::on_curve(1_000, 1_000, 1, 0);
        plugin.follow(&run_1, 1_000..=1_020);
        plugin.follow(&Publisher::on_curve(1_100, 1_000, 2, 10_000), 1_100..=1_120);
        plugin.receive(1_121, Accounting { timestamp: Timestamp::from_seconds(stamp), ..run_1.at(1_090) });
        assert_eq!(plugin.refused, refused, "stamped {stamp}");
    }
}

/// A rival's id is before ours, and it counts from where it took over.
#[test]
fn our_own_tail_is_late_up_to_where_a_rival_took_over() {
    for (second, refused) in [(1_060, 0), (1_070, 1)] {
        let mut plugin = Plugin::default();
        let (ours, rival) = (Publisher::new(1_000), Publisher { session: 990, ..Publisher::new(990) });
        plugin.follow(&ours, 1_000..=1_050);
        plugin.receive(1_080, rival.at(1_060));
        plugin.receive(1_090, rival.at(1_070));
        plugin.receive(1_091, ours.at(second));
        assert_eq!(plugin.refused, refused, "{second}");
        plugin.check(5_000 + 1_000 * (2 - refused as u64), [70, 0, 0]);
    }
}

#[test]
fn a_rival_that_is_first_received_when_ours_is_silent_counts_from_there() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
    let rival = Publisher::new(990);
    plugin.follow(&rival, 1_090..=1_100);
    assert_eq!((plugin.refused, plugin.account.totals().energy), (0, joules(5_000 + 1_000)));
}

/// Its first message carries what it used since the last of a session before it: from there on ours is not credited.
#[test]
fn a_rival_that_begins_counts_from_the_newest_stamp_before() {
    let mut plugin = Plugin::default();
    let ours = Publisher::new(1_000);
    plugin.follow(&ours, 1_000..=1_050);
    let begun = Publisher { session: 995, ..Publisher::new(1_080) };
    let first = Accounting { seq: 0, ..begun.at(1_090) };
    plugin.receive(1_090, first);
    assert_eq!(plugin.account.totals().energy, joules(5_000 + 1_000));
    plugin.receive(1_091, ours.at(1_060));
    assert_eq!((plugin.refused, plugin.account.totals().energy), (1, joules(6_000)));
}
