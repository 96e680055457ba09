//! Where it goes: the page of all and of a group, as a picture and as a table.

use kwapi_peers::Lab;

use super::*;
use crate::auth::{Auth, AuthConfig, guarded, hash_token};

/// A site with a rack that has a meter, one that has none, and a probe beside them.
const SITE: [&str; 6] = ["lyon.r1", "lyon.r1.a", "lyon.r1.b", "lyon.r2.c", "lyon.r2.d", "alone"];

#[track_caller]
fn check_has(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

/// The cells of the row of a name, without their tags.
#[track_caller]
fn row(page: &str, name: &str) -> Vec<String> {
    let (_, table) = page.split_once("<tbody>").unwrap();
    let is_named = |row: &str| row.contains(&format!(">{name}<")) || row.contains(&format!(">{name} <"));
    let row = table.split("<tr ").find(|row| is_named(row)).unwrap_or_else(|| panic!("{name}: {page}"));
    let cells = row
        .split("<td")
        .skip(1)
        .map(|cell| cell.split_once('>').unwrap().1.split('<').next().unwrap().to_owned());
    cells.collect()
}

#[tokio::test]
async fn all_of_it_and_a_group_have_a_picture_and_the_same_as_a_table() {
    let site = serve(Fixture { silent: ["lyon.r2.d"].into(), ..Fixture::of(&SITE) });
    let shown = page(&site, "/where/").await;
    check_has(
        &shown,
        &[
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1120 ",
            "<a href=\"/where/lyon/\"><title>lyon: ",
            "<a href=\"/where/lyon.r1/\"><title>r1: ",
            "<a href=\"/probe/lyon.r2.c/\"><title>c: ",
            "<title>d: unknown</title>",
            "fill=\"url(#kw-hatch)\"",
            "unknown: not to scale",
            "<dt>Unknown</dt><dd>1 <span>probe</span></dd><dd class=\"sub\">lyon.r2.d</dd>",
            "4 of 5 probes",
            "aria-label=\"Power now, All probes: ",
            "<a href=\"/where/\" aria-current=\"page\">Where it goes</a>",
        ],
    );
    let group = page(&site, "/where/lyon/").await;
    check_has(
        &group,
        &[
            "<h1>Where it goes: lyon</h1>",
            "<a href=\"/where/\">All</a>",
            "<a href=\"/where/lyon.r1/\">r1</a>",
        ],
    );
    // The rows of the table add up: those of the first level to the whole.
    let watts = |page: &str, name: &str| row(page, name)[1].parse::<f64>().unwrap();
    let whole = watts(&group, "lyon");
    assert!((watts(&group, "r1") + watts(&group, "r2") - whole).abs() < 0.2, "{group}");
    assert_eq!((&*row(&group, "r2")[1], &*row(&group, "d")[1]), (&*row(&group, "c")[1], "–"));
    assert!(row(&group, "lyon")[2] == "100.0", "{group}");
    assert!(!shown.contains("<th scope=\"col\">Known</th>") && shown.contains("Energy requires the ledger"));
}

#[tokio::test]
async fn what_is_below_a_meter_and_sums_to_more_is_a_finding() {
    // By the fixture a and b draw more together than their meter, whatever its accuracy.
    let site = serve(Fixture::of(&SITE));
    let rack = page(&site, "/where/lyon.r1/").await;
    let watts = |name: &str| row(&rack, name)[1].parse::<f64>().unwrap();
    let excess = watts("a") + watts("b") - watts("lyon.r1");
    assert!(excess > 0.2 * watts("lyon.r1"), "{rack}");
    check_has(&rack, &["class=\"kw-excess\"", "The probes below lyon.r1 sum to ", "beyond their accuracy."]);
    assert!(!rack.contains("Rest, not metered below"));
}

#[tokio::test]
async fn energy_of_a_time_is_that_of_the_ledger() {
    let lab = Lab::empty();
    let site = super::ranges::pages_of(&lab, &["l.r", "l.r.a", "l.c"]);
    let begin = super::ranges::BEGIN;
    // Half an hour of 100 W, and half an hour of 300 W.
    let shown = page(&site, &format!("/where/?from={}&to={}", begin + 1_800, begin + 5_400)).await;
    check_has(
        &shown,
        &[
            "Mon 23 Nov 2026, 07:30 – 08:30",
            "aria-label=\"Energy, Mon 23 Nov 2026, 07:30 – 08:30, All probes: 0.4000\u{a0}kWh.",
            "<th scope=\"col\">Range<br>kWh</th>",
        ],
    );
    // Power now, share, energy, known.
    assert_eq!(row(&shown, "l")[1..], ["600.0", "100.0", "0.4000", "100 %"]);
    assert_eq!(row(&shown, "r")[1..], ["300.0", "50.0", "0.2000", "100 %"]);
    assert_eq!(row(&shown, "a")[3], "0.2000");
    // A range with the ten minutes of which nothing is known: they are no joules, and shown.
    let gap = page(&site, &format!("/where/l/?from={}&to={}&show=power", begin + 3_600, begin + 7_200)).await;
    assert_eq!(row(&gap, "c")[3..], ["0.2500", "83.3 %"]);
    check_has(&gap, &["aria-label=\"Power now, l: 600.0\u{a0}W."]);
    let hour = page(&site, "/where/?period=hour&show=energy").await;
    assert_eq!(row(&hour, "c")[3], "0.3000");
    check_has(&hour, &["<a href=\"/where/l/?period=hour&#38;show=energy\">l</a>"]);
}

#[tokio::test]
async fn what_cannot_be_queried_is_reported_and_leads_on() {
    let lab = Lab::empty();
    let (site, without) = (super::ranges::pages_of(&lab, &["l.r", "l.r.a"]), serve(Fixture::of(&SITE)));
    for (site, path, status, expected) in [
        (&site, "/where/?period=century", 404, "Unknown period “century”"),
        (
            &site,
            "/where/?from=2026-11-23T10:00&to=2026-11-23T09:00",
            400,
            "This range ends before it begins.",
        ),
        (&site, "/where/?from=2030-01-01", 400, "This range is in the future."),
        (&site, "/where/?from=1900-01-01", 400, "is before 1970"),
        (&site, "/where/none/", 404, "Unknown group “none”"),
        (&site, "/where/l.r.a/", 404, "Unknown group “l.r.a”"),
        (&site, "/where/%00/", 404, "Unknown group"),
        (&without, "/where/?from=2026-11-23T08:00", 501, "set enabled = true in [ledger]"),
    ] {
        let answer = get(site, path).await;
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}: {text}");
        check_has(&text, &[expected]);
    }
    assert_eq!(header_of(&get(&site, "/where/l").await, "location"), "/where/l/");
    let empty = page(&serve(Fixture::of(&[])), "/where/").await;
    assert!(empty.contains("Nothing measured yet.") && !empty.contains("kw-flows"), "{empty}");
}

