//! One probe has one kWh: every interface reports the same at one position in the journal, while measurements come in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kwapi_graph::{cost_text, energy_text};
use kwapi_peers::{Lab, need, wait_until};
use serde_json::Value;

use crate::fake_clock::FakedClock;
use crate::harness::{Kwapi, PATIENCE, kwapi, request};

/// The probe that every interface is queried about. It uses two kilowatt-hours a second: each message changes what is
/// shown.
const PROBE: &str = "rack.big";
const WATTS: u32 = 7_200_000;
/// EUR a kWh.
const PRICE: f64 = 0.25;

fn site() -> String {
    let mut toml = format!(
        "state_directory = '@DIR@/state'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\nkwh_price = {PRICE}\ncurrency = 'EUR'\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n[api]\nlisten = '127.0.0.1:@API@'\n"
    );
    _ = write!(
        toml,
        "[[meter]]\ndriver = 'dummy'\nprobe = '{PROBE}'\nwatts = {WATTS}\ninterval_seconds = 0.2\n"
    );
    // A dozen in all: above it the summary stacks groups.
    for number in 0..11 {
        _ = write!(
            toml,
            "[[meter]]\ndriver = 'dummy'\nprobe = 'load.n{number}'\nwatts = 900000\ninterval_seconds = 0.25\n"
        );
    }
    toml
}

/// What one interface reported of a probe's or group's energy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FaceReading {
    /// Where in the journal.
    position: (u64, u64),
    /// As people read it.
    kwh: String,
    face: &'static str,
}

/// What was reported of the probe, and of all together.
#[derive(Debug, Default)]
struct FaceReadings {
    probe: Vec<FaceReading>,
    total: Vec<FaceReading>,
}

fn position(text: &str) -> (u64, u64) {
    let (segment, offset) = text.split_once('-').unwrap();
    (segment.parse().unwrap(), offset.parse().unwrap())
}

/// Requests `path`: the position that the answer names, if it is of one, and the answer.
fn get(port: u16, path: &str) -> Option<(Option<(u64, u64)>, String)> {
    let (status, head, body) =
        request(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))?;
    let named = head.lines().find_map(|line| line.strip_prefix("kwapi-position: "));
    (status == 200).then(|| (named.map(position), String::from_utf8(body).unwrap()))
}

/// All numbers before a unit in a text.
fn numbers(text: &str, unit: &str) -> BTreeSet<String> {
    let parts: Vec<&str> = text.split(unit).collect();
    let before = parts.iter().take(parts.len() - 1);
    let is_of_number = |c: &char| c.is_ascii_digit() || matches!(c, '.' | '~' | '\u{a0}');
    before
        .map(|part| {
            let number: String = part.chars().rev().take_while(is_of_number).collect();
            number.chars().rev().collect::<String>() + unit
        })
        .collect()
}

/// The one number of kilowatt-hours of a text, and that its cost is of it.
#[track_caller]
fn only_kwh(what: &str, text: &str) -> Option<String> {
    let (kwh, cost) = (numbers(text, " kWh"), numbers(text, " EUR"));
    assert!(kwh.len() <= 1 && cost.len() <= 1, "{what} shows {kwh:?} and {cost:?}");
    kwh.into_iter().next()
}

/// The part of a page between two texts.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or(("", ""));
    rest.split_once(to).map_or("", |(part, _)| part)
}

/// A probe's page: its head, six legends, six drawings; not the bars, whose axis and hours have energies of their own.
fn without_bars(page: &str) -> String {
    page.replace(between(page, "id=\"energy-title\"", "id=\"cards\""), "")
}

fn read_face(service: &Kwapi, face: usize, readings: &Mutex<FaceReadings>) {
    let note = |face, at: Option<(u64, u64)>, kwh: Option<String>, is_total: bool| {
        let (Some(position), Some(kwh)) = (at, kwh) else { return };
        let mut readings = readings.lock().unwrap();
        if is_total { &mut readings.total } else { &mut readings.probe }.push(FaceReading {
            position,
            kwh,
            face,
        });
    };
    let of_row = |answer: &Value| answer["energy"][0]["rows"][0]["kwh"].as_f64().map(energy_text);
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    match face {
        0 => {
            if let Some((at, body)) = get(service.api, &format!("/v1/probes/{PROBE}/")) {
                note("/v1/probes/X/", at, json(&body)[PROBE]["kwh"].as_f64().map(energy_text), false);
            }
            if let Some((at, body)) = get(service.api, "/v1/probes/") {
                let kwh = json(&body)["probes"][PROBE]["kwh"].as_f64().map(energy_text);
                note("/v1/probes/", at, kwh, false);
            }
        }
        1 => {
            if let Some((at, body)) = get(service.api, &format!("/v2/energy?probe={PROBE}")) {
                assert_eq!(json(&body)["position"].as_str().map(position), at);
                note("/v2/energy", at, of_row(&json(&body)), false);
            }
            if let Some((at, body)) = get(service.api, "/v2/energy?by=total") {
                note("/v2/energy?by=total", at, of_row(&json(&body)), true);
            }
        }
        2 => {
            if let Some((at, page)) = get(service.web, &format!("/probe/{PROBE}/")) {
                note("page", at, only_kwh("the probe's page", &without_bars(&page)), false);
            }
            if let Some((at, svg)) = get(service.web, &format!("/graph/day/{PROBE}/?format=svg")) {
                note("graph", at, only_kwh("a graph", &svg), false);
            }
        }
        3 => {
            if let Some((at, page)) = get(service.web, "/last/hour/") {
                let card = between(&page, &format!("id=\"graph-{PROBE}\""), "</article>");
                note("card", at, only_kwh("a card", card), false);
                let head = between(&page, "id=\"now\"", "</section>");
                let legend = between(&page, "id=\"summary-legend\"", "</dl>");
                note("list", at, only_kwh("head and legend of the list", &format!("{head}{legend}")), true);
                let band = between(&page, &format!("<title>{PROBE}: "), "</title>");
                note("band", at, only_kwh("a band", band), false);
            }
            if let Some((at, svg)) = get(service.web, "/graph/week/?format=svg") {
                let legend = svg.rsplit_once("Energy ").map_or("", |(_, legend)| legend);
                note("summary", at, only_kwh("the summary's legend", legend), true);
            }
        }
        _ => {
            let mut command = kwapi();
            command.args(["energy", "--format", "json", "--probes", PROBE, "--config"]);
            let output = command.arg(service.file("kwapi.toml")).output().unwrap();
            if let (true, Ok(answer)) =
                (output.status.success(), serde_json::from_slice::<Value>(&output.stdout))
            {
                note("kwapi energy", answer["position"].as_str().map(position), of_row(&answer), false);
            }
        }
    }
}

