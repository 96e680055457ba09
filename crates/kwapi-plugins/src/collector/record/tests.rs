use std::time::Duration;

use kwapi_core::{Timestamp, Watts};
use proptest::prelude::*;

use super::*;

fn account(watts: f64) -> Account {
    let mut account = Account::default();
    for second in 1..=2 {
        let now = Timestamp::from_seconds(second);
        account
            .credit_legacy(Watts(watts), now, Duration::from_secs(second), Duration::from_secs(9))
            .unwrap();
    }
    account
}

fn file(accounts: &[(&str, f64)]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for (probe, watts) in accounts {
        encode(&mut file, &ProbeId::new(probe).unwrap(), &account(*watts));
    }
    file
}

/// Reads a file and says what was in it.
#[track_caller]
fn check(file: &[u8], expected: &str, intact: Intact) {
    let mut text = Vec::new();
    let found = decode_all(file, |probe, account| {
        text.push(format!("{probe} {} J", account.totals().energy.joules()));
    });
    assert_eq!((text.join(", ").as_str(), found), (expected, intact));
}

#[test]
fn what_was_written_is_read() {
    check(&file(&[("A", 1.0), ("é/b", 2.5)]), "A 1 J, é/b 2.5 J", Intact::Yes);
    check(MAGIC, "", Intact::Yes);
    check(b"", "", Intact::Yes);
}

#[test]
fn a_cut_file_gives_all_whole_records_wherever_it_is_cut() {
    let (one, two) = (file(&[("A", 1.0)]), file(&[("A", 1.0), ("B", 2.0)]));
    for cut in one.len() + 1..two.len() {
        check(&two[..cut], "A 1 J", Intact::TornTail);
    }
}

#[test]
fn a_flipped_bit_gives_what_is_before_it() {
    let one = file(&[("A", 1.0)]);
    let mut three = file(&[("A", 1.0), ("B", 2.0), ("C", 3.0)]);
    three[one.len() + HEADER_BYTES + 3] ^= 1;
    check(&three, "A 1 J", Intact::Damaged);
}

#[test]
fn another_file_is_not_ours() {
    check(b"kwapi accounts 9\nwhatever", "", Intact::NotOurs);
}

#[test]
fn a_file_of_an_earlier_version_goes_on() {
    // One record of `kwapi accounts 2`, as the program of that time wrote it: probe A, six seconds at 90 W.
    let account = "c08d99c6f2a2990380a4cac8f2a2990300000000018080e2c4f2a299038080e2c4f2a2990380a4cac8f2a2990308033f80f92bc0\
                   3e0000b0bd10b8170000010000";
    let mut payload = b"\x01A".to_vec();
    let pairs = account.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    payload.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    for version in 1..=2 {
        let mut file = format!("kwapi accounts {version}\n").into_bytes();
        file.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        file.extend(crc32fast::hash(&payload).to_le_bytes());
        file.extend(&payload);
        check(&file, "A 450 J", Intact::Yes);
    }
}

#[test]
fn a_record_is_small() {
    let size = file(&[("lyon.rack3.a", 100.0)]).len() - MAGIC.len();
    assert!(size < 100, "{size}");
}

#[test]
fn the_largest_account_has_room() {
    use kwapi_core::{Accounting, Energy, Quality, Totals};
    let huge = Totals {
        energy: Energy::from_millijoules(u64::MAX),
        measured_ms: u64::MAX,
        estimated_ms: u64::MAX,
        unknown_ms: u64::MAX,
        ..Totals::default()
    };
    let message = |session: u64, seq: u64| Accounting {
        timestamp: Timestamp::from_micros(session + 10),
        session: Timestamp::from_micros(session),
        seq,
        totals: huge,
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    let mut account = Account::default();
    let far = u64::MAX - 1_000;
    for session in [far, far + 100, far + 200, far + 300, far + 305] {
        _ = account.credit(&message(session, u64::MAX), Duration::from_secs(1), Duration::from_secs(9));
    }
    assert!(account.is_challenged());
    let mut file = MAGIC.to_vec();
    encode(&mut file, &ProbeId::new("x".repeat(200)).unwrap(), &account);
    let size = file.len() - MAGIC.len();
    assert!((500..PAYLOAD_BYTES_MAX * 3 / 4).contains(&size), "{size}");
    let mut read = 0;
    assert_eq!(
        decode_all(&file, |_, found| read += usize::from(found.totals() == account.totals())),
        Intact::Yes
    );
    assert_eq!(read, 1);
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300), ours in any::<bool>()) {
        let mut file = if ours { MAGIC.to_vec() } else { Vec::new() };
        file.extend(noise);
        decode_all(&file, |_, _| ());
    }
}
