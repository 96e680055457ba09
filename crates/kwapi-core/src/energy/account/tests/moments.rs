//! Which publisher is received when: what is silent, what is the present, whose message begins where, to the microsecond.

use super::rules::{Plugin, Publisher, WATTS, joules};
use super::*;
use crate::CurvePoint;

/// `max_gap` of a `Plugin`.
const GAP: Duration = Duration::from_secs(25);

fn receive_at(account: &mut Account, received_at: Duration, message: &Accounting) -> Result<Credit, Refused> {
    account.credit(message, received_at, GAP)
}

/// Ours of 1 000 to 1 020, received then, and another that overlaps it.
fn two() -> (Plugin, Publisher) {
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_020);
    (plugin, Publisher::new(990))
}

#[test]
fn a_publisher_is_silent_once_it_was_not_received_for_longer_than_max_gap() {
    let (mut plugin, rival) = two();
    let until = Duration::from_secs(1_020) + GAP;
    let refused = receive_at(&mut plugin.account, until, &rival.at(1_040));
    assert_eq!(refused.map(|credit| credit.decision), Err(Refused::ConflictingPublisher));
    let later = until + Duration::from_micros(1);
    assert!(receive_at(&mut plugin.account, later, &rival.at(1_050)).is_ok());
}

#[test]
fn after_a_restart_of_the_plugin_nobody_is_silent_at_once() {
    let (plugin, rival) = two();
    let mut bytes = Vec::new();
    plugin.account.encode(&mut bytes);
    let mut account = Account::decode(&bytes).unwrap();
    account.resume(Duration::from_secs(5_000));
    let received_at = Duration::from_secs(5_010);
    assert!(receive_at(&mut account, received_at, &rival.at(1_040)).is_err());
    let received_at = Duration::from_secs(5_026);
    assert!(receive_at(&mut account, received_at, &rival.at(1_050)).is_ok());
}

/// Whoever credits on a copy keeps the copy: it must hold all that the account does.
#[test]
fn a_copy_holds_who_was_received_when_and_who_was_refused() {
    let (mut plugin, rival) = two();
    plugin.receive(1_021, rival.at(1_020));
    let mut copy = Account::default();
    copy.clone_from(&plugin.account);
    assert_eq!((copy.conflict(), &copy), (plugin.account.conflict(), &plugin.account));
    assert!(copy.has_conflict());
    assert!(receive_at(&mut copy, Duration::from_secs(1_045), &rival.at(1_030)).is_err());
    assert!(receive_at(&mut plugin.account.clone(), Duration::from_secs(1_046), &rival.at(1_030)).is_ok());
}

/// The clock was set back: the next session is known, and a message of the one before is no second publisher's.
#[test]
fn a_predecessor_that_is_received_on_is_no_conflict_and_hides_none() {
    let next = Publisher { session: 1_091, offset: -300, ..Publisher::new(1_100) };
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_080);
    plugin.follow(&next, 1_100..=1_110);
    plugin.receive(1_111, Publisher::new(1_000).at(1_090));
    assert_eq!((plugin.refused, plugin.account.conflict()), (0, None));
    // A real rival is refused, and stays so while the predecessor's last messages come.
    let mut plugin = Plugin::default();
    plugin.follow(&Publisher::new(1_000), 1_000..=1_070);
    plugin.follow(&next, 1_100..=1_110);
    plugin.receive(1_112, Publisher::new(1_050).at(1_120));
    let conflict = plugin.account.conflict();
    plugin.receive(1_113, Publisher::new(1_000).at(1_080));
    assert_eq!((plugin.refused, conflict.is_some(), plugin.account.conflict()), (1, true, conflict));
}

