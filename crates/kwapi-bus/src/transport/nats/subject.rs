//! Subjects: the stream's name and the probe's id, a word for each part of its path (`kwapi.lyon.rack3.web1`). What a
//! subject cannot have is written as `%` and two digits, an empty part as `%` alone, so that no id means another's.

use std::fmt::Write as _;

use kwapi_core::Pattern;

/// A consumer with more subjects than that is slower than one that is given all.
const FILTERS_MAX: usize = 100;

/// The subject of a probe whose id is `id`.
pub(super) fn of(stream: &str, id: &str) -> String {
    let mut subject = String::with_capacity(stream.len() + 1 + id.len());
    subject.push_str(stream);
    for part in id.split('.') {
        subject.push('.');
        push_word(&mut subject, part);
    }
    subject
}

fn push_word(subject: &mut String, part: &str) {
    if part.is_empty() {
        subject.push('%');
    }
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            subject.push(char::from(byte));
        } else {
            _ = write!(subject, "%{byte:02X}");
        }
    }
}

/// The topic that belongs to a subject of `stream`; `None` for a subject that [`of`] does not make.
pub(super) fn topic(stream: &str, subject: &str) -> Option<String> {
    let words = subject.strip_prefix(stream)?.strip_prefix('.')?;
    let mut topic = String::with_capacity(words.len() + 1);
    for word in words.split('.') {
        if word != "%" {
            topic.push_str(&percent_encoding::percent_decode_str(word).decode_utf8().ok()?);
        }
        topic.push('.');
    }
    // Another way to write the same is none.
    (of(stream, topic.strip_suffix('.')?) == subject).then_some(topic)
}

/// The subjects that bring the probes of `patterns`; none overlaps another, which the server would refuse. Where there are
/// many, all subjects of the stream: the subscriber looks again.
pub(super) fn filters(stream: &str, patterns: &[Pattern]) -> Vec<String> {
    let all = || vec![format!("{stream}.>")];
    let mut filters = Vec::new();
    for (place, pattern) in patterns.iter().enumerate() {
        let covers = |(other_place, other): (usize, &Pattern)| {
            let is_same = other == pattern;
            (is_same && other_place < place) || (!is_same && is_within(pattern, other))
        };
        if patterns.iter().enumerate().any(covers) {
            continue;
        }
        filters.push(match pattern {
            Pattern::All => return all(),
            Pattern::Exact(probe) => of(stream, probe.as_str()),
            Pattern::Below(root) => format!("{}.>", of(stream, root.as_str())),
        });
        if filters.len() > FILTERS_MAX {
            return all();
        }
    }
    filters
}

/// Whether a probe can be of both.
pub(super) fn overlap(one: &Pattern, other: &Pattern) -> bool {
    one == other || is_within(one, other) || is_within(other, one)
}

/// Whether `outer` brings whatever `inner` does.
fn is_within(inner: &Pattern, outer: &Pattern) -> bool {
    match (inner, outer) {
        // What is below a probe is not that probe.
        (Pattern::All, _) | (Pattern::Below(_), Pattern::Exact(_)) => false,
        (Pattern::Exact(probe) | Pattern::Below(probe), _) => outer.matches(probe),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_words_without_anything_a_server_reads() {
        assert_eq!(of("kwapi", "lyon.rack3.web-1"), "kwapi.lyon.rack3.web-1");
        assert_eq!(of("kwapi", "a b.*.>.%.é"), "kwapi.a%20b.%2A.%3E.%25.%C3%A9");
        assert_eq!(of("kwapi", ".a..b."), "kwapi.%.a.%.b.%");
    }

    #[test]
    fn another_way_to_write_a_subject_is_none() {
        for subject in [
            "kwapi",
            "kwapi.",
            "kwapi.a.",
            "kwapi..a",
            "kwapi.%61",
            "kwapi.a%2",
            "kwapi.%2a",
            "kwapi.%FF",
            "other.a",
            "kwapia.b",
            "kwapi.a%2Eb",
        ] {
            assert_eq!(topic("kwapi", subject), None, "{subject}");
        }
        assert_eq!(topic("kwapi", "kwapi.a.b"), Some("a.b.".to_owned()));
    }

    proptest! {
        #[test]
        fn every_id_comes_back_from_its_subject(id in "[^\\p{Cc}]{1,60}") {
            let subject = of("kwapi", &id);
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte);
            prop_assert!(subject.bytes().all(is_safe) && !subject.contains("..") && !subject.ends_with('.'));
            prop_assert_eq!(topic("kwapi", &subject), Some(format!("{id}.")));
        }
    }

    #[track_caller]
    fn check(patterns: &[&str], expected: &[&str]) {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
        assert_eq!(filters("k", &patterns), expected);
    }

    #[test]
    fn filters_never_overlap() {
        check(&["*"], &["k.>"]);
        check(&["a", "*"], &["k.>"]);
        check(&["lyon.*", "lyon", "lyon.a"], &["k.lyon.>", "k.lyon"]);
        check(&["a", "a", "b.*", "b.*"], &["k.a", "k.b.>"]);
        check(&["lyon.a.*", "lyon.*", "lyonnais"], &["k.lyon.>", "k.lyonnais"]);
        let many: Vec<_> = (0..200).map(|number| format!("n{number}")).collect();
        check(&many.iter().map(String::as_str).collect::<Vec<_>>(), &["k.>"]);
    }
}
