//! Graphs that answer, in a real Chromium: a script of this test presses keys and moves the pointer on our pages.

use axum::response::IntoResponse;
use axum::routing::get as at;

use super::browser::{chromium, listen};
use super::ranges::{BEGIN, pages_of};
use super::*;

/// The pages, each with the script `steps`, which may note what it finds in `document.body.dataset.found`.
pub(super) fn driven(site: Router, steps: impl std::fmt::Display) -> Router {
    let with_script = axum::middleware::map_response(async |response: axum::response::Response| {
        let (mut parts, body) = response.into_parts();
        let is_page =
            parts.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if !is_page {
            return axum::response::Response::from_parts(parts, body);
        }
        parts.headers.remove("content-length");
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        let text = text.replace("</head>", "<script src=\"/steps.js\" defer></script></head>");
        axum::response::Response::from_parts(parts, Body::from(text))
    });
    let script = format!(
        "const press = (on, key, shiftKey = false) => on.dispatchEvent(new KeyboardEvent('keydown', {{ key, shiftKey, bubbles: true }}));
         const spoken = () => document.getElementById('spoken').textContent;
         const wait = () => new Promise((resolve) => setTimeout(resolve, 300));
         (async () => {{ {steps} }})().catch((error) => {{ document.body.dataset.found = String(error); }});"
    );
    let answer = async move || ([("content-type", "text/javascript")], script).into_response();
    site.layer(with_script).route("/steps.js", at(answer))
}

/// Opens a page of `a/b`, does the steps, and compares what they found or (`expected` begins with `/`) where they led.
async fn check(path: &str, steps: &'static str, expected: &[&str]) {
    let lab = kwapi_peers::Lab::empty();
    let base = listen(driven(pages_of(&lab, &["a/b"]), steps)).await;
    let wanted = ["--virtual-time-budget=6000", "--window-size=1280,900", "--dump-dom"];
    let arguments = wanted.map(str::to_owned).into_iter().chain([format!("{base}{path}")]).collect();
    let (dom, log) = chromium(arguments).await;
    assert!(!log.contains("CONSOLE"), "{log}");
    for expected in expected {
        assert!(dom.contains(expected), "{expected} in {dom}");
    }
}

fn hour() -> String {
    format!("/probe/a%2Fb/?from={}&to={}", BEGIN + 1_800, BEGIN + 5_400)
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_keys_read_the_value_at_a_moment_aloud() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let steps = "
        const graph = document.querySelector('.graph.wide');
        graph.focus();
        const read = [];
        for (const key of ['Home', 'ArrowRight', 'PageDown', 'End', 'ArrowLeft']) { press(graph, key); await wait(); read.push(spoken()); }
        read.push(graph.querySelectorAll('.kw-cursor').length, graph.querySelector('.reading').textContent);
        press(graph, 'Escape'); await wait();
        read.push(document.querySelectorAll('.kw-cursor').length, `${graph.tabIndex} ${graph.getAttribute('role')} ${document.activeElement === graph}`);
        document.body.dataset.found = read.join(' | ');";
    let found = "data-found=\"07:30:00 to 07:30:10, average 100.0 watts | 07:30:10 to 07:30:20, average 100.0 watts \
                 | 07:32:10 to 07:32:20, average 100.0 watts | 08:29:50 to 08:30:00, average 300.0 watts \
                 | 08:29:40 to 08:29:50, average 300.0 watts | 1 | 300.0 W · 08:29:40 | 0 | 0 application true\"";
    check(&hour(), steps, &[found, "aria-live=\"polite\"", "aria-roledescription=\"graph\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_time_is_read_as_unknown() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let steps = "
        const graph = document.querySelector('.graph.wide');
        graph.focus();
        press(graph, 'Home'); press(graph, 'PageDown'); await wait();
        document.body.dataset.found = spoken();";
    let path = format!("/probe/a%2Fb/?from={}&to={}", BEGIN + 5_340, BEGIN + 6_540);
    check(&path, steps, &["data-found=\"08:31:00 to 08:31:10, unknown\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shift_and_enter_show_the_range_that_was_chosen() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let steps = "
        if (!location.search.includes('07:30') && !location.search.includes('1795419000')) return;
        const graph = document.querySelector('.graph.wide');
        graph.focus();
        press(graph, 'Home'); press(graph, 'PageDown'); press(graph, 'PageDown', true); press(graph, 'ArrowRight', true);
        press(graph, 'Enter');";
    check(&hour(), steps, &["Mon 23 Nov 2026, 07:32:00 – 07:34:20", "140 rows of 1 s"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dragging_on_a_probe_s_page_shows_that_range() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let steps = "
        if (location.search) return;
        const svg = document.querySelector('#graph-hour .kw-graph');
        svg.scrollIntoView();
        const box = svg.getBoundingClientRect(), [left, right] = svg.dataset.plot.split(' ').map(Number);
        const fire = (name, share) => svg.dispatchEvent(new PointerEvent(name, {
          bubbles: true, isPrimary: true, button: 0, clientY: box.top + 60,
          clientX: box.left + (left + share * (right - left)) * box.width / svg.viewBox.baseVal.width }));
        fire('pointermove', .2501); fire('pointerdown', .2501); fire('pointermove', .4999); fire('pointerup', .4999);";
    check("/probe/a%2Fb/", steps, &["Mon 23 Nov 2026, 09:15 – 09:30", "90 rows of 10 s"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dragging_leads_to_no_time_before_the_history() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    // The last day, of which the last three hours are known: what is chosen before is not followed, and cut where it reaches in.
    let before = "
        const graph = document.querySelector('#graph-day');
        graph.focus();
        press(graph, 'Home'); press(graph, 'PageDown', true); press(graph, 'Enter'); await wait();
        document.body.dataset.found = `${spoken()} ${location.search}`;";
    check("/probe/a%2Fb/", before, &["data-found=\"nothing measured in this range \""]).await;
    let into = "
        if (location.search) return;
        const graph = document.querySelector('#graph-day');
        graph.focus();
        press(graph, 'Home'); press(graph, 'End', true); press(graph, 'Enter');";
    check("/probe/a%2Fb/", into, &["Mon 23 Nov 2026, 07:00 – 10:00"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_shows_what_matches_while_one_types_and_its_keys_go_through_it() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let steps = "
        if (location.pathname !== '/groups/') return;
        const found = [], list = document.getElementById('found');
        press(document.body, '/');
        const input = document.activeElement;
        found.push(input.name);
        const type = async (text) => { input.value = text; input.dispatchEvent(new Event('input', { bubbles: true })); await wait(); await wait(); };
        await type('A/');
        found.push(document.getElementById('found-count').textContent, list.hidden, list.textContent);
        press(input, 'ArrowDown');
        found.push(document.activeElement.getAttribute('href'));
        press(document.activeElement, 'Escape');
        found.push(list.hidden, document.activeElement === input);
        await type('nothing');
        found.push(document.getElementById('found-count').textContent, list.hidden);
        document.body.dataset.found = found.join(' | ');";
    let found = "data-found=\"q | 1 match | false | a/bprobe | /probe/a%2Fb/ | true | true | Nothing matches | true\"";
    check("/groups/", steps, &[found]).await;
}