/// The session of tomorrow is silent: what the one before sends later than all that was received is the present.
#[test]
fn a_predecessor_is_the_present_only_while_its_successor_is_silent_and_not_with_what_is_older() {
    let former = Publisher::new(1_000);
    let next = Publisher { session: 87_470, ..Publisher::new(1_056) };
    let mut plugin = Plugin::default();
    plugin.follow(&former, 1_000..=1_050);
    plugin.receive(1_056, next.at(1_056));
    let mut receive =
        |second, message| receive_at(&mut plugin.account, Duration::from_secs(second), &message).unwrap();
    let alive = receive(1_060, former.at(1_070));
    assert_eq!((alive.decision, alive.is_newest), (Decision::Continue, false));
    let silent = receive(1_090, former.at(1_080));
    assert_eq!((silent.decision, silent.is_newest), (Decision::Present, true));
    assert_eq!(plugin.account.last().seconds(), 1_080);
    // Its clock is set back: what is stamped earlier is not the present.
    let set_back = Accounting { timestamp: Timestamp::from_seconds(1_060), ..former.at(1_090) };
    let credit = receive_at(&mut plugin.account, Duration::from_secs(1_091), &set_back).unwrap();
    assert_eq!((credit.decision, credit.is_newest), (Decision::Continue, false));
    assert_eq!(plugin.account.last().seconds(), 1_080);
}

#[test]
fn a_journal_reports_again_what_was_the_present() {
    let former = Publisher::new(1_000);
    let next = Publisher { session: 87_470, ..Publisher::new(1_056) };
    let (mut plugin, mut fold) = (Plugin::default(), Account::default());
    for (received_at, message) in [
        (1_000, former.at(1_000)),
        (1_050, former.at(1_050)),
        (1_056, next.at(1_056)),
        (1_090, former.at(1_080)),
    ] {
        let credit = receive_at(&mut plugin.account, Duration::from_secs(received_at), &message).unwrap();
        fold.replay(message.timestamp, Some(&message), &credit.decision);
    }
    assert_eq!((kept(&fold), fold.last().seconds()), (kept(&plugin.account), 1_080));
}

#[test]
fn a_message_whose_place_the_journal_has_lost_begins_at_what_its_publisher_had() {
    let mut account = Account::default();
    let ours = Publisher::new(1_000);
    let begin = Decision::Begin { kind: SegmentKind::First, begin: Timestamp::EPOCH, base: Energy::ZERO };
    account.replay(ours.at(1_000).timestamp, Some(&ours.at(1_000)), &begin);
    account.replay(ours.at(1_100).timestamp, Some(&ours.at(1_100)), &Decision::Continue);
    // The message that began this one is lost.
    let rival = Publisher::new(990);
    for second in [1_150, 1_180] {
        account.replay(rival.at(second).timestamp, Some(&rival.at(second)), &Decision::Continue);
    }
    assert_eq!(account.totals().energy, joules(100 * WATTS + 30 * WATTS));
}

#[test]
fn what_is_lost_is_counted_until_it_comes() {
    let mut plugin = Plugin::default();
    let ours = Publisher::new(1_000);
    let mut lost = |second| {
        plugin.receive(second, ours.at(second));
        plugin.account.lost()
    };
    assert_eq!([1_000, 1_010, 1_050, 1_030, 1_020, 1_060].map(&mut lost), [0, 0, 3, 2, 1, 1]);
}

#[test]
fn a_credit_reports_between_which_stamps_it_lies() {
    let mut account = Account::default();
    let mut stretch = |message: Accounting| {
        let Stretch { from, to } = receive_at(&mut account, Duration::ZERO, &message).unwrap().stretch;
        [from, to].map(Timestamp::seconds)
    };
    let ours = Publisher::new(1_000);
    assert_eq!(stretch(ours.at(1_020)), [1_020, 1_020], "the first of all");
    assert_eq!(stretch(ours.at(1_030)), [1_020, 1_030]);
    assert_eq!(stretch(ours.at(1_060)), [1_030, 1_060]);
    assert_eq!(stretch(ours.at(1_050)), [1_050, 1_050], "between two");
    assert_eq!(stretch(ours.at(1_010)), [1_010, 1_020], "before all");
    assert_eq!(stretch(Publisher::new(1_100).at(1_110)), [1_060, 1_110], "another session");
}

