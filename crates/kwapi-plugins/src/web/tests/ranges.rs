//! Any range of a probe, of a ledger and samples that are really written.

use kwapi_core::{Decision, MeterTotal, SegmentKind};
use kwapi_history::journal::{Credited, Journal, JournalConfig, Taken};
use kwapi_history::{History, HistoryConfig, Ledger, LedgerConfig, Query, Samples, SamplesConfig, Windows};
use kwapi_peers::Lab;

use super::*;

/// 2026-11-23 07:00:00 UTC; the probes are received from then until [`NOW`].
pub(super) const BEGIN: u64 = NOW - 3 * 3_600;
/// From then on, for ten minutes, nothing is received.
const SILENT: u64 = BEGIN + 5_400;

/// A probe that draws 100 W for an hour and 300 W from then on, received every ten seconds but for ten minutes. One
/// whose name ends with `register` has one of its own, which began at a megawatt-hour.
fn records(name: &str) -> Vec<Credited> {
    let session = Timestamp::from_seconds(BEGIN);
    let received = (0..=1_080_u64).filter(|seq| !(SILENT + 1..SILENT + 600).contains(&(BEGIN + seq * 10)));
    let (mut totals, mut before) = (Totals::default(), 0);
    let record = |seq: u64| {
        let (at, watts) = (Timestamp::from_seconds(BEGIN + seq * 10), if seq <= 360 { 100 } else { 300 });
        let spacing = (seq - before) * 10;
        before = seq;
        if spacing <= 10 {
            totals.energy = totals.energy.saturating_add(Energy::from_millijoules(watts * spacing * 1_000));
            totals.measured_ms += spacing * 1_000;
        } else {
            totals.unknown_ms += spacing * 1_000;
        }
        let (timestamp, quality) = (at, Quality::Measured);
        let energy = Energy::from_watt_hours(1_000_000).saturating_add(totals.energy);
        let meter = name.ends_with("register").then_some(MeterTotal { energy, since: None });
        let accounting = Accounting { timestamp, session, seq, totals, curve: None, meter, quality };
        let decision = match seq {
            0 => Decision::Begin { kind: SegmentKind::First, begin: session, base: Energy::ZERO },
            _ => Decision::Continue,
        };
        Credited {
            probe: ProbeId::new(name).unwrap(),
            at,
            power: Watts(watts as f64),
            voltage: None,
            current: None,
            accounting: Some(accounting),
            taken: Some(Taken { decision, register: totals }),
        }
    };
    received.map(record).collect()
}

/// The pages of probes with a ledger, samples and RRD files.
pub(super) fn pages_of(lab: &Lab, probes: &[&str]) -> Router {
    pages_behind(lab, probes, None)
}

fn pages_behind(lab: &Lab, probes: &[&str], logins: Option<Logins>) -> Router {
    with_logins(directory_of(lab, probes, Directory::default()), logins)
}

/// The pages over a directory.
pub(super) fn with_logins(directory: Directory, logins: Option<Logins>) -> Router {
    router(directory, settings(), WallClock::new(|| Timestamp::from_seconds(NOW)), logins)
}

/// `directory` with a ledger, samples and RRD files of these probes.
pub(super) fn directory_of(lab: &Lab, probes: &[&str], directory: Directory) -> Directory {
    directory_with(lab, probes.iter().map(|probe| records(probe)), directory)
}

/// The same of these records, those of one probe after those of another.
pub(super) fn directory_with(
    lab: &Lab,
    probes: impl IntoIterator<Item = Vec<Credited>>,
    directory: Directory,
) -> Directory {
    let wall = Timestamp::from_seconds(NOW);
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), wall).unwrap();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    let samples = Arc::new(Samples::open(SamplesConfig::default(), &journal).unwrap());
    let history = Arc::new(History::open(HistoryConfig::default(), &journal).unwrap());
    for records in probes {
        journal.append(&Arc::new(records), wall).unwrap();
    }
    ledger.catch_up(wall);
    ledger.write(wall).unwrap();
    samples.catch_up(wall);
    samples.write(wall).unwrap();
    history.catch_up();
    assert!(history.flush_all());
    let query = Query::new(ledger, Some(Arc::clone(&history))).with_samples(Some(samples));
    directory.with_history(history).with_windows(Some(Windows::new(query)))
}

/// A range of `a/b`, in seconds after [`BEGIN`].
fn address(from: u64, to: u64) -> String {
    format!("/probe/a%2Fb/?from={}&to={}", BEGIN + from, BEGIN + to)
}

