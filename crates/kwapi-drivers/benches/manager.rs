//! What the driver manager costs: one second of ten thousand probes at 1 Hz, from the driver's reading to the sink.
//!
//! The clock is paused, so that a simulated second takes as long as its work. `one_meter` is ten thousand outlets of
//! one meter: the price of deriving, integrating and stamping. `ten_thousand_meters` adds that of a task each.

#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros; a bench states what it expects by failing"
)]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kwapi_core::{ProbeId, Timestamp, WallClock};
use kwapi_drivers::Outlets;
use kwapi_drivers::manager::{Manager, MeterSpec};
use kwapi_drivers::registry;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

const PROBES: u32 = 10_000;

fn spec(name: &str, outlets: Outlets) -> MeterSpec {
    let keys = format!("outlets = {PROBES}\njitter_watts = 20.0").parse().expect("TOML");
    let driver = registry::find("dummy").expect("the dummy").configure(keys).expect("keys");
    MeterSpec::new(name, driver, outlets)
}

fn start(specs: Vec<MeterSpec>) -> (Runtime, Manager) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let manager = runtime.block_on(async {
        let began = Instant::now();
        let clock = WallClock::new(move || Timestamp::from_seconds(1_800_000_000).after(began.elapsed()));
        let manager = Manager::new(Arc::new(|measurement, _| drop(black_box(measurement))), clock);
        manager.apply(specs);
        sleep(Duration::from_secs(3)).await;
        manager
    });
    (runtime, manager)
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn second(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("manager_second");
    group.throughput(Throughput::Elements(PROBES.into())).sample_size(20);
    let one = || vec![spec("load", Outlets::all("load.{outlet}"))];
    let many = || {
        let probe = |meter| Outlets::by_position([ProbeId::new(format!("load.{meter}")).ok()]);
        (0..PROBES).map(|meter| spec(&format!("meter{meter}"), probe(meter))).collect()
    };
    for (name, specs) in [("one_meter", one()), ("ten_thousand_meters", many())] {
        let (before, meters) = (resident(), specs.len());
        let (runtime, manager) = start(specs);
        let grown = resident().saturating_sub(before);
        println!("{name}: {grown} KiB for {meters} meter(s) and {PROBES} probes");
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(async { sleep(Duration::from_secs(1)).await }));
        });
        let published: u64 = manager.statuses().iter().map(|status| status.reads).sum();
        assert!(published > u64::try_from(meters).unwrap_or(0), "nothing was measured");
    }
    group.finish();
}

criterion_group!(benches, second);
criterion_main!(benches);
