mod clocks;
mod curves;
mod moments;
mod places;
mod properties;
mod rules;
mod scenarios;
mod time;
mod window;

use proptest::prelude::*;

use super::*;
use crate::Quality;

pub(super) const MAX_GAP: Duration = Duration::from_secs(10);

/// A message `second` seconds into the hour, of the session that began at `session`, with `joules` used since then.
pub(super) fn message(session: u64, second: u64, joules: u64) -> Accounting {
    Accounting {
        timestamp: Timestamp::from_seconds(second),
        session: Timestamp::from_seconds(session),
        seq: second - session,
        totals: Totals {
            energy: Energy::from_millijoules(joules * 1000),
            measured_ms: (second - session) * 1000,
            ..Totals::default()
        },
        curve: None,
        meter: None,
        quality: Quality::Measured,
    }
}

/// An account less what is known only to one process: the rival, and when a publisher last sent.
fn kept(account: &Account) -> Account {
    Account { rival: None, received_us: 0, is_resumed: false, ..account.clone() }
}

/// Delivers messages a second apart and returns the answer to each with the total after it.
fn deliver(account: &mut Account, messages: &[Accounting]) -> Vec<(Result<Energy, Refused>, f64)> {
    messages
        .iter()
        .map(|message| {
            let received_at = message.timestamp.since(Timestamp::EPOCH);
            let credit = account.credit(message, received_at, MAX_GAP);
            (credit.map(|credit| credit.gained()), account.totals().energy.joules())
        })
        .collect()
}

fn total_after(messages: &[Accounting]) -> f64 {
    let mut account = Account::default();
    deliver(&mut account, messages);
    account.totals().energy.joules()
}

#[test]
fn the_first_sighting_credits_nothing_and_shows_since_when() {
    let mut account = Account::default();
    deliver(&mut account, &[message(100, 5_000, 777)]);
    assert_eq!((account.totals().energy.joules(), account.since().seconds()), (0.0, 5_000));
}

#[test]
fn a_lost_message_loses_no_energy() {
    assert_eq!(total_after(&[message(100, 101, 50), message(100, 109, 450)]), 400.0);
}

#[test]
fn a_restarted_publisher_is_credited_in_full() {
    assert_eq!(total_after(&[message(100, 101, 50), message(100, 105, 250), message(200, 203, 90)]), 290.0);
}

#[test]
fn a_late_tail_of_the_session_before_still_counts() {
    assert_eq!(total_after(&[message(100, 101, 0), message(200, 203, 90), message(100, 110, 400)]), 490.0);
}

#[test]
fn the_same_message_by_two_ways_counts_once() {
    let mut account = Account::default();
    let answers =
        deliver(&mut account, &[message(100, 101, 0), message(100, 102, 80), message(100, 102, 80)]);
    assert_eq!(answers[2], (Err(Refused::Duplicate), 80.0));
}

#[test]
fn of_two_publishers_the_first_stays_until_it_is_silent() {
    let mut account = Account::default();
    let answers = deliver(
        &mut account,
        &[
            message(100, 150, 0),
            message(140, 151, 7_000), // somebody else, whose time overlaps
            message(100, 152, 200),
            message(140, 153, 7_300),
            message(100, 154, 400), // the last message of the first
            message(140, 155, 7_400),
            message(140, 170, 7_900), // silent for 16 s: the second takes over from its first message after 154
        ],
    );
    let conflict = Err(Refused::ConflictingPublisher);
    assert_eq!(answers[1].0, conflict);
    assert_eq!(answers[5], (conflict, 400.0));
    assert_eq!(answers[6].1, 400.0 + 500.0);
    let back = deliver(&mut account, &[message(100, 171, 2_000)]);
    assert_eq!(back[0], (conflict, 900.0));
}

#[test]
fn a_backward_clock_step_costs_no_energy() {
    // At 154 the clock falls back by 50 s; the publisher begins a new session and continues.
    let mut account = Account::default();
    let mut clock = 0;
    let mut receive = |messages: &mut dyn Iterator<Item = Accounting>| {
        for message in messages {
            clock += 1;
            _ = account.credit(&message, Duration::from_secs(clock), MAX_GAP);
        }
        account.totals().energy.joules()
    };
    assert_eq!(receive(&mut (100..=154).map(|second| message(100, second, second - 100))), 54.0);
    assert_eq!(receive(&mut (104..=130).map(|second| message(104, second, second - 104))), 80.0);
}

