//! Exporters of Prometheus metrics: what somebody else's program already measures, a scrape a round.
//!
//! A series is an outlet, by the value of one label; without a label there must be exactly one series.
//!
//! Source: `prometheus/exposition.rs`.

pub(crate) mod exposition;
mod scrape;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{ConfigError, DriverKey, Problem};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Access, Clients, DeviceClient, url_config};
use crate::outlets::Outlets;
use crate::value::{self, EnergyUnit, PowerUnit};
use scrape::Scrape;

/// The formats we read, the one that states when a counter began first.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

url_config! {
    /// `driver = "prometheus"`.
    pub struct PrometheusConfig {
        /// The gauge of active power.
        pub power: Option<String>,
        /// Its unit.
        #[serde(default)]
        pub power_unit: PowerUnit,
        /// What one count is worth in that unit: `0.01` for hundredths; negative where consumption is reported as
        /// negative.
        pub power_scale: Option<f64>,
        /// The gauge of volts.
        pub voltage: Option<String>,
        /// What one count is worth in volts.
        pub voltage_scale: Option<f64>,
        /// The gauge of amperes.
        pub current: Option<String>,
        /// What one count is worth in amperes.
        pub current_scale: Option<f64>,
        /// The counter of energy.
        pub energy: Option<String>,
        /// Its unit: joules, as the convention requires, unless configured otherwise.
        #[serde(default = "joules")]
        pub energy_unit: EnergyUnit,
        /// What one count is worth in that unit.
        pub energy_scale: Option<f64>,
        /// The label whose value is the outlet's key.
        pub label: Option<String>,
        /// Only series that have these labels.
        #[serde(default)]
        pub labels: BTreeMap<String, String>,
    }
    const KEYS = [
        url: "what to scrape",
        DriverKey::new("power", "gauge of active power"),
        DriverKey::new("power_unit", "its unit").or("W"),
        DriverKey::new("power_scale", "value of one count in that unit").otherwise("1"),
        DriverKey::new("voltage", "gauge of volts"),
        DriverKey::new("voltage_scale", "value of one count").in_unit("V").otherwise("1"),
        DriverKey::new("current", "gauge of amperes"),
        DriverKey::new("current_scale", "value of one count").in_unit("A").otherwise("1"),
        DriverKey::new("energy", "counter of energy"),
        DriverKey::new("energy_unit", "its unit").or("J"),
        DriverKey::new("energy_scale", "value of one count in that unit").otherwise("1"),
        DriverKey::new("label", "label whose value is the outlet"),
        DriverKey::new("labels", "only series with these labels"),
    ];
}

fn joules() -> EnergyUnit {
    EnergyUnit::Joule
}

/// One exporter.
#[derive(Debug)]
pub struct Prometheus {
    device: DeviceClient,
    scrape: Scrape,
    outlets: Outlets,
    findings: Vec<Finding>,
}

impl Driver for Prometheus {
    const NAME: &'static str = "prometheus";
    const SUMMARY: &'static str = "power or energy metrics of any Prometheus exporter";
    const KEYS: &'static [DriverKey] = PrometheusConfig::KEYS;
    type Config = PrometheusConfig;
    type Shared = Clients;

    fn check(config: &PrometheusConfig) -> Result<(), ConfigError> {
        if config.power.is_none() && config.energy.is_none() {
            return Err(ConfigError::new("set power or energy to the name of a metric, or both"));
        }
        value::check_scales([
            ("power_scale", config.power_scale),
            ("voltage_scale", config.voltage_scale),
            ("current_scale", config.current_scale),
            ("energy_scale", config.energy_scale),
        ])?;
        access(config).check()
    }

    fn check_outlets(config: &PrometheusConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        if config.label.is_some() {
            return Ok(());
        }
        outlets.only().map(drop).map_err(|ConfigError { path, problem }| {
            let why = format!("{problem}, or set label to the label that distinguishes them");
            ConfigError { path, problem: Problem::Other(why) }
        })
    }

    async fn open(
        config: &PrometheusConfig,
        outlets: &Outlets,
        clients: &Arc<Clients>,
    ) -> Result<Self, DriverError> {
        Self::check(config)?;
        Self::check_outlets(config, outlets)?;
        let device = access(config).device(clients)?;
        Ok(Self { device, scrape: Scrape::new(config), outlets: outlets.clone(), findings: Vec::new() })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let answer = self.device.get_base().await?.required("check that this is an exporter's address")?;
        let is_openmetrics = answer.header("content-type").starts_with("application/openmetrics-text");
        let text = answer.text();
        self.findings = self.scrape.read(&text, is_openmetrics, answer.date(), &self.outlets, readings)?;
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        self.findings.clone()
    }
}

/// How the exporter is reached, and in which formats it may answer.
fn access(config: &PrometheusConfig) -> Access<'_> {
    Access { accept: Some(ACCEPT), ..config.access() }
}

#[cfg(test)]
mod tests;
