//! The strip that a page begins with: what is silent, failing or not received.

use super::*;
use crate::directory::MeterNow;

/// What the strip of a page shows, as text.
async fn strip(site: &Router, path: &str, headers: &[(&str, &str)]) -> String {
    let shown = String::from_utf8(send(site, "GET", path, headers).await.into_body().to_vec()).unwrap();
    let (before, rest) = shown.split_once("<div class=\"troubles\" id=\"troubles\" data-live>").unwrap();
    let (_, before) = before.split_once("<main id=\"content\">").unwrap();
    assert!(!before.contains("<h1>") && !before.contains("<p"), "it is the first: {before}");
    let (strip, _) = rest.split_once("</div>").unwrap();
    let parts = strip.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect::<String>().trim().to_owned()
}

#[tokio::test]
async fn what_is_silent_is_named_before_all_numbers_with_its_rack_once() {
    let racks = ["lyon.r1.a", "lyon.r1.b", "lyon.r1.c", "lyon.r1.d", "lyon.r2.a", "paris.<x>"];
    let mut fixture = Fixture::of(&racks);
    assert_eq!(strip(&serve(Fixture::of(&racks)), "/last/day/", &[]).await, "", "all is well");
    fixture.silent.extend(["lyon.r1.a", "lyon.r1.b", "lyon.r1.c", "paris.<x>"]);
    let site = serve(fixture);
    assert_eq!(
        strip(&site, "/last/minute/", &[]).await,
        "4 silent: lyon.r1 (3 probes) since 09:50:00, paris.&#60;x&#62; since 09:50:00What to try"
    );
    let shown = page(&site, "/last/minute/").await;
    assert!(
        shown.contains("<a href=\"/groups/?in=lyon.r1\">")
            && shown.contains("<a href=\"/probe/paris.%3Cx%3E/\">")
    );
    // The number leads to all of them.
    assert!(shown.contains("<a href=\"/table/minute/?sort=age&#38;order=down\">4 silent</a>"), "{shown}");
    let table = page(&site, "/table/minute/?sort=age&order=down").await;
    let lines: Vec<&str> = table.split("<tr data-now=").skip(1).collect();
    assert!(lines[..4].iter().all(|line| line.contains("silent since 09:50:00")), "{table}");
    assert!(lines[4..].iter().all(|line| !line.contains("silent since")), "{table}");
    // Two that only share a site are named each.
    let mut fixture = Fixture::of(&racks);
    fixture.silent.extend(["lyon.r1.b", "lyon.r2.a", "paris.<x>"]);
    assert_eq!(
        strip(&serve(fixture), "/last/hour/", &[]).await,
        "3 silent: lyon.r1.b since 09:50:00, lyon.r2.a since 09:50:00 and 1 moreWhat to try"
    );
}

#[tokio::test]
async fn who_does_not_see_all_sees_their_own_silent_probes_and_no_meter() {
    let probes = ["lyon.r1.a", "lyon.r1.b", "lyon.r1.c", "paris.r1.a", "paris.r1.b"];
    let mut fixture = Fixture::of(&probes);
    fixture.silent.extend(["lyon.r1.b", "paris.r1.a", "paris.r1.b"]);
    let (clock, live) = (fixture.clock(), fixture.live());
    let logins = tenants::logins(&clock);
    let directory = Directory::default()
        .with_live(live)
        .with_history(Arc::new(fixture))
        .with_meters(|| Arc::new([tenants::failing_meter()]));
    let site = router(directory, settings(), clock, Some(logins));
    for _ in 0..2 {
        let lyon = strip(&site, "/last/minute/", &[("x-auth-token", "lyon")]).await;
        assert_eq!(lyon, "1 silent: lyon.r1.b since 09:50:00What to try");
        let operator = strip(&site, "/last/minute/", &[("x-auth-token", "operator")]).await;
        assert_eq!(
            operator,
            "3 silent: lyon.r1.b since 09:50:00, paris.r1.a since 09:50:00 and 1 more\
             1 meter failing: pdu-paris-lyon since 05:44:00What to try"
        );
    }
}

