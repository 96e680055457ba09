//! Which resource a path names: pure, so that it can be tabled and fuzzed.

use std::fmt::Write as _;

use crate::http::Routes;

/// The API's routes, as its metrics call them; those of the status listener are served here too where all may read.
pub const ROUTES: &Routes = &Routes {
    server: "api",
    templates: &[
        "/v1/",
        "/v1/openapi.json",
        "/v1/probe-ids/",
        "/v1/probes/",
        "/v1/probes/{probe}/",
        "/v1/probes/{probe}/{meter}/",
        "/v2/",
        "/v2/probes/",
        "/v2/probes/{probe}/",
        "/metrics",
        "/healthz",
        "/readyz",
    ],
    template,
};

/// The template of a path, whether or not there is such a probe or meter; the last slash may be missing.
fn template(path: &str) -> &'static str {
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
    let mut next = || segments.next();
    match [next(), next(), next(), next(), next(), next()] {
        [Some(""), Some("v1"), None, ..] => "/v1/",
        [Some(""), Some("v1"), Some("openapi.json"), None, ..] => "/v1/openapi.json",
        [Some(""), Some("v1"), Some("probe-ids"), None, ..] => "/v1/probe-ids/",
        [Some(""), Some("v1"), Some("probes"), None, ..] => "/v1/probes/",
        [Some(""), Some("v1"), Some("probes"), Some(_), None, ..] => "/v1/probes/{probe}/",
        [Some(""), Some("v1"), Some("probes"), Some(_), Some(_), None] => "/v1/probes/{probe}/{meter}/",
        [Some(""), Some("v2"), None, ..] => "/v2/",
        [Some(""), Some("v2"), Some("probes"), None, ..] => "/v2/probes/",
        [Some(""), Some("v2"), Some("probes"), Some(_), None, ..] => "/v2/probes/{probe}/",
        [Some(""), Some("metrics"), None, ..] => "/metrics",
        [Some(""), Some("healthz"), None, ..] => "/healthz",
        [Some(""), Some("readyz"), None, ..] => "/readyz",
        _ => Routes::OTHER,
    }
}

/// A resource of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v1/`
    V1,
    /// `/v1/openapi.json`
    OpenApi,
    /// `/v1/probe-ids/`
    ProbeIds,
    /// `/v1/probes/`
    Probes,
    /// `/v1/probes/<probe>/`
    Probe(String),
    /// `/v1/probes/<probe>/<meter>/`
    Value(String, Value),
    /// `/v2/`
    V2,
    /// `/v2/probes/`
    RichProbes,
    /// `/v2/probes/<probe>/`
    RichProbe(String),
}

/// One of the values that v1 shows of a probe (the seed calls them meters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `kwh`
    Kwh,
    /// `timestamp`
    Timestamp,
    /// `w`
    Watts,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A resource.
    Route(Route),
    /// A resource, once a slash is added.
    AddSlash,
    /// None.
    Nothing,
}

/// Reads a path as it came over the wire, percent-encoded. A probe id with a slash has it as `%2F`.
pub(super) fn find(path: &str) -> Found {
    let Some(path) = path.strip_prefix('/') else { return Found::Nothing };
    if path == "v1/openapi.json" {
        return Found::Route(Route::OpenApi);
    }
    let (path, has_slash) = match path.strip_suffix('/') {
        Some(path) => (path, true),
        None => (path, false),
    };
    let segments: Vec<&str> = path.splitn(5, '/').collect();
    let route = match segments.as_slice() {
        ["v1"] => Some(Route::V1),
        ["v1", "probe-ids"] => Some(Route::ProbeIds),
        ["v1", "probes"] => Some(Route::Probes),
        ["v1", "probes", probe] => decode(probe).map(Route::Probe),
        // The slash is missing whatever the meter is; whether there is such a meter is for the right address to say.
        ["v1", "probes", probe, meter] if !has_slash => {
            return if probe.is_empty() || meter.is_empty() { Found::Nothing } else { Found::AddSlash };
        }
        ["v1", "probes", probe, meter] => {
            decode(probe).zip(value(meter)).map(|(probe, value)| Route::Value(probe, value))
        }
        ["v2"] => Some(Route::V2),
        ["v2", "probes"] => Some(Route::RichProbes),
        ["v2", "probes", probe] => decode(probe).map(Route::RichProbe),
        _ => None,
    };
    match route {
        Some(route) if has_slash => Found::Route(route),
        Some(_) => Found::AddSlash,
        None => Found::Nothing,
    }
}

fn value(name: &str) -> Option<Value> {
    match name {
        "kwh" => Some(Value::Kwh),
        "timestamp" => Some(Value::Timestamp),
        "w" => Some(Value::Watts),
        _ => None,
    }
}

/// Undoes percent-encoding. Nothing for an empty segment, and for one that is not UTF-8: no probe is called so.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Encodes a probe id as a path segment or a query value (RFC 3986, section 2.3: what is unreserved stays).
pub(super) fn encode(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let found = match find(path) {
            Found::Route(route) => format!("{route:?}"),
            Found::AddSlash => "add slash".to_owned(),
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn the_seeds_paths_lead_to_their_resources() {
        check("/v1/", "V1");
        check("/v1/probe-ids/", "ProbeIds");
        check("/v1/probes/", "Probes");
        check("/v1/probes/A/", "Probe(\"A\")");
        check("/v1/probes/C.1/w/", "Value(\"C.1\", Watts)");
        check("/v1/openapi.json", "OpenApi");
    }

    #[test]
    fn a_missing_slash_is_added_before_anything_is_looked_up() {
        for path in ["/v1", "/v1/probes", "/v1/probes/A", "/v1/probes/A/w", "/v1/probes/A/bogus", "/v2"] {
            check(path, "add slash");
        }
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "/",
            "",
            "/v1//probes/",
            "/v1/probes//",
            "/v1/probes/A/v/",
            "/v1/probes/A/w/x/",
            "/v3/",
            "//v1/",
            "*",
        ] {
            check(path, "nothing");
        }
    }

    #[test]
    fn a_probe_id_is_decoded_and_must_be_utf_8() {
        check("/v1/probes/a%2Fb/", "Probe(\"a/b\")");
        check("/v1/probes/%C3%A9/", "Probe(\"é\")");
        check("/v1/probes/%FF/", "nothing");
        check("/v1/probes/%2/", "nothing");
        check("/v1/probes/%+1/", "nothing");
    }

    #[test]
    fn metrics_name_a_path_by_its_template() {
        for (path, expected) in [
            ("/v1/", "/v1/"),
            ("/v1", "/v1/"),
            ("/v1/probes/", "/v1/probes/"),
            ("/v1/probes/A/", "/v1/probes/{probe}/"),
            ("/v1/probes/A/w", "/v1/probes/{probe}/{meter}/"),
            ("/v1/probes/A/w/x/", "other"),
            ("/v2/probes/a%2Fb/", "/v2/probes/{probe}/"),
            ("/readyz", "/readyz"),
            ("v1/", "other"),
            ("/", "other"),
            ("*", "other"),
            ("", "other"),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(path in any::<String>()) {
            find(&path);
            let template = template(&path);
            prop_assert!(template == Routes::OTHER || ROUTES.templates.contains(&template));
        }

        #[test]
        fn any_probe_id_has_an_address(id in "\\PC{1,40}") {
            prop_assert_eq!(find(&format!("/v1/probes/{}/", encode(&id))), Found::Route(Route::Probe(id)));
        }
    }
}
