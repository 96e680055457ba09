//! Scopes: which probes a caller may see. Every list, value, total, suggestion, tag and count that a caller gets is made
//! within its scope, so that a probe outside it cannot be distinguished from one that does not exist (ADR 0017).

use std::sync::Arc;

use kwapi_core::{Pattern, ProbeId};

use crate::directory::{Directory, Labels};

/// Which probes may be seen.
#[derive(Clone, Debug, Default)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// Those that one of these takes; none, if there is none.
    Any(Arc<[Selection]>),
    /// Those that both of these allow.
    Both(Arc<[Scope; 2]>),
}

/// A choice of probes by name and by label.
#[derive(Clone, Debug)]
pub struct Selection {
    /// One of these patterns must match; any id will do if there is none.
    patterns: Arc<[Pattern]>,
    /// The probe must have all of these labels…
    labels: Arc<Labels>,
    /// …as this directory has them at that moment.
    directory: Directory,
}

impl Selection {
    /// Probes that match one of `patterns` (none: any) and have all of `labels` in the
    /// configuration of `directory`, at each query: descriptions by publishers let nobody see more.
    pub fn new(patterns: &[Pattern], labels: Labels, directory: Directory) -> Self {
        Self { patterns: patterns.into(), labels: Arc::new(labels), directory }
    }

    fn takes(&self, probe: &ProbeId) -> bool {
        // Who names nothing gets nothing: never all by an oversight.
        let names_something = !self.patterns.is_empty() || !self.labels.is_empty();
        names_something
            && (self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(probe)))
            && (self.labels.is_empty() || self.directory.has_configured_labels(probe, &self.labels))
    }

    /// The same of the part of a probe that `value` of `label` has on a bill: whose it is, is decided by the bill, and
    /// not by the directory, which has neither shares nor dates.
    fn takes_part(&self, probe: &ProbeId, label: Option<&str>, value: Option<&str>) -> bool {
        let Some(wanted) = label.and_then(|label| self.labels.get(label)) else { return self.takes(probe) };
        let others: Labels = self
            .labels
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != label)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        value == Some(wanted.as_str())
            && (self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(probe)))
            && (others.is_empty() || self.directory.has_configured_labels(probe, &others))
    }
}

impl Scope {
    /// Nothing at all.
    pub fn nothing() -> Self {
        Self::Any(Arc::new([]))
    }

    /// Probes that one of `patterns` matches; all where there is no pattern, as configured lists of probes have it.
    pub fn of_patterns(patterns: &[Pattern]) -> Self {
        if patterns.is_empty() {
            return Self::All;
        }
        Self::Any([Selection::new(patterns, Labels::new(), Directory::default())].into())
    }

    /// Whether all probes may be seen, those that are not known yet included.
    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether `probe` may be seen now. Labels may change with a reload.
    pub(crate) fn allows(&self, probe: &ProbeId) -> bool {
        match self {
            Self::All => true,
            Self::Any(selections) => selections.iter().any(|selection| selection.takes(probe)),
            Self::Both(both) => both.iter().all(|scope| scope.allows(probe)),
        }
    }

    /// Whether the part of `probe` that `value` of `label` has on a bill may be seen.
    pub(crate) fn allows_part(&self, probe: &ProbeId, label: Option<&str>, value: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Any(selections) => {
                selections.iter().any(|selection| selection.takes_part(probe, label, value))
            }
            Self::Both(both) => both.iter().all(|scope| scope.allows_part(probe, label, value)),
        }
    }

    /// The same words for scopes that name the same: in one process, they allow the same.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Any(selections) => {
                let words = |selection: &Selection| format!("{:?}{:?}", selection.patterns, selection.labels);
                let all: Vec<String> = selections.iter().map(words).collect();
                format!("any({})", all.join(","))
            }
            Self::Both(both) => {
                let [one, other] = &**both;
                format!("both({},{})", one.words(), other.words())
            }
        }
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, scope) | (scope, Self::All) => scope,
            (own, other) => Self::Both(Arc::new([own, other])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ConfiguredProbes;

    fn labels(text: &str) -> Labels {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// A directory in which the probes below `root` are those of physics.
    fn physics(root: &'static str) -> ConfiguredProbes {
        ConfiguredProbes::new(
            move |probe| labels(if probe.is_within(root) { "department=physics floor=2" } else { "floor=2" }),
            [],
        )
    }

    fn selection(patterns: &str, wanted: &str, directory: &Directory) -> Scope {
        let patterns: Vec<Pattern> =
            patterns.split_whitespace().map(|pattern| Pattern::new(pattern).unwrap()).collect();
        Scope::Any([Selection::new(&patterns, labels(wanted), directory.clone())].into())
    }

    #[track_caller]
    fn check(scope: &Scope, expected: &str) {
        let all = ["lyon", "lyon.a", "lyon.b.c", "paris.a"];
        let seen: Vec<_> = all.into_iter().filter(|id| scope.allows(&ProbeId::new(id).unwrap())).collect();
        assert_eq!(seen.join(" "), expected);
    }

    #[test]
    fn patterns_are_alternatives_and_labels_all_have_to_be_there() {
        let directory = Directory::new(physics("lyon"));
        check(&selection("lyon.*", "", &directory), "lyon.a lyon.b.c");
        check(&selection("lyon paris.*", "", &directory), "lyon paris.a");
        check(&selection("*", "", &directory), "lyon lyon.a lyon.b.c paris.a");
        check(&selection("", "department=physics", &directory), "lyon lyon.a lyon.b.c");
        check(&selection("", "department=physics floor=3", &directory), "");
        check(&selection("paris.a lyon.a", "department=physics floor=2", &directory), "lyon.a");
    }

    #[test]
    fn who_names_nothing_sees_nothing_and_a_list_of_none_is_no_limit() {
        check(&selection("", "", &Directory::default()), "");
        check(&Scope::nothing(), "");
        check(&Scope::of_patterns(&[]), "lyon lyon.a lyon.b.c paris.a");
    }

    #[test]
    fn two_scopes_allow_what_both_do() {
        let directory = Directory::default();
        let lyon = selection("lyon.*", "", &directory);
        check(&lyon.clone().and(selection("lyon.a paris.a", "", &directory)), "lyon.a");
        check(&lyon.clone().and(Scope::All), "lyon.a lyon.b.c");
        check(&Scope::All.and(lyon.clone()), "lyon.a lyon.b.c");
        check(&lyon.and(Scope::nothing()), "");
    }

    #[test]
    fn a_label_that_a_reload_changes_changes_what_is_seen() {
        let directory = Directory::new(physics("lyon"));
        let scope = selection("", "department=physics", &directory);
        check(&scope, "lyon lyon.a lyon.b.c");
        directory.replace(physics("paris"));
        check(&scope, "paris.a");
        directory.replace(ConfiguredProbes::default());
        check(&scope, "");
    }
}
