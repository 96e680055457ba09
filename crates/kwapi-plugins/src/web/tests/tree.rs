//! The tree of groups, selections by label, and search.

use super::probe::HOSTILE;
use super::*;
use crate::auth::{Auth, AuthConfig, guarded, hash_token};
use crate::directory::{MeterHealth, MeterNow};

/// Two sites; a rack with a meter of its own, a probe that is silent, and one in no group.
const SITES: [&str; 7] =
    ["lyon.r1", "lyon.r1.a", "lyon.r1.b", "lyon.r2.c", "paris.r1.d", "paris.r1.e<i>", "alone"];

fn labels(probe: &ProbeId) -> Labels {
    let owner = if probe.as_str().ends_with(['a', 'd']) { "physics" } else { "<b>\"biology\"</b>" };
    let room = if probe.as_str().starts_with("lyon") { "1:2" } else { "B&C" };
    [("owner", owner), ("room", room)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn fixture() -> Fixture {
    Fixture { silent: ["lyon.r2.c"].into(), ..Fixture::of(&SITES) }
}

fn site() -> Router {
    let meter = MeterNow {
        name: "pdu-lyon".to_owned(),
        driver: "snmp",
        state: "running",
        health: MeterHealth::Well,
        since: Timestamp::from_seconds(NOW - 60),
        last_error: None,
        advice: None,
        findings: Vec::new(),
        latency: None,
        last_reading: None,
        probes: 2,
        silent: Vec::new(),
        unmeasured: Vec::new(),
    };
    let directory = Directory::new(ConfiguredProbes::new(labels, []));
    serve_as(fixture(), directory.with_meters(move || Arc::new([meter.clone()])))
}

/// The nodes of the tree in order: name, then what stands in each column.
fn nodes(page: &str) -> Vec<String> {
    let node = |text: &str| {
        let text = text.split("</p>").next().unwrap();
        let words = text.split('>').skip(1).filter_map(|part| part.split('<').next());
        words.map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" | ")
    };
    page.split("<li><p class=\"node\"").skip(1).map(node).collect()
}

/// The watts that the fixture has of probes now.
async fn watts(site: &Router, names: &[&str]) -> f64 {
    let mut sum = 0.0;
    for name in names {
        let shown = page(site, &format!("/probe/{}/", crate::http::percent::encode(name))).await;
        let watts = shown.split("<p class=\"big\">").nth(1).unwrap().split(" W").next().unwrap();
        let watts = watts.rsplit('>').next().unwrap();
        sum += watts.trim().parse::<f64>().unwrap();
    }
    sum
}

#[tokio::test]
async fn each_node_has_its_watts_and_its_share_known_each_watt_once() {
    let site = site();
    let shown = page(&site, "/groups/").await;
    let nodes = nodes(&shown);
    let names: Vec<&str> = nodes.iter().map(|node| node.split(" | ").next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "alone",
            "lyon",
            "lyon.r1",
            "lyon.r1.a",
            "lyon.r1.b",
            "lyon.r2",
            "lyon.r2.c",
            "paris",
            "paris.r1",
            "paris.r1.d",
            "paris.r1.e&#60;i&#62;"
        ]
    );
    // The rack's meter has measured the two below it; the silent one has no power, and half of the ends of lyon do.
    let near = |node: &str, expected: f64| {
        let watts: f64 = node.split(" | ").nth(1).unwrap().strip_suffix(" W").unwrap().parse().unwrap();
        assert!((watts - expected).abs() < 0.11 * SITES.len() as f64, "{node}: {expected}");
    };
    near(&nodes[1], watts(&site, &["lyon.r1"]).await);
    assert!(nodes[1].ends_with("66.6 % | 3 of 4"), "{}", nodes[1]);
    near(&nodes[7], watts(&site, &["paris.r1.d", "paris.r1.e<i>"]).await);
    assert!(nodes[7].ends_with("100 % | 2 of 2"), "{}", nodes[7]);
    assert!(nodes[6].contains("silent since 09:50:00 (10 min) | – |"), "{}", nodes[6]);
    // A branch alone has the same nodes.
    let lyon = page(&site, "/groups/?in=lyon").await;
    assert_eq!(self::nodes(&lyon), nodes[2..7]);
    assert!(lyon.contains("<li aria-current=\"page\">lyon</li>") || lyon.contains("<h1>lyon</h1>"), "{lyon}");
}

