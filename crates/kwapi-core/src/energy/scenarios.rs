//! Test vectors of the rules of energy, for both halves: what happens at a meter and its manager, the messages that
//! come of it, the order a plugin receives them in, and where its account ends. One text file each in `scenarios/`.
//!
//! A file begins with what it shows and the probe's settings. Then, in milliseconds, millijoules and watts:
//!
//! - `source`: a line each event, `TIME EVENT KEY=VALUE…`; `TIME` is true time since the beginning. `reading`: a
//!   manager reads a probe's `watts` and `register` (absent: the meter has none) at `boottime` (absent: `TIME`) of boot
//!   number `boot`, the wall clock showing `wall`, and publishes the message numbered `publishes`, or none. `kill`,
//!   `stop`: a manager ends, the latter cleanly. `reboot`, `power_loss`: the host begins another boot, after the latter
//!   with the state as of its last sync. `copy_state`: `manager` gets a copy of the state of `of`. `clock`: the wall
//!   clock is `offset` off the truth from here. `register_reset`: somebody sets the register to zero.
//! - `messages`: what is published; their order is their number.
//! - `delivery`: the number of the message, when it is received on the plugin's monotonic clock, what the account
//!   returns, the published total after it. `corrects MINUTE J J J MS MS MS`: by how much it changes a closed minute (a
//!   stamp at or after its end was received before); measured, estimated, bridged.
//! - `expected PROBE`: the end. `milliseconds` has unknown time as its fourth. `followed`: a curve, or a session without
//!   one, and the runs received of it, in the account's order. `row`: a minute of the ledger, corrections included.
//!
//! Stamps and ids become microseconds as they are read; those that are one after another are a millisecond apart here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::{Accounting, CurvePoint, Energy, MeterCounter, ProbeId, Quality, Timestamp, Totals, Watts};

/// One test vector.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) max_gap: Duration,
    /// The meter's own interval.
    pub(super) interval: Duration,
    pub(super) max_watts: Option<Watts>,
    pub(super) source: Vec<Event>,
    pub(super) messages: Vec<Message>,
    pub(super) delivery: Vec<Delivery>,
    pub(super) expected: BTreeMap<ProbeId, Expected>,
}

/// What happens, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) at: Duration,
    pub(super) what: Happens,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Happens {
    Read(Box<ReadEvent>),
    Kill {
        manager: String,
    },
    Stop {
        manager: String,
    },
    Reboot,
    PowerLoss,
    CopyState {
        manager: String,
        of: String,
    },
    /// Milliseconds.
    Clock {
        offset: i64,
    },
    RegisterReset,
}

/// A manager reads a probe.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadEvent {
    pub(super) manager: String,
    pub(super) probe: ProbeId,
    pub(super) power: Watts,
    pub(super) counter: Option<MeterCounter>,
    pub(super) serial: Option<String>,
    pub(super) path: String,
    pub(super) is_in_host: bool,
    pub(super) boot: u64,
    pub(super) boottime: Duration,
    pub(super) wall: Timestamp,
    /// The number of the message that it becomes.
    pub(super) publishes: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) probe: ProbeId,
    pub(super) accounting: Accounting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Credited,
    Duplicate,
    Refused,
}

/// One message received.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Delivery {
    /// Its number.
    pub(super) message: usize,
    pub(super) received_at: Duration,
    pub(super) answer: Answer,
    /// The published total afterwards.
    pub(super) total: Energy,
    pub(super) corrections: Vec<Correction>,
}

/// A change of a closed minute: measured, estimated, bridged, in millijoules and milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Correction {
    pub(super) interval: Timestamp,
    pub(super) mj: [i64; 3],
    pub(super) ms: [i64; 3],
}

/// A minute of the ledger: measured, estimated, bridged, in millijoules and milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LedgerMinute {
    pub(super) interval: Timestamp,
    pub(super) mj: [u64; 3],
    pub(super) ms: [u64; 3],
}

/// Where a probe's account ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) total: Energy,
    /// Measured, estimated, bridged.
    pub(super) joules: [Energy; 3],
    /// Of wall time between `since` and `newest_stamp`: measured, estimated, bridged, unknown.
    pub(super) milliseconds: [u64; 4],
    pub(super) since: Timestamp,
    pub(super) newest_stamp: Timestamp,
    pub(super) followed: Vec<(Timestamp, Vec<u32>)>,
    pub(super) rows: Vec<LedgerMinute>,
}

/// All of them, in order of name.
pub(super) fn all() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/energy/scenarios");
    let entries = fs::read_dir(folder).expect("the folder of scenarios");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let read = |path: &Path| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        parse(name, &fs::read_to_string(path).expect("a scenario"))
    };
    paths.iter().map(|path| read(path)).collect()
}