#[tokio::test]
async fn names_never_meet_the_page_unescaped_and_many_are_paged() {
    let long = format!("g.{}", "é".repeat(99));
    let mut names = vec!["g.<b>\"x\"'&", "g...", "g.../../etc", "g.🔌\u{202e}abc", "g. ", long.as_str()];
    names.extend(AWKWARD);
    let shown = page(&serve(Fixture::of(&names)), "/where/").await;
    assert!(!shown.contains("<b>") && !shown.contains("\"x\""), "{shown}");
    let many: Vec<String> = (0..250).map(|n| format!("m{n}")).collect();
    let site = serve(Fixture::of(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    let first = page(&site, "/where/").await;
    check_has(
        &first,
        &["<a href=\"#table\"><title>250 probes: ", "Page 1 of 3", "href=\"/where/?page=2#table\""],
    );
    assert_eq!(first.matches("<tr class=\"level-1\"").count(), 100);
    assert_eq!(page(&site, "/where/?page=3").await.matches("<tr class=\"level-1\"").count(), 50);
}

#[tokio::test]
async fn a_group_with_a_probe_of_somebody_else_has_no_place() {
    let toml = format!(
        "[[token]]\nname = 'tenant'\nsha256 = '{}'\n[[scope]]\ntoken = 'tenant'\nprobes = ['lyon.r2.*', 'lyon.r1.a']\n",
        hash_token("tenant")
    );
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let auth = Auth::new(&config, Fixture::of(&[]).clock(), Directory::default()).unwrap();
    let site = guarded(serve(Fixture::of(&SITE)), auth, ROUTES);
    let of_tenant = async |path: &str| send(&site, "GET", path, &[("x-auth-token", "tenant")]).await;
    let text = |answer: &Response<Bytes>| String::from_utf8_lossy(answer.body()).into_owned();
    let all = text(&of_tenant("/where/").await);
    check_has(
        &all,
        &[
            "All probes that you may see",
            "<a href=\"/where/lyon.r2/\">lyon.r2</a>",
            ">lyon.r1.a</a>",
            "3 of 3 probes",
        ],
    );
    assert!(!all.contains("/where/lyon/") && !all.contains("lyon.r1.b") && !all.contains("alone"), "{all}");
    let (closed, none) = (of_tenant("/where/lyon/").await, of_tenant("/where/none/").await);
    assert_eq!((closed.status(), none.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(text(&closed).replace("“lyon”", "“none”"), text(&none));
    assert_eq!(of_tenant("/where/lyon.r2/").await.status(), 200);
}
