//! axe-core reads every page there is, light on a desk and dark on a telephone, and finds nothing.

use axum::response::IntoResponse;
use axum::routing::get as at;
use kwapi_peers::Lab;

use super::browser::{chromium, listen};
use super::graphs::driven;
use super::*;
use crate::bills::Bills;

/// Has the library read the page, and notes what it finds.
const STEPS: &str = "
    const library = document.createElement('script');
    library.src = '/axe.js';
    await new Promise((loaded) => { library.onload = loaded; document.head.append(library); });
    const { violations } = await axe.run(document, { resultTypes: ['violations'] });
    const line = ({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' + ')}`;
    document.body.dataset.found = violations.map(line).join(' | ') || 'nothing';";

/// The library, as the environment `axe` has it.
fn library() -> Option<String> {
    let lib = kwapi_peers::python_environment("axe").parent()?.parent()?.join("lib");
    let folders = std::fs::read_dir(lib).ok()?.flatten();
    folders.into_iter().find_map(|folder| {
        std::fs::read_to_string(folder.path().join("site-packages/axe_playwright_python/axe.min.js")).ok()
    })
}

/// An address of each of the pages' routes. One with another name has to be added here.
pub(super) fn addresses() -> Vec<String> {
    let mut all: Vec<String> = ROUTES
        .paths()
        .into_iter()
        .filter(|path| {
            !["/static/", "/choose/", "/logout/", "/login/", "/rrd/", "/graph/", "/stream/"]
                .iter()
                .any(|other| path.starts_with(other))
        })
        .map(|path| {
            [("{period}", "hour"), ("{probe}", "l.r.a"), ("{group}", "l.r"), ("{month}", "2026-11")]
                .iter()
                .fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
        })
        .collect();
    assert!(all.iter().all(|path| !path.contains('{')), "what stands for a name? {all:?}");
    let begin = super::ranges::BEGIN;
    all.extend([
        format!("/probe/l.r.a/?from={}&to={}", begin + 3_600, begin + 7_200),
        format!("/where/?from={begin}&to=now"),
        "/last/hour/?q=nothing".to_owned(),
        "/probe/none/".to_owned(),
    ]);
    all
}

/// What axe-core finds on some pages of a site, a line each.
async fn found(site: Router, pages: &[String], size: &str, scheme: u8) -> Vec<String> {
    let library = library().unwrap();
    let answer = async move || ([("content-type", "text/javascript")], library).into_response();
    let base = listen(driven(site, STEPS).route("/axe.js", at(answer))).await;
    let mut found = Vec::new();
    for page in pages {
        let arguments = [
            "--virtual-time-budget=6000".to_owned(),
            format!("--window-size={size}"),
            format!("--blink-settings=preferredColorScheme={scheme}"),
            "--dump-dom".to_owned(),
            format!("{base}{page}"),
        ];
        let (dom, log) = chromium(arguments.into()).await;
        let violations = dom.split("data-found=\"").nth(1).and_then(|rest| rest.split('"').next());
        if violations != Some("nothing") {
            found.push(format!("{page}: {}", violations.unwrap_or("axe-core did not run")));
        }
        // A page that is not found states that with its status, which Chromium notes.
        let faults = log.lines().filter(|line| line.contains("CONSOLE") && !line.contains("status of 404"));
        found.extend(faults.map(|line| format!("{page}: {line}")));
    }
    found
}

/// How often pages of these tests renew themselves.
fn seldom() -> Settings {
    Settings { refresh_interval: Duration::from_secs(60), ..settings() }
}

/// All pages there are, of a few probes and with bills.
pub(super) fn all_pages(lab: &Lab) -> Router {
    let probes = ["l.r", "l.r.a", "m.c"];
    let directory = super::ranges::directory_of(lab, &probes, Directory::default());
    let bills = Bills::new(crate::bills::tests::config("0.2", &[]), &lab.join("state"));
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW));
    router(PageSources { bills: Some(bills), ..directory.into() }, seldom(), clock, None)
}

/// All pages at a size and in a scheme (1: light).
async fn check_all(size: &str, scheme: u8) {
    if !kwapi_peers::need(&["chromium"]) || !kwapi_peers::need_python("axe") {
        return;
    }
    let lab = Lab::empty();
    let mut all = found(all_pages(&lab), &addresses(), size, scheme).await;
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW));
    let logins = super::tenants::logins(&clock);
    let door = router(Directory::default(), seldom(), clock, Some(logins));
    all.extend(found(door, &["/login/".to_owned()], size, scheme).await);
    assert!(all.is_empty(), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_core_finds_nothing_on_a_desk_in_the_light() {
    check_all("1280,1000", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_core_finds_nothing_on_a_telephone_in_the_dark() {
    check_all("500,1000", 0).await;
}
