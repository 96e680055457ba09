//! A probe's page: where its values come from, its energy as bars, files, and the way to it.

use kwapi_peers::Lab;

use super::ranges::{BEGIN, directory_of, pages_of, with_logins};
use super::*;
use crate::directory::ProbeOrigin;

/// Names that break whatever does not encode them, some in groups.
pub(super) const HOSTILE: [&str; 7] = [
    "<script>alert(1)</script>.\"rack\".'x'",
    "../../etc/passwd",
    "a.b/../c",
    "🔌.nœud-é.⚡️",
    "\u{202e}left.\u{2067}مضيف.غرفة",
    "100%25.%2e%2e.&amp;",
    "a;b=c|d ~e?f#g.[x](y)",
];

#[track_caller]
fn check_has(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

/// What stands in a page between two texts.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from} in {page}"));
    rest.split_once(to).unwrap().0
}

/// The lines of the panel about the meter: name and text.
fn facts(page: &str) -> Vec<(&str, &str)> {
    let lines = between(page, "<dl id=\"facts\" data-live>", "</dl>").split("<div><dt>").skip(1);
    lines.map(|line| line.split_once("</dd>").unwrap().0.split_once("</dt><dd>").unwrap()).collect()
}

fn origin(probe: &ProbeId) -> Option<ProbeOrigin> {
    (probe.as_str() != "elsewhere").then(|| ProbeOrigin {
        meter: "pdu-<lyon>".to_owned(),
        driver: "snmp",
        state: "running",
        since: Timestamp::from_seconds(NOW - 15_360),
        latency: Some(Duration::from_micros(41_400)),
        power: Some("reported by the device"),
        energy: "register of the device",
    })
}

#[tokio::test]
async fn a_probe_s_page_names_where_its_power_and_its_energy_come_from() {
    let lab = Lab::empty();
    let accuracies = ConfiguredProbes::new(|_| Labels::new(), []).with_accuracy(|_| Some(1.0));
    let directory = directory_of(&lab, &["rack.register", "elsewhere"], Directory::new(accuracies));
    let site = with_logins(directory.with_origins(origin), None);
    let shown = page(&site, "/probe/rack.register/").await;
    assert_eq!(
        facts(&shown),
        [
            ("Meter", "<a href=\"/meters/\">pdu-&#60;lyon&#62;</a>"),
            ("State", "running since 05:44:00 (4 h 16 min)"),
            ("Driver", "snmp"),
            ("Power", "reported by the device"),
            ("Energy", "register of the device"),
            ("Response time", "41\u{a0}ms"),
            ("Register", "1000.6 kWh at 10:00:00"),
            ("Accuracy", "±1\u{a0}% of the reading"),
        ]
    );
    // Of one that another process reads there is what came with its messages.
    let elsewhere = page(&site, "/probe/elsewhere/").await;
    assert_eq!(
        facts(&elsewhere),
        [
            ("Meter", "read by another process"),
            ("Power", "measured"),
            ("Energy", "power over time; no register came with it"),
            ("Accuracy", "±1\u{a0}% of the reading"),
        ]
    );
}

