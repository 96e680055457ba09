//! The API's routes: what is served where, and to whom.

use crate::auth;
use crate::http::{READ, Route, Routes, ServerRoutes};
use crate::metrics;
use crate::peers;

/// The API's routes; those of the status listener are served here too where all may read.
pub const ROUTES: &dyn ServerRoutes = &TABLE;

/// A resource of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiResource {
    V1,
    OpenApi,
    ProbeIds,
    Probes,
    Probe,
    Value,
    V2,
    RichProbes,
    RichProbe,
    Energy,
    Series,
    Samples,
    Groups,
    Group,
    Bills,
    Bill,
}

pub(super) static TABLE: Routes<ApiResource> = Routes {
    server: "api",
    table: &[
        read("/v1/", ApiResource::V1),
        read("/v1/openapi.json", ApiResource::OpenApi),
        read("/v1/probe-ids/", ApiResource::ProbeIds),
        read("/v1/probes/", ApiResource::Probes),
        read("/v1/probes/{probe}/", ApiResource::Probe),
        read("/v1/probes/{probe}/{meter}/", ApiResource::Value),
        read("/v2/", ApiResource::V2),
        read("/v2/probes/", ApiResource::RichProbes),
        read("/v2/probes/{probe}/", ApiResource::RichProbe),
        read(super::ENERGY, ApiResource::Energy),
        read("/v2/series", ApiResource::Series),
        read(super::SAMPLES, ApiResource::Samples),
        read("/v2/groups/", ApiResource::Groups),
        read("/v2/groups/{group}/", ApiResource::Group),
        read("/v2/bills/", ApiResource::Bills),
        read("/v2/bills/{month}/", ApiResource::Bill),
    ],
    others: &[metrics::METRICS, metrics::HEALTH, metrics::READY, peers::PATH],
};

/// A resource that is read.
const fn read(path: &'static str, resource: ApiResource) -> Route<ApiResource> {
    Route { path, methods: READ, rule: Some(auth::READ_RULE), resource }
}

/// One of the values that v1 shows of a probe (the seed calls them meters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Kwh,
    Timestamp,
    Watts,
}

impl Value {
    /// The value called `name` in a path.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "kwh" => Some(Self::Kwh),
            "timestamp" => Some(Self::Timestamp),
            "w" => Some(Self::Watts),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::RouteMatch;
    use crate::http::percent::encode;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let found = match TABLE.find(path) {
            RouteMatch::Route(route, parameters) if parameters.is_empty() => {
                format!("{:?}", route.resource)
            }
            RouteMatch::Route(route, parameters) => {
                format!("{:?}({})", route.resource, parameters.join(", "))
            }
            RouteMatch::AddSlash(_) => "add slash".to_owned(),
            RouteMatch::Nothing => "nothing".to_owned(),
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn the_seeds_paths_lead_to_their_resources() {
        check("/v1/", "V1");
        check("/v1/probe-ids/", "ProbeIds");
        check("/v1/probes/", "Probes");
        check("/v1/probes/A/", "Probe(A)");
        check("/v1/probes/C.1/w/", "Value(C.1, w)");
        check("/v1/openapi.json", "OpenApi");
        check("/v2/groups/lyon.rack3/", "Group(lyon.rack3)");
    }

    #[test]
    fn a_missing_slash_is_added_before_anything_is_looked_up() {
        for path in ["/v1", "/v1/probes", "/v1/probes/A", "/v1/probes/A/w", "/v1/probes/A/bogus", "/v2"] {
            check(path, "add slash");
        }
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in ["/", "", "/v1//probes/", "/v1/probes//", "/v1/probes/A/w/x/", "/v3/", "//v1/", "*"] {
            check(path, "nothing");
        }
        assert_eq!(Value::named("v"), None);
    }

    #[test]
    fn a_probe_id_is_decoded_and_must_be_utf_8() {
        check("/v1/probes/a%2Fb/", "Probe(a/b)");
        check("/v1/probes/%C3%A9/", "Probe(é)");
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
            ("/v2/energy", "/v2/energy"),
            ("/readyz", "/readyz"),
            ("v1/", "other"),
            ("/", "other"),
            ("*", "other"),
            ("", "other"),
        ] {
            assert_eq!(ROUTES.template(path).unwrap_or("other"), expected, "{path}");
        }
    }

    #[test]
    fn every_route_takes_leave_to_read() {
        for route in TABLE.table {
            assert_eq!((route.rule, ROUTES.rule(route.path)), (Some("kwapi:read"), Some("kwapi:read")));
        }
        assert_eq!(ROUTES.rule("/nowhere"), Some("kwapi:read"));
    }

    proptest! {
        #[test]
        fn any_probe_id_has_an_address(id in "\\PC{1,40}") {
            let path = format!("/v1/probes/{}/", encode(&id));
            let RouteMatch::Route(route, parameters) = TABLE.find(&path) else { panic!("{path}") };
            prop_assert_eq!((route.resource, parameters), (ApiResource::Probe, vec![id]));
        }
    }
}
