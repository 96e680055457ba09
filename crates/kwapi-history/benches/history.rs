//! What history costs: RRD updates beside RRDtool's own, journal appends, and a second of 10 000 probes.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench starts RRDtool to compare with, fails by panicking, and its items are criterion's"
)]

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kwapi_core::{
    Accounting, Decision, Energy, Measurement, Period, ProbeId, Quality, SegmentKind, Timestamp, Totals,
    Watts,
};
use kwapi_history::journal::{Credited, Journal, JournalConfig, Taken};
use kwapi_history::rrd::{self, Rrd};
use kwapi_history::store::POWER;
use kwapi_history::{
    EnergyRequest, EnergyStep, History, HistoryConfig, JournalConsumer, Ledger, LedgerConfig, Query, Samples,
    SamplesConfig,
};

const START: u64 = 1_700_000_000;

fn stamp(second: u64) -> Timestamp {
    Timestamp::from_seconds(START + second)
}

/// 120 updates of one file, a second apart: what one flush writes.
fn updates(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("rrd");
    group.throughput(Throughput::Elements(120));
    let mut in_memory = Rrd::new(&POWER, START);
    let mut second = 0;
    group.bench_function("120 updates in memory", |bencher| {
        bencher.iter(|| {
            for _ in 0..120 {
                second += 1;
                in_memory.update(stamp(second), &[Some(97.0)]).unwrap();
            }
            black_box(&in_memory);
        });
    });
    let file = directory.path().join("ours.rrd");
    rrd::create(&file, &Rrd::new(&POWER, START)).unwrap();
    let mut second = 0;
    group.bench_function("120 updates of a file", |bencher| {
        bencher.iter(|| {
            rrd::amend(&file, |rrd| {
                for _ in 0..120 {
                    second += 1;
                    rrd.update(stamp(second), &[Some(97.0)]).unwrap();
                }
            })
            .unwrap();
        });
    });
    if kwapi_peers::find("rrdtool").is_some() {
        let file = directory.path().join("theirs.rrd");
        rrd::create(&file, &Rrd::new(&POWER, START)).unwrap();
        let mut second = 0;
        // As many as a command line takes, so that starting the program counts for little.
        group.throughput(Throughput::Elements(12_000));
        group.sample_size(10);
        group.bench_function("12 000 updates by rrdtool update", |bencher| {
            bencher.iter(|| {
                let updates = (1..=12_000).map(|n| format!("{}:97", START + second + n));
                assert!(
                    Command::new("rrdtool")
                        .arg("update")
                        .arg(&file)
                        .args(updates)
                        .status()
                        .unwrap()
                        .success()
                );
                second += 12_000;
            });
        });
    }
    group.finish();
}

fn measurement(probe: &ProbeId, second: u64) -> Measurement {
    let energy = Energy::from_millijoules(second * 97_000);
    let accounting = Accounting {
        timestamp: stamp(second).after(Duration::from_micros(271_828)),
        session: stamp(0),
        seq: second,
        totals: Totals { energy, measured_ms: second * 1_000, ..Totals::default() },
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    let power = Watts(97.25);
    Measurement { probe: probe.clone(), power, voltage: None, current: None, accounting: Some(accounting) }
}

fn credited(probe: &ProbeId, second: u64) -> Credited {
    let measurement = measurement(probe, second);
    let register = measurement.accounting.map(|accounting| accounting.totals).unwrap_or_default();
    let decision = if second == 0 {
        Decision::Begin { kind: SegmentKind::First, begin: stamp(0), base: Energy::ZERO }
    } else {
        Decision::Continue
    };
    Credited::of(&measurement, stamp(second), Taken { decision, register })
}

fn probes() -> Vec<ProbeId> {
    (0..10_000).map(|n| ProbeId::new(format!("site.rack-{}.node-{n}", n / 40)).unwrap()).collect()
}

fn journal(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let config = JournalConfig { bytes_max: 256 << 20, ..JournalConfig::default() };
    let (journal, _) = Journal::open(directory.path(), config, stamp(0)).unwrap();
    let probes = probes();
    let mut second = 0;
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(probes.len() as u64));
    group.bench_function("10 000 records in batches of 500", |bencher| {
        bencher.iter_batched(
            || {
                second += 1;
                let batch = |probes: &[ProbeId]| {
                    Arc::new(probes.iter().map(|probe| credited(probe, second)).collect())
                };
                (second, probes.chunks(500).map(batch).collect::<Vec<Arc<Vec<Credited>>>>())
            },
            |(second, batches)| {
                for batch in &batches {
                    journal.append(batch, stamp(second)).unwrap();
                }
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// What is made of the journal costs beside its reading: a minute of 10 000 probes at 1 Hz, its files included, after so
/// many minutes of warming up. `take` takes what is in the journal and writes it.
fn minutes<T>(
    criterion: &mut Criterion,
    name: &str,
    warm_up: u64,
    open: impl FnOnce(&Journal) -> T,
    take: impl Fn(&T, Timestamp),
) {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), JournalConfig::default(), stamp(0)).unwrap();
    let reader = open(&journal);
    let probes = probes();
    let mut second = 0;
    let mut next = || {
        for _ in 0..60 {
            second += 1;
            for probes in probes.chunks(500) {
                let batch = Arc::new(probes.iter().map(|probe| credited(probe, second)).collect());
                journal.append(&batch, stamp(second)).unwrap();
            }
        }
        stamp(second)
    };
    for _ in 0..warm_up {
        take(&reader, next());
    }
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(60 * probes.len() as u64));
    group.sample_size(10);
    group.bench_function("a minute of 10 000 probes, files included", |bencher| {
        bencher.iter_batched(&mut next, |at| take(&reader, at), criterion::BatchSize::PerIteration);
    });
    group.finish();
}

fn ledger(criterion: &mut Criterion) {
    let open = |journal: &Journal| Ledger::open(LedgerConfig::default(), journal).unwrap();
    minutes(criterion, "ledger", 3, open, |ledger, at| {
        ledger.catch_up(at);
        ledger.write(at).unwrap();
    });
}

fn samples(criterion: &mut Criterion) {
    let open = |journal: &Journal| Samples::open(SamplesConfig::default(), journal).unwrap();
    minutes(criterion, "samples", 1, open, |samples, at| {
        samples.catch_up(at);
        samples.write(at).unwrap();
    });
}

/// The energy of 1 000 probes at 1 Hz in an hour that begins and ends within minutes: the ledger's rows, and two minutes
/// of samples out of files of an hour each.
fn arbitrary_hour(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), JournalConfig::default(), stamp(0)).unwrap();
    let samples = Arc::new(Samples::open(SamplesConfig::default(), &journal).unwrap());
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    let probes: Vec<ProbeId> = probes().into_iter().take(1_000).collect();
    for second in 0..7_500 {
        let batch = Arc::new(probes.iter().map(|probe| credited(probe, second)).collect());
        journal.append(&batch, stamp(second)).unwrap();
        ledger.catch_up(stamp(second));
        samples.catch_up(stamp(second));
        if second % 300 == 299 {
            ledger.write(stamp(second)).unwrap();
        }
        JournalConsumer::tick(&*samples, Duration::from_secs(second), stamp(second));
    }
    let query = Query::new(ledger, None).with_samples(Some(samples));
    let (start, end) = (stamp(1_234), stamp(1_234 + 3_600));
    let request =
        EnergyRequest { probes, start, end, step: EnergyStep::Whole, is_to_now: false, now: stamp(7_500) };
    let answer = query.energy(&request).unwrap();
    assert_eq!((answer.probes.len(), answer.without_samples.len()), (1_000, 0), "{:?}", answer.unreadable);
    let mut group = criterion.benchmark_group("query");
    group.sample_size(10);
    group.bench_function("an arbitrary hour of 1 000 probes", |bencher| {
        bencher.iter(|| query.energy(&request).unwrap());
    });
    group.finish();
}