#[tokio::test]
async fn which_meter_a_probe_has_is_shown_to_who_sees_everything_alone() {
    let lab = Lab::empty();
    let directory = directory_of(&lab, &["lyon.r.a", "paris.b"], Directory::default());
    let logins = super::tenants::logins(&WallClock::new(|| Timestamp::from_seconds(NOW)));
    let site = with_logins(directory.with_origins(origin), Some(logins));
    let shown = async |tenant: &str| {
        let answer = super::tenants::get_as(&site, tenant, "/probe/lyon.r.a/").await;
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    };
    let (operator, tenant) = (shown("operator").await, shown("lyon").await);
    check_has(&operator, &["pdu-&#60;lyon&#62;", "running since"]);
    assert!(!tenant.contains("pdu-") && !tenant.contains("running since"), "{tenant}");
    check_has(&tenant, &["<dt>Driver</dt><dd>snmp</dd>", "<a href=\"/group/lyon/\">lyon</a>"]);
    // A group that has probes of others too is no way for a tenant.
    let lab = Lab::empty();
    let directory = directory_of(&lab, &["all.lyon.a", "all.lyon.b", "all.paris.b"], Directory::default());
    let toml = format!(
        "[[token]]\nname = 'lyon'\nsha256 = '{}'\n[[scope]]\ntoken = 'lyon'\nprobes = ['all.lyon.*']\n",
        crate::auth::hash_token("lyon")
    );
    let config: crate::auth::AuthConfig = toml::from_str(&toml).unwrap();
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW));
    let auth = crate::auth::Auth::new(&config, clock, Directory::default()).unwrap();
    let site = crate::auth::guarded(with_logins(directory, None), auth, ROUTES);
    let answer = send(&site, "GET", "/probe/all.lyon.a/", &[("x-auth-token", "lyon")]).await;
    let shown = String::from_utf8(answer.into_body().to_vec()).unwrap();
    let way = between(&shown, "aria-label=\"Breadcrumbs\"", "</nav>");
    check_has(
        way,
        &["<li>all</li>", "<li><a href=\"/group/all.lyon/\">lyon</a></li>", "aria-current=\"page\">a</li>"],
    );
}

#[tokio::test]
async fn energy_stands_as_bars_and_as_the_table_behind_them() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    let by_hour = page(&site, "/probe/a%2Fb/?by=hour").await;
    let rows = |page: &str| -> Vec<String> {
        let table = between(page, "id=\"energy-values\"", "</table>");
        let rows = table.split("<tr><th scope=\"row\">").skip(1);
        let text = |row: &str| {
            let row = row.split("</tr>").next().unwrap();
            let cells =
                row.split('>').filter_map(|part| part.split('<').next().filter(|text| !text.is_empty()));
            cells.map(str::trim).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ")
        };
        rows.map(text).collect()
    };
    // Ten minutes of the middle hour are not known; the hour that has just begun has no time in it.
    assert_eq!(
        rows(&by_hour),
        [
            "Mon 23 Nov 2026, 09:00 – 10:00 | 0.3000 | 0.0750 | 100 % measured",
            "Mon 23 Nov 2026, 08:00 – 09:00 | 0.2500 | 0.0625 | 83.3 % measured, 16.7 % unknown",
            "Mon 23 Nov 2026, 07:00 – 08:00 | 0.1000 | 0.0250 | 100 % measured",
        ]
    );
    let drawing = between(&by_hour, "id=\"energy-wide\" data-live>", "</div>");
    check_has(
        drawing,
        &[
            "aria-label=\"a/b, energy by hour, Mon 23 Nov 2026, 07:00 – 10:00: at most 0.3000 kWh, Mon 23 Nov 2026, 09:00 – 10:00; in 1 of 3 something is unknown\"",
            "<title>Mon 23 Nov 2026, 08:00 – 09:00: 0.2500 kWh, 83.3 % measured, 16.7 % unknown</title>",
        ],
    );
    assert_eq!((drawing.matches("kw-bar").count(), drawing.matches("kw-hatch").count()), (3, 1), "{drawing}");
    // Each leads to its range.
    let href = between(&by_hour, "id=\"energy-values\"", "</table>").split("<a href=\"").nth(2).unwrap();
    let href = href.split('"').next().unwrap().replace("&#38;", "&");
    check_has(&page(&site, &href).await, &["<p class=\"big\">0.2500 kWh</p>"]);
    for (query, by) in [("", "day"), ("?by=month", "month"), ("?by=%3Cb%3E", "day")] {
        let shown = page(&site, &format!("/probe/a%2Fb/{query}")).await;
        check_has(&shown, &[&format!("<h2 id=\"energy-title\">Energy by {by}</h2>")]);
        assert_eq!(rows(&shown).len(), 1, "{by}: {shown}");
        check_has(&rows(&shown)[0], &["0.6500 | 0.1625"]);
    }
    let without = page(&super::site(), "/probe/A/").await;
    check_has(&without, &["Energy by hour, day and month requires the ledger"]);
    assert!(!without.contains("energy-wide") && !without.contains("format=parquet"), "{without}");
}