/// The one called `name`.
pub(super) fn named(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).expect("a scenario of this name")
}

fn parse(name: &str, text: &str) -> Scenario {
    let mut scenario = Scenario {
        name: name.to_owned(),
        max_gap: Duration::ZERO,
        interval: Duration::ZERO,
        max_watts: None,
        source: Vec::new(),
        messages: Vec::new(),
        delivery: Vec::new(),
        expected: BTreeMap::new(),
    };
    let mut section = "";
    let mut probe = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), section) {
            (["source"], _) => section = "source",
            (["messages", ..], _) => section = "messages",
            (["delivery", ..], _) => section = "delivery",
            (["expected", id], _) => {
                section = "expected";
                let id = id_of(id);
                scenario.expected.insert(id.clone(), nothing_expected());
                probe = Some(id);
            }
            (["max_gap", value], "") => scenario.max_gap = milliseconds(value),
            (["interval", value], "") => scenario.interval = milliseconds(value),
            (["max_watts", value], "") => scenario.max_watts = Some(Watts(number(value))),
            (words, "source") => scenario.source.push(event(words)),
            (words, "messages") => scenario.messages.push(message(words)),
            (["corrects", words @ ..], "delivery") => {
                let correction = correction(words);
                scenario.delivery.last_mut().expect("a delivery").corrections.push(correction);
            }
            (words, "delivery") => scenario.delivery.push(delivery(words)),
            (words, _) => {
                let of_probe = probe.as_ref().and_then(|probe| scenario.expected.get_mut(probe));
                expect(of_probe.expect("a probe"), words);
            }
        }
    }
    scenario
}

fn event(words: &[&str]) -> Event {
    let [at, what, pairs @ ..] = words else { panic!("no event: {words:?}") };
    let keys: BTreeMap<&str, &str> =
        pairs.iter().map(|pair| pair.split_once('=').expect("a key and a value")).collect();
    let manager = || (*keys.get("manager").unwrap_or(&"a")).to_owned();
    let at = milliseconds(at);
    let what = match *what {
        "kill" => Happens::Kill { manager: manager() },
        "stop" => Happens::Stop { manager: manager() },
        "reboot" => Happens::Reboot,
        "power_loss" => Happens::PowerLoss,
        "copy_state" => Happens::CopyState { manager: manager(), of: keys["of"].to_owned() },
        "clock" => Happens::Clock { offset: number(keys["offset"]) },
        "register_reset" => Happens::RegisterReset,
        "reading" => Happens::Read(Box::new(ReadEvent {
            manager: manager(),
            probe: id_of(keys.get("probe").unwrap_or(&"p")),
            power: Watts(number(keys["watts"])),
            counter: keys.get("register").map(|value| MeterCounter {
                value: energy(value),
                resolution: energy(keys.get("tick").unwrap_or(&"1")),
                range: keys.get("range").map(|range| energy(range)),
                reset_at: keys.get("reset_at").map(|stamp| timestamp(stamp)),
            }),
            serial: keys.get("serial").map(|&serial| serial.to_owned()),
            path: (*keys.get("path").unwrap_or(&"dev/1")).to_owned(),
            is_in_host: keys.contains_key("in_host"),
            boot: keys.get("boot").map_or(0, |boot| number(boot)),
            boottime: keys.get("boottime").map_or(at, |boottime| milliseconds(boottime)),
            wall: timestamp(keys["wall"]),
            publishes: keys.get("publishes").map(|index| number(index)),
        })),
        other => panic!("no such event: {other}"),
    };
    Event { at, what }
}

fn message(words: &[&str]) -> Message {
    let [probe, session, seq, stamp, energy_mj, estimated, bridged, rest @ ..] = words else {
        panic!("no message: {words:?}")
    };
    let [measured_ms, estimated_ms, bridged_ms, unknown_ms, curve, run, curve_mj] = rest else {
        panic!("no message: {words:?}")
    };
    let curve = (*curve != "-").then(|| CurvePoint {
        id: timestamp(curve),
        run: number(run),
        begin: energy(curve_mj),
    });
    let totals = Totals {
        energy: energy(energy_mj),
        estimated: energy(estimated),
        bridged: energy(bridged),
        measured_ms: number(measured_ms),
        estimated_ms: number(estimated_ms),
        bridged_ms: number(bridged_ms),
        unknown_ms: number(unknown_ms),
    };
    let accounting = Accounting {
        timestamp: timestamp(stamp),
        session: timestamp(session),
        seq: number(seq),
        totals,
        curve,
        meter: None,
        quality: Quality::Measured,
    };
    Message { probe: id_of(probe), accounting }
}

