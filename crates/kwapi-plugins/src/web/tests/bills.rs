//! Bills on the pages: which there are, one of them in short, as it is printed and as files.

use kwapi_peers::Lab;

use super::*;
use crate::auth::{Auth, AuthConfig, guarded, hash_token};
use crate::bills::Bills;

/// February, closed, of two departments and of what is reported of one of their probes only in part.
const ROWS: [(&str, &str, i64); 3] =
    [("art.kiln", "measured", 90_000), ("lab.<b>&amp;", "bridged", 45_000), ("lab.lost", "unknown", 0)];

/// The pages with February closed and a ledger that has [`super::ranges`]' probes, which are of the department that begins
/// their ids.
fn pages(lab: &Lab, state: &std::path::Path) -> Router {
    crate::bills::tests::close(state, &ROWS);
    let bills = Bills::new(crate::bills::tests::config("0.2", &[]), state);
    let label = |probe: &ProbeId| {
        let department = probe.as_str().split('.').next().unwrap_or_default().to_owned();
        Labels::from([("department".to_owned(), department)])
    };
    let configured = ConfiguredProbes::new(label, []);
    let directory =
        super::ranges::directory_of(lab, &["art.kiln", "lab.<b>&amp;"], Directory::new(configured));
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW));
    router(PageSources { bills: Some(bills), ..directory.into() }, settings(), clock, None)
}

