//! Anything that publishes its watts over MQTT 3.1.1: plugs, gateways, Zigbee bridges, home automation.
//!
//! Each message is a reading. Retained messages are from nobody knows when, so they are counted and left out. All
//! meters of one broker and user share one connection; when it is lost, each of them says so and opens again.
//!
//! Source: OASIS MQTT 3.1.1, sections 3.1 (connect), 3.3.1.3 (retain), 4.7 (topics).

mod broker;
mod queue;

use std::collections::HashMap;
use std::sync::Arc;

use kwapi_core::{NoReading, ProbeId, Secret};
use serde::Deserialize;

use crate::driver::{Cadence, Driver, DriverError, Finding, Readings};
use crate::http::excerpt;
use crate::json_values::Values;
use crate::outlets::Outlets;
use crate::tls::Tls;
use crate::value::Decimals;
pub use broker::Brokers;
use broker::{Address, Subscription};

/// A filter that matches more topics than this gives no more probes.
const TOPICS_MAX: usize = 10_000;

/// `driver = "mqtt"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `mqtt://host[:1883]`, `mqtts://host[:8883]` or a bare host.
    pub broker: String,
    /// The broker's user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Whom to trust, over `mqtts`.
    #[serde(default)]
    pub tls: Tls,
    /// What to subscribe to; `{outlet}` stands for the outlet's key, as a whole level where all are wanted.
    pub topic: String,
    /// Where the values are in a message.
    pub values: Values,
}

/// One meter's subscriptions on the shared connection.
#[derive(Debug)]
pub struct Mqtt {
    values: Values,
    outlets: Outlets,
    topic: String,
    subscription: Subscription,
    /// The probe of each topic heard, and what is known of its counter.
    heard: HashMap<String, (ProbeId, String, Decimals)>,
    messages: u64,
    retained: u64,
}

impl Driver for Mqtt {
    const NAME: &'static str = "mqtt";
    const SUMMARY: &'static str = "anything that publishes watts as JSON or plain numbers over MQTT 3.1.1";
    const CADENCE: Cadence = Cadence::Pushed;
    type Config = Config;
    type Shared = Brokers;

    fn check(config: &Config) -> Result<(), String> {
        config.values.check().map_err(DriverError::into_message)
    }

    async fn open(config: &Config, outlets: &Outlets, brokers: &Arc<Brokers>) -> Result<Self, DriverError> {
        config.values.check()?;
        let filters = filters(&config.topic, outlets)?;
        let address = Address::new(config)?;
        let subscription = brokers.subscribe(&address, &filters).await?;
        Ok(Self {
            values: config.values.clone(),
            outlets: outlets.clone(),
            topic: config.topic.clone(),
            subscription,
            heard: HashMap::new(),
            messages: 0,
            retained: 0,
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let message = self.subscription.next().await?;
        if message.is_retained {
            self.retained += 1;
            return Ok(());
        }
        self.messages += 1;
        let Some((probe, outlet, decimals)) = self.outlet(&message.topic) else { return Ok(()) };
        let (probe, outlet, mut decimals) = (probe.clone(), outlet.clone(), *decimals);
        let reading = match serde_json::from_slice(&message.payload) {
            Ok(document) => self.values.read(&document, &outlet, &mut decimals),
            Err(_) => Err(NoReading::Implausible(format!("no JSON: {:?}", excerpt(&message.payload)))),
        };
        if let Some((.., kept)) = self.heard.get_mut(&message.topic) {
            *kept = decimals;
        }
        readings.push(&probe, reading.map_err(|error| on_topic(error, &message.topic)));
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let dropped = self.subscription.dropped();
        let mut topics: Vec<_> = self.heard.keys().take(20).cloned().collect();
        topics.sort();
        vec![Finding {
            what: format!("subscription to {}", self.topic),
            value: format!(
                "{} messages, {} retained and left out, {dropped} dropped",
                self.messages, self.retained
            ),
            is_used: true,
            why: format!("heard on {topics:?}"),
        }]
    }
}

impl Mqtt {
    /// The probe and outlet of a topic; the first message of each topic decides.
    fn outlet(&mut self, topic: &str) -> Option<&(ProbeId, String, Decimals)> {
        if !self.heard.contains_key(topic) {
            if self.heard.len() >= TOPICS_MAX {
                return None;
            }
            let key = match self.outlets.named() {
                [] => key_of(&self.topic, topic)?,
                named => {
                    let is_its = |key: &str| rumqttc::matches(topic, &self.topic.replace("{outlet}", key));
                    named.iter().find(|outlet| is_its(&outlet.key))?.key.clone()
                }
            };
            let probe = self.outlets.probe(&key, None)?;
            self.heard.insert(topic.to_owned(), (probe, key, Decimals::default()));
        }
        self.heard.get(topic)
    }
}

/// Adds the topic to what an outlet did not say.
fn on_topic(error: NoReading, topic: &str) -> NoReading {
    let add = |why: String| format!("{topic}: {why}");
    match error {
        NoReading::NotReady(why) => NoReading::NotReady(add(why)),
        NoReading::NotAvailable(why) => NoReading::NotAvailable(add(why)),
        NoReading::NoSuchOutlet(why) => NoReading::NoSuchOutlet(add(why)),
        NoReading::Implausible(why) => NoReading::Implausible(add(why)),
        NoReading::Stale(why) => NoReading::Stale(add(why)),
    }
}

/// What to subscribe to for these outlets.
///
/// # Errors
/// [`DriverError::Refused`] when the topic cannot tell the outlets apart.
fn filters(topic: &str, outlets: &Outlets) -> Result<Vec<String>, DriverError> {
    let refused = |why: &str| Err(DriverError::Refused(format!("topic {topic:?}: {why}")));
    if topic.is_empty() || topic.len() > 65_535 || topic.contains('\0') {
        return refused("not a topic that MQTT allows");
    }
    let has_place = topic.contains("{outlet}");
    if outlets.wants_all() {
        let whole_levels = topic.split('/').filter(|level| *level == "{outlet}").count();
        return match (whole_levels, topic.matches("{outlet}").count()) {
            (1, 1) => Ok(vec![topic.replace("{outlet}", "+")]),
            _ => refused("for all outlets, {outlet} stands for one whole level, as in tele/{outlet}/SENSOR"),
        };
    }
    match outlets.named() {
        [] => refused("no probe is configured for it"),
        [only] => Ok(vec![topic.replace("{outlet}", &only.key)]),
        _ if !has_place => refused("several probes need {outlet} in it"),
        named => Ok(named.iter().map(|outlet| topic.replace("{outlet}", &outlet.key)).collect()),
    }
}

/// What stands for `{outlet}` in a topic that came.
fn key_of(pattern: &str, topic: &str) -> Option<String> {
    let position = pattern.split('/').position(|level| level == "{outlet}")?;
    topic.split('/').nth(position).filter(|key| !key.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
