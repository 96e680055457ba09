//! From a request's path and query to what it is for. Pure: any text may come.

use kwapi_core::{Period, ProbeId};

use crate::auth;
use crate::http::{FORM, READ, READ_AND_FORM, RouteMatch, Routes, ServerRoutes};

/// The pages' routes.
pub const ROUTES: &dyn ServerRoutes = &TABLE;

/// Where the streams of open pages are.
pub(super) const STREAM: &str = "/stream/";

/// What is served at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WebResource {
    Root,
    Last,
    Probe,
    Summary,
    Graph,
    Rrd,
    Groups,
    Group,
    GroupGraph,
    GroupRrd,
    Static,
    Table,
    Search,
    Meters,
    Where,
    WhereWithin,
    Bills,
    Bill,
    Stream,
    Choose,
    Login,
    Logout,
}

static TABLE: Routes<WebResource> = Routes {
    server: "web",
    table: &[
        page("/", WebResource::Root),
        page("/last/{period}/", WebResource::Last),
        page("/probe/{probe}/", WebResource::Probe),
        page("/graph/{period}/", WebResource::Summary),
        page("/graph/{period}/{probe}/", WebResource::Graph),
        page("/rrd/{probe}/", WebResource::Rrd),
        page("/table/{period}/", WebResource::Table),
        page("/search/", WebResource::Search),
        page("/meters/", WebResource::Meters),
        page("/where/", WebResource::Where),
        page("/where/{group}/", WebResource::WhereWithin),
        page("/bill/", WebResource::Bills),
        page("/bill/{month}/", WebResource::Bill),
        page(STREAM, WebResource::Stream),
        page("/groups/", WebResource::Groups),
        page("/group/{group}/", WebResource::Group),
        page("/graph/{period}/group/{group}/", WebResource::GroupGraph),
        page("/rrd/group/{group}/", WebResource::GroupRrd),
        crate::http::Route { rule: None, ..page("/static/{name}", WebResource::Static) },
        crate::http::Route { methods: FORM, ..page("/choose/", WebResource::Choose) },
        crate::http::Route { methods: READ_AND_FORM, rule: None, ..page("/login/", WebResource::Login) },
        crate::http::Route { methods: FORM, rule: None, ..page("/logout/", WebResource::Logout) },
    ],
    others: &[],
};

