//! The table of all probes.

use super::*;

/// The ids of the table's lines, in its order.
async fn order(site: &Router, query: &str) -> Vec<String> {
    let shown = page(site, &format!("/table/hour/{query}")).await;
    let rows = shown.split("<th scope=\"row\"><a href=\"/probe/").skip(1);
    rows.map(|row| row.split("\">").nth(1).unwrap().split('<').next().unwrap().to_owned()).collect()
}

fn some() -> Router {
    let mut fixture = Fixture::of(&["n-1", "n-2", "n-10", "x"]);
    fixture.silent.insert("n-2");
    serve(fixture)
}

/// The numbers of a column, counted from 1 beside the name.
async fn numbers(site: &Router, query: &str, column: usize) -> Vec<Option<f64>> {
    let shown = page(site, &format!("/table/hour/{query}")).await;
    let body = shown.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    let cell =
        |row: &str| row.split("<td").nth(column).unwrap().split(['>', '<']).nth(1).unwrap().parse().ok();
    body.split("<tr").skip(1).map(cell).collect()
}

#[tokio::test]
async fn it_is_ordered_by_any_column_either_way_and_what_is_unknown_comes_last() {
    let site = some();
    assert_eq!(order(&site, "?sort=name").await, ["n-1", "n-2", "n-10", "x"]);
    assert_eq!(order(&site, "?sort=name&order=down").await, ["x", "n-10", "n-2", "n-1"]);
    for (query, column, falls) in [
        ("", 1, true),
        ("?sort=watts&order=up", 1, false),
        ("?sort=energy", 2, true),
        ("?sort=cost&order=up", 3, false),
    ] {
        let all = numbers(&site, query, column).await;
        let known: Vec<f64> = all.iter().flatten().copied().collect();
        let is_sorted = known.is_sorted_by(|a, b| if falls { a >= b } else { a <= b });
        assert!(known.len() >= 3 && is_sorted, "{query}: {all:?}");
        // Who is silent has no present power, and a past all the same.
        assert_eq!(all.len() - known.len(), usize::from(column == 1), "{query}");
        assert!(column != 1 || all[3].is_none(), "{query}: {all:?}");
    }
    assert_eq!(order(&site, "?sort=age&order=down").await[0], "n-2", "the oldest first");
    assert_eq!(order(&site, "?sort=nonsense&order=x").await, order(&site, "").await);
    assert_eq!(order(&site, "?q=N-1").await.len(), 2);
}

#[tokio::test]
async fn heads_sort_and_turn_and_report_it_and_a_silent_probe_shows_since_when() {
    let shown = page(&some(), "/table/hour/?q=n&sort=watts").await;
    assert!(
        shown.contains(
            "aria-sort=\"descending\"><a href=\"/table/hour/?q=n&#38;sort=watts&#38;order=up\">Now</a><br>W"
        ),
        "{shown}"
    );
    assert!(shown.contains("<a href=\"/table/hour/?q=n&#38;sort=name&#38;order=up\">Probe</a>"), "{shown}");
    assert!(
        shown.contains("silent since 09:50:00 (10 min)") && shown.contains("3 of 4 probes contain"),
        "{shown}"
    );
    assert!(!shown.contains("each watt once"), "a part has no total: {shown}");
    assert!(page(&some(), "/table/hour/").await.contains("Total, each watt counted once"));
    assert!(page(&serve(Fixture::of(&[])), "/table/day/").await.contains("Nothing measured yet."));
    assert!(page(&some(), "/table/hour/?q=%3Cb%3E").await.contains("No probe matches."));
    assert_eq!(get(&some(), "/table/decade/").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn many_probes_are_a_hundred_lines_a_page() {
    let names: Vec<String> = (0..1_250).map(|number| format!("rack.n-{number}")).collect();
    let site = serve(Fixture::of(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(order(&site, "?sort=name&page=2").await[0], "rack.n-100");
    let last = page(&site, "/table/hour/?sort=name&order=down&page=999").await;
    assert!(
        last.contains("Page 13 of 13") && last.contains("sort=name&#38;order=down&#38;page=12"),
        "{last}"
    );
}
