//! From a request's path and query to what is asked. Pure: any text may come.

use kwapi_core::{Period, ProbeId};

use crate::http::Routes;

/// The pages' routes, as their metrics call them.
pub const ROUTES: &Routes = &Routes {
    server: "web",
    templates: &[
        "/",
        "/last/{period}/",
        "/probe/{probe}/",
        "/graph/{period}/",
        "/graph/{period}/{probe}/",
        "/rrd/{probe}/",
        "/static/{name}",
        "/choose/",
    ],
    template,
};

/// The template of a path, whatever the names in it; the last slash may be missing.
fn template(path: &str) -> &'static str {
    if path == "/" {
        return "/";
    }
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
    let mut next = || segments.next();
    match [next(), next(), next(), next(), next()] {
        [Some(""), Some("last"), Some(_), None, _] => "/last/{period}/",
        [Some(""), Some("probe"), Some(_), None, _] => "/probe/{probe}/",
        [Some(""), Some("graph"), Some(_), None, _] => "/graph/{period}/",
        [Some(""), Some("graph"), Some(_), Some(_), None] => "/graph/{period}/{probe}/",
        [Some(""), Some("rrd"), Some(_), None, _] => "/rrd/{probe}/",
        [Some(""), Some("static"), Some(_), None, _] => "/static/{name}",
        [Some(""), Some("choose"), None, ..] => "/choose/",
        _ => Routes::OTHER,
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// It lacks its last slash: the same with it, the query kept.
    Moved(String),
    /// Here.
    To(Target),
}

/// What there is to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/`
    Root,
    /// `/last/<period>/`
    Last(Period, Query),
    /// `/probe/<probe>/`
    Probe(ProbeId),
    /// `/graph/<period>/` and `/graph/<period>/<probe>/`
    Graph(Period, Option<ProbeId>, Query),
    /// `/rrd/<probe>/`
    Rrd(ProbeId),
    /// `/static/<name>`
    Static(String, Query),
    /// `/choose/`, a form of the pages
    Choose,
    /// A period that is none of the six.
    NoPeriod(String),
    /// A name that cannot be a probe's.
    NoProbe(String),
    /// Nothing.
    Nowhere,
}

/// The members of a query or a form, in order; the first of a name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&…`. What is not UTF-8 becomes U+FFFD.
    pub(super) fn parse(text: &str) -> Self {
        let member = |member: &str| {
            let (name, value) = member.split_once('=').unwrap_or((member, ""));
            let decode = |text: &str| String::from_utf8_lossy(&decode(&text.replace('+', " "))).into_owned();
            (decode(name), decode(value))
        };
        Self(text.split('&').filter(|text| !text.is_empty()).map(member).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Finds what `path` (as it was sent, percent-encoded) and `query` ask for.
pub(super) fn route(path: &str, query: Option<&str>) -> Route {
    if path == "/" {
        return Route::To(Target::Root);
    }
    let Some(inner) = path.strip_prefix('/') else { return Route::To(Target::Nowhere) };
    let (inner, has_slash) = inner.strip_suffix('/').map_or((inner, false), |inner| (inner, true));
    let segments: Option<Vec<String>> =
        inner.split('/').map(|segment| String::from_utf8(decode(segment)).ok()).collect();
    let Some(segments) = segments else { return Route::To(Target::Nowhere) };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let members = || Query::parse(query.unwrap_or_default());
    let target = match *segments.as_slice() {
        ["static", name] if !has_slash => return Route::To(Target::Static(name.to_owned(), members())),
        // An empty segment is never a name: `/last/` and `/last//minute/` lead nowhere.
        [] | [_] | [_, ""] | [_, "", _] | [_, _, ""] if segments.as_slice() != ["choose"] => Target::Nowhere,
        ["choose"] => Target::Choose,
        ["last", period] => period_or(period, |period| Target::Last(period, members())),
        ["probe", probe] => probe_or(probe, Target::Probe),
        ["graph", period] => period_or(period, |period| Target::Graph(period, None, members())),
        ["graph", period, probe] => {
            period_or(period, |period| probe_or(probe, |probe| Target::Graph(period, Some(probe), members())))
        }
        ["rrd", probe] => probe_or(probe, Target::Rrd),
        _ => Target::Nowhere,
    };
    if has_slash || target == Target::Nowhere {
        return Route::To(target);
    }
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    Route::Moved(format!("{path}/{query}"))
}

fn period_or(name: &str, target: impl FnOnce(Period) -> Target) -> Target {
    name.parse().map_or_else(|_| Target::NoPeriod(name.to_owned()), target)
}

fn probe_or(name: &str, target: impl FnOnce(ProbeId) -> Target) -> Target {
    ProbeId::new(name).map_or_else(|_| Target::NoProbe(name.to_owned()), target)
}

/// Whether `path` is the path of one of the pages, query and all, and nothing a header or another site could be made of.
pub(super) fn is_page(path: &str) -> bool {
    (path.starts_with("/last/") || path.starts_with("/probe/"))
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

/// Undoes percent-encoding. A `%` without two hexadecimal digits stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = (ahead.next().and_then(hex), ahead.next().and_then(hex));
        if let (b'%', (Some(high), Some(low))) = (byte, digits) {
            out.push(high << 4 | low);
            bytes = ahead;
        } else {
            out.push(byte);
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Percent-encodes all but RFC 3986's unreserved characters (section 2.3), less the tilde, which separates chosen probes.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    out
}
