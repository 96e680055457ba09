//! What an address chooses of the probes that are seen: by a part of their ids, and by labels. It survives a reload, and can be
//! sent to somebody else, who sees what is theirs of it.

use kwapi_core::ProbeId;

use super::route::FormFields;
use crate::directory::{Directory, Labels};
use crate::http::percent::encode;

/// Characters of a part of an id; what is beyond is left off.
const TEXT_CHARS_MAX: usize = 200;
/// Labels of one selection. More are refused.
const LABELS_MAX: usize = 8;

/// A selection of probes. Nothing named: all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ProbeFilter {
    /// In whatever case, ids have this…
    pub(super) text: String,
    /// …and probes have all of these.
    labels: Labels,
}

/// Why an address selects nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoProbeFilter {
    /// It is not `KEY:VALUE`.
    #[error("label={0:?}: write label=KEY:VALUE")]
    NoLabel(String),
    /// The same label twice, with two values.
    #[error("label={0:?}: no probe has two values of one label")]
    TwoValues(String),
    /// Too many of them.
    #[error("at most {LABELS_MAX} labels can be selected")]
    TooMany,
}

impl ProbeFilter {
    /// Reads `q=` and each `label=KEY:VALUE`.
    ///
    /// # Errors
    /// See [`NoProbeFilter`].
    pub(super) fn parse(query: &FormFields) -> Result<Self, NoProbeFilter> {
        let text = query.get("q").unwrap_or_default().trim().chars().take(TEXT_CHARS_MAX).collect();
        let mut labels = Labels::new();
        for label in query.all("label").filter(|label| !label.is_empty()) {
            let (name, value) =
                label.split_once(':').ok_or_else(|| NoProbeFilter::NoLabel(label.to_owned()))?;
            match labels.insert(name.to_owned(), value.to_owned()) {
                Some(other) if other != value => return Err(NoProbeFilter::TwoValues(label.to_owned())),
                _ => {}
            }
        }
        if labels.len() > LABELS_MAX { Err(NoProbeFilter::TooMany) } else { Ok(Self { text, labels }) }
    }

    /// Whether it leaves nothing out.
    pub(super) fn is_all(&self) -> bool {
        self.text.is_empty() && self.labels.is_empty()
    }

    /// Its probes, in the order in which they come.
    pub(super) fn of(&self, probes: &[ProbeId], directory: &Directory) -> Vec<ProbeId> {
        let text = self.text.to_lowercase();
        let has_text = |probe: &ProbeId| text.is_empty() || probe.as_str().to_lowercase().contains(&text);
        let has_labels =
            |probe: &ProbeId| self.labels.is_empty() || directory.has_labels(probe, &self.labels);
        probes.iter().filter(|probe| has_text(probe) && has_labels(probe)).cloned().collect()
    }

    /// The same with another label.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.labels.insert(name.to_owned(), value.to_owned());
        with
    }

    /// Its members of a query, as they stand in an address.
    pub(super) fn members(&self) -> Vec<String> {
        let text = (!self.text.is_empty()).then(|| format!("q={}", encode(&self.text)));
        let label =
            |(name, value): (&String, &String)| format!("label={}", encode(&format!("{name}:{value}")));
        text.into_iter().chain(self.labels.iter().map(label)).collect()
    }

    /// Each label, as a form sends it.
    pub(super) fn label_fields(&self) -> Vec<String> {
        self.labels.iter().map(|(name, value)| format!("{name}:{value}")).collect()
    }

    /// Each label in words, and the selection without it.
    pub(super) fn without_each(&self) -> Vec<(String, Self)> {
        let without = |(name, value): (&String, &String)| {
            let mut rest = self.clone();
            rest.labels.remove(name);
            (format!("{name} = {value}"), rest)
        };
        self.labels.iter().map(without).collect()
    }

    /// Whether it names a value of a label.
    pub(super) fn names(&self, label: &str) -> bool {
        self.labels.contains_key(label)
    }
}

/// The query of an address, with its question mark; nothing where there are no members.
pub(super) fn query_of(members: &[String]) -> String {
    if members.is_empty() { String::new() } else { format!("?{}", members.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let text = match ProbeFilter::parse(&FormFields::parse(query)) {
            Ok(selection) => query_of(&selection.members()),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected, "{query}");
    }

    #[test]
    fn a_selection_is_read_as_it_is_written() {
        check("", "");
        check("label=&q=", "");
        check("q=+rack+&sort=watts", "?q=rack");
        check("label=owner:a&label=rack:b%3Ac&q=x%26y", "?q=x%26y&label=owner%3Aa&label=rack%3Ab%3Ac");
        check("label=owner:%3Cb%3E%22", "?label=owner%3A%3Cb%3E%22");
        check("label=owner", "label=\"owner\": write label=KEY:VALUE");
        check("label=a:b&label=a:c", "label=\"a:c\": no probe has two values of one label");
        check("label=a:b&label=a:b", "?label=a%3Ab");
        let many: Vec<String> = (0..9).map(|index| format!("label={index}:x")).collect();
        check(&many.join("&"), "at most 8 labels can be selected");
    }

    #[test]
    fn a_label_is_taken_away_alone() {
        let selection = ProbeFilter::parse(&FormFields::parse("q=r&label=a:1&label=b:2")).unwrap();
        let rests: Vec<(String, String)> = selection
            .without_each()
            .into_iter()
            .map(|(words, rest)| (words, rest.members().join("&")))
            .collect();
        let expected = [("a = 1", "q=r&label=b%3A2"), ("b = 2", "q=r&label=a%3A1")];
        assert_eq!(rests, expected.map(|(words, rest)| (words.to_owned(), rest.to_owned())));
        assert_eq!(selection.with("a", "3").members().join("&"), "q=r&label=a%3A3&label=b%3A2");
    }
}