fn delivery(words: &[&str]) -> Delivery {
    let [message, received_at, answer, total] = words else { panic!("no delivery: {words:?}") };
    let answer = match *answer {
        "credited" => Answer::Credited,
        "duplicate" => Answer::Duplicate,
        "refused" => Answer::Refused,
        other => panic!("no such answer: {other}"),
    };
    Delivery {
        message: number(message),
        received_at: milliseconds(received_at),
        answer,
        total: energy(total),
        corrections: Vec::new(),
    }
}

fn correction(words: &[&str]) -> Correction {
    let [interval, numbers @ ..] = words else { panic!("no correction: {words:?}") };
    let (mj, ms) = six(numbers);
    Correction { interval: timestamp(interval), mj, ms }
}

fn expect(expected: &mut Expected, words: &[&str]) {
    match words {
        ["total", total] => expected.total = energy(total),
        ["joules", joules @ ..] => expected.joules = array(joules).map(Energy::from_millijoules),
        ["milliseconds", milliseconds @ ..] => expected.milliseconds = array(milliseconds),
        ["since", stamp] => expected.since = timestamp(stamp),
        ["newest_stamp", stamp] => expected.newest_stamp = timestamp(stamp),
        ["followed", curve, runs @ ..] => {
            expected.followed.push((timestamp(curve), runs.iter().map(|run| number(run)).collect()));
        }
        ["row", interval, numbers @ ..] => {
            let (mj, ms) = six(numbers);
            expected.rows.push(LedgerMinute { interval: timestamp(interval), mj, ms });
        }
        other => panic!("nothing is expected by {other:?}"),
    }
}

fn nothing_expected() -> Expected {
    Expected {
        total: Energy::ZERO,
        joules: [Energy::ZERO; 3],
        milliseconds: [0; 4],
        since: Timestamp::EPOCH,
        newest_stamp: Timestamp::EPOCH,
        followed: Vec::new(),
        rows: Vec::new(),
    }
}

fn six<T: FromStr>(words: &[&str]) -> ([T; 3], [T; 3]) {
    (array(&words[..3]), array(&words[3..]))
}

fn array<T: FromStr, const N: usize>(words: &[&str]) -> [T; N] {
    let numbers: Vec<T> = words.iter().map(|word| number(word)).collect();
    numbers.try_into().ok().unwrap_or_else(|| panic!("{N} numbers, not {words:?}"))
}

fn number<T: FromStr>(text: &str) -> T {
    text.parse().ok().unwrap_or_else(|| panic!("a number, not {text:?}"))
}

fn id_of(name: &str) -> ProbeId {
    ProbeId::new(name).expect("a probe id")
}

fn energy(millijoules: &str) -> Energy {
    Energy::from_millijoules(number(millijoules))
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(number(text))
}

fn timestamp(milliseconds: &str) -> Timestamp {
    Timestamp::from_micros(number::<u64>(milliseconds) * 1000)
}

#[test]
fn each_scenario_is_whole() {
    let scenarios = all();
    assert!(scenarios.len() >= 35, "{}", scenarios.len());
    for scenario in &scenarios {
        let name = &scenario.name;
        let mut published: Vec<usize> = Vec::new();
        for event in &scenario.source {
            if let Happens::Read(read) = &event.what {
                published.extend(read.publishes);
            }
        }
        let count = scenario.messages.len();
        assert!(count > 0 && published == (0..count).collect::<Vec<_>>(), "{name}: {published:?}");
        assert!(scenario.messages.iter().all(|message| message.accounting.totals.is_sound()), "{name}");
        assert!(scenario.delivery.iter().all(|delivery| delivery.message < count), "{name}");
        assert!(!scenario.delivery.is_empty() && !scenario.expected.is_empty(), "{name}");
        for (probe, expected) in &scenario.expected {
            let joules: u64 = expected.joules.iter().map(|energy| energy.millijoules()).sum();
            assert_eq!(joules, expected.total.millijoules(), "{name}: {probe}");
            let time: u64 = expected.milliseconds.iter().sum();
            let length = expected.newest_stamp.since(expected.since).as_millis();
            assert_eq!(u128::from(time), length, "{name}: {probe}");
            let rows = expected.rows.iter().flat_map(|row| row.mj).sum::<u64>();
            assert_eq!(rows, expected.total.millijoules(), "{name}: {probe}: rows");
        }
    }
    assert!(named("lost-and-late").delivery.iter().any(|delivery| delivery.answer == Answer::Duplicate));
}