/// The energy of 1 000 probes over a month that begins and ends within quarter hours, as a service has it after that time:
/// days that have ended are one file each, minutes are kept for a week.
fn month(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), JournalConfig::default(), stamp(0)).unwrap();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    let probes: Vec<ProbeId> = probes().into_iter().take(1_000).collect();
    let days = 32;
    for second in (0..days * 86_400).step_by(900) {
        let batch = Arc::new(probes.iter().map(|probe| credited(probe, second)).collect());
        journal.append(&batch, stamp(second)).unwrap();
        ledger.catch_up(stamp(second));
        JournalConsumer::tick(&*ledger, Duration::from_secs(second), stamp(second));
    }
    let query = Query::new(ledger, None);
    let (start, end, now) = (stamp(12_345), stamp(12_345 + 30 * 86_400), stamp(days * 86_400));
    let request = EnergyRequest { probes, start, end, step: EnergyStep::Whole, is_to_now: false, now };
    let answer = query.energy(&request).unwrap();
    assert_eq!((answer.probes.len(), answer.unreadable.len()), (1_000, 0));
    let mut group = criterion.benchmark_group("query");
    group.sample_size(10);
    group.bench_function("a month of 1 000 probes", |bencher| {
        bencher.iter(|| query.energy(&request).unwrap());
    });
    group.finish();
}

fn whole(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), JournalConfig::default(), stamp(0)).unwrap();
    let history = History::open(HistoryConfig::default(), &journal).unwrap();
    let probes = probes();
    let mut second = 0;
    let mut next = || {
        second += 1;
        let batch =
            |probes: &[ProbeId]| Arc::new(probes.iter().map(|probe| credited(probe, second)).collect());
        (second, probes.chunks(500).map(batch).collect::<Vec<Arc<Vec<Credited>>>>())
    };
    let record = |(second, batches): (u64, Vec<Arc<Vec<Credited>>>)| {
        for batch in &batches {
            journal.append(batch, stamp(second + 1)).unwrap();
            history.catch_up();
        }
        history.tick(Duration::from_secs(second), stamp(second + 1));
    };
    for _ in 0..240 {
        record(next());
    }
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(probes.len() as u64));
    group.sample_size(60);
    group.bench_function("a second of 10 000 probes, files included", |bencher| {
        bencher.iter_batched(&mut next, record, criterion::BatchSize::LargeInput);
    });
    let (now, _) = next();
    let probe = probes.get(17).unwrap();
    group.throughput(Throughput::Elements(1));
    for period in [Period::Minute, Period::Year] {
        group.bench_function(format!("fetch of a {period}"), |bencher| {
            bencher.iter(|| history.fetch(probe, period, stamp(now)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, updates, journal, whole, ledger, samples, arbitrary_hour, month);
criterion_main!(benches);