#[test]
fn a_clock_set_back_to_before_the_session_began_costs_no_energy() {
    // At 110 the clock falls back to 81, and in time passes all that was received before.
    let mut account = Account::default();
    let before = (100..=110).map(|second| message(100, second, second - 100));
    let after = (81..=200).map(|second| message(81, second, second - 81));
    for (received_at, message) in (1..).zip(before.chain(after)) {
        assert!(account.credit(&message, Duration::from_secs(received_at), MAX_GAP).is_ok(), "{message:?}");
    }
    assert_eq!(account.totals().energy.joules(), 10.0 + 119.0);
}

#[test]
fn an_earlier_publisher_that_continues_is_not_credited_for_the_time_of_the_later_one() {
    // Two live: 81's messages come up to 99, and then both do, of which 100's count until it falls silent at 150.
    let mut account = Account::default();
    for second in 81..=200 {
        let received_at = Duration::from_secs(second);
        _ = account.credit(&message(81, second, second - 81), received_at, MAX_GAP);
        if (100..=150).contains(&second) {
            _ = account.credit(&message(100, second, second - 100), received_at, MAX_GAP);
        }
    }
    let total = account.totals().energy.joules();
    assert!((118.0..=119.0).contains(&total), "{total} J of one machine's 119");
}

/// What a probe has after a session whose first message carries 7 J, begun at 104 when another was received up to 154
/// and then never again; the new one is first received after `silence`.
fn total_after_a_step(silence: u64, between: Option<Accounting>) -> f64 {
    let mut account = Account::default();
    deliver(&mut account, &[message(100, 153, 0), message(100, 154, 1)]);
    let new = |seq| Accounting { seq, ..message(104, 105 + seq, 7 + seq) };
    let messages = (0..2).map(new).chain(between).chain((2..=30).map(new));
    for (received_at, message) in (154 + silence..).zip(messages) {
        _ = account.credit(&message, Duration::from_secs(received_at), MAX_GAP);
    }
    account.totals().energy.joules()
}

#[test]
fn what_the_first_message_of_a_new_session_carries_is_credited_after_a_backward_clock_step() {
    let (challenged_first, at_once) = (total_after_a_step(1, None), total_after_a_step(60, None));
    assert_eq!((challenged_first, at_once), (1.0 + 37.0, 1.0 + 37.0));
}

#[test]
fn a_rival_that_began_while_the_publisher_lives_is_credited_only_since_that_was_last_received() {
    // The old one sends again (2 J) when the rival is at 8 J; it is next received at 9 J.
    assert_eq!(total_after_a_step(1, Some(message(100, 155, 2))), 2.0 + 28.0);
}

#[test]
fn time_between_sessions_is_unknown() {
    let mut account = Account::default();
    deliver(&mut account, &[message(100, 100, 0), message(100, 110, 9), message(200, 205, 5)]);
    let totals = account.totals();
    assert_eq!((totals.measured_ms, totals.unknown_ms), (15_000, 90_000));
}

/// A message of a session that began at `session` after a clock was set back, `seq` seconds into it.
fn set_back(session: u64, seq: u64, second: u64) -> Accounting {
    Accounting { timestamp: Timestamp::from_seconds(second), ..message(session, session + seq, seq) }
}

#[test]
fn a_session_after_a_backward_clock_step_is_credited_and_present_at_once() {
    // At 110 the clock falls back to 20; the publisher names its new session for the time after its last stamp.
    let mut account = Account::default();
    deliver(&mut account, &[message(100, 100, 0), message(100, 110, 10)]);
    let received_at = Duration::from_secs(112);
    let credit = account.credit(&set_back(111, 2, 22), received_at, MAX_GAP).unwrap();
    assert_eq!((credit.gained().joules(), credit.is_newest, account.last().seconds()), (2.0, true, 22));
    // One that was overtaken on its way is not the present, and no second publisher.
    let late = account.credit(&set_back(111, 1, 21), received_at, MAX_GAP).unwrap();
    assert_eq!((late.gained(), late.is_newest, account.has_conflict()), (Energy::ZERO, false, false));
    // The publisher restarts, at 40 on that clock.
    let credit = account.credit(&message(40, 43, 3), Duration::from_secs(133), MAX_GAP).unwrap();
    assert_eq!((credit.gained().joules(), credit.is_newest), (3.0, true));
    // Energy lies where it is stamped; wall time from before the account began is not the account's.
    let totals = account.totals();
    assert_eq!((totals.energy.joules(), totals.measured_ms, totals.unknown_ms), (15.0, 10_000, 0));
    // What it stamps after the account's begin is, but for the 10 s that are covered.
    let credit = account.credit(&message(40, 130, 90), Duration::from_secs(220), MAX_GAP).unwrap();
    let totals = account.totals();
    assert_eq!((credit.is_newest, totals.measured_ms, totals.unknown_ms), (true, 30_000, 0));
}

