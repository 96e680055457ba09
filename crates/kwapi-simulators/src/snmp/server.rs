//! What a server draws: a believable load that depends on nothing but a seed and the time.

use std::f64::consts::TAU;
use std::time::Duration;

/// One simulated server.
#[derive(Clone, Debug)]
pub struct ServerModel {
    seed: u64,
    idle_watts: f64,
    peak_watts: f64,
    day: Duration,
    /// When its day is busiest, as a share of the day.
    busiest: f64,
    /// How much of its load follows the day; the rest comes in jobs.
    daily_share: f64,
}

/// A job lasts about this long.
const JOB_SECONDS: f64 = 25.0;
/// The shortest day a model has, so that load never jumps.
const DAY_MIN: Duration = Duration::from_secs(60);

impl ServerModel {
    /// A server of 60–90 W idle and 180–350 W busy whose days last `day`; the same for the same seed.
    pub fn new(seed: u64, day: Duration) -> Self {
        let idle_watts = 60.0 + 30.0 * uniform(seed, 1);
        let peak_watts = 180.0 + 170.0 * uniform(seed, 2);
        // Most are busiest in the afternoon, some run their batches at night.
        let busiest =
            if uniform(seed, 3) < 0.8 { 0.55 + 0.15 * uniform(seed, 4) } else { 0.1 * uniform(seed, 4) };
        let daily_share = 0.35 + 0.4 * uniform(seed, 5);
        Self { seed, idle_watts, peak_watts, day: day.max(DAY_MIN), busiest, daily_share }
    }

    /// What it draws at that time after the start: between 60 and 360 W, without jumps.
    pub fn watts(&self, at: Duration) -> f64 {
        let seconds = at.as_secs_f64();
        let day = seconds / self.day.as_secs_f64();
        let daily = 0.5 + 0.5 * (TAU * (day - self.busiest)).cos();
        let jobs = self.smooth(6, seconds / JOB_SECONDS).powi(2);
        let load = self.daily_share * daily + (1.0 - self.daily_share) * jobs;
        let flicker = 1.0 + 0.02 * (self.smooth(7, seconds / 2.0) - 0.5);
        (self.idle_watts + (self.peak_watts - self.idle_watts) * load) * flicker
    }

    /// Random values at whole numbers, joined smoothly.
    fn smooth(&self, stream: u64, at: f64) -> f64 {
        let whole = at.floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "time is not negative, and saturates after ages"
        )]
        let step = whole as u64;
        let value = |step: u64| uniform(self.seed ^ stream.rotate_left(32), step);
        let share = at - whole;
        let share = share * share * (3.0 - 2.0 * share);
        value(step) * (1.0 - share) + value(step.wrapping_add(1)) * share
    }
}

/// A number from 0 to 1 that `seed` and `step` decide (`SplitMix64`, S. Vigna).
fn uniform(seed: u64, step: u64) -> f64 {
    let mut bits = seed.wrapping_add(step.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are a double's mantissa")]
    let share = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_decides_everything() {
        let at = Duration::from_secs(1_234);
        assert_eq!(ServerModel::new(7, DAY).watts(at), ServerModel::new(7, DAY).watts(at));
        assert_ne!(ServerModel::new(7, DAY).watts(at), ServerModel::new(8, DAY).watts(at));
    }

    #[test]
    fn a_server_stays_within_its_means_and_never_jumps() {
        for seed in 0..50 {
            let server = ServerModel::new(seed, DAY);
            let mut before = server.watts(Duration::ZERO);
            let (mut least, mut most) = (before, before);
            for second in 1..1_200 {
                let watts = server.watts(Duration::from_secs(second));
                assert!((watts - before).abs() < 25.0, "seed {seed}: {before} W, then {watts} W");
                (least, most, before) = (least.min(watts), most.max(watts), watts);
            }
            assert!(least > 55.0 && most < 365.0 && most - least > 40.0, "seed {seed}: {least} to {most} W");
        }
    }
}
