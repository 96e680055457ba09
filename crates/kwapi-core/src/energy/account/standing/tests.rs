use std::time::Duration;

use super::super::Account;
use super::*;
use crate::{Accounting, Quality, Totals};

fn message(session: u64, seq: u64, millijoules: u64) -> Accounting {
    Accounting {
        timestamp: Timestamp::from_seconds(session + seq),
        session: Timestamp::from_seconds(session),
        seq,
        totals: Totals {
            energy: Energy::from_millijoules(millijoules),
            measured_ms: seq * 1_000,
            ..Totals::default()
        },
        curve: None,
        meter: None,
        quality: Quality::Measured,
    }
}

fn standing(messages: &[Accounting]) -> Standing {
    let mut account = Account::default();
    for message in messages {
        let received_at = message.timestamp.since(Timestamp::EPOCH);
        _ = account.credit(message, received_at, Duration::from_secs(10));
    }
    account.standing().unwrap()
}

#[track_caller]
fn check(one: &[Accounting], other: &[Accounting], order: StandingOrder) {
    assert_eq!(standing(one).compare(&standing(other)), order);
}

const DIFFERS: fn(u64) -> StandingOrder = |mj| StandingOrder::Differs(Energy::from_millijoules(mj));

#[test]
fn accounts_agree_whichever_message_is_their_newest() {
    let all: Vec<_> = (0..20).map(|seq| message(100, seq, seq * 7)).collect();
    for upto in 1..20 {
        check(&all[..upto], &all, StandingOrder::Equal);
        check(&all, &all[..upto], StandingOrder::Equal);
    }
}

#[test]
fn a_lost_tail_is_a_difference_at_every_message_of_the_next_session() {
    let whole = [message(100, 0, 0), message(100, 5, 50), message(100, 6, 61), message(200, 1, 9)];
    let short = [message(100, 0, 0), message(100, 5, 50), message(200, 1, 9), message(200, 2, 12)];
    check(&short, &whole, DIFFERS(11));
    check(&whole, &short, DIFFERS(11));
}

#[test]
fn the_earlier_begin_and_the_later_session_are_taken() {
    let (early, late) =
        ([message(100, 0, 0), message(100, 5, 50)], [message(100, 4, 41), message(100, 5, 50)]);
    check(&late, &early, StandingOrder::Behind);
    check(&early, &late, StandingOrder::Ahead);
    let later = [message(100, 0, 0), message(100, 5, 50), message(200, 0, 0)];
    check(&early, &later, StandingOrder::Behind);
    check(&later, &early, StandingOrder::Ahead);
}

#[test]
fn where_two_publishers_are_received_only_the_same_message_is_compared() {
    let begin = [message(100, 0, 0), message(100, 5, 50)];
    let rival = [message(100, 0, 0), message(100, 5, 50), message(90, 16, 3_000)];
    check(&begin, &rival, StandingOrder::Equal);
    let further = [message(100, 0, 0), message(100, 6, 70)];
    check(&further, &rival, StandingOrder::Ahead);
}

#[test]
fn nothing_received_has_no_standing() {
    assert_eq!(Account::default().standing(), None);
}

#[test]
fn a_standing_travels() {
    let standing = standing(&[message(100, 0, 0), message(100, 5, 50)]);
    let bytes = postcard::to_allocvec(&standing).unwrap();
    assert_eq!(postcard::from_bytes::<Standing>(&bytes).unwrap(), standing);
}

#[test]
fn what_is_constant_is_so_at_every_message_of_a_session_and_at_no_other() {
    let all: Vec<_> = (0..20).map(|seq| message(100, seq, seq * 7)).collect();
    let constant = |messages: &[Accounting]| standing(messages).constant();
    for upto in 1..20 {
        assert_eq!(constant(&all[..upto]), constant(&all));
    }
    let later = [all[0], all[9], message(200, 1, 9)];
    let short = [all[0], all[8], message(200, 1, 9)];
    assert!(constant(&later).is_some() && constant(&later) != constant(&all), "another session");
    assert_ne!(constant(&later), constant(&short), "a lost tail");
    assert_ne!(constant(&all[1..]), constant(&all), "a later begin");
}
