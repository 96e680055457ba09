//! Two tenants before the same pages: each gets the bytes of a site that has its own probes and no others.

use super::*;
use crate::audit::AuditLog;
use crate::auth::{Auth, AuthConfig, LoginConfig, hash_token};
use crate::directory::{MeterHealth, MeterNow};

const LYON: [&str; 3] = ["lyon.web1", "lyon.web2", "lyon.db"];
const PARIS: [&str; 3] = ["paris.web1", "paris.web2", "paris.gpu"];

/// A token `lyon`, a token `paris` and a token that sees all.
pub(super) fn logins(clock: &WallClock) -> Logins {
    let mut toml = String::new();
    for tenant in ["lyon", "paris", "operator"] {
        toml += &format!("[[token]]\nname = '{tenant}'\nsha256 = '{}'\n", hash_token(tenant));
    }
    for tenant in ["lyon", "paris"] {
        toml += &format!("[[scope]]\ntoken = '{tenant}'\nprobes = ['{tenant}.*']\n");
    }
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let auth = Auth::new(&config, clock.clone(), Directory::default()).unwrap();
    // There is no such folder: nothing of this is about the log.
    let audit = AuditLog::new("/nonexistent/audit.log".into(), clock.clone());
    Logins::new(&LoginConfig::default(), auth, audit).unwrap()
}

/// What a meter of both tenants is called, and why it fails, is for operators alone.
pub(super) fn failing_meter() -> MeterNow {
    MeterNow {
        name: "pdu-paris-lyon".to_owned(),
        driver: "snmp",
        state: "refused",
        health: MeterHealth::Troubled,
        since: Timestamp::from_seconds(NOW - 15_360),
        last_error: Some("outlet paris.gpu of 10.0.0.9 says <no> to lyon.db".to_owned()),
        advice: Some("Set the password again."),
        findings: Vec::new(),
        latency: None,
        last_reading: None,
        probes: 2,
        silent: ["paris.gpu", "lyon.db"].map(|id| ProbeId::new(id).unwrap()).into(),
    }
}

/// The pages of these probes, behind these tokens.
fn site_of(probes: &[&str]) -> Router {
    let fixture = Fixture::of(probes);
    let (clock, live) = (fixture.clock(), fixture.live());
    let logins = logins(&clock);
    let directory = Directory::default()
        .with_live(live)
        .with_history(Arc::new(fixture))
        .with_meters(|| Arc::new([failing_meter()]));
    router(directory, settings(), clock, Some(logins))
}

pub(super) async fn get_as(site: &Router, tenant: &str, path: &str) -> Response<Bytes> {
    send(site, "GET", path, &[("x-auth-token", tenant), ("cookie", "kwapi-chosen=lyon.web1~paris.web1")])
        .await
}

/// What may stand in the place of each name of a route's path: the tenant's own, the other's, nobody's. A route with another
/// name has to be added here.
fn values(name: &str) -> Vec<String> {
    match name {
        "period" => Period::ALL.iter().map(ToString::to_string).chain(["bogus".to_owned()]).collect(),
        "probe" => {
            LYON.iter().chain(&PARIS).chain(&["none", "web", "gpu"]).map(ToString::to_string).collect()
        }
        "group" => ["lyon", "paris", "none"].map(str::to_owned).into(),
        "month" => ["2026-11", "none"].map(str::to_owned).into(),
        "name" => ["design.css", "none"].map(str::to_owned).into(),
        name => panic!("what stands for {{{name}}}?"),
    }
}

