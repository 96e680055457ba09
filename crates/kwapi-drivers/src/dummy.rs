//! A meter that is not there, for trying things out and for load: its watts are made up and its name says so.
//!
//! One dummy may have thousands of outlets. The same seed gives the same watts.

use std::sync::Arc;

use kwapi_core::{ProbeId, Reading};
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
    /// How many outlets there are, when all are wanted (`probe = "load.{outlet}"`).
    pub outlets: u32,
    /// Where the made-up numbers begin.
    pub seed: u64,
}

impl Default for DummyConfig {
    fn default() -> Self {
        Self { watts: 100.0, jitter_watts: 0.0, outlets: 1, seed: 0 }
    }
}

/// Made-up outlets.
#[derive(Debug)]
pub struct Dummy {
    probes: Vec<ProbeId>,
    watts: f64,
    jitter_watts: f64,
    random: StdRng,
}

impl Driver for Dummy {
    const NAME: &'static str = "dummy";
    const SUMMARY: &'static str = "simulated power, for trials and load tests";
    const KEYS: &'static [DriverKey] = &[
        DriverKey::new("watts", "what each outlet draws on average").in_unit("W").or("100.0"),
        DriverKey::new("jitter_watts", "how far it strays either way").in_unit("W").or("0.0"),
        DriverKey::new("outlets", "how many there are when all are wanted").or("1"),
        DriverKey::new("seed", "the same seed gives the same watts").or("0"),
    ];
    type Config = DummyConfig;
    type Shared = ();

    fn check(config: &DummyConfig) -> Result<(), ConfigError> {
        for (key, watts) in [("watts", config.watts), ("jitter_watts", config.jitter_watts)] {
            if !(watts >= 0.0 && watts.is_finite()) {
                return Err(ConfigError::of(key, "must be finite and not negative"));
            }
        }
        if config.outlets > OUTLETS_MAX {
            return Err(ConfigError::of("outlets", format!("must be at most {OUTLETS_MAX}")));
        }
        Ok(())
    }

    async fn open(config: &DummyConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        Self::check(config)?;
        let DummyConfig { watts, jitter_watts, outlets: count, seed } = *config;
        let probes = if outlets.wants_all() {
            (1..=count).filter_map(|outlet| outlets.probe(&outlet.to_string(), None)).collect()
        } else {
            outlets.named().iter().map(|outlet| outlet.probe.clone()).collect()
        };
        Ok(Self { probes, watts, jitter_watts, random: StdRng::seed_from_u64(seed) })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        for probe in &self.probes {
            let stray = self.random.random_range(-1.0..=1.0) * self.jitter_watts;
            // In milliwatts, as meters say it: none says sixteen digits.
            let watts = ((self.watts + stray).max(0.0) * 1e3).round() / 1e3;
            readings.push(probe, Ok(Reading::watts(watts)));
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        vec![Finding {
            what: "simulated power".to_owned(),
            value: format!("{} ± {} W on {} outlets", self.watts, self.jitter_watts, self.probes.len()),
            is_used: true,
            why: "there is no device".to_owned(),
        }]
    }
}

#[cfg(test)]
mod tests;
