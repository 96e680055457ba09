//! Each rule of the account, by a small story that goes wrong without it.

use super::*;
use crate::CurvePoint;

/// A publisher of one watt a second's worth a second: joules, seconds and stamps differ in size.
#[derive(Clone, Copy)]
pub(super) struct Publisher {
    pub(super) session: u64,
    /// The curve, the number of this run on it, and where on it the session's sums begin, in joules.
    pub(super) curve: Option<(u64, u32, u64)>,
    /// Stamps less true seconds.
    pub(super) offset: i64,
    /// True second of its first reading.
    pub(super) from: u64,
}

pub(super) const WATTS: u64 = 100;

impl Publisher {
    /// One without a register, whose clock is right.
    pub(super) fn new(from: u64) -> Self {
        Self { session: from, curve: None, offset: 0, from }
    }

    /// The run numbered `run` of curve `id`, on which `begin` joules are counted before it.
    pub(super) fn on_curve(from: u64, id: u64, run: u32, begin: u64) -> Self {
        Self { curve: Some((id, run, begin)), ..Self::new(from) }
    }

    /// Its reading at a true second: message 0 at `from`, one every 10 s.
    pub(super) fn at(&self, second: u64) -> Accounting {
        let known = second - self.from;
        Accounting {
            timestamp: Timestamp::from_seconds(second.checked_add_signed(self.offset).unwrap()),
            session: Timestamp::from_seconds(self.session),
            seq: known / 10,
            totals: Totals { energy: joules(known * WATTS), measured_ms: known * 1_000, ..Totals::default() },
            curve: self.curve.map(|(id, run, begin)| CurvePoint {
                id: Timestamp::from_seconds(id),
                run,
                begin: joules(begin),
            }),
            meter: None,
            quality: Quality::Measured,
        }
    }
}

pub(super) fn joules(joules: u64) -> Energy {
    Energy::from_millijoules(joules * 1_000)
}

/// An account that receives messages at true seconds.
#[derive(Default)]
pub(super) struct Plugin {
    pub(super) account: Account,
    pub(super) refused: usize,
}

impl Plugin {
    pub(super) fn receive(&mut self, second: u64, message: Accounting) {
        let before = self.account.totals().energy;
        let credit = self.account.credit(&message, Duration::from_secs(second), Duration::from_secs(25));
        self.refused += usize::from(credit.is_err());
        assert!(self.account.totals().energy >= before, "the total fell at {second}");
    }

    /// Receives a publisher's readings as they are made.
    pub(super) fn follow(&mut self, publisher: &Publisher, seconds: std::ops::RangeInclusive<u64>) {
        for second in seconds.step_by(10) {
            self.receive(second, publisher.at(second));
        }
    }

    /// Joules, and seconds measured, bridged, unknown.
    #[track_caller]
    pub(super) fn check(&self, joules: u64, seconds: [u64; 3]) {
        let totals = self.account.totals();
        let time = [totals.measured_ms, totals.bridged_ms, totals.unknown_ms].map(|ms| ms / 1_000);
        assert_eq!((totals.energy.millijoules() / 1_000, time), (joules, seconds));
    }
}

#[test]
fn a_new_curve_counts_from_its_begin_though_its_first_messages_were_lost() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_020);
    let second = Publisher::on_curve(1_040, 1_040, 1, 0);
    plugin.follow(&second, 1_120..=1_140);
    plugin.check(2_000 + 10_000, [120, 0, 20]);
}

#[test]
fn a_curve_that_began_beside_another_counts_from_the_run_that_came_after() {
    // Its first run was somebody else's; of the second, which began after ours was last received, all counts.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_100);
    let second_run = Publisher::on_curve(1_150, 900, 2, 77_000);
    plugin.follow(&second_run, 1_160..=1_200);
    plugin.check(10_000 + 5_000, [150, 0, 50]);
    // A message of its first run would lower its begin: it is refused.
    let first_run = Publisher::on_curve(900, 900, 1, 0);
    plugin.receive(1_201, first_run.at(1_140));
    assert_eq!(plugin.refused, 1);
    plugin.check(15_000, [150, 0, 50]);
}

