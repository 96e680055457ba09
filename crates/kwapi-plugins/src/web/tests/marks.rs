//! What is estimated, bridged and unknown in the graphs of periods, of a ledger and RRD files that are really written.

use kwapi_core::{Decision, SegmentKind};
use kwapi_history::journal::{Credited, Journal, JournalConfig, Taken};
use kwapi_history::{Groups, GroupsConfig};
use kwapi_peers::Lab;

use super::ranges::{BEGIN, directory_with, pages_of, with_logins};
use super::tenants;
use super::*;

/// A probe of 200 W since [`BEGIN`], received every ten seconds: of its first hour the last twenty minutes are
/// estimated, of the second one the first forty are bridged, and of the third one twenty are unknown.
fn records(name: &str) -> Vec<Credited> {
    let session = Timestamp::from_seconds(BEGIN);
    let is_silent = |after: u64| (3_601..6_000).contains(&after) || (8_401..9_600).contains(&after);
    let (mut totals, mut before) = (Totals::default(), 0);
    let record = |seq: u64| {
        let after = seq * 10;
        let at = Timestamp::from_seconds(BEGIN + after);
        let (spacing, quality) = (
            after - before,
            match after {
                2_401..=3_600 => Quality::Estimated,
                _ => Quality::Measured,
            },
        );
        before = after;
        let energy = Energy::from_millijoules(200 * spacing * 1_000);
        match (after, quality) {
            (6_000, _) => {
                totals.bridged = totals.bridged.saturating_add(energy);
                totals.bridged_ms += spacing * 1_000;
            }
            (9_600, _) => totals.unknown_ms += spacing * 1_000,
            (_, Quality::Estimated) => {
                totals.estimated = totals.estimated.saturating_add(energy);
                totals.estimated_ms += spacing * 1_000;
            }
            _ => totals.measured_ms += spacing * 1_000,
        }
        if after != 9_600 {
            totals.energy = totals.energy.saturating_add(energy);
        }
        let accounting =
            Accounting { timestamp: at, session, seq, totals, curve: None, meter: None, quality };
        let decision = match seq {
            0 => Decision::Begin { kind: SegmentKind::First, begin: session, base: Energy::ZERO },
            _ => Decision::Continue,
        };
        Credited {
            probe: ProbeId::new(name).unwrap(),
            at,
            power: Watts(200.0),
            voltage: None,
            current: None,
            accounting: Some(accounting),
            taken: Some(Taken { decision, register: totals }),
        }
    };
    (0..=1_080).filter(|seq| !is_silent(seq * 10)).map(record).collect()
}

fn directory(lab: &Lab, probes: &[&str]) -> Directory {
    directory_with(lab, probes.iter().map(|probe| records(probe)), Directory::default())
}

/// What stands in a page between two texts.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from} in {page}"));
    rest.split_once(to).unwrap().0
}

#[tokio::test]
async fn the_graphs_of_a_probe_s_page_mark_how_sure_they_are() {
    let lab = Lab::empty();
    let site = with_logins(directory(&lab, &["a/b"]), None);
    let shown = page(&site, "/probe/a%2Fb/").await;
    let graph = |period: &str| between(&shown, &format!("id=\"graph-{period}\""), "</div>");
    let day = graph("day");
    assert_eq!(
        between(day, "aria-label=\"", "\"")
            .split("; ")
            .filter(|words| words.contains(" from "))
            .collect::<Vec<_>>(),
        [
            "absent from 10:00 to 07:00",
            "estimated from 07:45 to 08:00",
            "bridged from 08:00 to 08:45",
            "unknown from 09:15 to 09:45",
        ],
        "{day}"
    );
    let status = between(day, "data-status=\"", "\"");
    // A row is as sure as most of its time.
    assert!(status.ends_with("mmmebbbmmuum"), "{status}");
    // By the minute, though its rows are of ten seconds: the one before 09:40 has what is measured then.
    let hour = graph("hour");
    assert!(hour.contains("; unknown from 09:20 to 09:39\""), "{hour}");
    for (period, expected) in [("minute", 0), ("hour", 1), ("day", 1)] {
        assert_eq!(graph(period).matches("class=\"kw-hatched\"").count(), expected, "{period}");
    }
    let key = between(&shown, "id=\"periods-key\" data-live>", "</div>");
    for words in ["</svg>measured<", ">estimated<", ">bridged: the energy is known", ">unknown: not counted<"]
    {
        assert_eq!(key.matches(words).count(), 1, "{words}: {key}");
    }
    assert_eq!(shown.matches("unknown: not counted").count(), 1);
}

