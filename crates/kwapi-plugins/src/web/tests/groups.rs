//! The groups' pages, graphs and files.

use kwapi_history::journal::{Credited, Journal, JournalConfig};
use kwapi_history::{Groups, GroupsConfig};

use super::*;
use crate::auth::{Auth, AuthConfig, guarded, hash_token};

/// A hall with a rack that has a meter of its own, and a probe outside.
const HALL: [&str; 5] = ["hall.rack", "hall.rack.a", "hall.rack.b<i>", "hall.c", "alone"];

/// The history of groups where each of these probes has measured so many watts for the last 200 s.
fn kept(lab: &kwapi_peers::Lab, members: &[(&str, f64)]) -> Groups {
    let (journal, _) =
        Journal::open(lab.path(), JournalConfig::default(), Timestamp::from_seconds(NOW)).unwrap();
    let config =
        GroupsConfig { gaps: kwapi_core::Gaps::new(Duration::from_secs(60)), ..GroupsConfig::default() };
    let groups = Groups::open(config, &journal, Timestamp::from_seconds(NOW)).unwrap();
    let record = |second: u64, (name, watts): &(&str, f64)| Credited {
        probe: ProbeId::new(name).unwrap(),
        at: Timestamp::from_seconds(second),
        power: Watts(*watts),
        voltage: None,
        current: None,
        accounting: None,
        taken: None,
    };
    for second in NOW - 200..=NOW {
        let records = members.iter().map(|member| record(second, member)).collect();
        journal.append(&Arc::new(records), Timestamp::from_seconds(second)).unwrap();
    }
    groups.catch_up();
    groups
}

fn pages(lab: &kwapi_peers::Lab) -> Router {
    let measured = [("hall.rack", 100.0), ("hall.rack.a", 60.0), ("hall.c", 5.5)];
    let groups = kept(lab, &measured);
    let fixture = Fixture { silent: ["hall.rack.b<i>"].into(), ..Fixture::of(&HALL) };
    serve_as(fixture, Directory::default().with_groups(Some(groups)))
}

/// What stands in a page between two texts.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from} in {page}"));
    rest.split_once(to).unwrap().0
}

#[tokio::test]
async fn a_group_s_page_has_its_power_its_members_and_a_graph_a_period() {
    let lab = kwapi_peers::Lab::empty();
    let site = pages(&lab);
    let shown = page(&site, "/group/hall/").await;
    assert!(shown.contains("3 of 4 probes reporting") && shown.contains("100 % known"), "{shown}");
    assert!(shown.contains("<caption>4 members</caption>") && !shown.contains(">alone<"), "{shown}");
    // Each of them has used 1.5 kWh; each joule once is the meter's and that of the probe beside it.
    let now = between(&shown, "id=\"now\"", "</section>");
    assert!(now.contains("<strong>3.000 kWh</strong>"), "{now}");
    assert_eq!(shown.matches(">in its meter<").count(), 2, "{shown}");
    assert!(shown.contains("hall.rack.b&#60;i&#62;") && !shown.contains("b<i>"), "{shown}");
    for period in [Period::Minute, Period::Hour] {
        let legend = between(&shown, &format!("id=\"legend-{period}\""), "</div>\n</article>");
        assert!(
            legend.contains("<dd>105.5 W</dd>") && legend.contains("<dd>100 %</dd>"),
            "{period}: {legend}"
        );
        let svg = page(&site, &format!("/graph/{period}/group/hall/?format=svg")).await;
        assert!(svg.contains("kw-line") && svg.contains("hall"), "{period}: {svg}");
    }
    let rack = page(&site, "/group/hall.rack/").await;
    assert!(rack.contains("Measured by <a href=\"/probe/hall.rack/\">hall.rack</a>"), "{rack}");
    assert!(rack.contains("<a href=\"/group/hall/\">hall</a>"), "{rack}");
    let png = get(&site, "/graph/hour/group/hall/").await;
    assert_eq!((png.status(), header_of(&png, "content-type")), (StatusCode::OK, "image/png"));
    let file = get(&site, "/rrd/group/hall/").await;
    assert_eq!(
        (file.body().len(), header_of(&file, "content-disposition").contains("hall.rrd")),
        (9_752, true)
    );
}

