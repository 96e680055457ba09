//! The routes of a server: one table, in which each stands once. Requests are dispatched by it, metrics name routes by
//! it, and whatever describes the server is made of it.

use std::convert::Infallible;
use std::fmt::Debug;

use super::percent;

/// A route of a server, and what is served there.
#[derive(Debug)]
pub struct Route<R> {
    /// Its path, with a name in braces for each segment that may be anything: `/v1/probes/{probe}/`.
    pub path: &'static str,
    /// The methods it has, as `Allow` lists them.
    pub methods: &'static str,
    /// What a caller must be allowed to do there, as the policy calls it; `None`: it is open to all.
    pub rule: Option<&'static str>,
    /// What is served.
    pub resource: R,
}

/// The methods of what can only be read. In the order the original had them.
pub const READ: &str = "HEAD, OPTIONS, GET";
/// The methods of a form.
pub(crate) const FORM: &str = "OPTIONS, POST";
/// The methods of a page that is a form.
pub(crate) const READ_AND_FORM: &str = "HEAD, OPTIONS, GET, POST";

/// The routes of one server.
#[derive(Debug)]
pub struct Routes<R: 'static = Infallible> {
    /// What metrics call the server: `api`, `web`, `status`.
    pub server: &'static str,
    /// Its own, each once.
    pub table: &'static [Route<R>],
    /// Paths without parameters that another router serves at the same listener.
    pub others: &'static [&'static str],
}

/// What a listener has of the routes it serves.
pub trait ServerRoutes: Debug + Send + Sync {
    /// What metrics call the server.
    fn server(&self) -> &'static str;
    /// The paths of all routes. A request is counted under one of these, never under its own path.
    fn paths(&self) -> Vec<&'static str>;
    /// The path, among [`ServerRoutes::paths`], of the route that `path` leads to, whether or not its last slash is there and
    /// whether or not there is what it names.
    fn template(&self, path: &str) -> Option<&'static str>;
    /// What a caller must be allowed to do at `path`; `None`: it is open to all. What leads nowhere takes what the other
    /// routes take, so that nobody finds out which there are.
    fn rule(&self, path: &str) -> Option<&'static str>;
}

/// Where a path leads.
#[derive(Debug)]
pub(crate) enum RouteMatch<R: 'static> {
    /// To a route, with its parameters decoded.
    Route(&'static Route<R>, Vec<String>),
    /// To a route, once a slash is added.
    AddSlash(&'static Route<R>),
    /// Nowhere.
    Nothing,
}

impl<R: 'static> Routes<R> {
    /// Where `path` leads, as it came over the wire. A missing slash is to be added before any parameter is looked at.
    pub(crate) fn find(&self, path: &str) -> RouteMatch<R> {
        for route in self.table {
            let mut parameters = Vec::new();
            match compare(route.path, path, |parameter| parameters.push(parameter)) {
                Fit::Exact => {
                    let decoded = parameters.into_iter().map(percent::decode).collect::<Option<Vec<_>>>();
                    return decoded
                        .map_or(RouteMatch::Nothing, |parameters| RouteMatch::Route(route, parameters));
                }
                Fit::LacksSlash => return RouteMatch::AddSlash(route),
                Fit::Not => {}
            }
        }
        RouteMatch::Nothing
    }

    fn route(&self, path: &str) -> Option<&'static Route<R>> {
        self.table.iter().find(|route| compare(route.path, path, |_| ()) != Fit::Not)
    }
}

impl<R: Debug + Send + Sync + 'static> ServerRoutes for Routes<R> {
    fn server(&self) -> &'static str {
        self.server
    }

    fn paths(&self) -> Vec<&'static str> {
        self.table.iter().map(|route| route.path).chain(self.others.iter().copied()).collect()
    }

    fn template(&self, path: &str) -> Option<&'static str> {
        let other =
            || self.others.iter().copied().find(|other| *other == path.strip_suffix('/').unwrap_or(path));
        self.route(path).map(|route| route.path).or_else(other)
    }

    fn rule(&self, path: &str) -> Option<&'static str> {
        let strictest = || self.table.iter().find_map(|route| route.rule);
        self.route(path).map_or_else(strictest, |route| route.rule)
    }
}