#[tokio::test]
async fn what_keeps_measurements_from_being_received_is_shown_to_who_sees_everything() {
    let problem = "tcp://<paris>:1: all messages failed verification for 11 s";
    let logins = |fixture: &Fixture| Some(tenants::logins(&fixture.clock()));
    // Where nothing has been received at all, and where one of two publishers is lost.
    for probes in [&[][..], &["lyon.r1.a"]] {
        for silent in [&[][..], &["lyon.r1.a"]] {
            let mut fixture = Fixture::of(probes);
            fixture.silent.extend(silent.iter().copied().filter(|silent| probes.contains(silent)));
            let has_silent = !fixture.silent.is_empty();
            let (clock, live, logins) = (fixture.clock(), fixture.live(), logins(&fixture));
            let directory = Directory::default().with_live(live).with_history(Arc::new(fixture));
            let problems: ReceptionProblems = Arc::new(move || vec![problem.to_owned()]);
            let sources = PageSources { reception: Some(problems), ..directory.into() };
            let site = router(sources, settings(), clock, logins);
            let of_silent = ["", "1 silent: lyon.r1.a since 09:50:00"][usize::from(has_silent)];
            let try_what = ["", "What to try"][usize::from(has_silent)];
            let lyon = strip(&site, "/last/minute/", &[("x-auth-token", "lyon")]).await;
            assert_eq!(lyon, format!("{of_silent}{try_what}"), "{probes:?}");
            let operator = strip(&site, "/last/minute/", &[("x-auth-token", "operator")]).await;
            let escaped = problem.replace('<', "&#60;").replace('>', "&#62;");
            assert_eq!(operator, format!("{of_silent}{escaped}{try_what}"), "{probes:?}");
        }
    }
}

#[tokio::test]
async fn probes_that_were_never_measured_are_silent_on_every_page_and_named() {
    let mut fixture = Fixture::of(&["lyon.r1.a", "lyon.r1.b", "paris.r1.a"]);
    fixture.silent.extend(["lyon.r1.b"]);
    let (clock, live) = (fixture.clock(), fixture.live());
    let logins = tenants::logins(&clock);
    // One of them was measured before this process began: it is reporting, as everywhere.
    let probes: Vec<ProbeId> =
        ["lyon.r1.dead", "paris.r1.dead", "lyon.r1.a"].map(|id| ProbeId::new(id).unwrap()).into();
    let meter =
        MeterNow { silent: probes.clone(), unmeasured: probes, probes: 3, ..tenants::failing_meter() };
    let directory = Directory::default()
        .with_live(live)
        .with_history(Arc::new(fixture))
        .with_meters(move || Arc::new([meter.clone()]));
    let site = router(directory, settings(), clock, Some(logins));
    let get = async |tenant: &str, path: &str| {
        let answer = tenants::get_as(&site, tenant, path).await;
        String::from_utf8(answer.body().to_vec()).unwrap()
    };
    let operator = strip(&site, "/last/minute/", &[("x-auth-token", "operator")]).await;
    assert!(
        operator.starts_with(
            "3 silent: lyon.r1.b since 09:50:00, lyon.r1.dead (no data received yet) and 1 more"
        ),
        "{operator}"
    );
    let meters = get("operator", "/meters/").await;
    assert!(meters.contains("3 of 5 probes silent"), "{meters}");
    assert!(
        meters.contains(
            "3 of 3 probes silent: lyon.r1.a, lyon.r1.dead (no data received yet), paris.r1.dead (no data received yet)"
        ),
        "{meters}"
    );
    let list = get("operator", "/last/minute/").await;
    assert!(list.contains("2 of 5 probes reporting"), "{list}");
    // Who sees a part is shown theirs alone.
    let lyon = strip(&site, "/last/minute/", &[("x-auth-token", "lyon")]).await;
    assert_eq!(lyon, "2 silent: lyon.r1.b since 09:50:00, lyon.r1.dead (no data received yet)What to try");
    let meters = get("lyon", "/meters/").await;
    assert!(meters.contains("<dd>2 <span>of 3</span></dd>") && !meters.contains("paris"), "{meters}");
    assert!(meters.contains("lyon.r1.dead</th><td class=\"num\">no data received yet"), "{meters}");
    let group = strip(&site, "/group/lyon.r1/", &[("x-auth-token", "lyon")]).await;
    assert!(group.starts_with("2 silent") && group.contains("lyon.r1.dead"), "{group}");
}
