//! Any device or program that shows its watts as JSON at a URL.
//!
//! One request a round brings all outlets. Source: `json_values.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, Reading, Secret, Timestamp};
use serde::Deserialize;

use crate::config::{ConfigError, DriverKey};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Access, Clients, DeviceClient};
use crate::json_values::{OutletMemory, Values};
use crate::outlets::{Outlet, Outlets};
use crate::tls::DeviceTls;

/// `driver = "http_json"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpJsonConfig {
    /// What to ask for: `http://host/status`.
    pub url: String,
    /// Where the values are in the answer.
    pub values: Values,
    /// Values whose own stamp is older than this are stale.
    #[serde(default = "Access::stale_seconds")]
    pub stale_seconds: u64,
    /// Headers to send, a token for instance.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// A user, where the device wants one (Basic or Digest, as it asks).
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Whom to trust, over HTTPS.
    #[serde(default)]
    pub tls: DeviceTls,
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
    const KEYS: &'static [DriverKey] = &[
        DriverKey::required("url", "what to ask for, once a round"),
        DriverKey::required("values", "where the values are in the answer"),
        Access::STALE_SECONDS,
        Access::HEADERS,
        Access::USERNAME,
        Access::PASSWORD,
        Access::TLS,
    ];
    type Config = HttpJsonConfig;
    type Shared = Clients;

    fn check(config: &HttpJsonConfig) -> Result<(), ConfigError> {
        config.values.check().map_err(|error| error.within("values"))?;
        access(config).check()
    }

    fn check_outlets(config: &HttpJsonConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        if outlets.named().len() > 1 && !config.values.tell_outlets_apart() {
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
        let outlets = if outlets.wants_all() {
            // What the outlets of an unknown document are, nobody knows; one probe is the document.
            vec![Outlet { key: "1".to_owned(), probe: outlets.only()? }]
        } else {
            outlets.named().to_vec()
        };
        let device = access(config).device(clients)?;
        let stale_after = Duration::from_secs(config.stale_seconds);
        Ok(Self { device, values: config.values.clone(), stale_after, outlets, memories: HashMap::new() })
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

fn access(config: &HttpJsonConfig) -> Access<'_> {
    Access {
        headers: Some(&config.headers),
        ..Access::with_login(&config.url, &config.tls, config.username.as_deref(), config.password.as_ref())
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
