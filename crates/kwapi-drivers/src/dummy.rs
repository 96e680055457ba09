//! A meter that is not there, for trying things out and for load: its watts are made up and its name shows that.
//!
//! One dummy may have thousands of outlets. The same seed gives the same watts. It may measure a thousand times a second, and its
//! watts may swing as a sine does, whose energy is known between any two instants.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{ProbeId, Reading, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;

use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;

/// More outlets than this on one dummy are a slip of the finger.
const OUTLETS_MAX: u32 = 65_536;

/// `driver = "dummy"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DummyConfig {
    /// What every outlet draws on average, in watts.
    pub watts: f64,
    /// How far it strays either way, in watts; it never falls below zero.
    pub jitter_watts: f64,
    /// How far it swings either way, in watts, as a sine: at the average and rising at each whole period since 1970.
    pub swing_watts: f64,
    /// How long one swing takes, in seconds.
    pub swing_seconds: f64,
    /// How many outlets there are, when all are wanted (`probe = "load.{outlet}"`).
    pub outlets: u32,
    /// Where the made-up numbers begin.
    pub seed: u64,
}

impl Default for DummyConfig {
    fn default() -> Self {
        Self { watts: 100.0, jitter_watts: 0.0, swing_watts: 0.0, swing_seconds: 60.0, outlets: 1, seed: 0 }
    }
}

impl DummyConfig {
    /// What each outlet draws at an instant, in watts, but for the jitter.
    fn watts_at(&self, at: Timestamp) -> f64 {
        let swing_us = self.swing_seconds * 1e6;
        // A remainder is exact, while a quotient has lost the fraction by now.
        self.watts + self.swing_watts * (TAU * (at.micros() as f64 % swing_us / swing_us)).sin()
    }
}

/// Made-up outlets.
#[derive(Debug)]
pub struct Dummy {
    probes: Vec<ProbeId>,
    config: DummyConfig,
    random: StdRng,
}

impl Driver for Dummy {
    const NAME: &'static str = "dummy";
    const SUMMARY: &'static str = "simulated power, for trials and load tests";
    const INTERVAL_MIN: Duration = Duration::from_millis(1);
    const KEYS: &'static [DriverKey] = &[
        DriverKey::new("watts", "mean power of each outlet").in_unit("W").or("100.0"),
        DriverKey::new("jitter_watts", "amplitude of random deviations").in_unit("W").or("0.0"),
        DriverKey::new("swing_watts", "amplitude of a sine").in_unit("W").or("0.0"),
        DriverKey::new("swing_seconds", "period of the sine").in_unit("s").or("60.0"),
        DriverKey::new("outlets", "number of outlets, for a template").or("1"),
        DriverKey::new("seed", "the same seed gives the same watts").or("0"),
    ];
    type Config = DummyConfig;
    type Shared = ();

    fn check(config: &DummyConfig) -> Result<(), ConfigError> {
        let DummyConfig { watts, jitter_watts, swing_watts, swing_seconds, .. } = *config;
        for (key, watts) in [("watts", watts), ("jitter_watts", jitter_watts), ("swing_watts", swing_watts)] {
            if !(watts >= 0.0 && watts.is_finite()) {
                return Err(ConfigError::of(key, "must be finite and not negative"));
            }
        }
        if swing_watts > watts {
            return Err(ConfigError::of("swing_watts", "must not be more than `watts`"));
        }
        if !(swing_seconds > 0.0 && swing_seconds.is_finite()) {
            return Err(ConfigError::of("swing_seconds", "must be finite and more than 0"));
        }
        if config.outlets > OUTLETS_MAX {
            return Err(ConfigError::of("outlets", format!("must be at most {OUTLETS_MAX}")));
        }
        Ok(())
    }

    async fn open(config: &DummyConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        Self::check(config)?;
        let probes = if outlets.selects_all() {
            (1..=config.outlets).filter_map(|outlet| outlets.probe(&outlet.to_string(), None)).collect()
        } else {
            outlets.named().iter().map(|outlet| outlet.probe.clone()).collect()
        };
        Ok(Self { probes, config: config.clone(), random: StdRng::seed_from_u64(config.seed) })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        for due in readings.due() {
            let average = self.config.watts_at(due.at);
            for probe in &self.probes {
                let stray = self.random.random_range(-1.0..=1.0) * self.config.jitter_watts;
                // In milliwatts, as meters report it: none reports sixteen digits.
                let watts = ((average + stray).max(0.0) * 1e3).round() / 1e3;
                readings.push(probe, Ok(Reading { age: due.age, ..Reading::watts(watts) }));
            }
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let DummyConfig { watts, jitter_watts, swing_watts, .. } = self.config;
        let stray = jitter_watts + swing_watts;
        vec![Finding {
            what: "simulated power".to_owned(),
            value: format!("{watts} ± {stray} W on {} outlets", self.probes.len()),
            is_used: true,
            why: "there is no device".to_owned(),
        }]
    }
}

#[cfg(test)]
mod tests;
