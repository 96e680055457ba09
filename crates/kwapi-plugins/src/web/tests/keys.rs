//! The pages by keyboard alone, on a telephone's width, and after a reload, in a real Chromium: keys come from outside, as a
//! keyboard sends them.

use kwapi_peers::Lab;

use super::axe::{addresses, all_pages};
use super::driver::{Browser, Tab};
use super::live::Server;
use super::ranges::BEGIN;

/// Collects what Tab should come to, in order: all that is shown and can be operated.
const STOPS: &str = "
    window.stops = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex]')].filter((stop) =>
        stop.tabIndex >= 0 && !stop.disabled && stop.type !== 'hidden' && stop.checkVisibility({ visibilityProperty: true }));
    document.activeElement?.blur(); document.getSelection().removeAllRanges(); window.scrollTo(0, 0);
    window.stops.length";
/// Which of these has the focus; -1 for none of them.
const STOP: &str = "window.stops.indexOf(document.activeElement)";

struct Pages {
    server: Server,
    browser: Browser,
    _lab: Lab,
}

impl Pages {
    /// All pages there are; `None` without a browser.
    fn start() -> Option<Self> {
        if !kwapi_peers::need(&["chromium"]) {
            return None;
        }
        let lab = Lab::empty();
        let server = Server::start(&all_pages(&lab), "127.0.0.1:0");
        Some(Self { server, browser: Browser::start(), _lab: lab })
    }

    fn open(&mut self, path: &str) -> Tab {
        let tab = self.browser.open(&self.server.page(path), false, "");
        self.browser.focus(&tab);
        self.wait(
            &tab,
            "document.readyState === 'complete' && document.documentElement.dataset.script === 'on'",
        );
        tab
    }

    fn wait(&mut self, tab: &Tab, condition: &str) {
        self.browser.wait(tab, condition);
    }

    fn press(&mut self, tab: &Tab, keys: &[&str]) {
        for key in keys {
            self.browser.press(tab, key);
        }
    }

    fn number(&mut self, tab: &Tab, expression: &str) -> i64 {
        self.browser.evaluate(tab, expression).as_i64().unwrap_or_else(|| panic!("{expression}"))
    }

    fn text(&mut self, tab: &Tab, expression: &str) -> String {
        self.browser.evaluate(tab, expression).as_str().unwrap_or_default().to_owned()
    }

    /// Presses Tab until what `is_there` selects has the focus.
    fn tab_to(&mut self, tab: &Tab, is_there: &str) {
        for _ in 0..200 {
            if self.browser.evaluate(tab, is_there) == true {
                return;
            }
            self.browser.press(tab, "Tab");
        }
        panic!("Tab never comes to {is_there}");
    }
}

#[test]
fn tab_comes_to_all_that_can_be_operated_in_the_order_of_the_page() {
    let Some(mut pages) = Pages::start() else { return };
    for path in addresses() {
        let tab = pages.open(&path);
        let stops = pages.number(&tab, STOPS);
        let mut reached = Vec::new();
        // Fields of a date have a stop for each part of it; a table that scrolls may be a stop of its own.
        for _ in 0..stops * 2 + 40 {
            pages.press(&tab, &["Tab"]);
            let at = pages.number(&tab, STOP);
            if at >= 0 && reached.last() != Some(&at) {
                if at == 0 && !reached.is_empty() {
                    break;
                }
                reached.push(at);
            }
            if reached.iter().copied().eq(0..stops) {
                break;
            }
        }
        let (expected, came) = ((0..stops).collect::<Vec<_>>(), reached.iter().copied());
        if let Some(at) = expected.iter().copied().zip(came.chain([-1])).find(|(at, came)| at != came) {
            let stop = pages.text(&tab, &format!("window.stops[{}].outerHTML.slice(0, 200)", at.0));
            panic!("{path}: {stop} is stop {} of {stops}; Tab came to {reached:?}", at.0);
        }
        assert_eq!(reached, expected, "{path}");
        pages.browser.close(&tab);
    }
    let faults = pages.browser.faults();
    assert!(faults.iter().all(|fault| fault.contains("404")), "{faults:?}");
}

