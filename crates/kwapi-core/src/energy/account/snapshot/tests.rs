use std::time::Duration;

use super::*;
use crate::{Accounting, Energy, Quality, Timestamp, Totals};

#[test]
fn an_account_is_read_as_it_was_written() {
    let mut account = Account::default();
    for seq in 0..3 {
        let message = Accounting {
            timestamp: Timestamp::from_seconds(1_000 + seq),
            session: Timestamp::from_seconds(1_000),
            seq,
            totals: Totals {
                energy: Energy::from_millijoules(seq * 500),
                measured_ms: seq * 1_000,
                ..Totals::default()
            },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        account.credit(&message, Duration::from_secs(seq), Duration::from_secs(9)).unwrap();
    }
    let mut bytes = b"before".to_vec();
    account.encode(&mut bytes);
    let bytes = bytes.strip_prefix(b"before").unwrap();
    let read = Account::decode(bytes).unwrap();
    assert_eq!(
        (read.totals(), read.since(), read.last()),
        (account.totals(), account.since(), account.last())
    );
    for cut in 0..bytes.len() {
        assert_eq!(Account::decode(&bytes[..cut]), Err(SnapshotError::Damaged), "cut at {cut}");
    }
}

#[test]
fn a_later_version_is_told_from_damage() {
    assert_eq!(Account::decode(&[VERSION + 1, 0, 0]), Err(SnapshotError::Later(VERSION + 1)));
    assert_eq!(Account::decode(&[1]), Err(SnapshotError::Damaged));
}
