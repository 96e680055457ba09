//! How long people wait for the list of a thousand probes: in a real Chromium, from a real program under load.

#![allow(clippy::disallowed_methods, reason = "a test starts the program that serves the page")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::driver::Browser;
use super::*;

const PROBES: usize = 1_000;
/// Probes of a rack, which is a meter.
const RACK: usize = 40;
/// How long it has measured before somebody looks, in seconds: there are whole minutes to be shown.
const SECONDS: u64 = 75;
/// The pages, and what each must have to be whole.
const PAGES: [&str; 2] = ["/last/minute/", "/last/day/"];
const IS_SHOWN: &str = "document.readyState === 'complete' && document.documentElement.dataset.live === 'open' \
                        && document.querySelectorAll('.card .kw-graph').length === 24";
/// Runs before the page: notes when its numbers began to be live.
const NOTE_LIVE: &str = "new MutationObserver(() => { if (document.documentElement?.dataset.live === 'open') \
                         window.liveAt ??= performance.now(); }).observe(document, { attributes: true, subtree: true });";
/// Milliseconds since the page was requested: its bytes are there, its scripts are, its numbers are live.
const TIMES: &str = "(({ responseEnd, domContentLoadedEventEnd }) => [responseEnd, domContentLoadedEventEnd, window.liveAt])\
                     (performance.getEntriesByType('navigation')[0])";

/// The program at work; it is ended with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Starts `program` with made-up meters at one measurement a second; nothing of theirs has been looked at.
fn start(program: &Path, lab: &kwapi_peers::Lab, [pages, api, status]: [SocketAddr; 3]) -> Running {
    let state = lab.join("state");
    let mut config = format!(
        "state_directory = {state:?}\n[rrd]\nlisten = \"{pages}\"\n[api]\nlisten = \"{api}\"\n[status]\nlisten = \"{status}\"\n"
    );
    for rack in 0..PROBES / RACK {
        let probes: Vec<String> = (0..RACK).map(|node| format!("\"hall.rack{rack}.node-{node}\"")).collect();
        let probes = probes.join(", ");
        _ = write!(
            config,
            "[[meter]]\nname = \"rack{rack}\"\ndriver = \"dummy\"\nprobes = [{probes}]\nwatts = 210\njitter_watts = 35\nseed = {rack}\n"
        );
    }
    let file = lab.join("kwapi.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(file).args(["--log", "error", "run"]).stdout(Stdio::null());
    Running(command.spawn().unwrap())
}

/// The body of an answer; nothing where there is none.
fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut connection) = TcpStream::connect(address) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        _ = connection.write_all(request.as_bytes());
        _ = connection.read_to_string(&mut answer);
    }
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

#[test]
#[ignore = "measures a program that is built: ./test --long pages"]
fn the_list_of_a_thousand_probes_is_soon_interactive() {
    let program = std::env::var_os("KWAPI_BINARY").expect("KWAPI_BINARY names the program to be measured");
    assert!(kwapi_peers::need(&["chromium"]));
    let lab = kwapi_peers::Lab::empty();
    let addresses @ [pages, api, _] = [(); 3].map(|()| free_address());
    let _running = start(Path::new(&program), &lab, addresses);
    let is_whole = || get(api, "/v1/probe-ids/").matches("hall.rack").count() == PROBES;
    let is_there = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        is_whole()
    });
    assert!(is_there, "not all probes are measured after a minute: {}", get(api, "/v1/probe-ids/"));
    std::thread::sleep(Duration::from_secs(SECONDS));
    let mut browser = Browser::start();
    // What a browser does when it opens its very first page is no matter of ours.
    let blank = browser.open("about:blank", false, "");
    browser.wait(&blank, "document.readyState === 'complete'");
    println!("| page | look | page is there, ms | interactive, ms | live, ms |\n|---|---|---|---|---|");
    let mut slowest: f64 = 0.0;
    for path in PAGES {
        for look in ["first", "second"] {
            let tab = browser.open(&format!("http://{pages}{path}"), false, NOTE_LIVE);
            browser.wait(&tab, IS_SHOWN);
            let times = browser.evaluate(&tab, TIMES);
            let [there, interactive, live] = [0, 1, 2].map(|at| times[at].as_f64().unwrap());
            println!("| `{path}` | {look} | {there:.0} | {interactive:.0} | {live:.0} |");
            slowest = slowest.max(interactive);
            browser.close(&tab);
        }
    }
    assert!(browser.faults().is_empty());
    if let Some(most) = std::env::var("KWAPI_INTERACTIVE_MS").ok().and_then(|most| most.parse::<f64>().ok()) {
        assert!(slowest < most, "interactive after {slowest:.0} ms; wanted are {most:.0}");
    }
}
