//! Of a run the last 64 messages are distinguished, and its lowest however far back.

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
fn a_leap_of_64_forgets_what_was_received_before_it() {
    assert_eq!(answers(&[0, 1, 2, 66, 65, 64, 65]).0[3..], [NEWEST, LATE, LATE, DUPLICATE]);
    assert_eq!(answers(&[0, 1, 2, 65, 3, 2]).0[3..], [NEWEST, LATE, DUPLICATE]);
}

#[test]
fn the_lowest_is_known_however_far_back() {
    assert_eq!(answers(&[10, 200, 10, 9, 9]).0[1..], [NEWEST, DUPLICATE, LATE, DUPLICATE]);
}

/// A message of a session that measures a thousand times a second.
fn fast(seq: u64) -> Accounting {
    let slow = message(1_000, 1_000, 0);
    let totals =
        Totals { energy: Energy::from_millijoules(seq * 100), measured_ms: seq, ..Totals::default() };
    Accounting { timestamp: slow.timestamp.after(Duration::from_millis(seq)), seq, totals, ..slow }
}

/// What an account answers to such messages; it is written down and read again after each.
fn fast_answers(numbers: impl IntoIterator<Item = u64>) -> (Vec<Result<bool, Refused>>, u64) {
    let mut account = Account::default();
    let mut answers = Vec::new();
    for seq in numbers {
        let answer = account.credit(&fast(seq), Duration::ZERO, MAX_GAP);
        answers.push(answer.map(|credit| credit.is_newest));
        let mut bytes = Vec::new();
        account.encode(&mut bytes);
        account = Account::decode(&bytes).unwrap();
        account.resume(Duration::ZERO);
        for end in 0..bytes.len() {
            assert!(Account::decode(&bytes[..end]).is_err(), "{seq}: {end} bytes");
        }
    }
    (answers, account.lost())
}

#[test]
fn at_a_thousand_a_second_a_message_is_waited_for_for_two_seconds() {
    let on_time = (0..2_500).filter(|seq| !(400..600).contains(seq) && *seq != 700);
    let (answers, lost) = fast_answers(on_time.chain([500, 599, 700, 500, 450, 1_000]));
    let late = &answers[answers.len() - 6..];
    assert_eq!(late, [LATE, LATE, LATE, DUPLICATE, DUPLICATE, DUPLICATE], "450 is too old");
    assert_eq!(lost, 201 - 3);
}

#[test]
fn messages_that_arrive_by_a_slower_route_a_second_later_are_all_taken() {
    let (fast, slow) = (0..3_000_u64, 0..3_000_u64);
    let fast = fast.map(|seq| (seq, seq)).filter(|(_, seq)| *seq == 0 || seq % 97 != 0);
    let slow = slow.map(|seq| (seq + 1_000, seq));
    let mut all: Vec<(u64, u64)> = fast.chain(slow).collect();
    all.sort_unstable();
    let mut account = Account::default();
    let taken =
        all.iter().filter(|(_, seq)| account.credit(&self::fast(*seq), Duration::ZERO, MAX_GAP).is_ok());
    assert_eq!(taken.count(), 3_000);
    assert_eq!(account.lost(), 0);
}

#[test]
fn whatever_is_lost_of_a_fast_session_little_is_kept_of_it() {
    let mut account = Account::default();
    for seq in (0..200_000).filter(|seq| seq % 7 < 3) {
        account.credit(&fast(seq), Duration::ZERO, MAX_GAP).unwrap();
    }
    let mut bytes = Vec::new();
    account.encode(&mut bytes);
    assert!(bytes.len() < 400, "{} bytes", bytes.len());
    assert_eq!(account.lost(), 200_000 / 7 * 4);
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