#[test]
fn a_message_without_totals_is_refused_while_a_publisher_with_totals_lives_and_ends_it_once_silent() {
    let (mut plugin, _) = two();
    let account = &mut plugin.account;
    let legacy = |account: &mut Account, second: u64, watts: f64| {
        account.credit_legacy(Watts(watts), Timestamp::from_seconds(second), Duration::from_secs(second), GAP)
    };
    assert_eq!(legacy(account, 1_045, 100.0).map(|_| ()), Err(Refused::ConflictingPublisher));
    let first = legacy(account, 1_046, 100.0).unwrap();
    assert_eq!((first.gained(), account.runs.len()), (Energy::ZERO, 0));
    assert_eq!(legacy(account, 1_056, 50.0).unwrap().gained(), joules(500));
    assert_eq!(legacy(account, 1_066, -50.0).unwrap().gained(), Energy::ZERO);
    assert_eq!(legacy(account, 1_076, f64::INFINITY).unwrap().gained(), Energy::ZERO);
    let Credit { stretch, totals, .. } = legacy(account, 1_086, 50.0).unwrap();
    assert_eq!([stretch.from, stretch.to].map(Timestamp::seconds), [1_076, 1_086]);
    assert_eq!((totals.energy, account.published), (joules(2_000 + 1_000), joules(3_000)));
    // What comes of the session after that begins at what it had by then.
    let late = receive_at(account, Duration::from_secs(1_087), &Publisher::new(1_000).at(1_090)).unwrap();
    assert_eq!((late.gained(), account.totals().energy), (Energy::ZERO, joules(3_000)));
}

#[test]
fn a_plugins_clock_that_is_set_back_sets_no_stamp_of_legacy_messages_back() {
    let mut account = Account::default();
    for (stamp, received_at) in [(1_000, 1), (1_010, 11), (900, 21)] {
        account
            .credit_legacy(Watts(10.0), Timestamp::from_seconds(stamp), Duration::from_secs(received_at), GAP)
            .unwrap();
    }
    assert_eq!((account.last().seconds(), account.totals().energy), (1_010, joules(200)));
}

/// Stamps and the plugin's own clock go apart.
#[test]
fn the_time_of_legacy_messages_is_the_plugins_monotonic_time_where_a_clock_was_set() {
    let mut account = Account::default();
    for (stamp, received_at) in [(1_000, 1), (1_010, 11), (4_610, 21)] {
        account
            .credit_legacy(Watts(10.0), Timestamp::from_seconds(stamp), Duration::from_secs(received_at), GAP)
            .unwrap();
    }
    assert_eq!((account.totals().measured_ms, account.totals().unknown_ms), (20_000, 3_590_000));
    // A plugin that was down for less than a second has nothing of it.
    account.resume(Duration::from_secs(100));
    let at = Timestamp::from_micros(4_610_500_000);
    account.credit_legacy(Watts(10.0), at, Duration::from_secs(100), GAP).unwrap();
    assert_eq!((account.totals().measured_ms, account.totals().unknown_ms), (20_000, 3_590_500));
}

/// The same session, of the same curve or of none, and another curve's.
#[test]
fn a_session_that_changes_its_curve_is_one_session() {
    let mut plugin = Plugin::default();
    let without = Publisher::new(1_000);
    plugin.follow(&without, 1_000..=1_050);
    // It has a curve by now, whose begin is its own affair.
    let with = Publisher { curve: Some((1_000, 1, 7)), ..without };
    plugin.follow(&with, 1_060..=1_100);
    plugin.check(10_000 + 7, [100, 0, 0]);
    let renamed = Publisher { curve: Some((1_030, 1, 0)), ..without };
    plugin.follow(&renamed, 1_110..=1_120);
    assert_eq!((plugin.refused, plugin.account.runs.len()), (0, 1));
    plugin.check(12_000 + 7, [120, 0, 0]);
    // A run of another session on a curve that is known is another run.
    let next = Publisher { curve: Some((1_000, 2, 20_000)), ..Publisher::new(1_130) };
    plugin.follow(&next, 1_130..=1_140);
    assert_eq!((plugin.refused, plugin.account.runs.len()), (0, 2));
    assert!(matches!(next.at(1_130).curve, Some(CurvePoint { run: 2, .. })));
}
