use kwapi_core::Pattern;
use proptest::prelude::*;

use super::*;

const SPOOL: &str = "00112233445566778899aabbccddeeff";
const AT: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn keys(all: &[(&str, &str, &str)]) -> PositionKeys {
    let key = |(id, secret, probes): &(&str, &str, &str)| Key {
        probes: Pattern::new(probes).unwrap(),
        ..Key::new(*id, *secret)
    };
    PositionKeys::new(&all.iter().map(key).collect::<Vec<_>>()).unwrap()
}

fn lyon() -> PositionKeys {
    keys(&[("lyon", "a secret of Lyon's", "lyon.*")])
}

fn sent() -> SentPosition<'static> {
    SentPosition { spool: SPOOL, number: 12, before: 9, pass: 3, consumers: "centre,spare" }
}

fn placed<'a>(topic: &'a str, payload: &'a [u8]) -> Placed<'a> {
    Placed { topic, payload, is_batch: false, count: 1 }
}

fn standing() -> Standing {
    let (consumer, spool) = ("centre".to_owned(), SPOOL.to_owned());
    Standing { consumer, spool, durable: 7, taken: 9, missing: 3, at: AT }
}

#[test]
fn the_bytes_of_a_position_are_these() {
    // Computed with Python's hmac.
    let header = sent().write(&lyon(), AT, placed("lyon.a.", b"{}")).unwrap();
    let expected = "00112233445566778899aabbccddeeff 12 9 3 centre,spare lyon decc203d2706bbd0c0cc878a0c663dea05372610cd7ca2c8406575d5ddaef30c";
    assert_eq!(header, expected);
    let report = standing().write(&lyon(), "lyon").unwrap();
    let expected = "1 centre 00112233445566778899aabbccddeeff 7 9 3 1790000000000000 lyon 19295ed5f1119796515e01c7f37271808fed5c9129e97c022204b96d8910be00";
    assert_eq!(report, expected);
    assert_eq!(standing().subject(), format!("%position.centre.{SPOOL}"));
}

#[test]
fn the_place_of_a_batch_is_that_of_its_last_message_and_of_nothing_else() {
    let batch = Placed { topic: "lyon.", payload: b"kwapi-batch-1\n", is_batch: true, count: 3 };
    // Computed with Python's hmac.
    let header = sent().write(&lyon(), AT, batch).unwrap();
    let expected = "00112233445566778899aabbccddeeff 12 9 3 centre,spare lyon 9e56dd96317eac4f8650cbce028e7da4bd9b9111e59a50f096464ffee385a9fa";
    assert_eq!(header, expected);
    let keys = lyon();
    let read = |placed: Placed<'_>| SentPosition::read(&header, &keys, placed).map(|signed| signed.sent);
    let last = read(batch).unwrap();
    let numbers = |after: u64, is_first: bool| {
        let SentPosition { number, before, .. } = last.before_last(after, is_first);
        (number, before)
    };
    assert_eq!([numbers(2, true), numbers(1, false), numbers(0, false)], [(10, 9), (11, 10), (12, 11)]);
    assert_eq!(read(Placed { is_batch: false, ..batch }), None);
    assert_eq!(read(Placed { topic: "lyon", ..batch }), None);
    // It would have messages that were sent before, or none at all.
    assert_eq!(read(Placed { count: 4, ..batch }), None);
    assert_eq!(read(Placed { count: 13, ..batch }), None);
    assert_eq!(read(Placed { count: 0, ..batch }), None);
}

