//! Live pages in a real Chromium: numbers that change in place, tabs that share a stream, and a server that goes and comes back.

use std::net::{SocketAddr, TcpListener};

use axum::Extension;

use super::driver::{Browser, Tab};
use super::streams::Measured;
use super::tenants::logins;
use super::*;
use crate::http::ClientConnection;

/// A server that can be killed: its tasks have a runtime of their own.
pub(super) struct Server {
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
}

impl Server {
    pub(super) fn start(site: &Router, address: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, site) = (listener.local_addr().unwrap(), site.clone());
        runtime.spawn(async move {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), site).await
        });
        Self { runtime: Some(runtime), address }
    }

    pub(super) fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Pages without a login, of probes that measure when they are triggered.
fn pages(names: &[&str]) -> Measured {
    Measured::new(names, 9, None)
}

const LIVE: &str = "document.getElementById('live').textContent.startsWith('Live, ')";
const A: &str = "document.querySelector('[data-now=\"A\"] b').textContent";

/// Waits until the server counts so many streams. Requests of the browser pace it: as many are answered long
/// before the worker takes a tab that sends nothing for closed.
fn wait_for_streams(browser: &mut Browser, tab: &Tab, pages: &Measured, expected: u64) {
    for _ in 0..2_000 {
        if pages.count("kwapi_web_streams") == expected {
            return;
        }
        browser.evaluate(tab, "fetch('/static/favicon.svg').then((answer) => answer.text())");
    }
    panic!("{} streams, expected {expected}", pages.count("kwapi_web_streams"));
}

#[test]
fn numbers_change_in_place_as_the_server_would_write_them() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let mut pages = pages(&["A", "B"]);
    let server = Server::start(&pages.site, "127.0.0.1:0");
    let rendering = tokio::runtime::Runtime::new().unwrap();
    let mut browser = Browser::start();
    // With a worker that tabs share, and where the browser has none.
    for first in ["", "delete window.SharedWorker"] {
        let tab = browser.open(&server.page("/last/minute/"), false, first);
        browser.wait(&tab, LIVE);
        browser.evaluate(&tab, "window.isSame = true; document.querySelector('[data-now] b').isSame = true");
        for watts in [0.04, 99.96, 12_345.67, 150_000.0, 1.5e9, 42.0] {
            pages.measure(0, watts);
            let shown = rendering.block_on(page(&pages.site, "/last/minute/"));
            let (_, rest) = shown.split_once("data-now=\"A\"><b>").unwrap();
            let expected = rest.split_once("</b>").unwrap().0;
            browser.wait(&tab, &format!("{A} === '{expected}'"));
            let (_, rest) = shown.split_once("<span data-value=\"watts\">").unwrap();
            let total = rest.split_once("</span>").unwrap().0;
            browser.wait(&tab, &format!("document.querySelector('h1').textContent === '{total}'"));
        }
        let is_same = "window.isSame && document.querySelector('[data-now] b').isSame";
        assert_eq!(browser.evaluate(&tab, is_same), true, "nothing was reloaded or replaced");
        browser.close(&tab);
    }
    // A probe that sends nothing for ten minutes is silent, and uses no watt.
    let tab = browser.open(&server.page("/last/minute/"), false, "");
    browser.wait(&tab, LIVE);
    pages.now.fetch_add(600, Ordering::Relaxed);
    pages.measure(1, 7.5);
    browser.wait(&tab, &format!("{A} === 'silent' && document.querySelector('h1').textContent === '7.5 W'"));
    let age = "document.querySelector('[data-now=\"A\"] [data-value=age]').textContent";
    browser.wait(&tab, &format!("{age} === 'last seen 10 min ago'"));
    let tab = browser.open(&server.page("/probe/A/"), false, "");
    browser.wait(&tab, LIVE);
    pages.measure(0, 77.0);
    browser.wait(&tab, "document.querySelector('.big').textContent.trim() === '77.0 W'");
    browser.wait(&tab, "document.querySelector('[data-value=energy] strong').textContent === '1.501 kWh'");
    let tab = browser.open(&server.page("/table/day/"), false, "");
    browser.wait(&tab, LIVE);
    pages.measure(1, 55.5);
    browser
        .wait(&tab, "document.querySelector('[data-now=\"B\"] [data-value=watts]').textContent === '55.5'");
    browser.wait(&tab, "document.querySelector('[data-total] [data-value=watts]').textContent === '132.5'");
    assert_eq!(browser.faults(), Vec::<String>::new());
}

