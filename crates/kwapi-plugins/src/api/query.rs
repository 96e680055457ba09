//! What a query requests of a list: some probes, a page at a time.

use std::fmt::Write as _;

use axum::http::Uri;
use kwapi_core::ProbeId;

use crate::choice::ProbeChoice;
use crate::http::HttpError;
use crate::http::percent::encode;

/// The largest page.
const LIMIT_MAX: usize = 100_000;

/// The parameters of a list. Others are ignored, as the original did with all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListParameters {
    /// `probe=` and `pattern=`, each as often as wanted.
    choice: ProbeChoice,
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
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    let range = format!("must be 1 to {LIMIT_MAX}");
                    query.limit = Some(limit.ok_or_else(|| wrong(&range))?);
                }
                "after" => query.after = Some(value),
                _ => _ = query.choice.take(&name, &value)?,
            }
        }
        Ok(query)
    }

    /// Whether it requests everything.
    pub(super) fn is_empty(&self) -> bool {
        self.choice.is_all() && self.limit.is_none() && self.after.is_none()
    }

    /// Whether `probe` is requested.
    pub(super) fn takes(&self, probe: &ProbeId) -> bool {
        self.choice.takes(probe)
    }

    /// The query of the page that follows `last`.
    pub(super) fn next(&self, limit: usize, last: &ProbeId) -> String {
        let mut query = format!("limit={limit}&after={}", encode(last.as_str()));
        for (name, value) in self.choice.written() {
            _ = write!(query, "&{name}={}", encode(value));
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
        let actual = ListParameters::parse(&uri).map(|query| (query.choice.written().len(), query.limit));
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
    fn what_makes_no_sense_is_reported() {
        check("limit=0", Err("limit=\"0\": must be 1 to 100000"));
        check("probe=", Err("probe=\"\": a probe id must not be empty"));
        let many = "probe=a&".repeat(101);
        check("pattern=n[1-9", Err("pattern=\"n[1-9\": `n[1-9`: unclosed ["));
        check("pattern=n[1-99999]", Err("pattern=\"n[1-99999]\": `n[1-99999]`: more than 20000 names"));
        check(&many, Err("A query may list at most 100 probes and patterns."));
    }

    #[test]
    fn brackets_stand_for_several_probes() {
        let uri: Uri = "/v1/probes/?pattern=taurus-[1-16]&pattern=lyon.rack[1,3].*".parse().unwrap();
        let query = ListParameters::parse(&uri).unwrap();
        let takes = |id: &str| query.takes(&ProbeId::new(id).unwrap());
        assert!(takes("taurus-7") && takes("lyon.rack3.a") && !takes("taurus-17") && !takes("lyon.rack2.a"));
        assert_eq!(
            query.next(1, &ProbeId::new("z").unwrap()),
            "limit=1&after=z&pattern=taurus-%5B1-16%5D&pattern=lyon.rack%5B1%2C3%5D.%2A"
        );
    }

    #[test]
    fn the_next_page_requests_the_same_probes() {
        let uri: Uri = "/v1/probes/?pattern=lyon.*&probe=a%2Fb&limit=2".parse().unwrap();
        let query = ListParameters::parse(&uri).unwrap();
        let next = query.next(2, &ProbeId::new("a/b").unwrap());
        assert_eq!(next, "limit=2&after=a%2Fb&pattern=lyon.%2A&probe=a%2Fb");
    }
}