#[test]
fn the_next_run_of_a_curve_follows_at_once_however_often_it_restarts() {
    let mut plugin = Plugin::default();
    for run in 0..50 {
        let from = 1_000 + u64::from(run) * 20;
        let publisher = Publisher::on_curve(from, 1_000, run + 1, (from - 1_000) * WATTS);
        plugin.follow(&publisher, from..=from + 10);
    }
    assert_eq!(plugin.refused, 0);
    plugin.check(990 * WATTS, [500, 490, 0]);
}

#[test]
fn a_former_session_received_late_after_the_clock_was_set_back_is_late_and_no_follower() {
    // At 1100 the clock is set back by 300 s: the next session is named for the time after the last stamp.
    let (former, latter) =
        (Publisher::new(1_000), Publisher { session: 1_091, offset: -300, ..Publisher::new(1_100) });
    let mut plugin = Plugin::default();
    plugin.follow(&latter, 1_100..=1_120);
    for second in (1_000..=1_090).step_by(10) {
        plugin.receive(1_121, former.at(second));
    }
    plugin.follow(&latter, 1_130..=1_190);
    assert_eq!((plugin.refused, plugin.account.last().seconds()), (0, 890));
    assert_eq!(plugin.account.totals().energy, joules(9_000 + 9_000));
}

#[test]
fn a_late_lower_run_that_had_overshot_its_register_does_not_lower_the_total() {
    // The watts of run 1 were ahead of its coarse register, which had 15 kJ when run 2 began.
    let (run_1, run_2) =
        (Publisher::on_curve(1_000, 1_000, 1, 0), Publisher::on_curve(1_300, 1_000, 2, 15_000));
    let mut plugin = Plugin::default();
    plugin.follow(&run_2, 1_300..=1_320);
    assert_eq!(plugin.account.totals().energy, joules(2_000));
    plugin.receive(1_321, run_1.at(1_190));
    // The lowest point known is run 2's begin, the highest run 1's end.
    assert_eq!(plugin.account.totals().energy, joules(4_000));
    plugin.receive(1_322, run_1.at(1_000));
    assert_eq!(plugin.account.totals().energy, joules(19_000));
}

#[test]
fn what_is_below_the_highest_point_is_cut_from_the_run_that_measured_it() {
    // Run 1 ended at 19 kJ. Run 2 begins at 15 kJ: its first 4 kJ have been credited.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_190);
    let run_2 = Publisher::on_curve(1_300, 1_000, 2, 15_000);
    for (second, total) in [(1_300, 19_000), (1_340, 19_000), (1_350, 20_000)] {
        plugin.receive(second, run_2.at(second));
        let totals = plugin.account.totals();
        assert_eq!((totals.energy, totals.bridged), (joules(total), Energy::ZERO), "at {second}");
    }
    // The register reports only now what it advanced in the stop: run 2's begin rises by 6 kJ, of which 2 kJ are bridged.
    let ticked = Publisher::on_curve(1_300, 1_000, 2, 21_000);
    plugin.receive(1_360, ticked.at(1_360));
    let totals = plugin.account.totals();
    assert_eq!((totals.energy, totals.bridged), (joules(27_000), joules(2_000)));
}

#[test]
fn what_a_wrong_clock_passed_over_takes_its_status_once_it_is_lived_through() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
    let ahead = Publisher { offset: 86_400, ..Publisher::new(1_000) };
    plugin.follow(&ahead, 1_060..=1_110);
    // A day of which nothing is known, as far as stamps show.
    plugin.check(11_000, [110, 0, 86_400]);
    let right = Publisher { session: 87_511, from: 1_120, ..Publisher::new(1_120) };
    plugin.follow(&right, 1_120..=1_990);
    // 10 s between the sessions are known to nobody.
    plugin.check(11_000 + 87_000, [110 + 870, 0, 10]);
}

#[test]
fn credited_time_begins_with_the_first_reading_and_not_with_a_session_id_in_the_future() {
    // The host booted a day ahead; what it sent then was refused by the bus. Its clock is corrected, and the session
    // continues under an id of tomorrow.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
    let next = Publisher { session: 87_470, ..Publisher::new(1_056) };
    plugin.follow(&next, 1_066..=1_096);
    plugin.check(5_000 + 4_000, [90, 0, 6]);
}