#[test]
fn the_head_the_tree_the_table_and_a_graph_are_worked_by_keys_alone() {
    let Some(mut pages) = Pages::start() else { return };
    let tab = pages.open("/groups/");
    // The first stop leads past the head.
    pages.press(&tab, &["Tab", "Enter"]);
    pages.wait(&tab, "location.hash === '#content'");
    pages.press(&tab, &["Tab"]);
    pages.wait(&tab, "document.getElementById('content').contains(document.activeElement)");
    // A branch folds and unfolds.
    pages.tab_to(&tab, "document.activeElement.tagName === 'SUMMARY' && document.activeElement.parentElement.closest('.tree') !== null");
    pages.press(&tab, &["Enter"]);
    pages.wait(&tab, "!document.activeElement.parentElement.open");
    pages.press(&tab, &["Space"]);
    pages.wait(&tab, "document.activeElement.parentElement.open");
    // A key leads to the search, whose matches are gone through; Enter follows one.
    pages.press(&tab, &["/"]);
    pages.wait(&tab, "document.activeElement.name === 'q'");
    pages.browser.type_text(&tab, "l.r");
    pages.wait(&tab, "!document.getElementById('found').hidden");
    pages.press(&tab, &["ArrowDown"]);
    pages.wait(&tab, "document.getElementById('found').contains(document.activeElement)");
    pages.press(&tab, &["Escape"]);
    pages.wait(&tab, "document.getElementById('found').hidden && document.activeElement.name === 'q'");
    pages.press(&tab, &["Enter"]);
    pages.wait(&tab, "location.pathname === '/search/' && location.search === '?q=l.r'");
    pages.browser.close(&tab);

    // Enter on a head sorts, and again turns it.
    let tab = pages.open("/table/day/");
    for order in ["ascending", "descending"] {
        let tables = "document.activeElement.closest('th')?.textContent.includes('Probe') === true";
        pages.tab_to(&tab, tables);
        let before = pages.text(&tab, "location.search");
        pages.press(&tab, &["Enter"]);
        pages.wait(&tab, &format!("location.search !== '{before}' && document.readyState === 'complete'"));
        let sorted = pages.text(&tab, "document.querySelector('[aria-sort]').getAttribute('aria-sort')");
        assert!(["ascending", "descending"].contains(&&*sorted), "{order} {sorted}");
    }
    pages.browser.close(&tab);

    // A graph reads a moment, chooses a range, shows it, and goes back.
    let path = format!("/probe/l.r.a/?from={}&to={}", BEGIN + 1_800, BEGIN + 5_400);
    let tab = pages.open(&path);
    pages.tab_to(&tab, "document.activeElement.id === 'graph-wide'");
    let spoken = "document.getElementById('spoken').textContent";
    pages.press(&tab, &["Home", "ArrowRight"]);
    pages.wait(&tab, &format!("{spoken}.startsWith('07:30:10 to 07:30:20, average 100.0 watts')"));
    pages.press(&tab, &["PageDown", "Shift+PageDown", "Shift+ArrowRight"]);
    pages.wait(&tab, &format!("{spoken}.startsWith('selected: 07:32:10 to 07:34:30')"));
    pages.press(&tab, &["Escape"]);
    pages.wait(&tab, &format!("!{spoken}.startsWith('selected')"));
    pages.press(&tab, &["Shift+ArrowRight", "Enter"]);
    pages.wait(&tab, "document.querySelector('main').textContent.includes('20 rows of 1 s')");
    pages.tab_to(&tab, "document.activeElement.id === 'graph-wide'");
    pages.press(&tab, &["Escape"]);
    pages.wait(&tab, "document.querySelector('main').textContent.includes('360 rows of 10 s')");
    assert_eq!(pages.browser.faults(), Vec::<String>::new());
}