#[test]
fn a_place_is_of_one_message_and_counts_for_the_probes_of_its_key() {
    let header = sent().write(&lyon(), AT, placed("lyon.a.", b"{}")).unwrap();
    let read = |keys: &PositionKeys, header: &str, topic: &str, payload: &[u8]| {
        SentPosition::read(header, keys, placed(topic, payload))
            .map(|signed| (signed.sent.number, signed.probes))
    };
    assert_eq!(read(&lyon(), &header, "lyon.a.", b"{}"), Some((12, "lyon.*".to_owned())));
    assert_eq!(read(&lyon(), &header, "lyon.b.", b"{}"), None);
    assert_eq!(read(&lyon(), &header, "lyon.a.", b"{} "), None);
    assert_eq!(read(&lyon(), &header, "lyon.a", b".{}"), None);
    assert_eq!(read(&lyon(), &header.replacen("12", "13", 1), "lyon.a.", b"{}"), None);
    assert_eq!(read(&keys(&[("lyon", "another secret here", "*")]), &header, "lyon.a.", b"{}"), None);
    assert_eq!(read(&keys(&[("paris", "a secret of Lyon's", "*")]), &header, "lyon.a.", b"{}"), None);
    // Such a message is refused; what follows it is not to wait for it.
    let paris = sent().write(&lyon(), AT, placed("paris.a.", b"{}")).unwrap();
    assert_eq!(read(&lyon(), &paris, "paris.a.", b"{}"), Some((12, "lyon.*".to_owned())));
    let backwards =
        SentPosition { before: 12, ..sent() }.write(&lyon(), AT, placed("lyon.a.", b"{}")).unwrap();
    assert_eq!(read(&lyon(), &backwards, "lyon.a.", b"{}"), None);
}

#[test]
fn what_a_consumer_reports_is_trusted_by_the_key_of_the_site_while_that_is_valid() {
    let text = standing().write(&lyon(), "lyon").unwrap();
    assert_eq!(Standing::read(text.as_bytes(), &lyon()), Ok(standing()));
    assert_eq!(standing().write(&lyon(), "paris"), None);
    let read = |text: &str, keys: &PositionKeys| Standing::read(text.as_bytes(), keys).unwrap_err();
    assert_eq!(read(&text.replacen(" 7 ", " 8 ", 1), &lyon()), StandingRefusal::Signature);
    assert_eq!(read(&text, &keys(&[("paris", "a secret of Paris's", "*")])), StandingRefusal::Key);
    let ended = Key { valid_until: Some(AT), ..Key::new("lyon", "a secret of Lyon's") };
    assert_eq!(read(&text, &PositionKeys::new(&[ended]).unwrap()), StandingRefusal::Key);
    for text in
        ["", "1", &text.replacen("1 ", "2 ", 1), &text.replacen(" 7 ", " 07 ", 1), &format!("{text} ")]
    {
        assert_eq!(read(text, &lyon()), StandingRefusal::Malformed, "{text}");
    }
    // Nothing is on the disk that was not taken.
    let wrong = Standing { durable: 10, ..standing() }.write(&lyon(), "lyon").unwrap();
    assert_eq!(read(&wrong, &lyon()), StandingRefusal::Malformed);
    assert_eq!(Standing::read(&vec![b'1'; 1_000_000], &lyon()), Err(StandingRefusal::Malformed));
}

#[test]
fn of_two_keys_the_one_that_is_valid_and_began_last_signs() {
    let at = |second| AT.after(std::time::Duration::from_secs(second));
    let old = Key { valid_until: Some(at(20)), ..Key::new("old", "an old secret of ours") };
    let new = Key { valid_from: Some(at(10)), ..Key::new("new", "a new secret of ours") };
    let keys = PositionKeys::new(&[new, old.clone()]).unwrap();
    let id = |second| {
        let header = sent().write(&keys, at(second), placed("a.", b"")).unwrap();
        header.split(' ').nth(5).unwrap().to_owned()
    };
    assert_eq!([0, 10, 30].map(id), ["old", "new", "new"]);
    keys.replace(&[old]).unwrap();
    assert_eq!(sent().write(&keys, at(30), placed("a.", b"")), None);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[0-9a-f ,.%é]{0,200}") {
        _ = SentPosition::read(&text, &lyon(), placed("lyon.a.", b"{}"));
        _ = Standing::read(text.as_bytes(), &lyon());
    }
}
