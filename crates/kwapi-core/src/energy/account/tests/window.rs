//! Of a run the last 64 messages are told apart, and its lowest however far back.

use super::*;

/// What an account answers to messages of one session by their numbers, and how many it misses in the end.
fn answers(numbers: &[u64]) -> (Vec<Result<bool, Refused>>, u64) {
    let mut account = Account::default();
    let answers = numbers
        .iter()
        .map(|seq| account.credit(&message(1_000, 1_000 + seq, seq * 10), Duration::ZERO, MAX_GAP))
        .map(|answer| answer.map(|credit| credit.is_newest))
        .collect();
    (answers, account.lost())
}

const NEWEST: Result<bool, Refused> = Ok(true);
const LATE: Result<bool, Refused> = Ok(false);
const DUPLICATE: Result<bool, Refused> = Err(Refused::Duplicate);

#[test]
fn a_message_63_before_the_newest_is_late_and_one_64_before_passes_for_a_duplicate() {
    assert_eq!(answers(&[0, 70, 7, 6]), (vec![NEWEST, NEWEST, LATE, DUPLICATE], 68));
}

#[test]
fn a_leap_of_64_forgets_what_was_heard_before_it() {
    assert_eq!(answers(&[0, 1, 2, 66, 65, 64, 65]).0[3..], [NEWEST, LATE, LATE, DUPLICATE]);
    assert_eq!(answers(&[0, 1, 2, 65, 3, 2]).0[3..], [NEWEST, LATE, DUPLICATE]);
}

#[test]
fn the_lowest_is_known_however_far_back() {
    assert_eq!(answers(&[10, 200, 10, 9, 9]).0[1..], [NEWEST, DUPLICATE, LATE, DUPLICATE]);
}

#[test]
fn a_number_that_leaps_to_its_end_is_a_number() {
    let mut account = Account::default();
    let last = Accounting { seq: u64::MAX, ..message(1_000, 1_001, 10) };
    for message in [message(1_000, 1_000, 0), last] {
        account.credit(&message, Duration::ZERO, MAX_GAP).unwrap();
    }
    assert_eq!((account.lost(), account.totals().energy.joules()), (u64::from(u32::MAX), 10.0));
}
