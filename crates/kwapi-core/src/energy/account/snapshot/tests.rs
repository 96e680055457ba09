use std::time::Duration;

use super::*;
use crate::{Accounting, Energy, Quality, Timestamp, Totals, Watts};

const MAX_GAP: Duration = Duration::from_secs(10);

/// A message `second` seconds after the epoch of these tests, of the session that began at `session`.
fn message(session: u64, second: u64, joules: u64) -> Accounting {
    let at = |second: u64| Timestamp::from_seconds(1_800_000_000 + second);
    Accounting {
        timestamp: at(second),
        session: at(session),
        seq: second - session,
        totals: Totals {
            energy: Energy::from_millijoules(joules * 1_000),
            measured_ms: (second - session) * 1_000,
            ..Totals::default()
        },
        curve: None,
        meter: None,
        quality: Quality::Measured,
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

type Decode = fn(&[u8]) -> Result<Account, SnapshotError>;

fn version_2() -> Vec<(String, Vec<u64>, Account)> {
    golden(include_str!("version_2.txt"), Account::decode_version_2)
}

/// The accounts of a golden file: name, their numbers, and the account that is read.
fn golden(file: &str, decode: Decode) -> Vec<(String, Vec<u64>, Account)> {
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, hex) = (words[0], words[words.len() - 1]);
            let numbers = words[1..words.len() - 1].iter().map(|word| word.parse().unwrap()).collect();
            (name.to_owned(), numbers, decode(&bytes_of(hex)).expect(name))
        })
        .collect()
}

#[test]
fn accounts_of_earlier_versions_continue_with_their_totals() {
    let version_1 = golden(include_str!("version_1.txt"), Account::decode_version_1);
    let versions = [version_1, version_2()];
    assert_eq!(versions.each_ref().map(Vec::len), [8, 8]);
    for (name, text, account) in versions.iter().flatten() {
        let totals = account.totals();
        let read = [
            account.since().micros(),
            account.last().micros(),
            totals.energy.millijoules(),
            totals.measured_ms,
            totals.estimated_ms,
            totals.unknown_ms,
            account.lost(),
        ];
        assert_eq!(read[..], text[..], "{name}");
    }
}

/// Credits what comes after unsupported account version 2 was read, and returns the energy (J) and time (measured,
/// unknown; s) that result.
fn credited_after(name: &str, messages: &[Accounting]) -> (f64, u64, u64) {
    let (_, _, mut account) = version_2().into_iter().find(|(found, ..)| found == name).unwrap();
    account.resume(Duration::from_secs(1_000));
    for message in messages {
        _ = account.credit(message, Duration::from_secs(1_001), MAX_GAP);
    }
    let totals = account.totals();
    (totals.energy.joules(), totals.measured_ms / 1_000, totals.unknown_ms / 1_000)
}

#[test]
fn open_sessions_of_version_2_are_credited_from_where_they_were() {
    assert_eq!(credited_after("one-session", &[message(0, 9, 810)]), (540.0, 6, 0));
    // Known already, and late but within what is distinguished.
    assert_eq!(credited_after("one-session", &[message(0, 8, 720), message(0, 7, 630)]), (450.0, 5, 0));
    // Earlier than all that was received: it may have been credited since the account began to count. It is not.
    assert_eq!(credited_after("one-session", &[message(0, 2, 180)]), (450.0, 5, 0));
    // A successor, after 91 s of which nothing is known.
    assert_eq!(credited_after("one-session", &[message(99, 100, 30)]), (480.0, 6, 91));
    // The last but one of six sessions, 5 s after its newest: no time of the sixth's.
    assert_eq!(credited_after("six-sessions", &[message(400, 409, 450)]).0, 1_350.0);
    assert_eq!(credited_after("legacy-then-session", &[message(7, 14, 140)]), (620.0, 11, 3));
    assert_eq!(credited_after("empty", &[message(0, 3, 33), message(0, 4, 44)]), (11.0, 1, 0));
}

#[test]
fn a_legacy_account_of_version_2_continues() {
    let (_, _, mut account) = version_2().into_iter().find(|(name, ..)| name == "legacy").unwrap();
    account.resume(Duration::from_secs(1_000));
    for second in [60, 61] {
        let at = Timestamp::from_seconds(1_800_000_000 + second);
        account.credit_legacy(Watts(100.0), at, Duration::from_secs(1_000 + second), MAX_GAP).unwrap();
    }
    let totals = account.totals();
    assert_eq!((totals.energy.joules(), totals.measured_ms, totals.unknown_ms), (580.0, 5_000, 56_000));
}