/// How a path fits the path of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Exact,
    /// But for its last slash.
    LacksSlash,
    Not,
}

/// Compares a path with that of a route, segment by segment, and hands over what stands for parameters, as it was sent.
fn compare<'a>(route: &str, path: &'a str, mut parameter: impl FnMut(&'a str)) -> Fit {
    let (mut expected, mut segments) = (route.split('/'), path.split('/'));
    loop {
        match (expected.next(), segments.next()) {
            (None, None) => return Fit::Exact,
            // The last slash of a route has an empty segment behind it. Of `/` it is also the first.
            (Some(""), None) if expected.next().is_none() && !path.is_empty() => return Fit::LacksSlash,
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => {
                parameter(segment);
            }
            (Some(name), Some(segment)) if name == segment => {}
            _ => return Fit::Not,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static TABLE: Routes<u8> = Routes {
        server: "test",
        table: &[
            Route { path: "/", methods: READ, rule: None, resource: 0 },
            Route { path: "/v1/", methods: READ, rule: Some("read"), resource: 1 },
            Route { path: "/v1/{probe}/", methods: READ, rule: Some("read"), resource: 2 },
            Route { path: "/v1/{probe}/{meter}/", methods: READ, rule: Some("read"), resource: 3 },
            Route { path: "/file", methods: FORM, rule: None, resource: 4 },
        ],
        others: &["/metrics"],
    };

    #[track_caller]
    fn check(path: &str, expected: &str, template: Option<&str>) {
        let found = match TABLE.find(path) {
            RouteMatch::Route(route, parameters) => format!("{} {parameters:?}", route.resource),
            RouteMatch::AddSlash(route) => format!("{} and a slash", route.resource),
            RouteMatch::Nothing => "nothing".to_owned(),
        };
        assert_eq!((found.as_str(), TABLE.template(path)), (expected, template), "{path}");
    }

    #[test]
    fn a_path_leads_to_one_route_with_its_parameters_decoded() {
        check("/", "0 []", Some("/"));
        check("/v1/", "1 []", Some("/v1/"));
        check("/v1/a%2Fb/", "2 [\"a/b\"]", Some("/v1/{probe}/"));
        check("/v1/A/w/", "3 [\"A\", \"w\"]", Some("/v1/{probe}/{meter}/"));
        check("/file", "4 []", Some("/file"));
    }

    #[test]
    fn a_missing_slash_is_added_before_a_parameter_is_read() {
        check("/v1", "1 and a slash", Some("/v1/"));
        check("/v1/%FF", "2 and a slash", Some("/v1/{probe}/"));
        check("/v1/%FF/", "nothing", Some("/v1/{probe}/"));
        check("/v1/A/w", "3 and a slash", Some("/v1/{probe}/{meter}/"));
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in
            ["", "*", "v1/", "//", "//v1/", "/v1//", "/v1//w/", "/v1/A//", "/v1/A/w/x/", "/file/", "/v2/"]
        {
            check(path, "nothing", None);
        }
        check("/metrics", "nothing", Some("/metrics"));
    }

    #[test]
    fn what_leads_nowhere_takes_what_the_others_take() {
        assert_eq!(["/", "/v1/A", "/v2/"].map(|path| TABLE.rule(path)), [None, Some("read"), Some("read")]);
    }

    proptest! {
        #[test]
        fn noise_never_panics_and_is_counted_under_a_path_of_the_table(path in any::<String>()) {
            let found = TABLE.find(&path);
            let template = TABLE.template(&path);
            prop_assert!(template.is_none_or(|template| TABLE.paths().contains(&template)));
            if !matches!(found, RouteMatch::Nothing) {
                prop_assert!(template.is_some());
            }
        }
    }
}