#[test]
fn groups_and_nodes_of_the_tree_change_in_place_as_the_server_would_write_them() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let mut pages = pages(&["lyon.a", "lyon.b", "paris.c"]);
    let server = Server::start(&pages.site, "127.0.0.1:0");
    let mut browser = Browser::start();
    for (path, part) in [
        ("/group/lyon/", "#now"),
        ("/groups/", "[data-node=\"day:lyon\"]"),
        ("/groups/", "[data-node=\"day:lyon.a\"]"),
    ] {
        let tab = browser.open(&server.page(path), false, "");
        browser.wait(&tab, LIVE);
        browser.evaluate(&tab, "document.querySelector('[data-node] [data-value=watts]').isSame = true");
        let values = "(root) => [...root.querySelectorAll(`PART [data-value]:not([data-value=total]), PART [data-value=total] strong`)].map((value) => value.textContent.trim()).join(' | ')"
            .replace("PART", part);
        let written = format!(
            "fetch(location.href).then((answer) => answer.text()).then((text) => ({values})(new DOMParser().parseFromString(text, 'text/html')))"
        );
        for watts in [0.04, 150_000.0, 42.0] {
            pages.measure(0, watts);
            let expected = browser.evaluate(&tab, &written).as_str().unwrap().to_owned();
            assert!(expected.contains(" W") || expected.contains(" kW"), "{expected}");
            browser.wait(&tab, &format!("({values})(document) === '{expected}'"));
        }
        let is_same = "document.querySelector('[data-node] [data-value=watts]').isSame";
        assert_eq!(browser.evaluate(&tab, is_same), true, "nothing was reloaded or replaced");
        browser.close(&tab);
    }
    let tab = browser.open(&server.page("/group/lyon/"), false, "");
    browser.wait(&tab, LIVE);
    pages.now.fetch_add(600, Ordering::Relaxed);
    pages.measure(1, 7.5);
    let shown = "document.getElementById('now').textContent";
    browser.wait(&tab, &format!("{shown}.includes('7.5 W') && {shown}.includes('1 of 2 probes reporting')"));
    browser.wait(&tab, "document.querySelector('#now [data-value=known]').matches('.warn')");
    assert_eq!(browser.faults(), Vec::<String>::new());
}

#[test]
fn tabs_share_a_stream_that_is_closed_when_nobody_looks() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let mut pages = pages(&["A", "B"]);
    let server = Server::start(&pages.site, "127.0.0.1:0");
    let mut browser = Browser::start();
    let one = browser.open(&server.page("/last/minute/"), true, "");
    browser.wait(&one, LIVE);
    let two = browser.open(&server.page("/probe/B/"), true, "");
    browser.wait(&two, LIVE);
    wait_for_streams(&mut browser, &two, &pages, 1);
    assert_eq!(pages.count("kwapi_web_stream_views"), 1, "both tabs look at the same stream");
    pages.measure(1, 31.5);
    browser.wait(&one, "document.querySelector('[data-now=\"B\"] b').textContent === '31.5 W'");
    browser.wait(&two, "document.querySelector('.big').textContent.trim() === '31.5 W'");
    for tab in [&one, &two] {
        browser.minimise(tab, true);
        browser.wait(tab, "document.hidden");
    }
    wait_for_streams(&mut browser, &two, &pages, 0);
    browser.minimise(&one, false);
    browser.wait(&one, "!document.hidden");
    pages.measure(0, 12.5);
    browser.wait(&one, &format!("{A} === '12.5 W' && {LIVE}"));
    browser.close(&one);
    wait_for_streams(&mut browser, &two, &pages, 0);
}

#[test]
fn a_server_that_is_gone_is_reported_and_taken_back_once_it_is_there_again() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let mut pages = pages(&["A"]);
    let server = Server::start(&pages.site, "127.0.0.1:0");
    let address = server.address.to_string();
    let mut browser = Browser::start();
    let tab = browser.open(&server.page("/last/minute/"), false, "");
    browser.wait(&tab, LIVE);
    let stale = "document.getElementById('stale').textContent";
    assert_eq!(browser.evaluate(&tab, stale), "", "nothing is announced while all is well");
    drop(server);
    browser.wait(
        &tab,
        "/^Not connected for \\d+ s, trying again$/.test(document.getElementById('live').textContent)",
    );
    browser.wait(&tab, &format!("{stale} === 'Connection lost, trying again.'"));
    let _server = Server::start(&pages.site, &address);
    browser.wait(&tab, &format!("{LIVE} && {stale} === 'Connected again.'"));
    pages.measure(0, 64.0);
    browser.wait(&tab, &format!("{A} === '64.0 W'"));
}

#[test]
fn a_page_leads_to_the_login_once_that_has_ended() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let pages = Measured::new(&["lyon.web1", "paris.web1"], 9, Some(logins(&Fixture::of(&[]).clock())));
    let here = ClientConnection { address: [127, 0, 0, 1].into(), is_encrypted: false };
    let server = Server::start(&pages.site.clone().layer(Extension(here)), "127.0.0.1:0");
    let mut browser = Browser::start();
    let tab = browser.open(&server.page("/last/minute/"), true, "");
    browser.wait(&tab, "location.pathname === '/login/' && document.querySelector('[name=token]') !== null");
    browser.evaluate(
        &tab,
        "document.querySelector('[name=token]').value = 'lyon'; document.querySelector('[name=token]').form.submit()",
    );
    browser.wait(&tab, &format!("location.pathname === '/last/minute/' && {LIVE}"));
    assert_eq!(browser.evaluate(&tab, "document.querySelectorAll('[data-now]').length"), 1);
    let other = browser.open(&server.page("/probe/lyon.web1/"), true, "");
    browser.wait(&other, LIVE);
    browser.evaluate(&other, "fetch('/logout/', { method: 'POST' }).then(() => true)");
    browser.wait(&tab, "location.pathname === '/login/'");
}