/// An account that has all an account can have: a curve, a closed run, a clock that was set forward, a rival.
fn rich() -> Account {
    let mut account = Account::default();
    let at = |message: Accounting, run: u32, begin: u64| Accounting {
        curve: Some(crate::CurvePoint {
            id: Timestamp::from_seconds(1_800_000_000),
            run,
            begin: Energy::from_millijoules(begin * 1_000),
        }),
        ..message
    };
    let mut joules = 0;
    for run in 0..6 {
        for second in [0, 1, 5] {
            let message = at(message(run * 100, run * 100 + second, second * 70), run as u32 + 1, joules);
            account.credit(&message, Duration::from_secs(run * 100 + second), MAX_GAP).unwrap();
        }
        joules += 1_000;
    }
    let ahead = Accounting {
        timestamp: Timestamp::from_seconds(1_800_009_000),
        ..at(message(500, 506, 420), 6, 5_000)
    };
    account.credit(&ahead, Duration::from_secs(506), MAX_GAP).unwrap();
    _ = account.credit(&message(490, 507, 9), Duration::from_secs(507), MAX_GAP);
    account
}

#[test]
fn an_account_is_read_as_it_was_written() {
    let account = rich();
    let mut bytes = b"before".to_vec();
    account.encode(&mut bytes);
    let bytes = bytes.strip_prefix(b"before").unwrap();
    let read = Account::decode(bytes).unwrap();
    // What is known only to this process is the rival and when its publisher was last received from.
    assert!(account.has_conflict());
    let kept = Account { rival: None, received_us: 0, is_resumed: false, ..account };
    assert_eq!(read, kept);
    for cut in 0..bytes.len() {
        assert_eq!(Account::decode(&bytes[..cut]), Err(SnapshotError::Damaged), "cut at {cut}");
    }
    assert_eq!(Account::decode(&[bytes, &[0]].concat()), Err(SnapshotError::Damaged), "a byte too many");
}

/// Written by no program: what is bounded is bounded when it is read.
#[test]
fn more_runs_or_holes_than_there_can_be_are_damage() {
    let encoded = |account: &Account| {
        let mut bytes = Vec::new();
        account.encode(&mut bytes);
        Account::decode(&bytes)
    };
    let mut account = rich();
    let run = account.runs[0].clone();
    account.runs.truncate(1);
    account.runs.resize(crate::energy::account::RUNS_MAX, run.clone());
    assert!(encoded(&account).is_ok());
    account.runs.push(run);
    assert_eq!(encoded(&account), Err(SnapshotError::Damaged));
    let mut bytes = Vec::new();
    rich().encode(&mut bytes);
    let read = Account::decode(&bytes).unwrap();
    // The number of holes is one byte, and the first that makes the account unsound when it is raised.
    let damaged = (0..bytes.len()).any(|index| {
        let mut bytes = bytes.clone();
        bytes[index] = 9;
        Account::decode(&bytes) == Err(SnapshotError::Damaged) && {
            bytes[index] = 8;
            Account::decode(&bytes).is_ok_and(|other| other.runs == read.runs && other.past != read.past)
        }
    });
    assert!(damaged);
}

/// Earlier programs kept what was covered in microseconds.
#[test]
fn covered_microseconds_are_read_as_milliseconds() {
    let mut account = rich();
    let past = account.past.as_mut().unwrap();
    past.sum.coverage.by_status[0] += 700;
    let mut bytes = Vec::new();
    account.encode(&mut bytes);
    let read = Account::decode(&bytes).unwrap();
    let whole = read.past.as_ref().unwrap().sum.coverage.by_status;
    assert!(whole.iter().all(|us| us % 1_000 == 0), "{whole:?}");
    assert_eq!(read.totals(), read.fold_whole());
}

#[test]
fn the_bytes_of_an_account_are_those_of_version_3() {
    let mut bytes = Vec::new();
    rich().encode(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        include_str!("version_3.txt").trim_end(),
        "a changed account needs another version, beside 3"
    );
}

#[test]
fn a_later_version_is_distinguished_from_damage() {
    assert_eq!(Account::decode(&[VERSION_MISSING + 1, 0, 0]), Err(SnapshotError::Later(VERSION_MISSING + 1)));
    assert_eq!(Account::decode(&[1]), Err(SnapshotError::Damaged));
    assert_eq!(Account::decode(&[]), Err(SnapshotError::Damaged));
}

#[test]
fn an_account_with_one_session_is_small() {
    let mut account = Account::default();
    account.credit(&message(0, 1, 70), Duration::from_secs(1), MAX_GAP).unwrap();
    let heap = account.runs.capacity() * size_of::<crate::energy::account::run::Run>();
    assert!(account.past.is_none() && account.rival.is_none());
    assert!(size_of::<Account>() + heap < 300, "{} and {heap} bytes", size_of::<Account>());
}

proptest::proptest! {
    #[test]
    fn noise_is_no_account_or_one_that_continues(noise: Vec<u8>, flipped: proptest::sample::Index, bit in 0..8) {
        let mut bytes = Vec::new();
        rich().encode(&mut bytes);
        let index = flipped.index(bytes.len());
        bytes[index] ^= 1_u8 << bit;
        for bytes in [noise, bytes] {
            if let Ok(mut account) = Account::decode(&bytes) {
                let before = account.totals();
                account.resume(Duration::from_secs(1_000));
                _ = account.credit(&message(500, 600, 9_000), Duration::from_secs(1_001), MAX_GAP);
                proptest::prop_assert!(account.totals().energy >= before.energy);
            }
        }
    }
}
