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
    let mut file = AccountsWriter::file();
    for (probe, watts) in accounts {
        file.account(&ProbeId::new(probe).unwrap(), &account(*watts));
    }
    file.bytes().to_vec()
}

/// What a file has, as text, and how much of it could be read.
fn read_text(file: &[u8]) -> (String, AccountsContents) {
    let mut text = Vec::new();
    let contents = read(file, |entry| {
        text.push(match entry {
            AccountsEntry::Account(probe, account) => {
                format!("{probe} {} J", account.totals().energy.joules())
            }
            AccountsEntry::Position(Position { segment, offset }) => format!("at {segment}:{offset}"),
        });
    });
    (text.join(", "), contents)
}

#[track_caller]
fn check(file: &[u8], expected: &str, contents: AccountsContents) {
    assert_eq!(read_text(file), (expected.to_owned(), contents));
}

#[test]
fn what_was_written_is_read() {
    check(&file(&[("A", 1.0), ("é/b", 2.5)]), "A 1 J, é/b 2.5 J", AccountsContents::default());
    let mut with_position = AccountsWriter::file();
    with_position.position(Position { segment: 7, offset: u64::MAX });
    with_position.account(&ProbeId::new("x".repeat(200)).unwrap(), &Account::default());
    let text = read_text(with_position.bytes()).0;
    assert!(text.starts_with(&format!("at 7:{}, xxx", u64::MAX)), "{text}");
    check(HEADER, "", AccountsContents::default());
    check(b"", "", AccountsContents::default());
}

#[test]
fn a_cut_file_gives_all_whole_records_wherever_it_is_cut() {
    let (one, two) = (file(&[("A", 1.0)]), file(&[("A", 1.0), ("B", 2.0)]));
    for cut in one.len() + 1..two.len() {
        let contents = AccountsContents { bytes_torn: cut - one.len(), ..AccountsContents::default() };
        check(&two[..cut], "A 1 J", contents);
    }
    for cut in 1..HEADER.len() {
        check(&HEADER[..cut], "", AccountsContents { bytes_torn: cut, ..AccountsContents::default() });
    }
}

/// Also in a length, in a mark, and in the file's header.
#[test]
fn a_flipped_bit_costs_the_one_record_it_hits_and_is_reported() {
    let whole = file(&[("A", 1.0), ("B", 2.0), ("C", 3.0)]);
    let record = (whole.len() - HEADER.len()) / 3;
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (text, contents) = read_text(&flipped);
        let expected = match (bit / 8).checked_sub(HEADER.len()).map(|at| at / record) {
            // A header of another version; its records stand alone all the same.
            None => "A 1 J, B 2 J, C 3 J",
            Some(0) => "B 2 J, C 3 J",
            Some(1) => "A 1 J, C 3 J",
            Some(_) => "A 1 J, B 2 J",
        };
        if !flipped.starts_with(b"kwapi accounts 1\n") && !flipped.starts_with(b"kwapi accounts 2\n") {
            assert_eq!(text, expected, "bit {bit}");
        }
        assert!(contents != AccountsContents::default(), "bit {bit} is not reported");
    }
}

#[test]
fn a_version_this_program_does_not_support_is_reported_and_kept() {
    let mut later = file(&[("A", 1.0)]);
    let mut unknown = AccountsWriter::default();
    unknown.record(9, |payload| payload.extend_from_slice(b"who knows"));
    later.extend_from_slice(unknown.bytes());
    later.extend_from_slice(&file(&[("B", 2.0)])[HEADER.len()..]);
    check(&later, "A 1 J, B 2 J", AccountsContents { of_later: 1, ..AccountsContents::default() });
}

/// A file as the version before wrote it: the account of probe `golden` in kwapi-core's golden bytes.
fn file_before(header: &[u8], accounts: &[&[u8]]) -> Vec<u8> {
    let mut file = header.to_vec();
    for account in accounts {
        let mut payload = postcard::to_allocvec(&ProbeId::new("A").unwrap()).unwrap();
        payload.extend_from_slice(account);
        file.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        file.extend_from_slice(&payload);
    }
    file
}

/// `Account::default()` as version 2 wrote it: since, last, four sums, no sessions, not first, no other publisher under watch, none lost.
const EMPTY_BEFORE: &[u8] = &[0; 10];

#[test]
fn records_of_versions_before_are_read_and_damage_there_costs_one() {
    let of_before = AccountsContents { is_of_before: true, ..AccountsContents::default() };
    for header in [&b"kwapi accounts 2\n"[..], b"kwapi accounts 1\n"] {
        let file = file_before(header, &[EMPTY_BEFORE; 3]);
        check(&file, "A 0 J, A 0 J, A 0 J", of_before);
        check(&file[..file.len() - 4], "A 0 J, A 0 J", AccountsContents { bytes_torn: 16, ..of_before });
        let mut damaged = file;
        damaged[header.len()] ^= 2; // The length of the first record.
        let contents = AccountsContents { stretches_damaged: 1, bytes_damaged: 20, ..of_before };
        check(&damaged, "A 0 J, A 0 J", contents);
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300), ours in 0..3_usize) {
        let mut file = [&b""[..], HEADER, b"kwapi accounts 2\n"][ours].to_vec();
        file.extend(&noise);
        read(&file, |_| ());
        file.extend(MARK);
        file.extend(noise);
        read(&file, |_| ());
    }
}
