//! Which probes a query means: by id, by pattern, by label.

use std::collections::HashSet;

use kwapi_core::{Pattern, ProbeId};

use crate::directory::{Directory, Labels};
use crate::http::HttpError;

/// As many probes and patterns may be named in one query: with ids of full length, an address has no room for more.
const NAMES_MAX: usize = 100;
/// As many patterns may the ranges of one query stand for.
const EXPANDED_MAX: usize = 20_000;

/// A choice of probes. Nothing named: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeChoice {
    /// Probes that were named one by one with `probe=`, in order.
    named: Vec<ProbeId>,
    /// All that were named, those of patterns and ranges too…
    exact: HashSet<ProbeId>,
    /// …and patterns that may take several.
    patterns: Vec<Pattern>,
    /// All of these are to be there.
    labels: Labels,
    /// What was written, to be written again.
    written: Vec<(&'static str, String)>,
}

impl ProbeChoice {
    /// Takes a parameter of a query if it is one of a choice: `probe=ID`, or `pattern=`, in which brackets are ranges. Any
    /// match will do.
    ///
    /// # Errors
    /// When it makes no sense, or too many are named.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<bool, HttpError> {
        let wrong = |why: &dyn std::fmt::Display| HttpError::bad_request(format!("{name}={value:?}: {why}"));
        match name {
            "probe" => {
                let id = ProbeId::new(value).map_err(|error| wrong(&error))?;
                self.named.push(id.clone());
                self.exact.insert(id);
                self.written.push(("probe", value.to_owned()));
            }
            "pattern" => {
                let left = EXPANDED_MAX.saturating_sub(self.exact.len() + self.patterns.len()).max(1);
                for pattern in Pattern::expand(value, left).map_err(|error| wrong(&error))? {
                    match pattern {
                        Pattern::Exact(id) => _ = self.exact.insert(id),
                        Pattern::All | Pattern::Below(_) => self.patterns.push(pattern),
                    }
                }
                self.written.push(("pattern", value.to_owned()));
            }
            _ => return Ok(false),
        }
        if self.written.len() > NAMES_MAX {
            let error = format!("A query may list at most {NAMES_MAX} probes and patterns.");
            return Err(HttpError::bad_request(error));
        }
        if self.patterns.len() > NAMES_MAX {
            let error = format!("{name}={value:?}: more than {NAMES_MAX} patterns of several probes each");
            return Err(HttpError::bad_request(error));
        }
        Ok(true)
    }

    /// Takes `label=KEY:VALUE`. All of them have to be there.
    ///
    /// # Errors
    /// When it is no label, or contradicts another.
    pub(crate) fn take_label(&mut self, value: &str) -> Result<(), HttpError> {
        let wrong = |why: &str| HttpError::bad_request(format!("label={value:?}: {why}"));
        let (key, wanted) = value.split_once(':').ok_or_else(|| wrong("write label=KEY:VALUE"))?;
        match self.labels.insert(key.to_owned(), wanted.to_owned()) {
            Some(other) if other != wanted => Err(wrong("no probe has two values of one label")),
            _ => Ok(()),
        }
    }

    /// Whether it is all probes.
    pub(crate) fn is_all(&self) -> bool {
        self.written.is_empty() && self.labels.is_empty()
    }

    /// Whether `probe` is meant by its name.
    pub(crate) fn takes(&self, probe: &ProbeId) -> bool {
        self.written.is_empty()
            || self.exact.contains(probe)
            || self.patterns.iter().any(|pattern| pattern.matches(probe))
    }

    /// Whether `probe` has the labels that are requested.
    pub(crate) fn takes_labels(&self, probe: &ProbeId, directory: &Directory) -> bool {
        self.labels.is_empty() || directory.has_labels(probe, &self.labels)
    }

    /// The probes that were named one by one.
    pub(crate) fn named(&self) -> &[ProbeId] {
        &self.named
    }

    /// The parameters that mean the same.
    pub(crate) fn written(&self) -> &[(&'static str, String)] {
        &self.written
    }
}