#[test]
fn no_page_is_wider_than_a_telephone_of_390_pixels() {
    let Some(mut pages) = Pages::start() else { return };
    let mut wide = Vec::new();
    for path in addresses() {
        let tab = pages.open(&path);
        pages.browser.resize(&tab, 390, 844);
        pages.wait(&tab, "innerWidth === 390");
        let width =
            pages.number(&tab, "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)");
        if width > 390 {
            let widest = "[...document.querySelectorAll('body *')].filter((part) => part.getBoundingClientRect().right > 391).slice(0, 3).map((part) => part.outerHTML.slice(0, 120)).join(' + ')";
            wide.push(format!("{path}: {width} px: {}", pages.text(&tab, widest)));
        }
        pages.browser.close(&tab);
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn energy_cost_and_shares_are_shown_on_a_telephone_and_downloads_are_reached_by_tab() {
    let Some(mut pages) = Pages::start() else { return };
    let shown = |what: &str| {
        format!(
            "[...document.querySelectorAll('{what}')].filter((part) => part.getClientRects().length > 0 && part.textContent.length > 0).length"
        )
    };
    for (path, what) in [
        ("/table/day/", "th a[href*=\"sort=energy\"]"),
        ("/table/day/", "th a[href*=\"sort=cost\"]"),
        ("/groups/", ".node [data-value=energy]"),
        ("/groups/", ".node [data-value=cost]"),
        ("/groups/", ".node [data-value=known]"),
        ("/last/day/", ".legend dd"),
        ("/where/", ".flowing tbody td:last-child"),
    ] {
        let tab = pages.open(path);
        pages.browser.resize(&tab, 390, 844);
        pages.wait(&tab, "innerWidth === 390");
        assert!(pages.number(&tab, &shown(what)) > 0, "{path}: {what}");
        pages.browser.close(&tab);
    }
    let tab = pages.open("/probe/l.r.a/");
    pages.browser.resize(&tab, 390, 844);
    pages.wait(&tab, "innerWidth === 390");
    let links = pages.number(&tab, &shown(".downloads a"));
    assert!(links >= 5, "{links}");
    for link in 0..links {
        pages.tab_to(
            &tab,
            &format!("document.activeElement === document.querySelectorAll('.downloads a')[{link}]"),
        );
        // What has the focus is in view.
        pages.wait(&tab, "(({ top, bottom, right }) => top >= 0 && bottom <= innerHeight && right <= 390)(document.activeElement.getBoundingClientRect())");
    }
}

#[test]
fn what_is_selected_is_there_after_a_reload() {
    let Some(mut pages) = Pages::start() else { return };
    let loaded = "document.readyState === 'complete' && window.isBefore === undefined";
    for (path, shown) in [
        (
            "/table/day/?q=l.r&sort=watts&order=desc",
            "document.querySelector('main input[name=q]').value === 'l.r' && document.querySelectorAll('tbody tr').length === 2",
        ),
        (
            "/groups/?in=l&sort=watts&period=week",
            "document.querySelector('h1').textContent === 'l' && document.querySelectorAll('[aria-current=true]').length === 2",
        ),
        (
            "/where/l/?period=week&show=energy",
            "document.querySelector('h1').textContent.length > 0 && document.querySelectorAll('main [aria-current=true]').length === 2",
        ),
        (
            "/probe/l.r.a/?by=hour",
            "document.querySelector('[aria-label=\"Energy by\"] [aria-current]').textContent === 'Hour'",
        ),
    ] {
        let tab = pages.open(path);
        pages.wait(&tab, shown);
        pages.browser.evaluate(&tab, "window.isBefore = true");
        pages.browser.reload(&tab);
        pages.wait(&tab, &format!("{loaded} && {shown}"));
        assert_eq!(pages.text(&tab, "location.pathname + location.search"), path);
        pages.browser.close(&tab);
    }
    // My probes, chosen by a key.
    let tab = pages.open("/last/hour/");
    pages.tab_to(&tab, "document.activeElement.matches('.choose button')");
    let name = pages.text(&tab, "document.activeElement.form.elements.probe.value");
    pages.press(&tab, &["Enter"]);
    let chosen = format!(
        "document.querySelector('.tools [aria-current=true]')?.textContent.startsWith('My probes') && [...document.querySelectorAll('.card h2')].map((head) => head.textContent).join() === '{name}'"
    );
    pages.wait(&tab, &chosen);
    pages.browser.evaluate(&tab, "window.isBefore = true");
    pages.browser.reload(&tab);
    pages.wait(&tab, &format!("{loaded} && {chosen}"));
}