#[test]
fn time_that_a_clock_set_forward_passes_over_is_unknown_until_it_is_set_back() {
    let mut account = Account::default();
    deliver(&mut account, &[message(100, 100, 0), message(100, 110, 10)]);
    let just_before = Timestamp::from_micros(10_000_000_000 - 1);
    let forward = Accounting { timestamp: just_before, ..message(100, 111, 11) };
    assert!(account.credit(&forward, Duration::from_secs(111), MAX_GAP).is_ok());
    assert_eq!((account.totals().measured_ms, account.totals().unknown_ms), (11_000, 9_888_999));
    assert!(account.credit(&set_back(10_000, 5, 116), Duration::from_secs(116), MAX_GAP).is_ok());
    assert_eq!((account.totals().measured_ms, account.totals().unknown_ms), (16_000, 0));
}

#[test]
fn unknown_time_is_kept_when_sessions_close() {
    let mut account = Account::default();
    let sessions: Vec<_> = (1..=6).map(|n| message(n * 100, n * 100 + 9, 90)).collect();
    deliver(&mut account, &sessions);
    assert_eq!((account.totals().measured_ms, account.totals().unknown_ms), (5 * 9_000, 5 * 91_000));
}

#[test]
fn a_closed_session_is_not_credited_again() {
    let mut account = Account::default();
    let sessions: Vec<_> = (1..=6).map(|n| message(n * 100, n * 100 + 9, 90)).collect();
    deliver(&mut account, &sessions);
    let answer = deliver(&mut account, &[message(100, 109, 90), message(200, 210, 900)]);
    let closed = (Err(Refused::SessionClosed), 450.0);
    assert_eq!(answer, [closed, closed]);
}

#[test]
fn legacy_messages_are_integrated_on_arrival_and_not_across_a_gap() {
    let mut account = Account::default();
    let mut receive = |second: u64, watts| {
        let now = Timestamp::from_seconds(1_000_000 + second);
        account.credit_legacy(Watts(watts), now, Duration::from_secs(second), MAX_GAP).unwrap();
        account.totals().energy.joules()
    };
    assert_eq!(
        [
            receive(1, 100.0),
            receive(2, 100.0),
            receive(4, 50.0),
            receive(4_000, 9_000.0),
            receive(4_001, 10.0)
        ],
        [0.0, 100.0, 200.0, 200.0, 210.0]
    );
    assert_eq!((account.totals().measured_ms, account.totals().unknown_ms), (4_000, 3_996_000));
}

#[test]
fn legacy_messages_are_not_integrated_over_a_plugin_that_was_down() {
    let mut account = Account::default();
    let at = |second: u64| Timestamp::from_seconds(1_000_000 + second);
    account.credit_legacy(Watts(100.0), at(0), Duration::from_secs(500), MAX_GAP).unwrap();
    account.resume(Duration::from_secs(1));
    account.credit_legacy(Watts(100.0), at(300), Duration::from_secs(2), MAX_GAP).unwrap();
    account.credit_legacy(Watts(100.0), at(301), Duration::from_secs(3), MAX_GAP).unwrap();
    let totals = account.totals();
    assert_eq!((totals.energy.joules(), totals.measured_ms, totals.unknown_ms), (100.0, 1_000, 300_000));
}

#[test]
fn an_account_survives_the_disk() {
    let mut account = Account::default();
    deliver(&mut account, &[message(100, 101, 0), message(100, 105, 300)]);
    let copy = account.clone();
    account.resume(Duration::from_secs(1));
    let credit = account.credit(&message(100, 106, 400), Duration::from_secs(2), MAX_GAP);
    assert_eq!(credit.map(|credit| credit.gained().joules()), Ok(100.0));
    assert_ne!(copy, account);
}