#[track_caller]
fn check_has(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn a_range_shows_its_energy_its_cost_and_its_power() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    let shown = page(&site, &address(1_800, 5_400)).await;
    check_has(
        &shown,
        &[
            "Mon 23 Nov 2026, 07:30 – 08:30",
            "<p class=\"big\">0.2000 kWh</p>",
            "<strong>0.0500 EUR</strong>",
            "<p>100 % measured</p>",
            "<dt>Min</dt><dd>100.0 W</dd>",
            "<dt>Max</dt><dd>300.0 W</dd>",
            "<dt>Avg</dt><dd>200.0 W</dd>",
            "<dt>Last</dt><dd>300.0 W</dd>",
            "aria-label=\"a/b, Mon 23 Nov 2026, 07:30 – 08:30: minimum 100.0 W",
            "360 rows of 10 s",
            "Page 1 of 4",
            "datetime=\"2026-11-23T07:30:00Z\">Mon 23 Nov 2026, 07:30</time></th><td>100.0</td><td>100.0</td><td>100.0</td><td>100 %</td>",
        ],
    );
    assert!(!shown.contains("http-equiv"), "the past is not loaded again and again: {shown}");
    // Exactly this range: a quarter of an hour and a second of 100 W.
    check_has(&page(&site, &address(0, 901)).await, &["<p class=\"big\">0.0250 kWh</p>"]);
    check_has(&page(&site, &address(1_000, 1_001)).await, &["1 row of 1 s"]);
}

#[tokio::test]
async fn links_lead_around_without_a_script() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    let links = async |path: &str| -> Vec<String> {
        let shown = page(&site, path).await;
        let (_, nav) = shown.split_once("<nav class=\"tabs\"").unwrap();
        let nav = nav.split_once("</nav>").unwrap().0.replace("&#38;", "&");
        let links = nav.split("<a href=\"").skip(1);
        links.map(|link| link.split_once("</a>").unwrap().0.replace("/probe/a%2Fb/?", "")).collect()
    };
    let middle = links(&address(3_600, 7_200)).await;
    assert_eq!(
        middle,
        [
            "from=2026-11-23T07:00:00Z&to=2026-11-23T08:00:00Z\">Earlier",
            "from=2026-11-23T09:00:00Z&to=2026-11-23T10:00:00Z\">Later",
            "from=2026-11-23T07:30:00Z&to=2026-11-23T09:30:00Z\">Wider",
            "from=2026-11-23T08:15:00Z&to=2026-11-23T08:45:00Z\">Closer",
        ]
    );
    // There is nothing earlier or later than all there is.
    let all = links(&address(0, 10_800)).await;
    assert_eq!(all, ["from=2026-11-23T07:45:00Z&to=2026-11-23T09:15:00Z\">Closer"]);
    // Of ranges that begin before the history the links lead into it all the same.
    let mut around = Vec::new();
    for before in [600, 10_000, 100_000, 31_000_000] {
        for to in [20, 3_600, 10_800] {
            let path = format!("/probe/a%2Fb/?from={}&to={}", BEGIN - before, BEGIN + to);
            assert_eq!(get(&site, &path).await.status(), StatusCode::OK, "{path}");
            around.extend(links(&path).await);
        }
    }
    assert!(around.iter().any(|link| link.ends_with(">Closer")), "{around:?}");
    for link in middle.iter().chain(&all).chain(&around) {
        let (query, _) = link.split_once('"').unwrap();
        assert_eq!(get(&site, &format!("/probe/a%2Fb/?{query}")).await.status(), StatusCode::OK, "{query}");
    }
    let probe = page(&site, "/probe/a%2Fb/").await.replace("&#38;", "&");
    let day = "<a href=\"/probe/a%2Fb/?from=2026-11-22T10:00:00Z&to=2026-11-23T10:00:00Z\">Values</a>";
    check_has(&probe, &[day]);
    let second = page(&site, &format!("{}&page=2", address(3_600, 7_200))).await;
    check_has(&second, &["Page 2 of 4", "08:16:40</time></th><td>300.0</td>", "&#38;page=1#values"]);
    let last = page(&site, &format!("{}&page=99", address(3_600, 7_200))).await;
    check_has(&last, &["Page 4 of 4"]);
}

#[tokio::test]
async fn what_is_unknown_is_reported_and_never_zero() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    let shown = page(&site, &address(4_800, 6_600)).await;
    check_has(&shown, &["0.1000 kWh", "<p>66.6 % measured, 33.4 % unknown</p>", "class=\"kw-gap\""]);
    let silent = page(&site, &address(5_460, 5_940)).await;
    check_has(
        &silent,
        &[
            "Energy unknown",
            "100 % unknown",
            "no power is known of this time",
            "<td>–</td><td>–</td><td>–</td><td>0 %</td>",
        ],
    );
    let before = page(&site, &address(0, 3_600).replace(&BEGIN.to_string(), "2026-11-23T06:30:00Z")).await;
    check_has(&before, &["0.1000 kWh", "before the first or after the last message"]);
}

#[tokio::test]
async fn csv_is_that_of_the_series() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    let answer = get(&site, &format!("{}&format=csv", address(3_000, 4_200))).await;
    assert_eq!(header_of(&answer, "content-type"), "text/csv; charset=utf-8");
    check_has(
        header_of(&answer, "content-disposition"),
        &["attachment; filename=\"a_b 2026-11-23T07_50_00.csv\""],
    );
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        &lines[0][..7],
        "probe start end watts_min watts_mean watts_max watts_known_share".split(' ').collect::<Vec<_>>()
    );
    assert_eq!(lines.len(), 1 + 120);
    let joules = lines[0].iter().position(|column| *column == "joules").unwrap();
    let sum: f64 = lines[1..].iter().map(|line| line[joules].parse::<f64>().unwrap()).sum();
    assert_eq!(sum.to_string(), "240000");
}

