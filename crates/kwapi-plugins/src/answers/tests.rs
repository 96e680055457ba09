//! Sums, as they are written.

mod peers;
mod series;

use std::borrow::Cow;
use std::sync::Arc;

use kwapi_core::{Accounting, Decision, Energy, Quality, SegmentKind, Timestamp, Totals, Watts};
use kwapi_history::journal::{Credited, Journal, JournalConfig, Taken};
use kwapi_history::{EnergyRequest, EnergyStep, Ledger, LedgerConfig};
use kwapi_peers::Lab;
use serde_json::{Value, json};

use super::*;
use crate::directory::{ConfiguredProbes, Labels};

/// An hour of the day.
const BEGIN: u64 = 20_700 * 86_400;

/// Two messages of a probe that draws so many watts, an hour apart.
fn hour(name: &str, watts: u64) -> Vec<Credited> {
    let probe = ProbeId::new(name).unwrap();
    let session = Timestamp::from_seconds(BEGIN);
    let message = |seq: u64| {
        let at = Timestamp::from_seconds(BEGIN + seq * 3_600);
        let totals = Totals {
            energy: Energy::from_millijoules(seq * 3_600 * watts * 1_000),
            measured_ms: seq * 3_600_000,
            ..Totals::default()
        };
        let accounting = Accounting {
            timestamp: at,
            session,
            seq,
            totals,
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let decision = match seq {
            0 => Decision::Begin { kind: SegmentKind::First, begin: session, base: Energy::ZERO },
            _ => Decision::Continue,
        };
        let (voltage, current, power) = (None, None, Watts(watts as f64));
        let (accounting, taken) = (Some(accounting), Some(Taken { decision, register: totals }));
        Credited { probe: probe.clone(), at, power, voltage, current, accounting, taken }
    };
    (0..2).map(message).collect()
}

struct House {
    lab: Lab,
    answers: EnergyAnswers,
}

/// A rack with a meter of its own above three machines, a machine elsewhere, and a sum of others.
fn house() -> House {
    house_of(
        &[
            ("lyon.r3", 100),
            ("lyon.r3.a", 30),
            ("lyon.r3.b", 40),
            ("lyon.r3.c.psu", 5),
            ("paris", 7),
            ("all", 107),
        ],
        None,
    )
}

/// Probes that draw so many watts for an hour, by meters of this accuracy in percent.
fn house_of(probes: &[(&str, u64)], accuracy: Option<f64>) -> House {
    let lab = Lab::empty();
    let wall = Timestamp::from_seconds(BEGIN);
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), wall).unwrap();
    for (probe, watts) in probes {
        journal.append(&Arc::new(hour(probe, *watts)), wall).unwrap();
    }
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(wall);
    let owner = |probe: &ProbeId| -> Labels {
        let owner = match probe.as_str() {
            "lyon.r3.a" | "paris" => "physics",
            "lyon.r3.b" => "biology",
            _ => return Labels::new(),
        };
        [("owner".to_owned(), owner.to_owned())].into()
    };
    let configured = ConfiguredProbes::new(owner, [ProbeId::new("all").unwrap()]);
    let directory = Directory::new(configured.with_accuracy(move |_| accuracy));
    House { lab, answers: EnergyAnswers::new(Query::new(ledger, None), directory) }
}

fn energy_of(house: &House, query: &str) -> Value {
    energy_until(house, query, BEGIN, BEGIN + 3_600)
}

fn energy_until(house: &House, query: &str, start: u64, now: u64) -> Value {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (Cow::from(name), Cow::from(value)));
    let start = [(Cow::from("start"), Cow::from(start.to_string()))];
    let question =
        EnergyQuestion::parse(start.into_iter().chain(pairs), "", Timestamp::from_seconds(now)).unwrap();
    let mut text = Vec::new();
    let prepared = house.answers.prepare(question, &Scope::All).unwrap();
    prepared
        .write(|_| (), &mut |part| {
            text.extend(part);
            true
        })
        .unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Each subject with its watt-hours and how many probes it has.