#[tokio::test]
async fn pictures_have_the_marks_too_and_stay_small() {
    let lab = Lab::empty();
    let site = with_logins(directory(&lab, &["a/b"]), None);
    for period in Period::ALL {
        let svg = page(&site, &format!("/graph/{period}/a%2Fb/?format=svg")).await;
        let png = get(&site, &format!("/graph/{period}/a%2Fb/")).await.into_body();
        assert!(svg.len() <= 12 << 10 && png.len() <= 12 << 10, "{period}: {} {}", svg.len(), png.len());
        let is_marked = svg.contains("id=\"kw-hatch\"");
        assert_eq!(is_marked, svg.contains("class=\"kw-sure\""), "{period}: {svg}");
        assert_eq!(is_marked, matches!(period, Period::Hour | Period::Day), "{period}: {svg}");
    }
}

/// A probe that is measured for as long as [`records`], but for nothing.
fn measured(name: &str) -> Vec<Credited> {
    let mut all = records(name);
    all.truncate(241);
    let last = *all[240].accounting.as_ref().unwrap();
    let template = all[240].clone();
    for seq in 241..=1_080_u64 {
        let mut totals = last.totals;
        let seconds = (seq - 240) * 10;
        totals.energy = totals.energy.saturating_add(Energy::from_millijoules(200 * seconds * 1_000));
        totals.measured_ms += seconds * 1_000;
        let at = Timestamp::from_seconds(BEGIN + seq * 10);
        let accounting = Accounting { timestamp: at, seq, totals, ..last };
        let taken = Some(Taken { decision: Decision::Continue, register: totals });
        all.push(Credited { at, accounting: Some(accounting), taken, ..template.clone() });
    }
    all
}

/// The history of groups of these records.
pub(super) fn groups_of(lab: &Lab, probes: &[Vec<Credited>]) -> Groups {
    let begin = Timestamp::from_seconds(BEGIN);
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), begin).unwrap();
    let config =
        GroupsConfig { gaps: kwapi_core::Gaps::new(Duration::from_secs(60)), ..GroupsConfig::default() };
    let groups = Groups::open(config, &journal, begin).unwrap();
    let mut all: Vec<Credited> = probes.concat();
    all.sort_by_key(|record| record.at);
    for records in all.chunk_by(|a, b| a.at == b.at) {
        journal.append(&Arc::new(records.to_vec()), records[0].at).unwrap();
    }
    groups.catch_up();
    groups
}

/// A hall of three probes, of which one is estimated, bridged and unknown for a while, and a probe elsewhere.
pub(super) fn hall(labs: [&Lab; 2], logins: Option<Logins>) -> Router {
    let probes = [records("hall.a"), measured("hall.b"), measured("hall.c"), measured("paris.d")];
    let groups = groups_of(labs[1], &probes);
    with_logins(directory_with(labs[0], probes, Directory::default()).with_groups(Some(groups)), logins)
}

#[tokio::test]
async fn sums_are_marked_by_what_their_probes_lack_and_report_how_much() {
    let labs = [Lab::empty(), Lab::empty()];
    let site = hall([&labs[0], &labs[1]], None);
    let group = page(&site, "/group/hall/").await;
    let list = page(&site, "/last/day/").await;
    // One of three and of four, for 40 of 45 minutes and for 20 of 30.
    for (shown, id, share, bridged, unknown) in [
        (&group, "graph-day", 33, 30, 22),
        (&list, "summary-wide", 25, 22, 17),
        (&list, "summary-narrow", 25, 22, 17),
    ] {
        let graph = between(shown, &format!("id=\"{id}\""), "</div>");
        for (word, from, to, share) in
            [("bridged", "08:00", "08:45", bridged), ("unknown", "09:15", "09:45", unknown)]
        {
            let title = format!("; {word} from {from} to {to} ({share} % of the probes&#39; time)");
            assert!(graph.contains(&title), "{title}: {graph}");
        }
        // Most of what it has is measured, and drawn without a break.
        assert!(!graph.contains("estimated from"), "{graph}");
        let status = between(graph, "data-status=\"", "\"");
        assert!(status.ends_with("ammmmbbbmmuum"), "{status}");
        assert_eq!(graph.matches("class=\"kw-hatched\"").count(), 1, "{graph}");
        let shares = between(graph, "data-shares=\"", "\"");
        assert!(shares.contains(&format!(",{share},")), "{shares}");
    }
    for shown in [&group, &list] {
        let key = between(shown, "id=\"periods-key\" data-live>", "</div>");
        for words in ["</svg>measured<", ">bridged: the energy is known", ">unknown: not counted<"] {
            assert_eq!(key.matches(words).count(), 1, "{words}: {key}");
        }
    }
    // A card has the marks of its probe.
    let card = between(&list, "id=\"graph-hall.a\"", "</a>");
    assert!(card.contains("estimated from 07:45 to 08:00") && card.contains("kw-sure"), "{card}");
    assert!(!between(&list, "id=\"graph-hall.b\"", "</a>").contains("kw-sure"));
    // So has a range of a sum.
    let range = page(&site, &format!("/group/hall/?from={BEGIN}&to={NOW}")).await;
    let graph = between(&range, "id=\"graph-wide\"", "</div>");
    assert!(graph.contains("; unknown from 09:20 to 09:40 (33 % of the probes&#39; time)"), "{graph}");
    assert!(range.contains(">unknown: not counted<"), "{range}");
}