#[tokio::test]
async fn what_is_no_range_is_reported_with_what_to_do() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    for (query, status, expected) in [
        ("from=2026-11-23T09:00&to=2026-11-23T08:00", 400, "This range ends before it begins."),
        ("from=2026-11-24&to=2026-11-25", 400, "This range is in the future."),
        ("from=1970-01-01&to=now", 400, "Longer than the history: it begins on Mon 23 Nov 2026, 07:00."),
        ("from=1900-01-01&to=now", 400, "from=&#34;1900-01-01&#34; is before 1970."),
        ("from=2026-11-20&to=2026-11-21", 404, "The history of a/b begins later, on Mon 23 Nov 2026, 07:00."),
        ("from=%3Cb%3E&to=now", 400, "from=&#34;&#60;b&#62;&#34; is not an instant; write for example"),
        ("from=%FF%00&to=now", 400, "is not an instant"),
        ("from=1795420800&to=now&format=xml", 400, "format must be csv, samples, parquet, png or svg."),
    ] {
        let answer = get(&site, &format!("/probe/a%2Fb/?{query}")).await;
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(answer.status().as_u16(), status, "{query}: {text}");
        check_has(&text, &[expected, "<a href=\"/probe/a%2Fb/\">a/b</a>"]);
    }
    let whole = page(&site, "/probe/a%2Fb/?from=1970-01-01").await.replace("&#38;", "&");
    check_has(&whole, &["<a href=\"/probe/a%2Fb/?from=2026-11-23T07:00:00Z&to=2026-11-23T10:00:00Z\">"]);
    let none = super::site();
    let answer = get(&none, "/probe/A/?from=1795420800").await;
    assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
    check_has(std::str::from_utf8(answer.body()).unwrap(), &["set enabled = true in [ledger]"]);
}

/// Ruins all files of samples.
fn spoil_samples(lab: &Lab) {
    let mut spoiled = 0;
    let mut folders = vec![lab.join("samples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                Some(extension) if extension == "parquet" => {
                    std::fs::write(&path, b"PAR1").unwrap();
                    spoiled += 1;
                }
                _ if path.is_dir() => folders.push(path),
                _ => {}
            }
        }
    }
    assert!(spoiled > 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_reported_with_its_cause() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    spoil_samples(&lab);
    let answer = get(&site, &address(1_800, 5_400)).await;
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{text}");
    // RRD files have the power, and the ledger the energy, of what the samples had.
    check_has(&text, &["Cannot read all of this range:", ".parquet", "0.2000 kWh"]);
}

#[tokio::test]
async fn a_tenant_has_ranges_of_its_own_probes_alone() {
    let lab = Lab::empty();
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW));
    let logins = super::tenants::logins(&clock);
    let site = pages_behind(&lab, &["lyon.a", "paris.b"], Some(logins));
    let get = async |path: &str| super::tenants::get_as(&site, "lyon", path).await;
    let text = |answer: Response<Bytes>| String::from_utf8(answer.into_body().to_vec()).unwrap();
    let query = format!("?from={}&to={}", BEGIN + 1_800, BEGIN + 5_400);
    for form in ["", "&format=csv", "&page=3"] {
        let own = get(&format!("/probe/lyon.a/{query}{form}")).await;
        assert_eq!((own.status(), header_of(&own, "kwapi-position")), (StatusCode::OK, ""), "{form}");
        assert!(!text(own).contains("paris"), "{form}");
        let alien = get(&format!("/probe/paris.b/{query}{form}")).await;
        let none = get(&format!("/probe/nobody/{query}{form}")).await;
        assert_eq!((alien.status(), none.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
        assert_eq!(text(alien).replace("paris.b", "nobody"), text(none), "{form}");
    }
    spoil_samples(&lab);
    let answer = get(&format!("/probe/lyon.a/{query}")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let page = text(answer);
    // Where a file lies is for operators.
    assert!(page.contains("a file of samples cannot be read") && !page.contains(".parquet"), "{page}");
}

/// What all pages show of files that cannot be read.
#[derive(askama::Template)]
#[template(
    source = "{% import \"parts.html\" as parts %}{% call parts::causes(unreadable) %}{% endcall %}",
    ext = "html"
)]
struct Causes {
    unreadable: Vec<String>,
}

#[test]
fn of_very_many_files_that_cannot_be_read_the_first_are_named() {
    let causes = |count: usize| {
        let unreadable = (0..count).map(|number| format!("<file {number}>")).collect();
        askama::Template::render(&Causes { unreadable }).unwrap()
    };
    let shown = |count: usize| causes(count).matches("<pre>&#60;file").count();
    assert_eq!([0, 1, 3, 4, 500].map(shown), [0, 1, 3, 3, 3]);
    assert!(!causes(3).contains("more") && causes(4).contains("and 1 more; see the log"));
    assert_eq!(causes(0).trim(), "");
}