/// At equal positions all must report the same, and at later ones no less. Returns of each face how often another one
/// reported at its position.
#[track_caller]
fn compare(all: &[FaceReading]) -> BTreeMap<&'static str, usize> {
    let mut by_position: BTreeMap<(u64, u64), BTreeSet<(&str, &'static str)>> = BTreeMap::new();
    for reading in all {
        by_position.entry(reading.position).or_default().insert((&reading.kwh, reading.face));
    }
    let mut compared = BTreeMap::new();
    let mut before = 0.0;
    for (position, reading) in &by_position {
        let kwh: BTreeSet<&str> = reading.iter().map(|(kwh, _)| *kwh).collect();
        assert_eq!(kwh.len(), 1, "at {position:?}: {reading:?}");
        let digits: String = kwh.iter().flat_map(|kwh| kwh.chars()).filter(|c| *c != '\u{a0}').collect();
        let number: f64 = digits.trim_end_matches(" kWh").parse().unwrap();
        // What is shown of 100 kWh and more is rounded to 0.1 kWh.
        assert!(number + 0.05 >= before, "at {position:?} {number} after {before}: {reading:?}");
        before = number;
        for (_, face) in reading.iter().filter(|_| reading.len() > 1) {
            *compared.entry(*face).or_default() += 1;
        }
    }
    compared
}

#[test]
fn whoever_is_queried_reports_one_kwh_at_one_position_while_measurements_come_in() {
    const FACES: [&str; 8] =
        ["/v1/probes/X/", "/v1/probes/", "/v2/energy", "page", "graph", "card", "band", "kwapi energy"];
    const OF_ALL: [&str; 3] = ["/v2/energy?by=total", "list", "summary"];
    let service = Kwapi::start(&["run"], &site());
    service.probe(PROBE);
    let (readings, is_enough) = (Mutex::new(FaceReadings::default()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for face in [0, 0, 1, 2, 3, 4] {
            let (service, readings, is_enough) = (&service, &readings, &is_enough);
            scope.spawn(move || {
                while !is_enough.load(Ordering::Relaxed) {
                    read_face(service, face, readings);
                }
            });
        }
        let begun = Instant::now();
        let mut compared = (BTreeMap::new(), BTreeMap::new());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while begun.elapsed() < PATIENCE * 2 {
                std::thread::sleep(std::time::Duration::from_millis(500));
                let (probe, total) = {
                    let readings = readings.lock().unwrap();
                    (readings.probe.clone(), readings.total.clone())
                };
                compared = (compare(&probe), compare(&total));
                let are_compared = |faces: &[&str], compared: &BTreeMap<&str, usize>| {
                    faces.iter().all(|face| compared.get(face).is_some_and(|times| *times >= 3))
                };
                if are_compared(&FACES, &compared.0) && are_compared(&OF_ALL, &compared.1) {
                    return;
                }
            }
            panic!("not everyone spoke at another's position: {compared:?}");
        }));
        is_enough.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn a_page_names_the_cost_of_the_kwh_that_it_shows() {
    if !need(&["faketime"]) {
        return;
    }
    // An hour ends, and there are the bars of two.
    let service = Kwapi::start_at(Lab::empty(), "2031-03-11 21:59:57", &["run"], &site());
    let _faked = FakedClock(service.process.id());
    service.probe(PROBE);
    let (page, kwh) = wait_until("energy of both hours on the page", PATIENCE, || {
        let (_, page) = get(service.web, &format!("/probe/{PROBE}/"))?;
        let page = without_bars(&page);
        let kwh = only_kwh("the page", &page)?;
        let kwh = kwh.trim_end_matches(" kWh").to_owned();
        (kwh.parse::<f64>().ok()? > 6.0).then_some((page, kwh))
    });
    // Costs are of the exact energy: the one shown is rounded, to half of its last digit.
    let decimals = kwh.split_once('.').map_or(0, |(_, part)| part.len());
    let half = 0.5 * 0.1_f64.powi(i32::try_from(decimals).unwrap());
    let number: f64 = kwh.parse().unwrap();
    let cost = numbers(&page, " EUR").into_iter().next().unwrap();
    let possible = [-half, 0.0, half].map(|off| cost_text((number + off) * PRICE, "EUR"));
    assert!(possible.contains(&cost), "{cost} is not of {kwh} kWh: {possible:?}");
}