#[tokio::test]
async fn pictures_of_sums_stay_small() {
    let labs = [Lab::empty(), Lab::empty()];
    let site = hall([&labs[0], &labs[1]], None);
    for period in Period::ALL {
        for (path, size) in [(format!("/graph/{period}/"), 24), (format!("/graph/{period}/group/hall/"), 12)]
        {
            let svg = page(&site, &format!("{path}?format=svg")).await;
            let png = get(&site, &path).await.into_body();
            assert!(
                svg.len() <= size << 10 && png.len() <= size << 10,
                "{path}: {} {}",
                svg.len(),
                png.len()
            );
            // Twenty minutes of one probe are more than a twentieth of two hours of three, and less of four.
            let is_marked =
                matches!(period, Period::Hour | Period::Day) || (period == Period::Week && size == 12);
            assert_eq!(svg.contains("class=\"kw-sure\""), is_marked, "{path}: {svg}");
        }
    }
}

#[tokio::test]
async fn a_tenant_s_sums_are_marked_by_their_own_probes() {
    let labs = [Lab::empty(), Lab::empty()];
    let logins = tenants::logins(&WallClock::new(|| Timestamp::from_seconds(NOW)));
    let probes = [records("lyon.a"), measured("lyon.b"), measured("paris.c")];
    let groups = groups_of(&labs[1], &probes);
    let directory = directory_with(&labs[0], probes, Directory::default()).with_groups(Some(groups));
    let site = with_logins(directory, Some(logins));
    let svg = async |who: &str, path: &str| {
        let answer = tenants::get_as(&site, who, path).await;
        (answer.status(), String::from_utf8_lossy(answer.body()).into_owned())
    };
    // In turns, from warm caches.
    for _ in 0..2 {
        let (_, lyon) = svg("lyon", "/graph/day/?format=svg").await;
        assert!(lyon.contains("unknown from 09:15 to 09:45 (33 % of"), "{lyon}");
        let (_, paris) = svg("paris", "/graph/day/?format=svg").await;
        assert!(!paris.contains("unknown") && !paris.contains("kw-sure"), "{paris}");
        let (_, group) = svg("lyon", "/graph/day/group/lyon/?format=svg").await;
        assert!(group.contains("unknown from 09:15 to 09:45 (33 % of"), "{group}");
        assert_eq!(svg("paris", "/graph/day/group/lyon/?format=svg").await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn where_all_is_measured_or_no_ledger_reports_a_graph_is_as_it_was() {
    let lab = Lab::empty();
    let site = pages_of(&lab, &["a/b"]);
    let shown = page(&site, "/probe/a%2Fb/").await;
    // It lacks ten minutes, which the last five are not of.
    let minute = between(&shown, "id=\"graph-minute\"", "</div>");
    assert!(!minute.contains("data-status") && !minute.contains("kw-sure"), "{minute}");
    let none = super::site();
    let shown = page(&none, "/probe/C.1/").await;
    assert!(!shown.contains("data-status") && !shown.contains("class=\"key\""), "{shown}");
    // Files that cannot be read show nothing: what has a power is drawn, and the rest is shaded.
    let lab = Lab::empty();
    let site = with_logins(directory(&lab, &["a/b"]), None);
    std::fs::remove_dir_all(lab.join("ledger/step=quarter")).unwrap();
    let shown = page(&site, "/probe/a%2Fb/").await;
    let day = between(&shown, "id=\"graph-day\"", "</div>");
    assert!(!day.contains("data-status") && day.contains("class=\"kw-gap\""), "{day}");
}

#[tokio::test]
async fn a_tenant_sees_the_marks_of_its_own_probes() {
    let lab = Lab::empty();
    let logins = tenants::logins(&WallClock::new(|| Timestamp::from_seconds(NOW)));
    let site = with_logins(directory(&lab, &["lyon.a", "paris.b"]), Some(logins));
    let svg =
        async |probe: &str| tenants::get_as(&site, "lyon", &format!("/graph/day/{probe}/?format=svg")).await;
    let own = String::from_utf8(svg("lyon.a").await.into_body().to_vec()).unwrap();
    assert!(own.contains("bridged from 08:00 to 08:45") && !own.contains("paris"), "{own}");
    assert_eq!(svg("paris.b").await.status(), StatusCode::NOT_FOUND);
}
