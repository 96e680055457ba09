//! How much a page transfers over the network, from the server that operators start to a real Chromium.

use std::net::SocketAddr;

use super::driver::Browser;
use super::*;
use crate::http::{Hosts, Listen, Listener, Seats};

/// Serves `site` as `kwapi rrd` does, compressed for clients that request it.
fn serve_as_shipped(site: Router) -> (SocketAddr, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listen = Listen {
        address: ([127, 0, 0, 1], 0).into(),
        tls: None,
        connections_max: 99,
        seats: Seats::new(99),
        hosts: Hosts::Any,
        access_log: false,
        routes: ROUTES,
    };
    let listener = runtime.block_on(async { Listener::bind(&listen).unwrap() });
    let address = listener.address();
    runtime.spawn(listener.serve(site, std::future::pending()));
    (address, runtime)
}

#[test]
fn the_list_of_a_thousand_probes_is_less_than_300_kilobytes_in_all() {
    if !kwapi_peers::need(&["chromium"]) {
        return;
    }
    let names: Vec<String> = (0..1_000).map(|number| format!("lyon.r{}.n{number}", number / 40)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (address, _runtime) = serve_as_shipped(serve(Fixture::of(&names)));
    let mut browser = Browser::start();
    for path in ["/last/minute/", "/last/day/"] {
        let tab = browser.open(&format!("http://{address}{path}"), false, "");
        let shown = "document.readyState === 'complete' && document.documentElement.dataset.script === 'on' && document.querySelectorAll('.card .kw-graph').length === 24";
        browser.wait(&tab, shown);
        let bytes = browser.bytes();
        // Each time the document alone is more than this.
        assert!((20_000.0..300_000.0).contains(&bytes), "{path}: {bytes} bytes");
        browser.close(&tab);
    }
}
