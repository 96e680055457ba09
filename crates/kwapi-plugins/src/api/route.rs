//! The API's routes: what is served where, to whom, and how the OpenAPI document describes it.

use crate::auth;
use crate::http::{READ, Route, Routes, ServerRoutes};
use crate::metrics;
use crate::peers;

/// The API's routes; those of the status listener are served here too where all may read.
pub const ROUTES: &dyn ServerRoutes = &TABLE;

/// One route: what it answers with, and its description.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) resource: ApiResource,
    pub(super) operation: Operation,
}

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

/// How the OpenAPI document describes a route.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// What a success has, in words, and the name of its schema.
    pub(super) answer: &'static str,
    pub(super) schema: &'static str,
    pub(super) kind: OperationKind,
}

/// What an operation takes and may answer besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperationKind {
    /// Neither query nor headers of its own.
    Plain,
    /// A list with a query: some probes, a page at a time. `has_link`: the next page is in the header `Link`; `is_tagged`: it
    /// has an `ETag`.
    List { has_link: bool, is_tagged: bool },
    /// A question about energy: JSON or CSV, a part at a time.
    Energy,
    /// The same about power over time.
    Series,
    /// The samples of a probe: JSON or CSV, a page at a time.
    Samples,
    /// A list of groups, a page at a time.
    Groups,
    /// A question about one group: JSON or CSV, a part at a time.
    Group,
    /// The list of bills.
    Bills,
    /// A bill: JSON, CSV or HTML.
    Bill,
}

const LIST: OperationKind = OperationKind::List { has_link: false, is_tagged: false };
const LINKED: OperationKind = OperationKind::List { has_link: true, is_tagged: false };
const TAGGED: OperationKind = OperationKind::List { has_link: true, is_tagged: true };

pub(super) static TABLE: Routes<Row> = Routes {
    server: "api",
    table: &[
        row(
            "/v1/",
            ApiResource::V1,
            ["version_1", "This version of the API", "Version information.", "Version"],
        ),
        row(
            "/v1/openapi.json",
            ApiResource::OpenApi,
            ["openapi", "This document", "An OpenAPI 3.1 document.", "Document"],
        ),
        list(
            "/v1/probe-ids/",
            ApiResource::ProbeIds,
            LINKED,
            [
                "probe_ids",
                "The ids of all known probes",
                "Sorted. Probes silent for longer than the cleaning interval are omitted.",
                "ProbeIds",
            ],
        ),
        list(
            "/v1/probes/",
            ApiResource::Probes,
            TAGGED,
            [
                "probes",
                "All probes with a current value",
                "Probes that have been silent for too long are omitted.",
                "Probes",
            ],
        ),
        row(
            "/v1/probes/{probe}/",
            ApiResource::Probe,
            ["probe", "One probe", "The id and values of the probe.", "OneProbe"],
        ),
        row(
            "/v1/probes/{probe}/{meter}/",
            ApiResource::Value,
            ["value", "One value of one probe", "The id and value of the probe.", "OneValue"],
        ),
        row(
            "/v2/",
            ApiResource::V2,
            ["version_2", "This version of the API", "Version information.", "Version"],
        ),
        list(
            "/v2/probes/",
            ApiResource::RichProbes,
            LIST,
            ["rich_probes", "All known probes, paginated", "At most 1000 probes.", "RichProbes"],
        ),
        row(
            "/v2/probes/{probe}/",
            ApiResource::RichProbe,
            ["rich_probe", "One probe", "The probe.", "RichProbe"],
        ),
        list(
            super::ENERGY,
            ApiResource::Energy,
            OperationKind::Energy,
            [
                "energy",
                "Energy between two instants",
                "Energy and time by status, of each probe or of sums, in steps if requested.",
                "Energy",
            ],
        ),
        list(
            "/v2/series",
            ApiResource::Series,
            OperationKind::Series,
            [
                "series",
                "Power and energy over time",
                "Minimum, mean and maximum power, and energy and time by status, of each probe or of sums, in steps.",
                "Series",
            ],
        ),
        list(
            super::SAMPLES,
            ApiResource::Samples,
            OperationKind::Samples,
            [
                "samples",
                "The samples of one probe",
                "Samples from the start until before the end, in order of time.",
                "Samples",
            ],
        ),
        list(
            "/v2/groups/",
            ApiResource::Groups,
            OperationKind::Groups,
            [
                "groups",
                "All groups, paginated",
                "The prefixes of the probes' paths (`lyon`, `lyon.rack3`), with their present power. Groups with a member that the client may not see are omitted.",
                "Groups",
            ],
        ),
        list(
            "/v2/groups/{group}/",
            ApiResource::Group,
            OperationKind::Group,
            [
                "group",
                "One group and its energy between two instants",
                "Present power, what meters measured beyond the probes below them, and energy. CSV has the energy only.",
                "Group",
            ],
        ),
        list(
            "/v2/bills/",
            ApiResource::Bills,
            OperationKind::Bills,
            [
                "bills",
                "Closed bills and open months",
                "Each closed bill, by month and label, and each month that is open.",
                "Bills",
            ],
        ),
        list(
            "/v2/bills/{month}/",
            ApiResource::Bill,
            OperationKind::Bill,
            [
                "bill",
                "The bill of a month, or a correction of it",
                "The bill as it was closed, or as it is now: of a client that does not see everything, the lines of its own probes and owners, and the sums of these.",
                "AnyBill",
            ],
        ),
    ],
    others: &[metrics::METRICS, metrics::HEALTH, metrics::READY, peers::PATH],
};

const fn row(path: &'static str, resource: ApiResource, words: [&'static str; 4]) -> Route<Row> {
    list(path, resource, OperationKind::Plain, words)
}

const fn list(
    path: &'static str,
    resource: ApiResource,
    kind: OperationKind,
    words: [&'static str; 4],
) -> Route<Row> {
    let [id, summary, answer, schema] = words;
    let operation = Operation { id, summary, answer, schema, kind };
    Route { path, methods: READ, rule: Some(auth::READ_RULE), resource: Row { resource, operation } }
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
                format!("{:?}", route.resource.resource)
            }
            RouteMatch::Route(route, parameters) => {
                format!("{:?}({})", route.resource.resource, parameters.join(", "))
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
            prop_assert_eq!((route.resource.resource, parameters), (ApiResource::Probe, vec![id]));
        }
    }
}
