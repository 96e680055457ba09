//! What a query asks of a list: some probes, a page at a time.

use std::fmt::Write as _;

use axum::http::Uri;
use kwapi_core::{Pattern, ProbeId};

use crate::http::HttpError;
use crate::http::percent::encode;

/// As many probes and patterns may be named in one query: with ids of full length, an address has no room for more.
const NAMES_MAX: usize = 100;
/// The largest page.
const LIMIT_MAX: usize = 100_000;

/// The parameters of a list. Others are ignored, as the original did with all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListParameters {
    /// `probe=` and `pattern=`, each as often as wanted; any match will do. Empty: all probes.
    names: Vec<Pattern>,
    /// `limit=`: the size of a page.
    pub(super) limit: Option<usize>,
    /// `after=`: the last probe of the page before.
    pub(super) after: Option<String>,
}

impl ListParameters {
    /// Reads a query.
    pub(super) fn parse(uri: &Uri) -> Result<Self, HttpError> {
        let mut query = Self::default();
        let Some(text) = uri.query().filter(|text| !text.is_empty()) else { return Ok(query) };
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| HttpError::bad_request(format!("Invalid query {text:?}.")))?;
        for (name, value) in pairs.0 {
            let wrong =
                |why: &dyn std::fmt::Display| HttpError::bad_request(format!("{name}={value:?}: {why}"));
            match name.as_str() {
                "probe" => {
                    query.names.push(Pattern::Exact(ProbeId::new(&value).map_err(|error| wrong(&error))?));
                }
                "pattern" => query.names.push(Pattern::new(&value).map_err(|error| wrong(&error))?),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    let range = format!("must be 1 to {LIMIT_MAX}");
                    query.limit = Some(limit.ok_or_else(|| wrong(&range))?);
                }
                "after" => query.after = Some(value),
                _ => {}
            }
            if query.names.len() > NAMES_MAX {
                let error = format!("A query may list at most {NAMES_MAX} probes and patterns.");
                return Err(HttpError::bad_request(error));
            }
        }
        Ok(query)
    }

    /// Whether it asks for everything.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.limit.is_none() && self.after.is_none()
    }

    /// Whether `probe` is asked for.
    pub(super) fn takes(&self, probe: &ProbeId) -> bool {
        self.names.is_empty() || self.names.iter().any(|pattern| pattern.matches(probe))
    }

    /// The query of the page that follows `last`.
    pub(super) fn next(&self, limit: usize, last: &ProbeId) -> String {
        let mut query = format!("limit={limit}&after={}", encode(last.as_str()));
        for pattern in &self.names {
            let (name, value) = match pattern {
                Pattern::Exact(id) => ("probe", id.to_string()),
                Pattern::All | Pattern::Below(_) => ("pattern", pattern.to_string()),
            };
            _ = write!(query, "&{name}={}", encode(&value));
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<(usize, Option<usize>), &str>) {
        let uri: Uri = format!("/v1/probes/?{query}").parse().unwrap();
        let actual = ListParameters::parse(&uri).map(|query| (query.names.len(), query.limit));
        assert_eq!(
            actual.map_err(|error| format!("{error:?}")),
            expected.map_err(|message| { format!("{:?}", HttpError::bad_request(message)) })
        );
    }

    #[test]
    fn probes_patterns_and_pages_are_read_and_the_rest_is_ignored() {
        check("", Ok((0, None)));
        check("x=1&probe=a%2Fb&probe=C&pattern=lyon.*&limit=7", Ok((3, Some(7))));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        check("limit=0", Err("limit=\"0\": must be 1 to 100000"));
        check("probe=", Err("probe=\"\": a probe id must not be empty"));
        let many = "probe=a&".repeat(NAMES_MAX + 1);
        check(&many, Err("A query may list at most 100 probes and patterns."));
    }

    #[test]
    fn the_next_page_asks_for_the_same_probes() {
        let uri: Uri = "/v1/probes/?pattern=lyon.*&probe=a%2Fb&limit=2".parse().unwrap();
        let query = ListParameters::parse(&uri).unwrap();
        let next = query.next(2, &ProbeId::new("a/b").unwrap());
        assert_eq!(next, "limit=2&after=a%2Fb&pattern=lyon.%2A&probe=a%2Fb");
    }
}
