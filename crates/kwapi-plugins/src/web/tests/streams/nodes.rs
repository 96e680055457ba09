//! Groups and nodes of the tree in streams: in the words of their pages, within what a caller may read.

use kwapi_peers::Lab;

use super::super::ranges::{directory_of, pages_of, with_logins};
use super::super::tenants::logins;
use super::*;

/// What stands in a page between two texts.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from} in {page}"));
    rest.split_once(to).unwrap().0
}

/// The first event of a stream.
async fn nodes(site: &Router, path: &str, headers: &[(&str, &str)]) -> serde_json::Value {
    let text = String::from_utf8(send(site, "GET", path, headers).await.into_body().to_vec()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str::<serde_json::Value>(data).unwrap()["nodes"].clone()
}

/// Compares what a part of a page shows with a node in an event.
#[track_caller]
fn check_same(part: &str, node: &serde_json::Value, names: &[&str]) {
    for name in names {
        let shown = between(part, &format!("data-value=\"{name}\""), "<").split_once('>').unwrap().1;
        assert_eq!(node[name].as_str().unwrap_or("–"), shown, "{name}: {node} {part}");
    }
}

#[tokio::test]
async fn groups_and_nodes_come_in_the_words_of_their_pages() {
    let lab = Lab::empty();
    // A rack with a meter of its own, and a site beside it.
    let site = pages_of(&lab, &["lyon.r1", "lyon.r1.a", "lyon.r2.b", "paris"]);
    let long = "x".repeat(190);
    // Nothing of paris is selected, a group's own page is of all of it, and a selection that is too long is in no stream.
    let narrowed = format!(
        "&node=day%3Fq%3Dr1.a:lyon&node=day%3Fq%3Dr1.a:lyon.r1.a&node=day%3Fq%3Dr1.a:paris&node=%3Fq%3Dr1.a:lyon\
         &node=day%3Fq%3D{long}%26label%3Da%253Ab:lyon"
    );
    let paths =
        "/stream/?node=:lyon&node=:lyon.r1&node=day:lyon&node=day:lyon.r1&node=week:lyon.r1.a&node=day:paris";
    let all = nodes(&site, &format!("{paths}{narrowed}"), &[]).await;
    assert_eq!(all.as_object().unwrap().len(), 8, "{all}");
    for group in ["lyon", "lyon.r1"] {
        let shown = page(&site, &format!("/group/{group}/")).await;
        let now = between(&shown, "id=\"now\"", "</section>");
        let node = &all[format!(":{group}")];
        check_same(now, node, &["reporting", "known"]);
        // Nothing is live of what was only written: the page shows silent, and the stream has no watts.
        assert!(now.contains("data-silent=\"Silent\">Silent<") && node["watts"].is_null(), "{node} {now}");
        let energy = between(now, "data-value=\"total\"", "</p>");
        assert!(
            energy.contains(&format!("<strong>{}</strong>", node["energy"].as_str().unwrap())),
            "{node} {energy}"
        );
        assert!(
            energy.contains(&format!("<strong>{}</strong>", node["cost"].as_str().unwrap())),
            "{node} {energy}"
        );
    }
    for (period, path, names) in [
        ("day", "lyon", &["watts", "energy", "cost", "known", "reporting"][..]),
        ("day", "lyon.r1", &["watts", "energy", "cost", "known", "reporting"]),
        ("week", "lyon.r1.a", &["watts", "energy", "cost", "known"]),
        ("day", "paris", &["watts", "energy", "cost", "known"]),
    ] {
        let tree = page(&site, &format!("/groups/?period={period}")).await;
        let line = between(&tree, &format!("data-node=\"{period}:{path}\""), "</p>");
        let node = &all[format!("{period}:{path}")];
        assert!(node["energy"].as_str().unwrap().ends_with(" kWh"), "{node}");
        check_same(line, node, names);
    }
    // What is narrowed by a selection is as its page shows it: no group's sum, but that of what is selected.
    let tree = page(&site, "/groups/?q=r1.a").await;
    for path in ["lyon", "lyon.r1.a"] {
        let name = format!("day?q=r1.a:{path}");
        let line = between(&tree, &format!("data-node=\"{name}\""), "</p>");
        check_same(line, &all[&name], &["watts", "energy", "cost", "known"]);
    }
    assert_ne!(all["day?q=r1.a:lyon"]["energy"], all["day:lyon"]["energy"]);
    let none =
        nodes(&site, "/stream/?node=:nobody&node=day:lyon.r&node=decade:lyon&node=lyon&node=day:&total", &[])
            .await;
    assert!(none.is_null(), "{none}");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_reported_again_when_it_has_changed() {
    let mut pages = Measured::new(&["lyon.a", "lyon.b", "paris.c", "l:o.it's \"7\" <b>"], 9, None);
    let mut stream = pages
        .open(
            "/stream/?node=:lyon&node=day:lyon&node=day:paris&id=lyon.a&node=day:l:o.it%27s+%227%22+%3Cb%3E",
            &[],
        )
        .await
        .unwrap();
    let (first, _) = stream.event().await;
    assert_eq!(first["nodes"].as_object().unwrap().len(), 4, "{first}");
    assert!(first["nodes"]["day:l:o.it's \"7\" <b>"]["watts"].is_string(), "{first}");
    pages.measure(0, 40.0);
    let (second, _) = stream.event().await;
    let changed: Vec<_> = second["nodes"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(changed, [":lyon", "day:lyon"], "{second}");
    let shown = page(&pages.site, "/group/lyon/").await;
    let watts = between(&shown, "data-silent=\"Silent\">", "<");
    assert_eq!(second["nodes"][":lyon"]["watts"], watts);
    assert_eq!(second["nodes"]["day:lyon"]["watts"], watts);
    // One of two falls silent: the sum lacks it.
    pages.now.fetch_add(600, Ordering::Relaxed);
    pages.measure(1, 7.5);
    let (third, _) = stream.event().await;
    let node = &third["nodes"]["day:lyon"];
    assert_eq!((&node["watts"], &node["known"]), (&"7.5 W".into(), &"50 %".into()), "{third}");
    assert_eq!((&node["reporting"], &node["whole"]), (&"1 of 2".into(), &false.into()), "{third}");
    assert_eq!(third["nodes"][":lyon"]["reporting"], "1 of 2 probes reporting");
}

#[tokio::test]
async fn who_may_not_read_a_group_as_a_whole_gets_nothing_of_it() {
    let (both, own) = (Lab::empty(), Lab::empty());
    let logins = || logins(&WallClock::new(|| Timestamp::from_seconds(NOW)));
    // The scope of the token `lyon` is `lyon.*`: of the group lyon it lacks the meter.
    let all = ["lyon", "lyon.r1.a", "lyon.r1.b", "paris.c", "paris.d"];
    let site = with_logins(directory_of(&both, &all, Directory::default()), Some(logins()));
    let alone = with_logins(directory_of(&own, &all[1..3], Directory::default()), Some(logins()));
    let path = "/stream/?node=:lyon&node=:lyon.r1&node=:paris&node=day:lyon&node=day:lyon.r1&node=day:lyon.r1.a&node=day:paris&node=day:paris.c\
                &node=day%3Fq%3D.:lyon&node=day%3Fq%3D.:paris&node=day%3Fq%3D.:paris.c";
    for _ in 0..2 {
        let lyon = nodes(&site, path, &[("x-auth-token", "lyon")]).await;
        let keys: Vec<_> = lyon.as_object().unwrap().keys().cloned().collect();
        // Of what is narrowed they receive the sum of what is theirs, as their page shows it.
        assert_eq!(keys, [":lyon.r1", "day:lyon.r1", "day:lyon.r1.a", "day?q=.:lyon"], "{lyon}");
        let paris = nodes(&site, path, &[("x-auth-token", "paris")]).await;
        let keys: Vec<_> = paris.as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            keys,
            [":paris", "day:paris", "day:paris.c", "day?q=.:paris", "day?q=.:paris.c"],
            "{paris}"
        );
        // As where there is nobody else.
        let expected = nodes(&alone, path, &[("x-auth-token", "lyon")]).await;
        for name in [":lyon.r1", "day:lyon.r1", "day:lyon.r1.a", "day?q=.:lyon"] {
            assert_eq!(lyon[name], expected[name]);
        }
    }
    let too_many: String = (0..150).map(|number| format!("id=a{number}&node=day:b{number}&")).collect();
    assert_eq!(
        send(&alone, "GET", &format!("/stream/?{too_many}"), &[("x-auth-token", "lyon")]).await.status(),
        400
    );
}
