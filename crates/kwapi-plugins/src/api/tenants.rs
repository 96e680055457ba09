//! Two tenants over every route: the answers to one disclose nothing of the other's probes.

use kwapi_core::WallClock;

use super::route::TABLE;
use super::tests::{Answer, Stand, request};
use super::*;
use crate::auth::{AuthConfig, hash_token};
use crate::directory::{ConfiguredProbes, Labels};
use crate::metrics::{self, Metrics};

/// What a tenant's own probes are called, and nobody else's.
const WORDS: [(&str, &str); 2] = [("oslo", "riga"), ("riga", "oslo")];

/// Probes of two tenants between each other in order and in kind: `oslo` has its own by pattern, `riga` by label.
struct Site {
    stand: Stand,
    auth: Auth,
    router: Router,
}

impl Site {
    fn new() -> Self {
        let stand = Stand::new();
        for (seq, joules) in [(0, 0), (1, 3_600)] {
            for number in 0..6 {
                let tenant = if number % 2 == 0 { "oslo" } else { "riga" };
                stand.receive(&format!("{tenant}.web{number}"), seq, 100.0 + f64::from(number), joules);
            }
        }
        stand.directory.replace(labelled("riga"));
        let toml = tokens()
            + "[[scope]]\ntoken = 'oslo'\nprobes = ['oslo.*']\n\
               [[scope]]\ntoken = 'riga'\nlabels = { site = 'riga' }\n";
        let config: AuthConfig = toml::from_str(&toml).unwrap();
        let wall = WallClock::new(|| kwapi_core::Timestamp::EPOCH);
        let auth = Auth::new(&config, wall, stand.directory.clone()).unwrap();
        let router = router(stand.api.clone(), Some(auth.clone()), None);
        Self { stand, auth, router }
    }

    async fn request(&self, tenant: &str, path: &str) -> Answer {
        request(self.router.clone(), "GET", path, &[("x-auth-token", tenant)]).await
    }
}

/// The tokens of both, of an operator and of somebody without a role.
fn tokens() -> String {
    format!(
        "[[token]]\nname = 'oslo'\nsha256 = '{}'\n[[token]]\nname = 'riga'\nsha256 = '{}'\n\
         [[token]]\nname = 'nobody'\nsha256 = '{}'\nroles = ['reader']\n\
         [[token]]\nname = 'operator'\nsha256 = '{}'\n",
        hash_token("oslo"),
        hash_token("riga"),
        hash_token("nobody"),
        hash_token("operator"),
    )
}

/// Each probe has the label `site` if it is within `root`.
fn labelled(root: &'static str) -> ConfiguredProbes {
    let labels = move |probe: &kwapi_core::ProbeId| {
        let label = probe.is_within(root).then(|| ("site".to_owned(), root.to_owned()));
        label.into_iter().collect::<Labels>()
    };
    ConfiguredProbes::new(labels, [])
}

/// Status, all headers and the body, as one text.
fn whole(answer: &Answer) -> String {
    format!("{} {:?} {}", answer.status, answer.headers, answer.body)
}

