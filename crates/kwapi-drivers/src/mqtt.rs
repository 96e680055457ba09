//! Anything that publishes its watts over MQTT 3.1.1: plugs, gateways, Zigbee bridges, home automation.
//!
//! Each message is a reading. Retained messages are of unknown age, so they are counted and left out. All
//! meters of one broker and user share one connection; when it is lost, each of them reports that and opens again.
//!
//! Source: OASIS MQTT 3.1.1, sections 3.1 (connect), 3.3.1.3 (retain), 4.7 (topics).

mod broker;
mod queue;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Secret;
use serde::Deserialize;
use tokio::time::timeout;

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Cadence, Driver, DriverError, Finding, Readings};
use crate::json_values::Values;
use crate::outlets::Outlets;
use crate::tls::{self, DeviceTls};
pub use broker::Brokers;
use broker::{BrokerAddress, Subscription};
use topics::{Stream, Topics};

/// A broker that has nothing to hand on is well; the meter returns empty-handed this often.
const QUIET: Duration = Duration::from_secs(1);

/// `driver = "mqtt"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// `mqtt://host[:1883]`, `mqtts://host[:8883]` or a bare host.
    pub broker: String,
    /// The broker's user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Whom to trust, over `mqtts`.
    #[serde(default)]
    pub tls: DeviceTls,
    /// What to subscribe to; `{outlet}` stands for the outlet's key, as a whole level where all are wanted.
    pub topic: String,
    /// Where the energy counter is published, if by messages of its own; `values.energy` is its place there.
    pub energy_topic: Option<String>,
    /// Where the values are in a message.
    pub values: Values,
}

/// One meter's subscriptions on the shared connection.
#[derive(Debug)]
pub struct Mqtt {
    subscription: Subscription,
    topics: Topics,
}

impl Driver for Mqtt {
    const NAME: &'static str = "mqtt";
    const SUMMARY: &'static str = "anything that publishes watts as JSON or plain numbers over MQTT 3.1.1";
    const CADENCE: Cadence = Cadence::Pushed;
    const KEYS: &'static [DriverKey] = &[
        DriverKey::required("broker", "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"),
        DriverKey::new("username", "the broker's user").login(),
        DriverKey::new("password", "its password").secret(),
        DriverKey::new("tls", "certificate verification, with mqtts://")
            .login()
            .or("system")
            .naming(Names::Authority),
        DriverKey::required("topic", "what to subscribe to; {outlet} stands for the outlet's key"),
        DriverKey::new("energy_topic", "topic of the energy counter, if it is published separately"),
        DriverKey::required("values", "where the values are in a message"),
    ];
    type Config = MqttConfig;
    type Shared = Brokers;

    fn check(config: &MqttConfig) -> Result<(), ConfigError> {
        config.values.check().map_err(|error| error.within("values"))?;
        BrokerAddress::new(config)?;
        if matches!(config.tls, DeviceTls::Authority(_)) {
            tls::client_config(&config.tls)?;
        }
        if config.energy_topic.is_some() && (config.values.power.is_none() || config.values.energy.is_none())
        {
            let why = "values must set both power (from topic) and energy (from energy_topic)";
            return Err(ConfigError::of("energy_topic", why));
        }
        if config.energy_topic.as_ref() == Some(&config.topic) {
            return Err(ConfigError::of("energy_topic", "same as topic; remove it"));
        }
        Ok(())
    }

    fn check_outlets(config: &MqttConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        filters(&config.topic, outlets).map(drop).map_err(|error| error.within("topic"))?;
        match &config.energy_topic {
            Some(topic) => filters(topic, outlets).map(drop).map_err(|error| error.within("energy_topic")),
            None => Ok(()),
        }
    }

    async fn open(
        config: &MqttConfig,
        outlets: &Outlets,
        brokers: &Arc<Brokers>,
    ) -> Result<Self, DriverError> {
        Self::check(config)?;
        Self::check_outlets(config, outlets)?;
        let streams = Stream::all(config);
        let mut all = Vec::new();
        for stream in &streams {
            all.extend(filters(&stream.topic, outlets)?);
        }
        let address = BrokerAddress::new(config)?;
        let subscription = brokers.subscribe(&address, &all).await?;
        Ok(Self { subscription, topics: Topics::new(outlets.clone(), streams) })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        // The connection notices itself when the broker is gone.
        if let Ok(message) = timeout(QUIET, self.subscription.next()).await {
            self.topics.take(&message?, readings);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        self.topics.findings(self.subscription.dropped())
    }
}

/// What to subscribe to for these outlets.
///
/// # Errors
/// When the topic cannot distinguish the outlets.
fn filters(topic: &str, outlets: &Outlets) -> Result<Vec<String>, ConfigError> {
    let refused = |why: &str| Err(ConfigError::new(format!("{topic:?}: {why}")));
    if topic.is_empty() || topic.len() > 65_535 || topic.contains('\0') {
        return refused("invalid MQTT topic");
    }
    let has_place = topic.contains("{outlet}");
    if outlets.selects_all() {
        let whole_levels = topic.split('/').filter(|level| *level == "{outlet}").count();
        return match (whole_levels, topic.matches("{outlet}").count()) {
            (1, 1) => Ok(vec![topic.replace("{outlet}", "+")]),
            _ => refused("for all outlets, {outlet} must be one whole level, as in tele/{outlet}/SENSOR"),
        };
    }
    match outlets.named() {
        [] => refused("no probe configured"),
        [only] => Ok(vec![topic.replace("{outlet}", &only.key)]),
        _ if !has_place => refused("several probes require {outlet} in the topic"),
        named => Ok(named.iter().map(|outlet| topic.replace("{outlet}", &outlet.key)).collect()),
    }
}

#[cfg(test)]
mod tests;