fn sums(answer: &Value, name: &str) -> Vec<(Value, f64, Value)> {
    let sums = answer["energy"].as_array().unwrap().iter();
    sums.map(|sum| {
        let rows = sum["rows"].as_array().unwrap();
        let joules: f64 = rows.iter().map(|row| row["joules"].as_f64().unwrap()).sum();
        (sum[name].clone(), joules / 3_600.0, sum["probes"].clone())
    })
    .collect()
}

#[test]
fn a_total_counts_each_joule_once_along_a_path() {
    let house = house();
    assert_eq!(sums(&energy_of(&house, "by=total"), "total"), [(json!(null), 107.0, json!(5))]);
    // Of what is requested: without its meter a rack is the sum of its machines.
    assert_eq!(
        sums(&energy_of(&house, "by=total&pattern=lyon.r3.*"), "total"),
        [(json!(null), 75.0, json!(3))]
    );
    let probes = sums(&energy_of(&house, "step=minute"), "probe");
    assert_eq!(probes.len(), 6, "each is shown by itself");
    assert_eq!(probes[0], (json!("all"), 107.0, json!(null)));
}

#[test]
fn labels_add_up_to_the_whole_with_a_line_for_what_has_none() {
    let house = house();
    let by_owner = sums(&energy_of(&house, "by=owner"), "label");
    let expected = [
        (json!(null), 30.0, json!(2)),
        (json!("biology"), 40.0, json!(1)),
        (json!("physics"), 37.0, json!(2)),
    ];
    assert_eq!(by_owner, expected);
    let by_nothing = sums(&energy_of(&house, "by=floor"), "label");
    assert_eq!(by_nothing, [(json!(null), 107.0, json!(5))]);
}

#[test]
fn groups_are_the_prefixes_of_paths() {
    let house = house();
    let groups = sums(&energy_of(&house, "by=group"), "group");
    let expected = [
        (json!("lyon"), 100.0, json!(4)),
        (json!("lyon.r3"), 100.0, json!(4)),
        (json!("lyon.r3.c"), 5.0, json!(1)),
    ];
    assert_eq!(groups, expected);
    let selected = sums(&energy_of(&house, "group=lyon.r3&step=900"), "group");
    assert_eq!(selected, [(json!("lyon.r3"), 100.0, json!(4))]);
}

#[test]
fn a_sum_draws_what_its_probes_draw_together() {
    let house = house();
    // Over an hour watts and watt-hours are the same number; over two, of which one is absent, the watts stay.
    for (until, query) in [(3_600, "by=total"), (7_200, "by=total"), (7_200, "by=owner")] {
        let answer = energy_until(&house, query, BEGIN, BEGIN + until);
        for sum in answer["energy"].as_array().unwrap() {
            let row = &sum["rows"][0];
            let (watts, hours) =
                (row["mean_watts"].as_f64().unwrap(), row["joules"].as_f64().unwrap() / 3_600.0);
            assert!((watts - hours).abs() < 0.001, "{query}: {answer:#}");
        }
    }
}

