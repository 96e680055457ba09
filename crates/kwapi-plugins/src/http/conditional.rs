//! Answers that need not be sent again (RFC 9110, sections 8.8.3 and 13.1.2).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

/// Whether the client has what `etag` names already. Tags are compared weakly, as a GET does.
pub(crate) fn is_not_modified(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(etag) = etag.to_str().map(opaque) else { return false };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == etag)
}

/// The answer to a client that has it already.
pub(crate) fn not_modified(etag: &HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, etag.clone());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(if_none_match: &str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(if_none_match).unwrap());
        let actual = is_not_modified(&headers, &HeaderValue::from_static("W/\"a-1\""));
        assert_eq!(actual, expected, "{if_none_match}");
    }

    #[test]
    fn a_tag_matches_weakly_in_a_list_or_by_a_star() {
        check("W/\"a-1\"", true);
        check("\"a-1\"", true);
        check("\"b\", W/\"a-1\"", true);
        check("*", true);
        check("\"a-2\"", false);
        check("", false);
    }
}