/// All addresses of a path of the pages' table.
fn filled(path: &str) -> Vec<String> {
    let Some((head, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (name, tail) = rest.split_once('}').unwrap();
    let filled = values(name).into_iter().flat_map(|value| filled(&format!("{head}{value}{tail}")));
    filled.collect()
}

/// Every route there is, with everything that may stand in it, with and without its last slash, and each query that some
/// route has.
fn addresses() -> Vec<String> {
    let queries = [
        "",
        "?q=web",
        "?show=all",
        "?page=2",
        "?format=svg",
        "?scale=2",
        "?theme=dark&format=svg",
        "?sort=energy",
        "?sort=age&order=down&q=web",
        "?q=paris.web1",
        "?q=p&format=json",
        "?as=list",
        "?in=paris",
        "?in=lyon&sort=watts",
        "?label=owner:paris.gpu",
        "?by=hour",
        "?from=1795420800&to=1795424400",
        "?from=2026-11-23T09:00:00Z&format=csv",
        "?from=paris.web1&to=now",
        "?period=hour&show=energy",
        "?id=lyon.web1&id=paris.web1&id=none&id=paris.gpu&total",
        "?id=paris.web2&id=lyon.db",
        "?id=paris.web2",
    ];
    let paths = ROUTES.paths().into_iter().flat_map(filled).chain(["/nowhere".to_owned()]);
    paths
        .flat_map(|path| {
            let bare = path.strip_suffix('/').unwrap_or(&path).to_owned();
            queries.map(|query| format!("{path}{query}")).into_iter().chain([bare])
        })
        .filter(|path| !path.is_empty())
        .collect()
}

#[tokio::test]
async fn a_tenant_gets_the_bytes_of_a_site_that_has_its_own_probes_alone() {
    let both = site_of(&[&LYON[..], &PARIS].concat());
    let own = [("lyon", site_of(&LYON)), ("paris", site_of(&PARIS))];
    let mut compared = 0;
    // Twice, turn by turn: what was made for one is not served to the other.
    for path in addresses().iter().chain(&addresses()) {
        let all = get_as(&both, "operator", path).await;
        for (tenant, alone) in &own {
            let (answer, expected) = (get_as(&both, tenant, path).await, get_as(alone, tenant, path).await);
            assert_eq!(answer.status(), expected.status(), "{path} to {tenant}");
            assert_eq!(answer.headers(), expected.headers(), "{path} to {tenant}");
            assert_eq!(answer.body(), expected.body(), "{path} to {tenant}");
            compared += usize::from(answer.body() != all.body());
            let other = if *tenant == "lyon" { "paris" } else { "lyon" };
            let text = String::from_utf8_lossy(answer.body());
            // What names the other's is the same as where there is no other: it repeats the address that was requested.
            assert!(path.contains(other) || !text.contains(other), "{path} to {tenant}: {text}");
        }
    }
    assert!(compared > 100, "what all see together is something else: {compared}");
}

#[tokio::test]
async fn another_s_probe_and_none_at_all_are_the_same_to_the_byte() {
    let site = site_of(&[&LYON[..], &PARIS].concat());
    for path in ["/probe/paris.@/", "/rrd/paris.@/", "/graph/day/paris.@/", "/graph/day/paris.@/?format=svg"]
    {
        let [alien, absent] = ["web1", "nope"].map(|name| path.replace('@', name));
        let (alien, absent) = (get_as(&site, "lyon", &alien).await, get_as(&site, "lyon", &absent).await);
        let text = |answer: &Response<Bytes>| String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(alien.status(), StatusCode::NOT_FOUND);
        assert_eq!(text(&alien), text(&absent).replace("nope", "web1"), "{path}");
        assert!(!text(&alien).contains("paris.gpu"), "{path}");
    }
}

#[tokio::test]
async fn which_meter_fails_and_why_is_shown_to_who_sees_everything_alone() {
    let site = site_of(&[&LYON[..], &PARIS].concat());
    let shown = async |tenant: &str| {
        let answer = get_as(&site, tenant, "/meters/").await;
        assert_eq!(answer.status(), StatusCode::OK);
        String::from_utf8(answer.body().to_vec()).unwrap()
    };
    let all = shown("operator").await;
    for text in [
        "pdu-paris-lyon",
        "<strong>refused</strong><span>since 05:44:00 (4 h 16 min)",
        "2 of 2 probes silent: lyon.db, paris.gpu",
        "<pre>outlet paris.gpu of 10.0.0.9 says &#60;no&#62; to lyon.db</pre>",
        "Set the password again. <code>kwapi probe pdu-paris-lyon</code>",
        "title=\"1 failing\"",
    ] {
        assert!(all.contains(text), "{text}: {all}");
    }
    for (tenant, other) in [("lyon", "paris"), ("paris", "lyon")] {
        let own = shown(tenant).await;
        assert!(own.contains("All 3 probes are reporting."), "{own}");
        assert!(
            ["pdu", "10.0.0.9", "troubled", "failing", other].iter().all(|text| !own.contains(text)),
            "{own}"
        );
    }
}

#[tokio::test]
async fn nothing_is_answered_to_a_stranger_but_the_login_and_what_it_is_made_of() {
    let site = site_of(&[&LYON[..], &PARIS].concat());
    for path in addresses() {
        let bare = path.split('?').next().unwrap();
        let is_open = ["/login", "/logout", "/static"].iter().any(|open| bare.starts_with(open));
        for method in ["GET", "HEAD", "POST"] {
            let answer = send(&site, method, &path, &[]).await;
            assert!(
                is_open || answer.status() == StatusCode::UNAUTHORIZED,
                "{method} {path}: {}",
                answer.status()
            );
            let text = String::from_utf8_lossy(answer.body());
            assert!(!text.contains("web2") && !text.contains("gpu."), "{method} {path}: {text}");
        }
        if is_open {
            continue;
        }
        let answer = send(&site, "GET", &path, &[("accept", "text/html,*/*;q=0.8")]).await;
        let location = format!("/login/?back={}", crate::http::percent::encode(&path));
        assert_eq!((answer.status(), header_of(&answer, "location")), (StatusCode::SEE_OTHER, &*location));
    }
}

#[tokio::test]
async fn no_shared_cache_keeps_what_one_is_shown() {
    let site = site_of(&LYON);
    for path in
        ["/last/day/", "/graph/day/", "/graph/day/lyon.db/?format=svg", "/rrd/lyon.db/", "/probe/none/"]
    {
        let answer = get_as(&site, "operator", path).await;
        assert_eq!(header_of(&answer, "cache-control"), "private, no-cache", "{path}");
        let vary: Vec<_> =
            answer.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(vary.join(",").contains("Cookie"), "{path}: {vary:?}");
    }
}