const fn page(path: &'static str, resource: WebResource) -> crate::http::Route<WebResource> {
    crate::http::Route { path, methods: READ, rule: Some(auth::READ_RULE), resource }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WebRoute {
    /// It lacks its last slash: the same with it, the query kept, and the methods there.
    Moved(String, &'static str),
    /// Here, with these methods.
    To(Target, &'static str),
}

/// What there is to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/`
    Root,
    /// `/last/<period>/`
    Last(Period, FormFields),
    /// `/probe/<probe>/`
    Probe(ProbeId, FormFields),
    /// `/graph/<period>/` and `/graph/<period>/<probe>/`
    Graph(Period, Option<ProbeId>, FormFields),
    /// `/rrd/<probe>/`
    Rrd(ProbeId),
    /// `/table/<period>/`
    Table(Period, FormFields),
    /// `/search/`
    Search(FormFields),
    /// `/meters/`
    Meters(FormFields),
    /// `/where/` and `/where/<group>/`
    Where(Option<ProbeId>, FormFields),
    /// `/bill/`
    Bills,
    /// `/bill/<month>/`
    Bill(String, FormFields),
    /// `/stream/`
    Stream(FormFields),
    /// `/groups/`
    Groups(FormFields),
    /// `/group/<group>/`
    Group(ProbeId, FormFields),
    /// `/graph/<period>/group/<group>/`
    GroupGraph(Period, ProbeId, FormFields),
    /// `/rrd/group/<group>/`
    GroupRrd(ProbeId),
    /// `/static/<name>`
    Static(String, FormFields),
    /// `/choose/`, a form of the pages
    Choose,
    /// `/login/`, where people have to log in
    Login(FormFields),
    /// `/logout/`, a form of the pages
    Logout,
    /// A period that is none of the six.
    NoPeriod(String),
    /// A name that cannot be a probe's.
    NoProbe(String),
    /// A name that cannot be a group's.
    NoGroup(String),
    /// Nothing.
    Nowhere,
}

/// The members of a query or a form, in order; the first of a name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// Reads `name=value&…`, as browsers send forms. What is not UTF-8 becomes U+FFFD.
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All of one name, in order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Finds what `path` (as it was sent, percent-encoded) and `query` request.
pub(super) fn route(path: &str, query: Option<&str>) -> WebRoute {
    let (route, parameters) = match TABLE.find(path) {
        RouteMatch::Route(route, parameters) => (route, parameters),
        RouteMatch::AddSlash(route) => {
            let query = query.map_or_else(String::new, |query| format!("?{query}"));
            return WebRoute::Moved(format!("{path}/{query}"), route.methods);
        }
        RouteMatch::Nothing => return WebRoute::To(Target::Nowhere, READ),
    };
    let members = || FormFields::parse(query.unwrap_or_default());
    let parameter = |index: usize| parameters.get(index).map(String::as_str).unwrap_or_default();
    let target = match route.resource {
        WebResource::Root => Target::Root,
        WebResource::Table => period_or(parameter(0), |period| Target::Table(period, members())),
        WebResource::Search => Target::Search(members()),
        WebResource::Meters => Target::Meters(members()),
        WebResource::Where => Target::Where(None, members()),
        WebResource::WhereWithin => group_or(parameter(0), |group| Target::Where(Some(group), members())),
        WebResource::Bills => Target::Bills,
        WebResource::Bill => Target::Bill(parameter(0).to_owned(), members()),
        WebResource::Stream => Target::Stream(members()),
        WebResource::Choose => Target::Choose,
        WebResource::Login => Target::Login(members()),
        WebResource::Logout => Target::Logout,
        WebResource::Static => Target::Static(parameter(0).to_owned(), members()),
        WebResource::Last => period_or(parameter(0), |period| Target::Last(period, members())),
        WebResource::Probe => probe_or(parameter(0), |probe| Target::Probe(probe, members())),
        WebResource::Summary => period_or(parameter(0), |period| Target::Graph(period, None, members())),
        WebResource::Graph => period_or(parameter(0), |period| {
            probe_or(parameter(1), |probe| Target::Graph(period, Some(probe), members()))
        }),
        WebResource::Rrd => probe_or(parameter(0), Target::Rrd),
        WebResource::Groups => Target::Groups(members()),
        WebResource::Group => group_or(parameter(0), |group| Target::Group(group, members())),
        WebResource::GroupGraph => period_or(parameter(0), |period| {
            group_or(parameter(1), |group| Target::GroupGraph(period, group, members()))
        }),
        WebResource::GroupRrd => group_or(parameter(0), Target::GroupRrd),
    };
    WebRoute::To(target, route.methods)
}

fn period_or(name: &str, target: impl FnOnce(Period) -> Target) -> Target {
    name.parse().map_or_else(|_| Target::NoPeriod(name.to_owned()), target)
}

fn probe_or(name: &str, target: impl FnOnce(ProbeId) -> Target) -> Target {
    ProbeId::new(name).map_or_else(|_| Target::NoProbe(name.to_owned()), target)
}

/// A group is named by its path, which is the beginning of its members' ids.
fn group_or(name: &str, target: impl FnOnce(ProbeId) -> Target) -> Target {
    ProbeId::new(name).map_or_else(|_| Target::NoGroup(name.to_owned()), target)
}

/// Whether `address` is that of one of the pages, query and all, and nothing a header or another site could be made of.
pub(super) fn is_page(address: &str) -> bool {
    let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
    address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && matches!(
            route(path, query),
            WebRoute::To(
                Target::Last(..)
                    | Target::Probe(..)
                    | Target::Table(..)
                    | Target::Search(_)
                    | Target::Meters(_)
                    | Target::Where(..)
                    | Target::Bills
                    | Target::Bill(..)
                    | Target::Groups(_)
                    | Target::Group(..),
                _
            )
        )
}
