//! Any device or program that shows its watts as JSON at a URL.
//!
//! One request a round returns all outlets. Source: `json_values.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, Reading, Timestamp};

use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Clients, DeviceClient, url_config};
use crate::json_values::{OutletMemory, Values};
use crate::outlets::{Outlet, Outlets};

url_config! {
    /// `driver = "http_json"`.
    pub struct HttpJsonConfig {
        /// Where the values are in the answer.
        pub values: Values,
    }
    const KEYS = [
        url: "what to request, once a round",
        DriverKey::required("values", "where the values are in the answer"),
    ];
}

/// One URL.
#[derive(Debug)]
pub struct HttpJson {
    device: DeviceClient,
    values: Values,
    stale_after: Duration,
    outlets: Vec<Outlet>,
    /// What is known of each outlet, by key.
    memories: HashMap<String, OutletMemory>,
}

impl Driver for HttpJson {
    const NAME: &'static str = "http_json";
    const SUMMARY: &'static str = "any device or program that serves its power as JSON at a URL";
    const KEYS: &'static [DriverKey] = HttpJsonConfig::KEYS;
    type Config = HttpJsonConfig;
    type Shared = Clients;

    fn check(config: &HttpJsonConfig) -> Result<(), ConfigError> {
        config.values.check().map_err(|error| error.within("values"))?;
        config.access().check()
    }

    fn check_outlets(config: &HttpJsonConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        if outlets.named().len() > 1 && !config.values.distinguishes_outlets() {
            let why = "several probes require {outlet} in the pointers of power and energy";
            return Err(ConfigError::of("values", why));
        }
        Ok(())
    }

    async fn open(
        config: &HttpJsonConfig,
        outlets: &Outlets,
        clients: &Arc<Clients>,
    ) -> Result<Self, DriverError> {
        Self::check(config)?;
        Self::check_outlets(config, outlets)?;
        let outlets = if outlets.selects_all() {
            // What the outlets of an unknown document are, is unknown; one probe is the document.
            vec![Outlet { key: "1".to_owned(), probe: outlets.only()? }]
        } else {
            outlets.named().to_vec()
        };
        let device = config.access().device(clients)?;
        let (values, stale_after) = (config.values.clone(), config.stale_after());
        Ok(Self { device, values, stale_after, outlets, memories: HashMap::new() })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let answer = self.device.get_base().await?.required("check url")?;
        let document = answer.json()?;
        for Outlet { key, probe } in &self.outlets {
            let memory = self.memories.entry(key.clone()).or_default();
            let reading = self.values.read(probe.as_str(), &document, key, memory);
            readings.push(probe, reading.and_then(|reading| fresh(reading, answer.date(), self.stale_after)));
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let values = Finding {
            what: "values".to_owned(),
            value: format!("{} outlets", self.outlets.len()),
            is_used: true,
            why: self.values.describe(),
        };
        std::iter::once(values).chain(self.memories.values().flat_map(OutletMemory::findings)).collect()
    }
}

/// Refuses a reading whose own stamp is too old, by the device's own clock.
fn fresh(reading: Reading, now: Option<Timestamp>, stale_after: Duration) -> Result<Reading, NoReading> {
    match (reading.measured_at, now) {
        (Some(measured_at), Some(now)) if now.since(measured_at) > stale_after => Err(NoReading::Stale(
            format!("measured {} s before the request", now.since(measured_at).as_secs()),
        )),
        _ => Ok(reading),
    }
}

#[cfg(test)]
mod tests;