#[tokio::test]
async fn a_range_goes_as_samples_as_parquet_and_as_pictures() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    let range = format!("/probe/a%2Fb/?from={}&to={}", BEGIN + 60, BEGIN + 120);
    let csv = get(&site, &format!("{range}&format=samples")).await;
    assert_eq!(header_of(&csv, "content-type"), "text/csv; charset=utf-8");
    check_has(
        header_of(&csv, "content-disposition"),
        &["attachment; filename=\"a_b 2026-11-23T07_01_00.samples.csv\""],
    );
    let text = String::from_utf8(csv.into_body().to_vec()).unwrap();
    assert_eq!(text.lines().count(), 1 + 6, "{text}");
    assert_eq!(text.lines().nth(1), Some("1795417260.000000,100,,,,measured,6000"));
    let parquet = get(&site, &format!("{range}&format=parquet")).await;
    check_has(header_of(&parquet, "content-disposition"), &["attachment", ".parquet\""]);
    assert!(parquet.body().starts_with(b"PAR1") && parquet.body().ends_with(b"PAR1"));
    let svg = get(&site, &format!("{range}&format=svg")).await;
    assert_eq!(header_of(&svg, "content-type"), "image/svg+xml");
    check_has(std::str::from_utf8(svg.body()).unwrap(), &["a/b, Mon 23 Nov 2026, 07:01 – 07:02", "kw-line"]);
    let png = get(&site, &format!("{range}&format=png&scale=2&theme=dark")).await;
    assert_eq!(header_of(&png, "content-type"), "image/png");
    assert!(png.body().starts_with(b"\x89PNG"));
    for (query, status) in
        [("&format=png&scale=9", 400), ("&format=svg&theme=pink", 400), ("&format=%3Cb%3E", 400)]
    {
        assert_eq!(get(&site, &format!("{range}{query}")).await.status().as_u16(), status, "{query}");
    }
    // What is not kept is no empty file.
    let silent = format!("/probe/a%2Fb/?from={}&to={}", BEGIN + 5_410, BEGIN + 5_900);
    for format in ["samples", "parquet"] {
        let answer = get(&site, &format!("{silent}&format={format}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{format}");
        check_has(std::str::from_utf8(answer.body()).unwrap(), &["No samples are kept of this range"]);
    }
    // Every file that the pages offer is there.
    for path in ["/probe/a%2Fb/", &range] {
        let shown = page(&site, path).await;
        let files: Vec<String> = between(&shown, "id=\"downloads-title\"", "</section>")
            .split("<a href=\"")
            .skip(1)
            .map(|link| link.split('"').next().unwrap().replace("&#38;", "&"))
            .collect();
        assert_eq!(files.len(), 6, "{files:?}");
        for file in files {
            assert_eq!(get(&site, &file).await.status(), StatusCode::OK, "{file}");
        }
    }
}

#[tokio::test]
async fn whatever_a_probe_is_called_its_page_stays_a_page() {
    let long = format!("{}.{}", "rack".repeat(30), "é".repeat(30));
    let names: Vec<&str> = HOSTILE.into_iter().chain([long.as_str()]).collect();
    let lab = Lab::empty();
    let site = pages_of(&lab, &names);
    for name in names {
        let address = format!("/probe/{}/", crate::http::percent::encode(name));
        for query in ["", "?by=hour", "?to=now"] {
            let answer = get(&site, &format!("{address}{query}")).await;
            assert_eq!(answer.status(), StatusCode::OK, "{name}{query}");
            let shown = String::from_utf8(answer.into_body().to_vec()).unwrap();
            assert!(!shown.contains("<script>alert") && !shown.contains("href=\"../"), "{name}: {shown}");
            // Each link of the way and each file is a page of its own, or none.
            for link in shown.split("href=\"/").skip(1).map(|link| link.split('"').next().unwrap()) {
                let link = format!("/{}", link.replace("&#38;", "&"));
                let status = get(&site, &link).await.status();
                // Of a range closer to its middle nothing may have been measured.
                let is_range = link.contains("?from=");
                assert!(status == StatusCode::OK || is_range, "{name}: {link} is {status}");
            }
        }
    }
}
