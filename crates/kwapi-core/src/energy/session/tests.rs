//! The scenarios from their source to their messages; worlds and counterexamples beside.

mod clocks;
mod entries;
mod faults;
mod identity;
mod process;
mod properties;
mod records;
mod small;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use super::super::scenarios::{self, Happens, Scenario};
use super::super::worlds::{Instant, State, WorldSource};
use super::*;
use crate::ProbeId;

/// A stamp in whole milliseconds: where two must not be equal, ours are a microsecond apart and theirs a millisecond.
fn milliseconds(stamp: Timestamp) -> u64 {
    stamp.micros().div_ceil(1000)
}

fn text(message: &scenarios::Message) -> String {
    let Accounting { timestamp, session, seq, totals, curve, .. } = &message.accounting;
    let curve = curve.map(|curve| (milliseconds(curve.id), curve.run, curve.begin.millijoules()));
    let (stamp, session) = (milliseconds(*timestamp), milliseconds(*session));
    format!("{} session {session} seq {seq} stamp {stamp} {totals:?} curve {curve:?}", message.probe)
}

fn play(scenario: &Scenario) -> Vec<(Option<usize>, Option<scenarios::Message>)> {
    let limits =
        Limits { max_gap: scenario.max_gap, interval: scenario.interval, max_watts: scenario.max_watts };
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    let mut sources: BTreeMap<(String, ProbeId), WorldSource> = BTreeMap::new();
    let mut published = Vec::new();
    for event in &scenario.source {
        match &event.what {
            Happens::Read(read) => {
                let state = states.entry(read.manager.clone()).or_default();
                let source = sources
                    .entry((read.manager.clone(), read.probe.clone()))
                    .or_insert_with(|| WorldSource::new(&read.probe, state, limits));
                let now = Instant {
                    wall: (read.wall.micros() / 1000) as i64,
                    boottime: read.boottime.as_millis() as u64,
                    boot: read.boot.to_string(),
                };
                let register = Register {
                    serial: read.serial.clone(),
                    path: Some(read.path.clone()),
                    is_in_host: read.is_in_host,
                    ..Register::default()
                };
                let configured = BTreeSet::from([read.probe.clone()]);
                let message = source.take(read.power, read.counter, &register, &now, state, &configured);
                published.push((read.publishes, message));
            }
            Happens::Kill { manager } => sources.retain(|(of, _), _| of != manager),
            Happens::Stop { manager } => {
                let state = states.entry(manager.clone()).or_default();
                let (stopped, others) = sources.into_iter().partition(|((of, _), _)| of == manager);
                sources = others;
                let stopped: BTreeMap<_, WorldSource> = stopped;
                stopped.into_values().for_each(|source| source.stop(state));
            }
            Happens::Reboot => sources.clear(),
            Happens::PowerLoss => {
                sources.clear();
                states.values_mut().for_each(State::power_loss);
            }
            Happens::CopyState { manager, of } => {
                let copy = states[of].clone();
                states.insert(manager.clone(), copy);
            }
            Happens::Clock { .. } | Happens::RegisterReset => {} // The readings show it.
        }
    }
    published
}

#[test]
fn each_scenario_is_published_as_expected() {
    let mut wrong = Vec::new();
    for scenario in scenarios::all() {
        for (expected, message) in play(&scenario) {
            let expected = expected.map(|index| text(&scenario.messages[index]));
            let message = message.as_ref().map(text);
            if message != expected {
                wrong.push(format!("{}:\n  expected {expected:?}\n  came     {message:?}", scenario.name));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_session_of_watts_alone_takes_little_room() {
    let sizes = [size_of::<Running>(), size_of::<Session>()];
    println!("{sizes:?}");
    assert!(sizes[0] <= 560 && sizes[1] <= 24, "{sizes:?}");
}