#[tokio::test]
async fn siblings_are_sorted_under_their_parents_and_everything_has_an_address() {
    let site = site();
    let amount = |node: &str| -> f64 {
        node.split(" | ").find_map(|cell| cell.strip_suffix(" W")?.parse().ok()).unwrap_or(f64::NEG_INFINITY)
    };
    let by_watts = nodes(&page(&site, "/groups/?sort=watts").await);
    let tops: Vec<f64> = by_watts
        .iter()
        .filter(|node| !node.split(" | ").next().unwrap().contains('.'))
        .map(|node| amount(node))
        .collect();
    assert!(tops.len() == 3 && tops.is_sorted_by(|a, b| a >= b), "{by_watts:?}");
    let shown =
        page(&site, "/groups/?sort=watts&period=week&label=owner:physics&q=r1").await.replace("&#38;", "&");
    for address in [
        "\"/groups/?q=r1&label=owner%3Aphysics&period=week&sort=energy\"",
        "\"/groups/?q=r1&label=owner%3Aphysics&period=year&sort=watts\"",
        "\"/groups/?q=r1&period=week&sort=watts\" title=\"Remove this filter\">owner = physics",
    ] {
        assert!(shown.contains(address), "{address} in {shown}");
    }
    for (path, status) in [
        ("/groups/?period=century", 400),
        ("/groups/?label=owner", 400),
        ("/groups/?in=nowhere", 404),
        ("/groups/?in=alone", 404),
        ("/groups/?in=%00", 404),
        ("/groups/?in=lyon&page=99", 200),
        ("/table/day/?label=owner", 400),
    ] {
        assert_eq!(get(&site, path).await.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn labels_narrow_the_tree_and_the_table_and_are_linked_from_a_probe() {
    let site = site();
    let physics = nodes(&page(&site, "/groups/?label=owner:physics").await);
    let names: Vec<&str> = physics.iter().map(|node| node.split(" | ").next().unwrap()).collect();
    assert_eq!(names, ["lyon", "lyon.r1", "lyon.r1.a", "paris", "paris.r1", "paris.r1.d"]);
    // Of the rack only what is selected, not its meter.
    let amount = |node: &str| node.split(" | ").nth(1).unwrap().to_owned();
    assert_eq!(amount(&physics[0]), amount(&physics[2]));
    let probe = page(&site, "/probe/lyon.r1.b/").await;
    let href = "/table/day/?label=owner%3A%3Cb%3E%22biology%22%3C%2Fb%3E";
    assert!(probe.contains(&format!("href=\"{href}\"")), "{probe}");
    let table = page(&site, href).await;
    assert!(table.contains("5 of 7 probes match") && !table.contains("<b>\"biology"), "{table}");
    assert!(
        !table.contains("\"/probe/lyon.r1.a/\"") && !table.contains("Total, each watt counted once"),
        "{table}"
    );
    // What is selected stays with the order, with the form, and with a further label.
    assert!(
        table.contains("name=\"label\" value=\"owner:&#60;b&#62;&#34;biology&#34;&#60;/b&#62;\""),
        "{table}"
    );
    let room = "/table/day/?label=owner%3A%3Cb%3E%22biology%22%3C%2Fb%3E&#38;label=room%3A1%3A2&#38;sort=watts&#38;order=down";
    assert!(table.contains(&format!("href=\"{room}\">1:2</a>")), "{table}");
    let both = page(&site, &room.replace("&#38;", "&")).await;
    assert!(both.contains("3 of 7 probes match"), "{both}");
    let none = page(&site, "/table/day/?label=owner:nobody").await;
    assert!(none.contains("No probe matches."), "{none}");
}

#[tokio::test]
async fn a_page_of_the_tree_is_bounded_and_the_rest_is_a_link_away() {
    let names: Vec<String> = (0..30)
        .flat_map(|site| (0..40).map(move |probe| format!("s{site}.r{}.n-{probe}", probe % 3)))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let site = serve(Fixture::of(&names));
    let shown = page(&site, "/groups/").await;
    let count = nodes(&shown).len();
    assert!((30..=240).contains(&count), "{count}");
    assert!(shown.contains("<a href=\"/groups/?in=s29.r1\">13 probes below</a>"), "{shown}");
    assert_eq!(nodes(&page(&site, "/groups/?in=s29.r1").await).len(), 13);
    // Many side by side are turned over.
    let flat: Vec<String> = (0..250).map(|probe| format!("all.n-{probe}")).collect();
    let flat: Vec<&str> = flat.iter().map(String::as_str).collect();
    let site = serve(Fixture::of(&flat));
    assert!(page(&site, "/groups/").await.contains("<a href=\"/groups/?in=all\">250 probes below</a>"));
    let second = page(&site, "/groups/?in=all&page=2").await;
    assert!(second.contains("Page 2 of 3") && second.contains("\"/probe/all.n-100/\""), "{second}");
    assert_eq!(nodes(&second).len(), 100);
}

#[tokio::test]
async fn a_group_that_is_not_wholly_the_caller_s_has_no_figures_in_their_tree() {
    let toml = format!(
        "[[token]]\nname = 'tenant'\nsha256 = '{}'\n[[scope]]\ntoken = 'tenant'\nprobes = ['lyon.r1.*', 'paris.*']\n",
        hash_token("tenant")
    );
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let auth = Auth::new(&config, Fixture::of(&[]).clock(), Directory::default()).unwrap();
    let site = guarded(site(), auth, ROUTES);
    let of_tenant = async |path: &str| {
        let answer = send(&site, "GET", path, &[("x-auth-token", "tenant")]).await;
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    };
    let tree = of_tenant("/groups/").await;
    let nodes = nodes(&tree);
    assert_eq!(nodes[0], "lyon | – | – | – | –", "{tree}");
    assert!(
        tree.contains("\"/group/paris/\"") && !tree.contains("\"/group/lyon/\"") && !tree.contains("r2"),
        "{tree}"
    );
    for query in ["lyon", "r", "pdu", "physics", "alone"] {
        let found = of_tenant(&format!("/search/?q={query}&format=json")).await;
        for hidden in ["r2", "alone", "pdu-lyon", "\"/group/lyon/\"", "\"lyon.r1\""] {
            assert!(
                !found.replace(&format!("\"query\":\"{query}\""), "").contains(hidden),
                "{query}: {found}"
            );
        }
    }
}

#[tokio::test]
async fn search_finds_probes_groups_labels_and_meters_a_bounded_number_of_each() {
    let site = site();
    let found = async |query: &str| -> Vec<String> {
        let path = format!("/search/?format=json&q={}", crate::http::percent::encode(query));
        let answer = get(&site, &path).await;
        assert_eq!(
            (answer.status(), header_of(&answer, "content-type")),
            (StatusCode::OK, "application/json")
        );
        let found: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        let hits = found["found"].as_array().unwrap().clone();
        for hit in &hits {
            assert_eq!(get(&site, hit["href"].as_str().unwrap()).await.status(), StatusCode::OK, "{hit}");
        }
        hits.iter()
            .map(|hit| format!("{} {}", hit["kind"].as_str().unwrap(), hit["name"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(
        found("LYON.r1").await,
        ["group lyon.r1", "probe lyon.r1", "probe lyon.r1.a", "probe lyon.r1.b"]
    );
    assert_eq!(found("phys").await, ["label owner = physics"]);
    assert_eq!(found("pdu").await, ["meter pdu-lyon"]);
    assert_eq!(found("<i>").await, ["probe paris.r1.e<i>"]);
    assert_eq!(found("").await, [""; 0]);
    let shown = page(&site, "/search/?q=%3Ci%3E").await;
    assert!(shown.contains("1 match for “&#60;i&#62;”") && !shown.contains("<i>"), "{shown}");
    assert!(page(&site, "/search/?q=nothing").await.contains("Nothing matches “nothing”."));
    assert_eq!(get(&site, "/search/?q=a&format=xml").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header_of(&get(&site, "/search?q=a").await, "location"), "/search/?q=a");
    let many: Vec<String> = (0..500).map(|probe| format!("g{}.n-{probe}", probe % 50)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let many = page(&serve(Fixture::of(&many)), "/search/?format=json&q=n-").await;
    assert!(many.contains("\"more\":488") && many.matches("\"kind\"").count() == 12, "{many}");
}

#[tokio::test]
async fn hostile_names_and_labels_stay_text_in_the_tree_the_table_and_in_search() {
    let long = format!("{}.{}", "rack".repeat(30), "é".repeat(30));
    let names: Vec<&str> = HOSTILE.into_iter().chain([long.as_str(), "dot.", "..", ".hidden.x"]).collect();
    let labels = |probe: &ProbeId| {
        let value = probe.as_str().to_owned();
        Labels::from([
            ("<script>alert(2)</script>".to_owned(), value.clone()),
            (value, "x\"'><img>".to_owned()),
        ])
    };
    let site = serve_as(Fixture::of(&names), Directory::new(ConfiguredProbes::new(labels, [])));
    let mut seen = std::collections::BTreeSet::new();
    let mut waiting = vec![
        "/groups/".to_owned(),
        "/table/day/".to_owned(),
        "/search/?q=a".to_owned(),
        "/search/?q=%3Cscript".to_owned(),
    ];
    while let Some(path) = waiting.pop() {
        let answer = get(&site, &path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let shown = String::from_utf8(answer.into_body().to_vec()).unwrap();
        assert!(
            !shown.contains("<script>alert") && !shown.contains("<img>") && !shown.contains("href=\"../"),
            "{path}: {shown}"
        );
        for link in shown.split("href=\"/").skip(1).map(|link| link.split('"').next().unwrap()) {
            let link = format!("/{}", link.replace("&#38;", "&"));
            let is_ours = ["/groups/?in=", "/table/day/?label=", "/group/", "/probe/"]
                .iter()
                .any(|begin| link.starts_with(begin));
            if is_ours && seen.len() < 150 && !link.contains("&label=") && seen.insert(link.clone()) {
                waiting.push(link);
            }
        }
    }
    assert!(seen.len() > 40, "{seen:?}");
}