/// The rests of all meters in the hour less `lacks` seconds at its begin: meter, watt-hours of the rest, finding.
#[track_caller]
fn check_rests(
    probes: &[(&str, u64)],
    accuracy: Option<f64>,
    span: (u64, u64),
    expected: &[(&str, f64, bool)],
) {
    let house = house_of(probes, accuracy);
    let members = GroupMembers::new(&house.answers.query().probes(), &house.answers.directory, &Scope::All);
    let (start, end) = (Timestamp::from_seconds(BEGIN + span.0), Timestamp::from_seconds(BEGIN + span.1));
    let request =
        EnergyRequest { probes: Vec::new(), start, end, step: EnergyStep::Whole, is_to_now: false, now: end };
    let rests = house.answers.rests(&members, None, &request).unwrap();
    assert_eq!(rests.position.is_empty(), expected.is_empty());
    let found: Vec<_> = rests
        .rests
        .iter()
        .map(|rest| (rest.meter.as_str(), rest.rest_mj.unwrap() as f64 / 3.6e6, rest.finding.is_some()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn less_than_nothing_left_at_a_meter_is_a_finding_beyond_the_accuracy_of_all() {
    let hour = (0, 3_600);
    check_rests(&[("r", 100), ("r.a", 30), ("r.b", 40)], None, hour, &[("r", 30.0, false)]);
    // Their accuracy is not given: five in a hundred each, both ways.
    check_rests(&[("r", 100), ("r.a", 60), ("r.b", 49)], None, hour, &[("r", -9.0, false)]);
    check_rests(&[("r", 100), ("r.a", 60), ("r.b", 52)], None, hour, &[("r", -12.0, true)]);
    check_rests(&[("r", 100), ("r.a", 60), ("r.b", 52)], Some(10.0), hour, &[("r", -12.0, false)]);
    check_rests(&[("r", 1000), ("r.a", 1010)], Some(0.1), hour, &[("r", -10.0, true)]);
    // Each meter against those directly below it.
    let nested = [("r", 100), ("r.s", 90), ("r.s.a", 200)];
    check_rests(&nested, None, hour, &[("r", 10.0, false), ("r.s", -110.0, true)]);
    check_rests(&[("a.b", 3), ("a.c", 4)], None, hour, &[]);
}

#[test]
fn a_meter_is_judged_by_the_time_that_it_has_measured_and_not_by_a_short_one() {
    let probes = [("r", 100), ("r.a", 200)];
    check_rests(&probes, None, (0, 600), &[("r", -100.0 / 6.0, false)]);
    // Later nobody was there, be it for seconds or for the rest of a day.
    for end in [3_630, 7_200, 86_400] {
        check_rests(&probes, None, (0, end), &[("r", -100.0, true)]);
    }
    // Of no quarter hour the meter has measured all.
    check_rests(&probes, None, (3_000, 7_200), &[("r", -100.0 / 6.0, false)]);
}

#[test]
fn the_watch_finds_a_negative_rest_reports_it_and_forgets_it() {
    let probes: Vec<(String, u64)> =
        (0..12).flat_map(|n| [(format!("r{n:02}"), 10), (format!("r{n:02}.a"), 30)]).collect();
    let probes: Vec<(&str, u64)> = probes.iter().map(|(name, watts)| (name.as_str(), *watts)).collect();
    let house = house_of(&probes, None);
    let watch = RestWatch::new(house.answers.query().clone(), house.answers.directory.clone());
    let shown = |scope: Scope| {
        let mut out = crate::metrics::Exposition::limited_to(scope);
        crate::metrics::MetricSource::collect(&watch, &mut out);
        out.prometheus()
    };
    assert!(watch.troubles().is_empty() && shown(Scope::All).ends_with("kwapi_group_negative_rests 0\n"));
    watch.look(Timestamp::from_seconds(BEGIN + 3_720));
    let troubles = watch.troubles();
    assert_eq!(
        troubles[0],
        "r00 measured 0.010 kWh within an hour, and the probe directly below it 0.030 kWh, which is more than their \
         accuracy allows; check ids, wiring and `accuracy`"
    );
    assert_eq!(
        (troubles.len(), &*troubles[10]),
        (11, "2 more meters measured less than the probes below them")
    );
    assert!(shown(Scope::All).ends_with("kwapi_group_negative_rests 12\n"), "{}", shown(Scope::All));
    assert!(shown(Scope::nothing()).ends_with("kwapi_group_negative_rests 0\n"));
    // An hour later nothing was measured by which they could be judged.
    watch.look(Timestamp::from_seconds(BEGIN + 2 * 3_600));
    assert!(watch.troubles().is_empty());
}
