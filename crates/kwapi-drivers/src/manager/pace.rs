//! When a meter is read next: on a fixed grid that does not drift, each meter at its own phase of the interval.

use std::time::Duration;

use kwapi_core::Timestamp;

/// This many overruns in a row make a meter slow…
const SLOW_AFTER: u32 = 3;
/// …and this many reads within the interval make it keep its interval again.
const QUICK_AFTER: u32 = 10;
/// A slow device rests this share of the time it took to answer, so that others get a word in.
const REST_SHARE: u32 = 10;
/// The first reads of a long interval are spread over this long only: nobody waits an hour for a first value.
const START_SPREAD: Duration = Duration::from_secs(2);

/// The pace of one meter. All instants are monotonic, since the manager began.
#[derive(Clone, Debug)]
pub(super) struct MeterPace {
    interval: Duration,
    phase: Duration,
    overruns: u32,
    in_time: u32,
    is_slow: bool,
    /// How many ticks of the grid passed without a read.
    pub(super) ticks_missed: u64,
}

impl MeterPace {
    /// The pace of the meter called `name`, whose place on the grid follows from its name.
    pub(super) fn new(name: &str, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        let phase = interval.mul_f64(share(hash(name)));
        Self { interval, phase, overruns: 0, in_time: 0, is_slow: false, ticks_missed: 0 }
    }

    /// When the meter is opened for the first time, if the manager receives it `now`.
    pub(super) fn first(&self, now: Duration) -> Duration {
        if self.interval <= START_SPREAD {
            self.tick_after(now)
        } else {
            now + START_SPREAD.mul_f64(self.phase.as_secs_f64() / self.interval.as_secs_f64())
        }
    }

    /// When to read after a read that took from `started` to `finished`. Ticks missed are skipped, not made up for.
    pub(super) fn next(&mut self, started: Duration, finished: Duration) -> Duration {
        let took = finished.saturating_sub(started);
        if took > self.interval {
            self.overruns += 1;
            self.in_time = 0;
        } else {
            self.in_time += 1;
            self.overruns = 0;
        }
        self.is_slow = if self.is_slow { self.in_time < QUICK_AFTER } else { self.overruns >= SLOW_AFTER };
        let tick = self.tick_after(finished);
        let passed = self.ticks_until(tick).saturating_sub(self.ticks_until(self.tick_after(started)));
        self.ticks_missed = self.ticks_missed.saturating_add(passed);
        if self.is_slow && took > self.interval { finished + took / REST_SHARE } else { tick }
    }

    /// Whether the device answers more slowly than its interval, so that it is read as fast as it answers.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// The first point of the grid after `instant`.
    fn tick_after(&self, instant: Duration) -> Duration {
        let Some(since_phase) = instant.checked_sub(self.phase) else { return self.phase };
        let into_tick = since_phase.as_nanos() % self.interval.as_nanos().max(1);
        let into_tick = Duration::from_nanos(u64::try_from(into_tick).unwrap_or(0));
        instant.saturating_sub(into_tick) + self.interval
    }

    /// How many intervals lie between the phase and `instant`, rounded down.
    fn ticks_until(&self, instant: Duration) -> u64 {
        let ticks = instant.saturating_sub(self.phase).as_nanos() / self.interval.as_nanos().max(1);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// So many intervals between readings of a probe are remembered.
const INTERVALS: usize = 8;
/// Its gap is this many of its own intervals: a message may be lost.
const GAP_INTERVALS: f64 = 2.5;
/// No gap grows beyond this: a meter that is received less often is not measured.
const GAP_MAX: Duration = Duration::from_secs(3_600);

/// How often a probe is received, whoever sets the pace. Without an allocation: every probe has one.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnPace {
    last: Option<Duration>,
    /// The device's own stamp of that; the epoch where it gave none.
    stamp: Timestamp,
    /// The latest, in microseconds, up to an hour and some; the oldest is written over.
    intervals_us: [u32; INTERVALS],
    /// How many there have been.
    count: u32,
}

impl OwnPace {
    /// Takes a reading at the monotonic instant `at`, with the device's own stamp; the same stamp again is no new
    /// reading, and values that come together are one.
    pub(super) fn note_reading(&mut self, at: Duration, stamp: Option<Timestamp>) {
        let stamp = stamp.unwrap_or(Timestamp::EPOCH);
        if let Some(last) = self.last {
            if at == last || stamp != Timestamp::EPOCH && stamp == self.stamp {
                self.stamp = stamp;
                return;
            }
            let interval = u32::try_from(at.saturating_sub(last).as_micros()).unwrap_or(u32::MAX);
            if let Some(oldest) = self.intervals_us.get_mut(self.count as usize % INTERVALS) {
                *oldest = interval;
            }
            self.count = self.count.saturating_add(1);
        }
        (self.last, self.stamp) = (Some(at), stamp);
    }

    /// The longest time between two readings that still counts as measured, at least `least`. One long interval, or
    /// two of the last eight, are an outage and no pace: that time stays unknown.
    pub(super) fn gap(&self, least: Duration) -> Duration {
        let outages = if (self.count as usize) < INTERVALS / 2 { 1 } else { 2 };
        // The longest three; of intervals that have not been yet, nothing.
        let mut longest = [0_u32; 3];
        for interval in self.intervals_us {
            let mut interval = interval;
            for place in &mut longest {
                if interval > *place {
                    std::mem::swap(place, &mut interval);
                }
            }
        }
        let own = longest.get(outages).map_or(Duration::ZERO, |own| Duration::from_micros(u64::from(*own)));
        least.max(own.mul_f64(GAP_INTERVALS).min(GAP_MAX))
    }
}

/// FNV-1a with a final mix: the same in every process and every release, so that phases stay where they are.
pub(super) fn hash(name: &str) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

/// The finaliser of `SplitMix64`.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Bits as a share, 0 to below 1.
pub(super) fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