/// Every route with every probe that may stand in it, and the queries that lists have.
fn addresses() -> Vec<String> {
    let probes = ["oslo.web0", "oslo.web4", "riga.web1", "riga.web5", "oslo", "A"];
    let queries = [
        "",
        "?limit=1",
        "?limit=2&after=oslo.web2",
        "?limit=2&after=riga.web1",
        "?pattern=*",
        "?pattern=oslo.*&pattern=riga.*",
        "?probe=oslo.web0&probe=riga.web1",
        "?by=total&start=1",
        "?by=site&format=csv",
        "?by=group",
        "?group=oslo&group=riga&step=hour",
        "?label=site:riga",
        "?probe=oslo.web0&start=0",
        "?probe=riga.web1&start=0",
        "?by=rack",
        "?by=site&format=html",
    ];
    let mut all = Vec::new();
    for route in TABLE.table {
        for probe in probes {
            for meter in ["w", "kwh", "timestamp", "bogus"] {
                let path = route
                    .path
                    .replace("{probe}", probe)
                    .replace("{meter}", meter)
                    .replace("{group}", probe)
                    .replace("{month}", "2026-11");
                all.extend(queries.map(|query| format!("{path}{query}")));
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

#[tokio::test]
async fn no_answer_to_a_tenant_names_what_is_another_s_unless_the_request_did() {
    let site = Site::new();
    let addresses = addresses();
    assert!(addresses.len() > 100, "{}", addresses.len());
    // Twice, turn by turn: what was made for one is not served to the other.
    for path in addresses.iter().chain(&addresses) {
        for (tenant, other) in WORDS {
            let answer = site.request(tenant, path).await;
            // A link to the next page repeats the query, an error the probe that was requested.
            let text = whole(&answer).replace(path, "");
            let is_theirs = !path.contains(other);
            assert!(!is_theirs || !text.contains(other), "{path} to {tenant}: {text}");
            assert!(!text.contains("\"A\"") || path.contains("/A/"), "{path} to {tenant}: {text}");
        }
    }
}

#[tokio::test]
async fn another_s_probe_and_none_at_all_are_the_same_to_the_byte() {
    let site = Site::new();
    for route in TABLE.table.iter().filter(|route| route.path.contains("{probe}")) {
        for (tenant, other) in WORDS {
            for (meter, probe) in [("w", "web1"), ("w", "web4"), ("bogus", "web1")] {
                let path = |id: &str| route.path.replace("{probe}", id).replace("{meter}", meter);
                let (alien, absent) = (format!("{other}.{probe}"), format!("{other}.none"));
                let alien_answer = whole(&site.request(tenant, &path(&alien)).await);
                let absent_answer = whole(&site.request(tenant, &path(&absent)).await);
                // The message repeats the id that was requested; both are as long.
                let expected = absent_answer.replace("none", probe);
                assert_eq!(alien_answer, expected, "{tenant} {alien}");
                assert!(alien_answer.starts_with("404 "), "{alien_answer}");
            }
        }
    }
}

#[tokio::test]
async fn each_sees_all_of_its_own_and_a_token_that_nobody_mapped_nothing() {
    let site = Site::new();
    let ids = async |tenant: &str| site.request(tenant, "/v1/probe-ids/").await.body;
    assert_eq!(ids("oslo").await, "{\"probe_ids\":[\"oslo.web0\",\"oslo.web2\",\"oslo.web4\"]}\n");
    assert_eq!(ids("riga").await, "{\"probe_ids\":[\"riga.web1\",\"riga.web3\",\"riga.web5\"]}\n");
    assert!(ids("operator").await.contains("\"A\",\"B\",\"C.1\",\"oslo.web0\""));
    // Its role lets it in only by a policy; with the default one it is not even that.
    assert_eq!(site.request("nobody", "/v1/probe-ids/").await.status, 403);
    assert_eq!(site.request("oslo", "/v1/probes/oslo.web0/w/").await.body, "{\"oslo.web0\":{\"w\":100.0}}\n");
    assert_eq!(site.request("riga", "/v2/probes/riga.web1/").await.status, 200);
}

#[tokio::test]
async fn energy_is_summed_within_the_scope_and_names_no_position_of_others() {
    let site = Site::new();
    let total = async |tenant: &str| {
        let answer = site.request(tenant, "/v2/energy?by=total&start=1795393617.857").await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["position"].is_null(), answer.header("kwapi-position").is_empty());
        (body["energy"][0]["probes"].clone(), body["position"].is_null())
    };
    assert_eq!(total("oslo").await, (3.into(), true));
    assert_eq!(total("riga").await, (3.into(), true));
    assert_eq!(total("operator").await, (9.into(), false));
    for query in ["probe=riga.web1", "group=riga"] {
        let answer = site.request("oslo", &format!("/v2/energy?{query}")).await;
        let absent = site.request("oslo", &format!("/v2/energy?{}", query.replace("riga", "nope"))).await;
        assert_eq!(whole(&answer).replace("riga", "nope"), whole(&absent), "{query}");
        assert_eq!(answer.status, 404);
    }
    let own = site.request("riga", "/v2/energy?label=site:riga&format=csv").await.body;
    assert_eq!(own.lines().count(), 4, "{own}");
    let others = site.request("riga", "/v2/energy?label=site:oslo&format=csv").await.body;
    assert_eq!(others.lines().count(), 1, "{others}");
}

#[tokio::test]
async fn a_tag_of_a_tenant_depends_on_its_own_probes_alone() {
    let site = Site::new();
    let tag = async || site.request("oslo", "/v1/probes/").await.header("etag").to_owned();
    let before = tag().await;
    assert!(before.starts_with("W/\""), "{before}");
    site.stand.receive("riga.web1", 2, 500.0, 4_000);
    assert_eq!(tag().await, before, "another's probe has changed, not theirs");
    let headers = [("x-auth-token", "oslo"), ("if-none-match", &*before)];
    assert_eq!(request(site.router.clone(), "GET", "/v1/probes/", &headers).await.status, 304);
    let headers = [("x-auth-token", "riga"), ("if-none-match", &*before)];
    assert_eq!(request(site.router.clone(), "GET", "/v1/probes/", &headers).await.status, 200);
    site.stand.receive("oslo.web0", 2, 500.0, 4_000);
    assert_ne!(tag().await, before);
}

#[tokio::test]
async fn a_reload_of_labels_or_of_scopes_counts_from_the_next_request_on() {
    let site = Site::new();
    let sees = async |probe: &str| site.request("riga", &format!("/v1/probes/{probe}/")).await.status == 200;
    assert!(sees("riga.web1").await && !sees("oslo.web0").await);
    site.stand.directory.replace(labelled("oslo"));
    assert!(!sees("riga.web1").await && !sees("oslo.web0").await, "the label is there, with another value");
    let tags = |site: &'static str| {
        let tokens = tokens();
        let scopes = format!("{tokens}[[scope]]\ntoken = 'riga'\nlabels = {{ site = '{site}' }}");
        toml::from_str::<AuthConfig>(&scopes)
    };
    site.auth.replace(&tags("oslo").unwrap()).unwrap();
    assert!(!sees("riga.web1").await && sees("oslo.web0").await);
    site.auth.replace(&tags("nowhere").unwrap()).unwrap();
    assert!(!sees("riga.web1").await && !sees("oslo.web0").await);
}

#[tokio::test]
async fn why_a_meter_fails_is_shown_to_who_sees_everything_alone() {
    let stand = Stand::new();
    let failing =
        |_: &kwapi_core::ProbeId| Some("outlet 3 (riga.web1) of 10.0.0.9 does not answer".to_owned());
    let directory = Directory::default().with_live(stand.live.clone()).with_problems(failing);
    let api = Api::new(directory);
    let a = Scope::of_patterns(&[kwapi_core::Pattern::new("A").unwrap()]);
    for path in ["/v2/probes/", "/v2/probes/A/"] {
        let body = async |api: Api| request(router(api, None, None), "GET", path, &[]).await.body;
        assert!(body(api.clone()).await.contains("riga.web1"), "{path}");
        let limited = body(api.clone().limited_to(a.clone())).await;
        assert!(limited.contains("\"last_error\":\"the meter is not read at present\""), "{path}: {limited}");
        assert!(!limited.contains("riga") && !limited.contains("10.0.0.9"), "{path}: {limited}");
    }
}

#[tokio::test]
async fn metrics_beside_the_api_name_no_probe_that_it_does_not_show() {
    let stand = Stand::new();
    let mut all = Metrics::new();
    all.add(stand.directory.clone());
    let shown = Scope::of_patterns(&[kwapi_core::Pattern::new("C.*").unwrap()]);
    let answer = request(metrics::router(Arc::new(all), shown), "GET", "/metrics", &[]).await;
    assert!(answer.body.contains("probe=\"C.1\"") && !answer.body.contains("probe=\"A\""), "{}", answer.body);
}

/// What the closed bill of 2026-02 holds in CSV: value, kind, probe and amount of each line.
async fn lines(site: &Site, tenant: &str) -> Vec<String> {
    let answer = site.request(tenant, "/v2/bills/2026-02/?by=department&format=csv").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = answer.body.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let wanted = rows.filter(|row| row[2] != "energy");
    wanted.map(|row| format!("{} {} {} {}", row[0], row[2], row[1], row[8])).collect()
}

#[tokio::test]
async fn a_tenant_s_bill_has_its_own_lines_and_their_sums() {
    let site = Site::new();
    // Departments are the beginnings of the ids.
    let rows = ["oslo.web0", "riga.web1", "riga.web3"].map(|probe| (probe, "measured", 90_000));
    crate::bills::tests::close(&site.stand.state(), &rows);
    let of_oslo = ["oslo probe oslo.web0 13.44", "oslo month  10.00", "oslo subtotal  23.44"];
    let of_riga = [
        "riga probe riga.web1 13.44",
        "riga probe riga.web3 13.44",
        "riga month  20.00",
        "riga subtotal  46.88",
    ];
    assert_eq!(lines(&site, "oslo").await, [&of_oslo[..], &[" total  23.44"]].concat());
    assert_eq!(lines(&site, "riga").await, [&of_riga[..], &[" total  46.88"]].concat());
    assert_eq!(lines(&site, "operator").await, [&of_oslo[..], &of_riga, &[" total  70.32"]].concat());
    let of_riga = site.request("riga", "/v2/bills/2026-02/?by=department").await.body;
    assert!(of_riga.contains("\"position\": null") && !of_riga.contains("oslo"), "{of_riga}");
    assert!(
        site.request("operator", "/v2/bills/2026-02/?by=department")
            .await
            .body
            .contains("\"position\": \"7:1024\"")
    );
    for (query, status) in [
        ("?by=", 400),
        ("?by=a&by=b", 400),
        ("?format=pdf", 400),
        ("?x=1", 400),
        ("?correction=no", 400),
        ("?by=department&correction=1", 404),
    ] {
        let answer = site.request("operator", &format!("/v2/bills/2026-02/{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
    }
    for month in ["2026-13", "2026-12", "x"] {
        assert_eq!(site.request("operator", &format!("/v2/bills/{month}/")).await.status, 404, "{month}");
    }
    // An open month: nothing of it that is over has been measured.
    let open = site.request("riga", "/v2/bills/2026-11/?by=site").await.body;
    let open: serde_json::Value = serde_json::from_str(&open).unwrap();
    let names: Vec<&str> =
        open["values"].as_array().unwrap().iter().filter_map(|value| value["value"].as_str()).collect();
    assert_eq!((names, &open["kwh"]), (vec!["riga"], &0.0.into()));
    let page = site.request("riga", "/v2/bills/2026-02/?by=department&format=html").await;
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(page.body.contains("riga.web1") && !page.body.contains("oslo"), "{}", page.body);
    let list: serde_json::Value =
        serde_json::from_str(&site.request("riga", "/v2/bills/").await.body).unwrap();
    let closed = serde_json::json!({
        "month": "2026-02", "by": "department", "is_closed": true, "closed": "2026-03-02T13:45:00+05:45", "corrections": 0,
    });
    let open = serde_json::json!({
        "month": "2026-11", "by": null, "is_closed": false, "closed": null, "corrections": 0,
    });
    assert_eq!(list, serde_json::json!({ "bills": [closed, open] }));
    let path = site.stand.state().join("bills/2026-02/1.json");
    std::fs::write(path, "{}").unwrap();
    let corrupt = site.request("riga", "/v2/bills/2026-02/?by=department").await;
    assert_eq!(corrupt.status, 503);
    assert!(!corrupt.body.contains("corrupt"), "{}", corrupt.body);
}
