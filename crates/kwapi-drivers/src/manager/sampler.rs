//! A meter that must be read at each tick of a short interval: a thread of its own reads it, as the runtime's timers keep no
//! millisecond, and hands over a block at a time.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Reading, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::catch_panic::catch_panic;
use super::outflow::Outflow;
use super::published::Now;
use super::ticks::Ticks;
use crate::driver::{BLOCK, DriverError, Readings};
use crate::registry::MeterSession;

/// Blocks that wait to be taken: two seconds of them. Full: the meter is not read, and what it misses is counted.
const BLOCKS_MAX: usize = 40;

/// What was read in the time of a block.
#[derive(Debug)]
pub(super) struct SampledBlock {
    pub(super) readings: Readings,
    wall: Timestamp,
    monotonic: Duration,
    boottime: Duration,
    /// Ticks without a read.
    pub(super) missed: u64,
    /// How long the slowest read took.
    pub(super) latency: Duration,
    /// How the last read ended; a panic is the outer error.
    pub(super) result: Result<Result<(), DriverError>, String>,
}

impl SampledBlock {
    /// When it was complete.
    pub(super) fn came<'a>(&self, outflow: &'a Outflow) -> Now<'a> {
        Now { wall: self.wall, monotonic: self.monotonic, boottime: self.boottime, boot: outflow.now().boot }
    }
}

/// Reads `session` once an `interval` until it fails or the blocks are no longer taken. A read that does not return holds this
/// thread and no other.
pub(super) fn start(
    session: MeterSession,
    interval: Duration,
    outflow: Arc<Outflow>,
) -> io::Result<mpsc::Receiver<SampledBlock>> {
    let (blocks, taken) = mpsc::channel(BLOCKS_MAX);
    let sampler = Sampler { session, interval, outflow, runtime: Handle::current() };
    thread::Builder::new().name("fast-meter".to_owned()).spawn(move || sampler.run(&blocks))?;
    Ok(taken)
}

struct Sampler {
    session: MeterSession,
    interval: Duration,
    outflow: Arc<Outflow>,
    runtime: Handle,
}

/// What an outlet reported, and when it was read.
type Taken = (Duration, ProbeId, Result<Reading, NoReading>);

/// What has been read so far of a block.
#[derive(Default)]
struct Pending {
    all: Vec<Taken>,
    /// What the latest slow read returned.
    slow: Vec<Taken>,
    begun: Option<Duration>,
    missed: u64,
    latency: Duration,
}

impl Sampler {
    #[expect(
        clippy::disallowed_methods,
        reason = "until the next tick of a grid, so that it does not drift; the runtime's timers keep no millisecond"
    )]
    fn run(mut self, blocks: &mpsc::Sender<SampledBlock>) {
        let mut ticks = Ticks::new(self.interval);
        let mut pending = Pending::default();
        let mut readings = Readings::default();
        while !blocks.is_closed() {
            let now = self.outflow.now();
            if let Some((request, missed)) = ticks.due(now) {
                pending.missed += missed + u64::from(request.before);
                readings.request(request.at_once());
                let result = self.runtime.block_on(catch_panic(self.session.read(&mut readings)));
                let finished = self.outflow.now();
                let took = finished.boottime.saturating_sub(now.boottime);
                let taken = readings.drain().map(|(probe, reading)| (now.boottime, probe, reading));
                pending.take(taken, took, self.interval);
                let begun = *pending.begun.get_or_insert(now.boottime);
                let is_over = !matches!(result, Ok(Ok(())));
                if is_over || finished.boottime.saturating_sub(begun) >= BLOCK {
                    let block = std::mem::take(&mut pending).complete(finished, result);
                    if blocks.blocking_send(block).is_err() {
                        return;
                    }
                }
            }
            thread::sleep(ticks.until_next(self.outflow.now()));
        }
    }
}

impl Pending {
    /// Takes what a read has returned. When in a read the counter was as reported is unknown: of one that took more
    /// than half of an interval, as the thread was kept from the processor, the power since the read before would be
    /// wrong. The next read has its energy.
    fn take(&mut self, taken: impl Iterator<Item = Taken>, took: Duration, interval: Duration) {
        self.latency = self.latency.max(took);
        if took > interval / 2 {
            self.slow = taken.collect();
            self.missed += 1;
        } else {
            self.all.extend(taken);
        }
    }

    /// The block, with a slow read if there was no other: a slow device is better than none.
    fn complete(mut self, now: Now<'_>, result: Result<Result<(), DriverError>, String>) -> SampledBlock {
        if self.all.is_empty() && !self.slow.is_empty() {
            self.all = std::mem::take(&mut self.slow);
            self.missed -= 1;
        }
        let mut readings = Readings::default();
        for (taken, probe, reading) in self.all {
            let age = now.boottime.saturating_sub(taken);
            readings.push(&probe, reading.map(|reading| Reading { age, ..reading }));
        }
        SampledBlock {
            readings,
            wall: now.wall,
            monotonic: now.monotonic,
            boottime: now.boottime,
            missed: self.missed,
            latency: self.latency,
            result,
        }
    }
}