#[track_caller]
fn check_has(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn the_list_leads_to_closed_bills_and_to_open_months() {
    let lab = Lab::empty();
    let site = pages(&lab, &lab.join("state"));
    let list = page(&site, "/bill/").await;
    check_has(
        &list,
        &[
            "<a href=\"/bill/\" aria-current=\"page\">Bills</a>",
            "<a href=\"/bill/2026-11/\">2026-11</a>",
            "<a href=\"/bill/2026-11/?by=department\">department</a>",
            "<a href=\"/bill/2026-02/?by=department\">2026-02</a></th><td>department</td><td>closed 2 March 2026, 13:45 +0545</td>",
        ],
    );
    assert!(list.find("2026-11") < list.find("2026-02"), "the newest comes first: {list}");
    assert!(page(&site, "/last/hour/").await.contains("<a href=\"/bill/\">Bills</a>"));
    // Where no bills are served none are led to.
    let without = serve(Fixture::of(&["a"]));
    assert!(!page(&without, "/last/hour/").await.contains("/bill/"));
    for path in ["/bill/", "/bill/2026-02/"] {
        let answer = get(&without, path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_closed_bill_is_the_print_of_kwapi_bill_and_its_files() {
    let lab = Lab::empty();
    let state = lab.join("state");
    let site = pages(&lab, &state);
    let kept = crate::bills::ClosedBills::new(&state).of("2026-02", Some("department")).unwrap().remove(0);
    let print = get(&site, "/bill/2026-02/?by=department&format=html").await;
    assert_eq!(std::str::from_utf8(print.body()).unwrap(), kept.text(crate::bills::BillFormat::Html));
    assert!(
        header_of(&print, "content-security-policy")
            .starts_with("default-src 'none'; style-src 'unsafe-inline'")
    );
    for (format, kind, ending) in
        [("csv", "text/csv; charset=utf-8", "csv"), ("json", "application/json", "json")]
    {
        let file = get(&site, &format!("/bill/2026-02/?by=department&format={format}")).await;
        assert_eq!(header_of(&file, "content-type"), kind);
        let name = format!("filename=\"bill 2026-02 by department.{ending}\"");
        assert!(header_of(&file, "content-disposition").contains(&name), "{:?}", file.headers());
    }
    let shown = page(&site, "/bill/2026-02/?by=department").await;
    check_has(
        &shown,
        &[
            "<h1>February 2026, by department</h1>",
            "closed 2 March 2026, 13:45 +0545, by ada on desk",
            kept.sha256(),
            "<th scope=\"row\">art</th>",
            "href=\"/bill/2026-02/?by=department&#38;format=html\">Print</a>",
        ],
    );
    // Its numbers are those of the print.
    let made: serde_json::Value =
        serde_json::from_slice(get(&site, "/bill/2026-02/?by=department&format=json").await.body()).unwrap();
    check_has(&shown, &[&format!("<dt>Total</dt><dd>{} <span>EUR</span>", made["amount"].as_str().unwrap())]);
    assert!(!shown.contains("OCMF"), "its readings are not signed: {shown}");
}

#[tokio::test]
async fn an_open_bill_is_of_what_is_over_and_its_names_are_escaped() {
    let lab = Lab::empty();
    let site = pages(&lab, &lab.join("state"));
    let shown = page(&site, "/bill/2026-11/?by=department").await;
    // 2.5 kWh of the two, of the quarter hours until 15:45 in Kathmandu.
    check_has(
        &shown,
        &[
            "open, as of 23 November 2026, 15:45 +0545",
            "<th scope=\"row\">art</th>",
            "aria-current=\"true\">department</a>",
        ],
    );
    let print = page(&site, "/bill/2026-11/?by=department&format=html").await;
    check_has(&print, &["lab.&#60;b&#62;&#38;amp;", "open: later readings"]);
    assert!(!print.contains("<b>"), "{print}");
    let none = page(&site, "/bill/2026-11/?by=%3Cb%3E").await;
    check_has(&none, &["no probe has the label &#34;&#60;b&#62;&#34; in this month"]);
}

#[tokio::test]
async fn what_is_no_bill_is_reported_and_leads_to_those_there_are() {
    let lab = Lab::empty();
    let site = pages(&lab, &lab.join("state"));
    let long = "x".repeat(300);
    for (path, status, expected) in [
        ("/bill/2026-13/", 404, "is not a month; write for example 2026-10"),
        ("/bill/2027-01/", 404, "no quarter hour of 2027-01 is over yet"),
        ("/bill/..%2F..%2Fetc/", 404, "is not a month"),
        ("/bill/2026-02/?by=department&format=pdf", 400, "format must be html, csv, profile, json or ocmf."),
        ("/bill/2026-02/?by=department&correction=1&format=html", 404, "2026-02 has no correction 1"),
        ("/bill/2026-02/?correction=x", 400, "correction must be a number."),
        ("/bill/2026-11/?format=ocmf", 404, "readings are signed when a bill is closed"),
        (&format!("/bill/2026-11/?by={long}"), 400, "No label has so long a name."),
    ] {
        let answer = get(&site, path).await;
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}: {text}");
        check_has(&text, &[expected, "<a href=\"/bill/2026-02/?by=department\">2026-02 by department</a>"]);
    }
    let document = lab.join("state/bills/2026-02/1.json");
    std::fs::write(document, "{}").unwrap();
    let corrupt = get(&site, "/bill/2026-02/?by=department").await;
    assert_eq!(corrupt.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!String::from_utf8_lossy(corrupt.body()).contains("1.json"));
}

#[tokio::test]
async fn a_tenant_s_bill_has_their_lines_and_the_sums_of_these() {
    let toml = format!(
        "[[token]]\nname = 'art'\nsha256 = '{}'\n[[scope]]\ntoken = 'art'\nprobes = ['art.*']\n",
        hash_token("art")
    );
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let auth = Auth::new(&config, Fixture::of(&[]).clock(), Directory::default()).unwrap();
    let lab = Lab::empty();
    let open = pages(&lab, &lab.join("state"));
    let site = guarded(open.clone(), auth, ROUTES);
    for path in ["/bill/", "/bill/2026-02/?by=department", "/bill/2026-11/?by=department", "/bill/2026-11/"] {
        for format in ["", "&format=html", "&format=csv", "&format=json", "&format=profile"] {
            let path = if path.contains('?') {
                format!("{path}{format}")
            } else {
                format!("{path}?{}", format.trim_start_matches('&'))
            };
            let all = get(&open, &path).await;
            let own = send(&site, "GET", &path, &[("x-auth-token", "art")]).await;
            assert_eq!(own.status(), StatusCode::OK, "{path}");
            let text = String::from_utf8_lossy(own.body()).into_owned();
            assert!(
                !text.contains("lab") || text.matches("lab").count() == text.matches("label").count(),
                "{path}: {text}"
            );
            let names_others = String::from_utf8_lossy(all.body()).contains("lab.");
            assert!(!names_others || own.body() != all.body(), "{path}");
        }
    }
    // The sum of a tenant is that of their lines, and no part of a sum of all.
    let json =
        send(&site, "GET", "/bill/2026-02/?by=department&format=json", &[("x-auth-token", "art")]).await;
    let made: serde_json::Value = serde_json::from_slice(json.body()).unwrap();
    let values: Vec<&str> =
        made["values"].as_array().unwrap().iter().filter_map(|value| value["value"].as_str()).collect();
    assert_eq!((values, &made["amount"]), (vec!["art"], &made["values"][0]["amount"]));
}
