//! `kwapi run` killed at random moments under load, again and again: what a credit gained is the difference of two
//! successive registers in the journal, published totals never fall, and nothing is shown before it is recorded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::{ProbeId, Timestamp};
use kwapi_history::journal::{Journal, JournalConfig, Position};
use kwapi_history::{
    EnergyRequest, EnergyStep, Ledger, LedgerConfig, Query, SampleRow, Samples, SamplesConfig,
};
use kwapi_peers::Lab;
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get};

const CONFIGURATION: &str = "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\n\
    listen = '127.0.0.1:@WEB@'\nflush_interval_seconds = 1\n[ledger]\nwrite_interval_seconds = 1\n[samples]\nwrite_interval_seconds = 1\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
    [drivers]\ninterval_seconds = 0.1\n[[meter]]\ndriver = 'dummy'\nprobe = 'a.{outlet}'\noutlets = 20\nwatts = 3600000\n";

/// Every probe's energy at the API, in millijoules: what a kWh is written in has more digits than it has meaning.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "energy is not negative, and fits"
)]
fn published(kwapi: &Kwapi) -> Option<HashMap<String, u64>> {
    let (status, body) = get(kwapi.api, "/v1/probes/")?;
    let body: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    let probes = body["probes"].as_object()?;
    Some(
        probes
            .iter()
            .map(|(id, probe)| (id.clone(), (probe["kwh"].as_f64().unwrap() * 3.6e9).round() as u64))
            .collect(),
    )
}

/// Each probe's last register in the journal, in millijoules, once it is sure that none ever fell.
fn registers(lab: &Lab) -> HashMap<String, u64> {
    let config = JournalConfig::default();
    let (journal, _) = Journal::open(&lab.join("state/history"), config, Timestamp::from_seconds(1)).unwrap();
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut samples: HashMap<ProbeId, Vec<SampleRow>> = HashMap::new();
    let replayed = journal
        .replay(Position::default(), |record| {
            let (taken, accounting) = (record.taken.unwrap(), record.accounting.unwrap());
            let register = taken.register.energy.millijoules();
            let id = record.probe.to_string();
            if let Some(before) = last.get(&id) {
                let gained = register.checked_sub(*before);
                let gained = gained.unwrap_or_else(|| panic!("{id} fell from {before} to {register}"));
                // 3.6 MW for half a minute at most: more would be energy that was counted twice.
                assert!(gained < 120_000_000_000, "{id} gained {gained} mJ at {}", accounting.seq);
            }
            last.insert(id, register);
            samples.entry(record.probe.clone()).or_default().push(SampleRow::of(record));
        })
        .unwrap();
    assert_eq!(replayed.lost_count, 0, "{replayed:?}");
    assert_eq!(in_the_ledger(&journal), last, "each probe's rows add up to its register");
    for (probe, mut theirs) in samples {
        theirs.sort_by_key(|sample| sample.at);
        assert!(
            in_the_samples(&journal, &probe) == theirs,
            "{probe}: the samples are the journal's, once each"
        );
    }
    last
}

/// The samples of a probe, from files and what the journal has beyond them.
fn in_the_samples(journal: &Journal, probe: &ProbeId) -> Vec<SampleRow> {
    let samples = Samples::open(SamplesConfig::default(), journal).unwrap();
    samples.catch_up(Timestamp::from_seconds(1));
    let end = Timestamp::from_seconds(1 << 33);
    let page = samples.page(probe, Timestamp::EPOCH, end, usize::MAX - 1).unwrap();
    assert_eq!(page.unreadable, []);
    page.samples
}

/// What the rows of each probe add up to, in millijoules, from files and what the journal has beyond them.
fn in_the_ledger(journal: &Journal) -> HashMap<String, u64> {
    let now = Timestamp::from_seconds(1);
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), journal).unwrap());
    ledger.catch_up(now);
    let (probes, end) = (ledger.probes(), Timestamp::from_seconds(1 << 33));
    let request = EnergyRequest {
        probes,
        start: Timestamp::EPOCH,
        end,
        step: EnergyStep::Whole,
        is_to_now: false,
        now,
    };
    let answer = Query::new(ledger, None).energy(&request).unwrap();
    // The journal continues in a segment of its own, which has nothing yet.
    assert!(answer.position <= journal.end() && answer.unreadable.is_empty(), "{answer:?}");
    let energy = |span: &kwapi_history::EnergySpan| span.energy_mj().unsigned_abs();
    answer.probes.iter().map(|probe| (probe.probe.to_string(), energy(&probe.spans[0]))).collect()
}

/// Kills `count` times, after a random while each.
fn kill_and_start_again(count: u32) {
    let mut lab = Lab::empty();
    let mut shown: HashMap<String, u64> = HashMap::new();
    let mut dice: u64 = 0x9E37_79B9_7F4A_7C15;
    for round in 0..count {
        let kwapi = Kwapi::start_in(lab, &["run"], CONFIGURATION);
        let begun = Instant::now();
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let answers_wanted = (dice >> 33) % 25;
        let mut answers = 0;
        while answers <= answers_wanted {
            assert!(begun.elapsed() < PATIENCE, "round {round}: no answer\n{}", kwapi.process.log());
            let Some(all) = published(&kwapi).filter(|all| !all.is_empty()) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            answers += 1;
            for (id, energy) in all {
                let before = shown.insert(id.clone(), energy).unwrap_or(0);
                assert!(energy >= before, "round {round}: {id} fell from {before} to {energy} mJ");
            }
        }
        kwapi.process.signal(9);
        let Kwapi { process, lab: theirs, .. } = kwapi;
        process.ended(PATIENCE);
        lab = theirs;
        if round % 10 == 9 || round + 1 == count {
            let registers = registers(&lab);
            for (id, energy) in &shown {
                let register = registers.get(id).copied().unwrap_or_default();
                assert!(
                    register >= *energy,
                    "round {round}: {id} showed {energy} mJ, the journal has {register}"
                );
            }
        }
    }
    assert_eq!(shown.len(), 20, "{shown:?}");
}

/// `KWAPI_KILLS` gives another number.
#[test]
fn a_hundred_kills_take_back_nothing_and_count_nothing_twice() {
    let more = std::env::var("KWAPI_KILLS").ok().and_then(|count| count.parse().ok());
    kill_and_start_again(more.unwrap_or(100));
}