#[test]
fn a_session_of_an_absurd_id_hides_neither_energy_nor_watts() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
    let absurd = Accounting { session: Timestamp::from_micros(1 << 63), ..Publisher::new(1_052).at(1_052) };
    plugin.receive(1_052, absurd);
    // The session before, and one after a restart, continue as if nothing had happened.
    plugin.follow(&Publisher::new(1_000), 1_060..=1_100);
    assert_eq!(plugin.account.last().seconds(), 1_100, "what is shown is the present");
    plugin.follow(&Publisher::new(1_110), 1_110..=1_200);
    plugin.check(10_000 + 9_000, [190, 0, 10]);
    assert_eq!((plugin.refused, plugin.account.last().seconds()), (0, 1_200));
}

#[test]
fn what_is_stamped_before_the_begin_keeps_its_energy_and_gains_no_time() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_050);
    let set_back = Publisher { offset: -500, session: 1_051, ..Publisher::on_curve(1_050, 1_000, 2, 5_000) };
    plugin.follow(&set_back, 1_060..=1_100);
    assert_eq!(plugin.account.since().seconds(), 1_000);
    plugin.check(10_000, [50, 0, 0]);
    // It reaches the begin, and what was covered, and continues from there.
    plugin.follow(&set_back, 1_110..=1_600);
    plugin.check(60_000, [100, 0, 0]);
}

#[test]
fn a_rival_counts_from_its_first_message_after_ours_was_last_received() {
    let mut plugin = Plugin::default();
    let (ours, rival) = (Publisher::new(1_000), Publisher::new(990));
    for second in (1_000..=1_050).step_by(10) {
        plugin.receive(second, ours.at(second));
        plugin.receive(second + 5, rival.at(second));
    }
    assert_eq!(
        plugin.account.conflict(),
        Some(Conflict { credited: Timestamp::from_seconds(1_000), refused: Timestamp::from_seconds(990) })
    );
    plugin.follow(&rival, 1_060..=1_100);
    // Its message of 1050 was received after ours of 1050, and is where it begins.
    plugin.check(5_000 + 5_000, [100, 0, 0]);
    assert_eq!(plugin.account.conflict(), None);
}

#[test]
fn a_second_manager_with_a_copy_of_the_state_is_a_rival() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_020);
    let copies = [1_030, 1_034].map(|from| Publisher::on_curve(from, 1_000, 2, (from - 1_000) * WATTS));
    for second in (0..=60).step_by(10) {
        for copy in &copies {
            plugin.receive(copy.from + second, copy.at(copy.from + second));
        }
    }
    assert_eq!(plugin.refused, 7, "all of the second one");
    plugin.check(9_000, [80, 10, 0]);
    // The first of the two ends: the second takes over from its next message.
    plugin.follow(&copies[1], 1_104..=1_204);
    assert_eq!(plugin.refused, 9);
    assert_eq!(plugin.account.totals().energy, joules(9_000 + 11_000));
}

#[test]
fn an_account_never_returns_to_a_curve_that_another_has_followed() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_050);
    let other = Publisher::on_curve(1_060, 1_060, 1, 0);
    plugin.follow(&other, 1_060..=1_100);
    let back = Publisher::on_curve(1_105, 1_000, 2, 10_500);
    plugin.receive(1_105, back.at(1_105));
    assert_eq!(plugin.refused, 1);
    plugin.follow(&other, 1_110..=1_120);
    plugin.follow(&back, 1_125..=1_205);
    // Ours was last received at 1120; the rival's message of 1125 is where it begins.
    assert_eq!(plugin.account.totals().energy, joules(5_000 + 6_000 + 8_000));
}

#[test]
fn a_stop_is_bridged_by_what_the_curve_reports_and_a_late_tail_makes_it_measured() {
    let mut plugin = Plugin::default();
    let (run_1, run_2) =
        (Publisher::on_curve(1_000, 1_000, 1, 0), Publisher::on_curve(1_160, 1_000, 2, 16_000));
    plugin.follow(&run_1, 1_000..=1_050);
    plugin.follow(&run_2, 1_160..=1_200);
    plugin.check(20_000, [90, 110, 0]);
    assert_eq!(plugin.account.totals().bridged, joules(11_000));
    plugin.receive(1_201, run_1.at(1_090));
    plugin.check(20_000, [130, 70, 0]);
    assert_eq!(plugin.account.totals().bridged, joules(7_000));
}

