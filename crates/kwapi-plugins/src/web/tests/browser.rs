//! A real Chromium over a real socket.

#![allow(clippy::disallowed_methods, reason = "a test starts the browser that judges the page")]

use std::process::Command;

use super::*;

/// Serves `site` on a free loopback port.
pub(super) async fn listen(site: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, site).await });
    format!("http://{address}")
}

/// Runs Chromium without a window and returns what it printed on standard output and on standard error.
pub(super) async fn chromium(arguments: Vec<String>) -> (String, String) {
    let home = kwapi_peers::Lab::empty();
    tokio::task::spawn_blocking(move || {
        let output = Command::new(kwapi_peers::find("chromium").unwrap())
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--enable-logging=stderr", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(output.stdout), text(output.stderr))
    })
    .await
    .unwrap()
}

fn populated() -> Fixture {
    let mut names = vec!["A", "demo.rack1.node-1", "demo.rack1.node-2", "lyon.rack3.taurus-7"];
    names.extend(AWKWARD);
    let mut fixture = Fixture::of(&names);
    fixture.silent.insert("lyon.rack3.taurus-7");
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_shows_the_graphs_and_finds_no_fault() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let base = listen(serve(populated())).await;
    for path in [
        "/last/minute/",
        "/last/year/",
        "/groups/",
        "/search/?q=a",
        "/probe/it%27s%20%227%22%20%3Cb%3E%26amp%3B/",
        "/probe/nope/",
    ] {
        // Virtual time passes two refreshes.
        let (dom, log) = chromium(vec![
            "--virtual-time-budget=3000".to_owned(),
            "--dump-dom".to_owned(),
            format!("{base}{path}"),
        ])
        .await;
        assert!(dom.contains("data-script=\"on\""), "the script ran on {path}: {dom}");
        let faults: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
        // A page that is not found states that with its status, which Chromium notes.
        let faults: Vec<_> = faults.iter().filter(|line| !line.contains("status of 404")).collect();
        assert!(faults.is_empty(), "{path}: {faults:?}");
        if path.starts_with("/last/") || (path.starts_with("/probe/") && path != "/probe/nope/") {
            let graphs = if path.starts_with("/last/") { 2 + 9 } else { 6 };
            assert_eq!(dom.matches("class=\"kw-graph\"").count(), graphs, "{path}");
            assert!(dom.contains("class=\"kw-line\"") || path == "/last/year/", "{path}");
        }
    }
}

/// For people: `KWAPI_SCREENSHOTS=<folder>` keeps what the pages look like.
#[tokio::test(flavor = "multi_thread")]
async fn pages_fit_a_desk_and_a_telephone() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let scratch = kwapi_peers::Lab::empty();
    let folder = std::env::var_os("KWAPI_SCREENSHOTS").map_or_else(|| scratch.path().to_owned(), Into::into);
    let base = listen(serve(populated())).await;
    let empty = listen(serve(Fixture::of(&[]))).await;
    let kept = kwapi_peers::Lab::empty();
    let ranges = listen(super::ranges::pages_of(&kept, &["a/b"])).await;
    let halls = [kwapi_peers::Lab::empty(), kwapi_peers::Lab::empty()];
    let hall = listen(super::marks::hall([&halls[0], &halls[1]], None)).await;
    let range = format!("{ranges}/probe/a%2Fb/?from={}&to=now", super::ranges::BEGIN + 600);
    let dark = "--blink-settings=preferredColorScheme=0";
    let light = "--blink-settings=preferredColorScheme=1";
    for (name, address, size, scheme) in [
        ("list-desk-light", format!("{base}/last/minute/"), "1280,1500", light),
        ("list-desk-dark", format!("{base}/last/hour/"), "1280,1500", dark),
        ("list-phone-light", format!("{base}/last/day/"), "500,1400", light),
        ("probe-desk-light", format!("{base}/probe/A/"), "1280,800", light),
        ("probe-desk-dark", format!("{base}/probe/lyon.rack3.taurus-7/"), "1280,800", dark),
        ("range-desk-light", range.clone(), "1280,1100", light),
        ("range-desk-dark", range.clone(), "1280,1100", dark),
        ("range-phone-light", range, "500,1100", light),
        ("no-range-desk-light", format!("{ranges}/probe/a%2Fb/?from=2027-01-01"), "1280,500", light),
        ("tree-desk-light", format!("{base}/groups/"), "1280,900", light),
        ("tree-phone-dark", format!("{base}/groups/?sort=watts"), "500,900", dark),
        ("search-desk-light", format!("{base}/search/?q=node"), "1280,500", light),
        ("energy-desk-light", format!("{ranges}/probe/a%2Fb/?by=hour"), "1280,1100", light),
        ("energy-phone-dark", format!("{ranges}/probe/a%2Fb/?by=hour"), "500,1100", dark),
        ("none-desk-light", format!("{base}/probe/nope/"), "1280,500", light),
        ("where-desk-light", format!("{base}/where/"), "1280,1200", light),
        ("where-desk-dark", format!("{base}/where/demo/"), "1280,900", dark),
        ("where-phone-light", format!("{ranges}/where/?period=hour&show=energy"), "500,1100", light),
        ("sums-desk-light", format!("{hall}/last/day/"), "1280,1300", light),
        ("sums-phone-dark", format!("{hall}/last/hour/"), "500,1300", dark),
        ("group-desk-light", format!("{hall}/group/hall/"), "1280,1100", light),
        ("group-desk-dark", format!("{hall}/group/hall/"), "1280,1100", dark),
        (
            "group-range-desk-light",
            format!("{hall}/group/hall/?from={}&to=now", super::ranges::BEGIN),
            "1280,700",
            light,
        ),
        ("empty-desk-light", format!("{empty}/last/minute/"), "1280,700", light),
    ] {
        let file = folder.join(format!("{name}.png"));
        let shot = format!("--screenshot={}", file.display());
        chromium(vec![shot, format!("--window-size={size}"), scheme.to_owned(), address]).await;
        assert!(std::fs::metadata(&file).unwrap().len() > 5_000, "{name} is blank");
    }
}