#[tokio::test]
async fn the_list_of_groups_shows_what_each_draws_and_is_linked_from_every_page() {
    let lab = kwapi_peers::Lab::empty();
    let site = pages(&lab);
    for path in ["/last/minute/", "/probe/alone/", "/nowhere"] {
        assert!(page(&site, path).await.contains("<a href=\"/groups/\">Groups</a>"), "{path}");
    }
    let list = page(&site, "/groups/").await;
    for group in ["hall", "hall.rack"] {
        assert!(list.contains(&format!("<a href=\"/group/{group}/\">{group}</a>")), "{list}");
    }
    assert!(page(&site, "/groups/?after=hall.rack").await.contains("No more groups"));
    // Where nothing is kept of groups there is what is live of them, and no graph.
    let without = serve(Fixture::of(&HALL));
    assert!(!page(&without, "/last/minute/").await.contains("/groups/"));
    assert!(page(&without, "/group/hall/").await.contains("4 of 4 probes reporting"));
    assert_eq!(get(&without, "/graph/hour/group/hall/").await.status(), 404);
    let alone = page(&serve(Fixture::of(&["alone"])), "/groups/").await;
    assert!(alone.contains("No groups. A group is a prefix"), "{alone}");
}

#[tokio::test]
async fn what_is_no_group_is_not_found_and_names_which_there_are() {
    let lab = kwapi_peers::Lab::empty();
    let site = pages(&lab);
    for name in ["alone", "hal", "hall.", "hall.c", "%00", "..", "hall%2Frack"] {
        for path in ["/group/@/", "/graph/hour/group/@/", "/rrd/group/@/"] {
            let path = path.replace('@', name);
            let answer = get(&site, &path).await;
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            assert_eq!(answer.status(), 404, "{path}");
            assert!(
                text.contains("Available groups") && text.contains("/group/hall.rack/"),
                "{path}: {text}"
            );
        }
    }
    assert_eq!(header_of(&get(&site, "/group/hall").await, "location"), "/group/hall/");
    assert_eq!(get(&site, "/graph/century/group/hall/").await.status(), 404);
    assert_eq!(get(&site, "/graph/hour/group/hall/?scale=0").await.status(), 400);
}

#[tokio::test]
async fn a_group_with_a_probe_of_somebody_else_does_not_exist() {
    let toml = format!(
        "[[token]]\nname = 'tenant'\nsha256 = '{}'\n[[scope]]\ntoken = 'tenant'\nprobes = ['hall.rack', 'hall.rack.*']\n",
        hash_token("tenant")
    );
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let auth = Auth::new(&config, Fixture::of(&[]).clock(), Directory::default()).unwrap();
    let lab = kwapi_peers::Lab::empty();
    let site = guarded(pages(&lab), auth, ROUTES);
    let of_tenant = async |path: &str| send(&site, "GET", path, &[("x-auth-token", "tenant")]).await;
    for path in ["/group/@/", "/graph/hour/group/@/", "/rrd/group/@/"] {
        let own = of_tenant(&path.replace('@', "hall.rack")).await;
        assert_eq!(own.status(), 200, "{path}");
        let (closed, none) =
            (of_tenant(&path.replace('@', "hall")).await, of_tenant(&path.replace('@', "none")).await);
        assert_eq!(
            (closed.status(), none.status()),
            (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
            "{path}"
        );
        let text = |answer: &Response<Bytes>| String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(text(&closed).replace("“hall”", "“none”"), text(&none), "{path}");
    }
    let list = of_tenant("/groups/").await;
    let list = String::from_utf8_lossy(list.body()).into_owned();
    assert!(list.contains("/group/hall.rack/") && !list.contains("\"/group/hall/\""), "{list}");
}
