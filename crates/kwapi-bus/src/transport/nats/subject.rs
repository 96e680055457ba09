//! Subjects: the stream's name and the probe's id, a word for each part of its path (`kwapi.lyon.rack3.web1`). What a
//! subject cannot have is written as `%` and two digits, an empty part as `%` alone, so that no id means another's.
//!
//! A [batch](super::batch) of several probes has the words that they have in common, and `%batch`: `kwapi.lyon.%batch`. There
//! is none at the root, since what takes from a site takes subjects below its first word at least (ADR 0056).

use std::fmt::Write as _;

use kwapi_core::Pattern;

/// A consumer with more subjects than that is slower than one that is given all.
const FILTERS_MAX: usize = 100;

/// The last word of the subject of a batch. No id is written so: `%` is followed by two capital hexadecimal digits, or nothing.
const BATCH: &str = "%batch";

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

/// The subject of a batch of probes whose topics begin with `begin`, which ends with a dot.
pub(super) fn of_batch(stream: &str, begin: &str) -> String {
    format!("{}.{BATCH}", of(stream, begin.strip_suffix('.').unwrap_or(begin)))
}

/// What all topics in a batch with this subject begin with; `None` where it is no subject of a batch of several probes.
pub(super) fn batch_begin(stream: &str, subject: &str) -> Option<String> {
    topic(stream, subject.strip_suffix(BATCH)?.strip_suffix('.')?)
}

/// Whether a server complains of the subject of a batch.
pub(super) fn is_batch_complaint(complaint: &str) -> bool {
    complaint.contains(BATCH)
}

/// The subjects of the probes of a pattern, and of all batches of such probes alone.
pub(super) fn of_pattern(stream: &str, pattern: &Pattern) -> String {
    match pattern {
        Pattern::All => format!("{stream}.>"),
        Pattern::Exact(probe) => of(stream, probe.as_str()),
        Pattern::Below(root) => format!("{}.>", of(stream, root.as_str())),
    }
}

/// The subjects that carry the probes of `patterns`, also those that arrive in batches with others; none overlaps
/// another, which the server would refuse. Where there are many, all subjects of the stream: the subscriber filters
/// again.
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
        let id = match pattern {
            Pattern::All => return all(),
            Pattern::Exact(probe) | Pattern::Below(probe) => probe.as_str(),
        };
        filters.push(of_pattern(stream, pattern));
        // What is above a pattern lies within no other of them, which would have the pattern within it as well.
        for (dot, _) in id.match_indices('.') {
            let batches = of_batch(stream, id.get(..=dot).unwrap_or_default());
            if !filters.contains(&batches) {
                filters.push(batches);
            }
        }
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

/// Whether `outer` covers whatever `inner` does.
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
            "kwapi.%batch",
            "kwapi.a.%batch",
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
            prop_assert_eq!(batch_begin("kwapi", &subject), None);
            let batch = of_batch("kwapi", &format!("{id}."));
            prop_assert_eq!(topic("kwapi", &batch), None);
            prop_assert_eq!(batch_begin("kwapi", &batch), Some(format!("{id}.")));
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
        check(&["lyon.a.*", "lyon.b.c"], &["k.lyon.a.>", "k.lyon.%batch", "k.lyon.b.c", "k.lyon.b.%batch"]);
        check(&["lyon.a", "lyon.a.*"], &["k.lyon.a", "k.lyon.%batch", "k.lyon.a.>"]);
        let many: Vec<_> = (0..200).map(|number| format!("n{number}")).collect();
        check(&many.iter().map(String::as_str).collect::<Vec<_>>(), &["k.>"]);
    }

    /// Whether a subject of a server, with its wildcards, takes another.
    fn takes(filter: &str, subject: &str) -> bool {
        let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
        loop {
            match (filter.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }

    proptest! {
        #[test]
        fn each_probe_of_a_pattern_comes_by_one_filter_alone_or_in_any_batch(
            patterns in prop::collection::vec("(\\*|[ab](\\.[ab]){0,3}(\\.\\*)?)", 1..5),
            probe in "[ab](\\.[ab]){0,4}",
        ) {
            let patterns: Vec<_> = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
            let filters = filters("k", &patterns);
            let by = |subject: &str| filters.iter().filter(|filter| takes(filter, subject)).count();
            let is_wanted = patterns.iter().any(|pattern| pattern.matches_id(&probe));
            prop_assert_eq!(by(&of("k", &probe)), usize::from(is_wanted), "{:?}", filters);
            for (dot, _) in probe.match_indices('.') {
                let count = by(&of_batch("k", probe.split_at(dot + 1).0));
                prop_assert!(count <= 1, "twice by {:?}", filters);
                prop_assert!(!is_wanted || count == 1, "not by {:?}", filters);
            }
        }
    }
}
