//! The test vectors of `energy::scenarios` from the account's end: messages in, answers and totals out.

use std::collections::BTreeMap;

use super::*;
use crate::ProbeId;
use crate::energy::scenarios::{self, Answer, Expected, Scenario};

/// Delivers a scenario's messages as it specifies, each response and total being as it specifies.
fn deliver(scenario: &Scenario) -> BTreeMap<ProbeId, Account> {
    let name = &scenario.name;
    let mut accounts: BTreeMap<ProbeId, Account> = BTreeMap::new();
    let mut folds: BTreeMap<ProbeId, Account> = BTreeMap::new();
    for (step, delivery) in scenario.delivery.iter().enumerate() {
        let message = &scenario.messages[delivery.message];
        let account = accounts.entry(message.probe.clone()).or_default();
        let before = account.totals();
        let credit = account.credit(&message.accounting, delivery.received_at, scenario.max_gap);
        let answer = match credit {
            Ok(_) => Answer::Credited,
            Err(Refused::Duplicate) => Answer::Duplicate,
            Err(Refused::SessionClosed | Refused::ConflictingPublisher) => Answer::Refused,
        };
        assert_eq!(
            (answer, account.totals().energy),
            (delivery.answer, delivery.total),
            "{name}: step {step}: message {}: {credit:?}",
            delivery.message
        );
        match credit {
            Ok(credit) => {
                assert_eq!((credit.before, credit.totals), (before, account.totals()), "{name}");
                let fold = folds.entry(message.probe.clone()).or_default();
                fold.replay(message.accounting.timestamp, Some(&message.accounting), &credit.decision);
                assert_eq!(kept(fold), kept(account), "{name}: step {step}: replayed");
            }
            Err(_) => assert_eq!(account.totals(), before, "{name}"),
        }
    }
    accounts
}

/// The curves (or sessions without one) that an account follows, each with its runs.
fn followed(account: &Account) -> Vec<(Timestamp, Vec<u32>)> {
    let mut followed: Vec<(Timestamp, Vec<u32>)> = Vec::new();
    for run in &account.runs {
        match followed.last_mut().filter(|_| run.opens.is_none()) {
            Some((_, runs)) => runs.push(run.number),
            None => followed.push((run.curve, vec![run.number])),
        }
    }
    followed
}

fn check_end(name: &str, account: &Account, expected: &Expected, newest: Timestamp) {
    let totals = account.totals();
    assert_eq!(totals.energy, expected.total, "{name}");
    assert_eq!([totals.measured(), totals.estimated, totals.bridged], expected.joules, "{name}: by status");
    assert_eq!(account.since(), expected.since, "{name}: since");
    assert_eq!(newest, expected.newest_stamp, "{name}: newest stamp");
    let known = [totals.measured_ms, totals.estimated_ms, totals.bridged_ms];
    assert_eq!(known, expected.milliseconds[..3], "{name}: time");
    // Unknown time is what is left. A vector has it up to the newest stamp, the account up to the present, which is
    // before that while the clock has been set back.
    let left =
        |to: Timestamp| (to.since(expected.since).as_millis() as u64).saturating_sub(known.iter().sum());
    assert_eq!(left(expected.newest_stamp), expected.milliseconds[3], "{name}: unknown");
    assert_eq!(totals.unknown_ms, left(account.last()), "{name}: unknown until now");
    assert_eq!(followed(account), expected.followed, "{name}: followed");
}

#[test]
fn each_scenario_gives_its_answers_and_ends_where_it_states() {
    let scenarios = scenarios::all();
    let mut with_clock_ahead = Vec::new();
    for scenario in &scenarios {
        let accounts = deliver(scenario);
        assert_eq!(accounts.len(), scenario.expected.len(), "{}", scenario.name);
        for (probe, account) in &accounts {
            let received = scenario.delivery.iter().map(|delivery| &scenario.messages[delivery.message]);
            let newest = received
                .filter(|message| message.probe == *probe)
                .map(|message| message.accounting.timestamp);
            // What was refused is not the account's: see `cloned-state` and `rival`, whose ends are credited.
            check_end(&scenario.name, account, &scenario.expected[probe], newest.max().unwrap());
            if account.last() < scenario.expected[probe].newest_stamp {
                with_clock_ahead.push(scenario.name.as_str());
            }
        }
    }
    assert_eq!(with_clock_ahead, ["clock-ahead-for-a-minute", "clock-back", "clock-wrong-for-long"]);
}
