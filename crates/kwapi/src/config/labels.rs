//! Labels of probes that are known only once their meter is read: those of a template, `probe = "lyon.{outlet}"`.

use std::collections::HashMap;

use kwapi_core::ProbeId;

use super::Labels;

/// Labels by the template of the probes they are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct TemplateLabels {
    /// By what the template begins with.
    by_head: HashMap<String, Vec<Template>>,
    /// How long those beginnings are, the longest first: they are the most specific.
    head_lengths: Vec<usize>,
}

/// What follows the beginning of a template, and its labels.
#[derive(Clone, Debug)]
struct Template {
    /// Placeholders, each with the text after it.
    rest: Vec<(&'static str, String)>,
    labels: Labels,
}

/// What a device fills in.
const PLACEHOLDERS: [&str; 2] = ["{outlet}", "{label}"];

impl TemplateLabels {
    /// Adds the labels of a meter whose probes are named by `template`. `{outlet}` and `{label}` in a label stand for
    /// what they stand for in the probe's name.
    pub(super) fn add(&mut self, template: &str, labels: &Labels) {
        let (head, rest) = split(template);
        if !self.head_lengths.contains(&head.len()) {
            self.head_lengths.push(head.len());
            self.head_lengths.sort_unstable_by_key(|length| std::cmp::Reverse(*length));
        }
        self.by_head.entry(head).or_default().push(Template { rest, labels: labels.clone() });
    }

    /// The labels of `probe`, if a template may have named it: of several, the one that begins most like it.
    pub(crate) fn of(&self, probe: &ProbeId) -> Option<Labels> {
        let id = probe.as_str();
        for length in &self.head_lengths {
            let Some((head, rest)) = id.split_at_checked(*length) else { continue };
            let found = self.by_head.get(head).into_iter().flatten().find_map(|template| {
                let captured = captures(&template.rest, rest)?;
                Some(template.labels.iter().map(move |(name, value)| {
                    let value = captured
                        .iter()
                        .fold(value.clone(), |value, (placeholder, text)| value.replace(placeholder, text));
                    (name.clone(), value)
                }))
            });
            if let Some(labels) = found {
                return Some(labels.collect());
            }
        }
        None
    }
}

/// A template as its beginning, and each placeholder with the text after it.
fn split(template: &str) -> (String, Vec<(&'static str, String)>) {
    let mut pieces: Vec<(&'static str, String)> = Vec::new();
    let mut head = None;
    let mut left = template;
    loop {
        let next = PLACEHOLDERS.iter().filter_map(|name| Some((left.find(name)?, *name))).min();
        let (text, after) = match next {
            Some((at, name)) => {
                (left.get(..at).unwrap_or_default(), Some((name, left.get(at + name.len()..))))
            }
            None => (left, None),
        };
        match pieces.last_mut() {
            Some((_, before)) => before.push_str(text),
            None => head = head.or_else(|| Some(text.to_owned())),
        }
        let Some((name, after)) = after else { break };
        pieces.push((name, String::new()));
        left = after.unwrap_or_default();
    }
    (head.unwrap_or_default(), pieces)
}

/// What each placeholder stands for in `text`; `None` where it is not of this template. Each takes as little as it can,
/// and something.
fn captures<'a>(pieces: &[(&'static str, String)], text: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
    let mut captured = Vec::new();
    let mut left = text;
    for (number, (name, after)) in pieces.iter().enumerate() {
        let is_last = number + 1 == pieces.len();
        let (value, rest) =
            if is_last { (left.strip_suffix(after.as_str())?, "") } else { left.split_once(after.as_str())? };
        if value.is_empty() {
            return None;
        }
        captured.push((*name, value));
        left = rest;
    }
    (left.is_empty() || !pieces.is_empty()).then_some(captured)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(templates: &[&str], probe: &str, expected: &str) {
        let mut all = TemplateLabels::default();
        for template in templates {
            let label = |name: &str, value: String| (name.to_owned(), value);
            all.add(template, &[label("of", (*template).to_owned())].into());
        }
        let labels = all.of(&ProbeId::new(probe).unwrap());
        let of = labels.map_or_else(|| "none".to_owned(), |labels| labels["of"].clone());
        assert_eq!(of, expected, "{probe}");
    }

    #[test]
    fn a_probe_has_the_labels_of_the_template_that_named_it() {
        check(&["lyon.pdu1.{outlet}"], "lyon.pdu1.7", "lyon.pdu1.7");
        check(&["lyon.pdu1.{outlet}"], "lyon.pdu1.", "none");
        check(&["lyon.pdu1.{outlet}"], "lyon.pdu2.7", "none");
        check(&["{label}"], "web1", "web1");
        check(&["a.{label}.x"], "a.web1.x", "a.web1.x");
        check(&["a.{label}.x"], "a.web1.y", "none");
        check(&["a.{outlet}-{label}"], "a.7-web1", "a.7-web1");
        check(&["é{outlet}é"], "é7é", "é7é");
    }

    #[test]
    fn of_several_templates_the_one_that_begins_most_like_the_probe_is_meant() {
        check(&["{label}", "lyon.{label}", "lyon.pdu1.{outlet}"], "lyon.pdu1.7", "lyon.pdu1.7");
        check(&["{label}", "lyon.pdu1.{outlet}"], "lyon.pdu2", "lyon.pdu2");
    }

    proptest! {
        #[test]
        fn no_template_and_no_probe_panics(template in ".{0,30}", outlet in "[a-z]{1,5}", probe in ".{1,30}") {
            let mut all = TemplateLabels::default();
            all.add(&template, &Labels::new());
            all.add(&format!("{template}{{outlet}}"), &Labels::new());
            if let Ok(probe) = ProbeId::new(&probe) {
                _ = all.of(&probe);
            }
            if let Ok(probe) = ProbeId::new(format!("{template}{outlet}")) {
                let has_braces = template.contains(['{', '}']);
                prop_assert!(has_braces || all.of(&probe).is_some());
            }
        }
    }
}