#[test]
fn a_session_that_has_no_curve_any_more_is_the_same_session() {
    // The state cannot be written: the register's curve is left, the session's own sums continue.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_050);
    let run_2 = Publisher::on_curve(1_060, 1_000, 2, 6_000);
    plugin.follow(&run_2, 1_060..=1_100);
    plugin.follow(&Publisher { curve: None, ..run_2 }, 1_110..=1_200);
    plugin.follow(&run_2, 1_210..=1_250);
    assert_eq!(plugin.refused, 0);
    plugin.check(25_000, [240, 10, 0]);
}

#[test]
fn two_restarts_of_a_manager_that_keeps_no_record_are_credited_though_the_clock_fell_back() {
    // The clock is an hour behind at each restart: the new session's id is before the old one's.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher { offset: 0, ..Publisher::new(10_000) }, 10_000..=10_100);
    for from in [10_200, 10_400] {
        let behind = Publisher { session: from - 3_600, offset: -3_600, ..Publisher::new(from) };
        plugin.follow(&behind, from..=from + 100);
    }
    assert_eq!(plugin.account.totals().energy, joules(3 * 10_000));
}

#[test]
fn a_late_session_that_overlaps_the_one_before_is_a_rival() {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_100);
    plugin.follow(&Publisher::new(1_200), 1_200..=1_250);
    let overlapping = Publisher::new(1_050);
    plugin.receive(1_251, overlapping.at(1_150));
    assert_eq!(plugin.refused, 1);
    let between = Publisher::new(1_120);
    plugin.receive(1_252, between.at(1_150));
    assert_eq!(plugin.refused, 1);
    plugin.check(10_000 + 3_000 + 5_000, [180, 0, 70]);
}

#[test]
fn a_message_that_contradicts_what_was_received_does_not_lower_the_total() {
    let mut plugin = Plugin::default();
    let publisher = Publisher::new(1_000);
    plugin.follow(&publisher, 1_050..=1_100);
    // Its message 3 had more energy than its message 9, by its own account.
    let odd = Accounting { totals: publisher.at(1_090).totals, ..publisher.at(1_030) };
    plugin.receive(1_101, odd);
    assert_eq!(plugin.account.totals().energy, joules(5_000));
}

#[test]
fn wall_time_that_readings_cover_is_theirs_before_any_stops() {
    // After a stop from 1050 to 1160 the clock is set back to 1100.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::on_curve(1_000, 1_000, 1, 0), 1_000..=1_050);
    plugin.follow(&Publisher::on_curve(1_160, 1_000, 2, 16_000), 1_160..=1_200);
    plugin.check(20_000, [90, 110, 0]);
    let set_back = Publisher { offset: -100, session: 1_201, ..Publisher::on_curve(1_200, 1_000, 3, 20_000) };
    plugin.follow(&set_back, 1_210..=1_300);
    plugin.check(30_000, [150, 50, 0]);
}

#[test]
fn the_time_before_a_rival_of_which_no_register_reports_is_unknown() {
    // A publisher that started afresh under an id before ours, when ours was gone.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_050);
    let rival = Publisher { session: 995, ..Publisher::new(1_090) };
    plugin.follow(&rival, 1_090..=1_100);
    plugin.check(6_000, [60, 0, 40]);
}

#[test]
fn once_a_run_has_lasted_a_day_those_before_it_are_closed() {
    let mut plugin = Plugin::default();
    let (run_1, run_2) =
        (Publisher::on_curve(1_000, 1_000, 1, 0), Publisher::on_curve(1_160, 1_000, 2, 16_000));
    plugin.follow(&run_1, 1_000..=1_050);
    plugin.follow(&run_2, 1_160..=87_560);
    plugin.receive(87_561, run_1.at(1_090));
    assert_eq!((plugin.refused, plugin.account.runs.len()), (0, 2));
    plugin.receive(87_570, run_2.at(87_570));
    plugin.receive(87_571, run_1.at(1_100));
    assert_eq!((plugin.refused, plugin.account.runs.len()), (1, 1));
    plugin.check(8_657_000, [86_500, 70, 0]);
}
