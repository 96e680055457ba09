use proptest::prelude::*;

use super::*;

/// A batch of these ends and payloads, by the description of the format alone.
fn batch(parts: &[(&str, &[u8])]) -> Bytes {
    let mut bytes = b"kwapi-batch-1\n".to_vec();
    for (end, payload) in parts {
        for part in [end.as_bytes(), payload] {
            bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(part);
        }
    }
    bytes.into()
}

fn read(subject: &str, payload: &Bytes) -> Option<Vec<(String, Bytes)>> {
    Contents::read("power", subject, payload).ok().map(|contents| contents.measurements)
}

fn topics(subject: &str, payload: &Bytes) -> Option<Vec<String>> {
    read(subject, payload).map(|all| all.into_iter().map(|(topic, _)| topic).collect())
}

#[test]
fn the_bytes_of_a_batch_are_these() {
    let message =
        |topic: &str, payload: &'static str| Outgoing::from_parts(topic.to_owned(), Bytes::from(payload));
    let mut out = begin();
    push(&mut out, "lyon.", &message("lyon.a.", "{}"));
    push(&mut out, "lyon.", &message("lyon.b.c.", "[1]"));
    assert_eq!(out, b"kwapi-batch-1\n\0\x02a.\0\x02{}\0\x04b.c.\0\x03[1]");
    let contents = Contents::read("power", "power.lyon.%batch", &out.into()).unwrap();
    assert_eq!((contents.topic.as_deref(), contents.is_batch), (Some("lyon."), true));
    let expected = [("lyon.a.", "{}"), ("lyon.b.c.", "[1]")];
    assert_eq!(contents.measurements, expected.map(|(topic, payload)| (topic.to_owned(), payload.into())));
}

#[test]
fn what_is_no_batch_is_one_measurement_as_it_came() {
    for payload in ["{}", "", "kwapi-batch-2\n", " kwapi-batch-1\n"] {
        let payload = Bytes::from(payload);
        assert_eq!(read("power.lyon.a", &payload), Some(vec![("lyon.a.".to_owned(), payload.clone())]));
        assert_eq!(count(&payload), 1);
    }
    let batch = batch(&[("a.", b"{}")]);
    for subject in ["power", "power.%batch", "other.lyon.%batch", "power.%zz"] {
        // Of no probe: for the verification to refuse.
        assert_eq!(read(subject, &batch), Some(vec![(subject.to_owned(), batch.clone())]));
    }
}

#[test]
fn a_batch_holds_what_its_subject_allows_and_nothing_else() {
    let several = batch(&[("a.", b"{}"), ("a.", b"{}"), (".", b"{}")]);
    let expected = ["lyon.a.", "lyon.a.", "lyon.."].map(str::to_owned).to_vec();
    assert_eq!(topics("power.lyon.%batch", &several), Some(expected));
    assert_eq!(topics("power.lyon.a", &several), None, "of one probe");
    let of_one = batch(&[("", b"{}"), ("", b"{ }")]);
    assert_eq!(topics("power.lyon.a", &of_one), Some(vec!["lyon.a.".to_owned(); 2]));
    assert_eq!(topics("power.lyon.%batch", &of_one), None, "what is below Lyon is not Lyon");
    // Whatever its content, it is below its subject.
    let foreign = batch(&[("paris.a.", b"{}")]);
    assert_eq!(topics("power.lyon.%batch", &foreign), Some(vec!["lyon.paris.a.".to_owned()]));
}

#[test]
fn what_is_cut_off_empty_or_too_large_is_refused() {
    let whole = batch(&[("a.", b"{}"), ("b.", b"{}")]);
    let one = batch(&[("a.", b"{}")]);
    for length in 0..whole.len() {
        let is_whole = length == one.len();
        assert_eq!(read("power.lyon.%batch", &whole.slice(..length)).is_some(), is_whole, "{length}");
    }
    assert_eq!(read("power.lyon.%batch", &Bytes::from_static(b"{}")), None);
    assert_eq!(read("power.lyon.%batch", &batch(&[("\u{0}", b"")])).map(|all| all.len()), Some(1));
    let mut not_text = batch(&[("a.", b"{}")]).to_vec();
    not_text[16] = 0xff;
    assert_eq!(read("power.lyon.%batch", &not_text.into()), None);
    let many = |count: usize| batch(&vec![("a.", b"".as_slice()); count]);
    assert_eq!(read("power.lyon.%batch", &many(1_000)).map(|all| all.len()), Some(1_000));
    assert_eq!(read("power.lyon.%batch", &many(1_001)), None);
    let million = Bytes::from([b"kwapi-batch-1\n".as_slice(), &vec![0; 4_000_000]].concat());
    assert_eq!((read("power.lyon.a", &million), count(&million)), (None, 1));
    let large = |bytes: usize| batch(&[("a.", &vec![b'x'; bytes])]);
    assert!(read("power.lyon.%batch", &large(60_000)).is_some());
    assert_eq!(read("power.lyon.%batch", &large(65_535)), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        parts in prop::collection::vec(("[a-z.é]{1,9}\\.", prop::collection::vec(any::<u8>(), 0..300)), 1..30),
    ) {
        let mut out = begin();
        let expected: Vec<_> = parts
            .into_iter()
            .map(|(end, payload)| (format!("lyon.{end}"), Bytes::from(payload)))
            .collect();
        for (topic, payload) in &expected {
            push(&mut out, "lyon.", &Outgoing::from_parts(topic.clone(), payload.clone()));
        }
        let out = Bytes::from(out);
        prop_assert_eq!(count(&out), expected.len() as u64);
        prop_assert_eq!(read("power.lyon.%batch", &out), Some(expected));
    }

    #[test]
    fn whatever_comes_is_distinguished_and_put_together_again(
        bytes in prop::collection::vec(prop_oneof![3 => 0_u8..5, 1 => any::<u8>()], 0..200),
        is_batch in any::<bool>(),
        subject in "(power\\.lyon\\.(%batch|a)|[a-z.%]{0,20})",
    ) {
        let begin: &[u8] = if is_batch { BEGIN } else { b"" };
        exercise(&subject, &[begin, &bytes].concat());
    }
}
