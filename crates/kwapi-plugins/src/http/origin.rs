//! Where a request comes from: the other end of its connection, and the page that a browser sent it from.

use std::net::IpAddr;
use std::str::FromStr as _;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

/// The other end of a request's connection. Every request of a [`Listener`](super::Listener) has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientConnection {
    pub(crate) address: IpAddr,
    pub(crate) is_encrypted: bool,
}

/// Whether a browser sent this request from a page of another site: such a form acts for a visitor who is unaware of
/// it. `host` is what the visitor calls this server.
///
/// `Sec-Fetch-Site` (Fetch Metadata) shows it where browsers send it, which they do to https and to loopback; otherwise
/// `Origin` must name this host. Who sends neither is no browser, and has no visitor's cookie.
pub(crate) fn is_from_another_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or("?").to_owned();
    if let Some(site) = headers.get("sec-fetch-site").map(text) {
        return !matches!(site.as_str(), "same-origin" | "none");
    }
    let Some(origin) = headers.get(header::ORIGIN).map(text) else { return false };
    let origin = Uri::from_str(&origin).ok().and_then(|origin| origin.authority().cloned());
    let host = host.and_then(|host| Authority::from_str(host).ok());
    match (origin, host) {
        (Some(origin), Some(host)) => !origin.as_str().eq_ignore_ascii_case(host.as_str()),
        (Some(_) | None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(lines: &[(&'static str, &'static str)], expected: bool) {
        let lines = lines.iter().copied();
        let headers = lines.map(|(name, value)| {
            (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        let headers: HeaderMap = headers.collect();
        assert_eq!(is_from_another_site(&headers, Some("power.example:8080")), expected, "{headers:?}");
    }

    #[test]
    fn a_form_of_another_site_is_reported_and_a_client_that_is_no_browser_is_let_be() {
        check(&[], false);
        check(&[("sec-fetch-site", "same-origin"), ("origin", "https://seen-through-a-proxy")], false);
        check(&[("sec-fetch-site", "none")], false);
        check(&[("sec-fetch-site", "same-site")], true);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "http://power.example:8080")], true);
        check(&[("origin", "http://power.example:8080")], false);
        check(&[("origin", "http://POWER.example:8080")], false);
        for origin in ["http://power.example", "http://evil.example:8080", "null", "", "\u{7f}"] {
            if let Ok(value) = HeaderValue::from_str(origin) {
                let headers: HeaderMap = [(header::ORIGIN, value)].into_iter().collect();
                assert!(is_from_another_site(&headers, Some("power.example:8080")), "{origin}");
                assert!(is_from_another_site(&headers, None), "{origin}");
            }
        }
    }
}
