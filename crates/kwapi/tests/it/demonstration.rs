//! The first command a newcomer types: no configuration, and yet watts and a graph, through real sockets.

use std::net::UdpSocket;
use std::process::Command;

use kwapi_peers::{Lab, Peer, find, need, wait_until};

use crate::harness::{Kwapi, PATIENCE, get, kwapi, request};

/// Starts the demonstration on free ports and waits until it has printed where to look.
fn start() -> (Peer, Lab, u16, u16) {
    let lab = Lab::empty();
    let mut command = kwapi();
    command
        .args(["run", "--api", "127.0.0.1:0", "--web", "127.0.0.1:0", "--status", "127.0.0.1:0"])
        .current_dir(lab.path())
        .env("TMPDIR", lab.path())
        .env_remove("KWAPI_CONFIG");
    let demonstration = Peer::start(&mut command, lab.join("demonstration.log"));
    let port = |label: &str| {
        wait_until(&format!("{label} printed"), PATIENCE, || {
            let log = demonstration.log();
            let line = log.lines().find(|line| line.starts_with(label))?;
            line.split("127.0.0.1:").nth(1)?.split('/').next()?.parse().ok()
        })
    };
    let (api, web) = (port("API"), port("web pages"));
    (demonstration, lab, api, web)
}

/// Waits until all thirteen simulated probes are served.
fn served(api: u16) -> serde_json::Value {
    wait_until("thirteen probes at the API", PATIENCE, || {
        let (_, body) = get(api, "/v1/probes/")?;
        let probes: serde_json::Value = serde_json::from_str(&body).ok()?;
        // The machine that the test runs on may have meters of its own.
        let simulated = probes["probes"].as_object()?.keys().filter(|probe| probe.starts_with("demo."));
        (simulated.count() == 13).then_some(probes)
    })
}

#[test]
fn without_a_configuration_there_are_watts_a_page_and_a_graph() {
    let (demonstration, lab, api, web) = start();
    let probes = served(api);
    let watts = probes["probes"]["demo.web-1"]["w"].as_f64().unwrap();
    assert!((50.0..400.0).contains(&watts), "{watts} W");
    let (status, head, png) =
        request(web, "GET /graph/minute/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert!(status == 200 && head.contains("image/png") && png.starts_with(b"\x89PNG"), "{head}");
    let (status, page) = get(web, "/last/minute/").unwrap();
    assert!(status == 200 && page.contains("demo.web-1") && page.contains("simulated"));
    assert!(demonstration.log().contains("simulated rack"), "it states what is simulated");
    demonstration.signal(15);
    assert!(demonstration.ended(PATIENCE).success(), "SIGTERM is a clean end");
    let left: Vec<_> =
        std::fs::read_dir(lab.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["demonstration.log"], "nothing is kept");
}

/// What the kernel has counted of UDP datagrams delivered on this machine.
fn datagrams_delivered() -> u64 {
    let snmp = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut udp = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let column = udp.next().unwrap().split_whitespace().position(|name| name == "InDatagrams").unwrap();
    udp.next().unwrap().split_whitespace().nth(column).unwrap().parse().unwrap()
}

#[test]
fn the_simulated_rack_is_reached_through_sockets() {
    assert!(UdpSocket::bind("127.0.0.1:0").is_ok());
    let before = datagrams_delivered();
    let (_demonstration, _lab, api, _) = start();
    let first = served(api)["probes"]["demo.web-1"]["timestamp"].as_f64().unwrap();
    let last = wait_until("three more readings", PATIENCE, || {
        let last = served(api)["probes"]["demo.web-1"]["timestamp"].as_f64().unwrap();
        (last >= first + 3.0).then_some(last)
    });
    // A request and an answer a round at the least.
    let delivered = datagrams_delivered() - before;
    assert!(delivered as f64 >= 2.0 * (last - first).floor(), "{delivered} datagrams");
}

#[test]
fn the_page_draws_its_graphs_in_a_real_browser() {
    if !need(&["chromium"]) {
        return;
    }
    let (_demonstration, lab, api, web) = start();
    served(api);
    let mut command = Command::new(find("chromium").unwrap());
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", lab.join("profile").display()));
    let shot = lab.join("page.png");
    command.arg(format!("--screenshot={}", shot.display())).arg("--window-size=1280,1400");
    command.arg(format!("http://127.0.0.1:{web}/"));
    kwapi_peers::output(&mut command);
    let picture = std::fs::read(&shot).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
    if let Some(keep) = std::env::var_os("KWAPI_SCREENSHOTS") {
        std::fs::copy(&shot, std::path::Path::new(&keep).join("demonstration.png")).unwrap();
    }
}

#[test]
fn an_occupied_port_names_who_lives_there_and_which_key_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let kwapi = Kwapi::start(
        &["run"],
        &format!("state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:{port}'\n"),
    );
    let log = wait_until("it gives up", PATIENCE, || {
        let log = kwapi.process.log();
        log.contains("is in use").then_some(log)
    });
    assert!(
        log.contains(&format!("port {port} on 127.0.0.1 is in use")) && log.contains("`api.listen`"),
        "{log}"
    );
}
