//! Any range of a group, and of all that is seen together.

use kwapi_peers::Lab;

use super::ranges::{BEGIN, directory_of, pages_of, with_logins};
use super::*;

/// A rack with a meter of its own, which draws what each of the probes below it does, and a site beside it.
const PROBES: [&str; 4] = ["lyon.r1", "lyon.r1.a", "lyon.r2.b", "paris.c"];

fn address(path: &str) -> String {
    format!("{path}?from={}&to={}", BEGIN + 1_800, BEGIN + 5_400)
}

#[track_caller]
fn check_has(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn a_group_and_all_together_have_ranges_each_joule_once() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &PROBES);
    // A probe used 0.2 kWh, and drew 100 W, then 300 W.
    for (path, name, kwh, watts) in [
        ("/group/lyon/", "lyon", "0.4000", ["200.0 W", "600.0 W", "400.0 W"]),
        ("/group/lyon.r1/", "lyon.r1", "0.2000", ["100.0 W", "300.0 W", "200.0 W"]),
        ("/last/day/", "All probes", "0.6000", ["300.0 W", "900.0 W", "600.0 W"]),
    ] {
        let shown = page(&site, &address(path)).await;
        let [min, max, avg] = watts;
        check_has(
            &shown,
            &[
                &format!("<p class=\"big\">{kwh} kWh</p>"),
                &format!("<a href=\"{path}\">{name}</a>"),
                &format!("<dt>Min</dt><dd>{min}</dd>"),
                &format!("<dt>Max</dt><dd>{max}</dd>"),
                &format!("<dt>Avg</dt><dd>{avg}</dd>"),
                "<p>100 % measured</p>",
                "360 rows of 10 s",
                &format!("href=\"{path}?from=2026-11-23T07:00:00Z&#38;to=2026-11-23T09:00:00Z\">Wider"),
            ],
        );
        let csv = page(&site, &format!("{}&format=csv", address(path))).await;
        let joules = csv.lines().next().unwrap().split(',').position(|column| column == "joules").unwrap();
        let cells = csv.lines().skip(1).filter_map(|line| line.split(',').nth(joules)?.parse::<f64>().ok());
        let sum: f64 = cells.sum();
        assert!((sum / 3.6e6 - kwh.parse::<f64>().unwrap()).abs() < 1e-9, "{path}: {sum}");
        let svg = get(&site, &format!("{}&format=svg", address(path))).await;
        assert_eq!(header_of(&svg, "content-type"), "image/svg+xml");
        for format in ["samples", "parquet"] {
            let refused = get(&site, &format!("{}&format={format}", address(path))).await;
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{path} {format}");
        }
        // The pages lead there, and what they offer is there.
        let from = page(&site, path).await.replace("&#38;", "&");
        let values =
            format!("<a href=\"{path}?from=2026-11-22T10:00:00Z&to=2026-11-23T10:00:00Z\">Values</a>");
        check_has(&from, &[&values]);
    }
}

#[tokio::test]
async fn what_is_no_range_of_them_is_reported_with_the_reason() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &PROBES);
    for (path, status, expected) in [
        ("/group/lyon/?from=2027-01-01", 400, "This range is in the future."),
        ("/last/hour/?from=2026-11-23T09:00&to=2026-11-23T08:00", 400, "This range ends before it begins."),
        ("/group/nobody/?from=1795420800", 404, "Unknown group “nobody”"),
        ("/last/century/?from=1795420800", 404, "Unknown period “century”"),
        ("/group/lyon/?from=1970-01-01", 400, "Longer than the history"),
    ] {
        let answer = get(&site, path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        check_has(std::str::from_utf8(answer.body()).unwrap(), &[expected]);
    }
    let without = super::site();
    assert_eq!(get(&without, "/last/day/?from=1795420800").await.status(), StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn a_tenant_s_ranges_are_of_their_own_probes_alone() {
    let (both, own) = (Lab::empty(), Lab::empty());
    let logins = || super::tenants::logins(&WallClock::new(|| Timestamp::from_seconds(NOW)));
    let all = with_logins(directory_of(&both, &PROBES, Directory::default()), Some(logins()));
    let alone = with_logins(directory_of(&own, &PROBES[..3], Directory::default()), Some(logins()));
    for path in ["/last/day/", "/group/lyon/", "/group/paris/"] {
        for form in ["", "&format=csv", "&format=svg", "&page=2"] {
            let path = format!("{}{form}", address(path));
            let [of_all, of_own] = [
                super::tenants::get_as(&all, "lyon", &path).await,
                super::tenants::get_as(&alone, "lyon", &path).await,
            ];
            assert_eq!(of_all.status(), of_own.status(), "{path}");
            assert_eq!(of_all.body(), of_own.body(), "{path}");
            assert_eq!(header_of(&of_all, "kwapi-position"), "", "{path}");
        }
    }
}