/// Two or three sessions of a probe, in order, each message with its energy.
fn story() -> impl Strategy<Value = Vec<Accounting>> {
    prop::collection::vec((1_u64..20, prop::collection::vec(0_u64..500, 1..20)), 1..=3).prop_map(|sessions| {
        let mut now = 1_000;
        let mut messages = Vec::new();
        for (pause, steps) in sessions {
            now += pause;
            let (session, mut joules) = (now, 0);
            for step in steps {
                joules += step;
                messages.push(message(session, now, joules));
                now += 1;
            }
        }
        messages
    })
}

proptest! {
    #[test]
    fn any_order_twice_and_with_losses_ends_at_the_total_of_in_order_delivery(
        messages in story(), order: Vec<prop::sample::Index>, lost: u64, twice: u64,
    ) {
        let received: Vec<Accounting> = messages.iter().enumerate()
            .filter(|(index, _)| *index == 0 || *index + 1 == messages.len() || lost >> (index % 64) & 1 == 0)
            .map(|(_, message)| *message).collect();
        let mut in_order = Account::default();
        deliver(&mut in_order, &received);
        let repeated = received.iter().enumerate().filter(|(index, _)| twice >> (index % 64) & 1 == 1);
        let mut delivered: Vec<Accounting> = repeated.map(|(_, message)| *message).chain(received.clone()).collect();
        for (index, choice) in order.iter().enumerate() {
            let (from, to) = (index % delivered.len(), choice.index(delivered.len()));
            delivered.swap(from, to);
        }
        let mut account = Account::default();
        let (mut previous, mut credited) = (0.0, 0);
        for message in &delivered {
            // All within max_gap of each other on our own clock: nobody is silent.
            credited += usize::from(account.credit(message, Duration::from_secs(5), MAX_GAP).is_ok());
            let total = account.totals().energy.joules();
            prop_assert!(total >= previous, "fell from {previous} to {total}");
            previous = total;
        }
        // Each once: the stories are short, so that none is too old to be distinguished from a repeated one.
        prop_assert_eq!(credited, received.len());
        prop_assert_eq!((account.since(), account.totals()), (in_order.since(), in_order.totals()));
    }

    #[test]
    fn no_message_whatsoever_lowers_a_total_or_panics_or_is_replayed_otherwise(
        messages in prop::collection::vec(anything(), 0..50),
    ) {
        let (mut account, mut fold) = (Account::default(), Account::default());
        let mut previous = Energy::ZERO;
        for (index, message) in messages.into_iter().enumerate() {
            let received_at = Duration::from_secs(index as u64 * 7);
            if let Ok(credit) = account.credit(&message, received_at, MAX_GAP) {
                prop_assert_eq!(credit.totals, account.totals());
                fold.replay(message.timestamp, Some(&message), &credit.decision);
            }
            let total = account.totals().energy;
            prop_assert!(total >= previous);
            previous = total;
            prop_assert_eq!(account.totals(), account.fold_whole());
        }
        prop_assert_eq!(kept(&fold), kept(&account));
    }
}

/// Any message whatsoever; ids, stamps and numbers mostly near each other, so that they meet.
fn anything() -> impl Strategy<Value = Accounting> {
    let number = || prop_oneof![3 => 0_u64..100, 1 => any::<u64>()];
    let parts = (number(), number(), number(), number(), number(), number());
    let curve = prop::option::of((number(), 0_u32..4, number()));
    (number(), number(), number(), parts, curve).prop_map(|(session, timestamp, seq, parts, curve)| {
        Accounting {
            timestamp: Timestamp::from_micros(timestamp),
            session: Timestamp::from_micros(session),
            seq,
            totals: Totals {
                energy: Energy::from_millijoules(parts.0),
                estimated: Energy::from_millijoules(parts.1),
                bridged: Energy::from_millijoules(parts.2),
                measured_ms: parts.3,
                estimated_ms: parts.4,
                bridged_ms: parts.5,
                unknown_ms: parts.0,
            },
            curve: curve.map(|(id, run, begin)| crate::CurvePoint {
                id: Timestamp::from_micros(id),
                run,
                begin: Energy::from_millijoules(begin),
            }),
            meter: None,
            quality: Quality::Measured,
        }
    })
}
