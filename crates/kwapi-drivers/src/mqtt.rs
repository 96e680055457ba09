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
use std::time::Duration;

use kwapi_core::{MeterCounter, NoReading, ProbeId, Reading, Secret};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Cadence, Driver, DriverError, Finding, Readings};
use crate::http::excerpt;
use crate::json_values::{OutletMemory, Values};
use crate::outlets::Outlets;
use crate::parts::printable;
use crate::tls::{self, DeviceTls};
pub use broker::Brokers;
use broker::{BrokerAddress, Subscription};
use queue::Message;

/// A filter that matches more topics than this gives no more probes.
const TOPICS_MAX: usize = 10_000;
/// A broker that has nothing to hand on is well; the meter returns empty-handed this often.
const QUIET: Duration = Duration::from_secs(1);
/// So many messages of a named outlet that say nothing of power, and none that does, are told as no reading.
const TOLD_AFTER: u64 = 10;
/// A topic that has carried no power for so long is no longer the source of its probe's.
const SOURCE_LAPSES_AFTER: Duration = Duration::from_secs(600);
/// So many topics are shown by `kwapi probe`.
const TOPICS_SHOWN: usize = 20;

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
    outlets: Outlets,
    /// What is subscribed to: the messages that make readings, and those of the counter alone.
    streams: Vec<Stream>,
    subscription: Subscription,
    /// Stream, probe and outlet of each topic that carried something.
    topics: HashMap<String, (usize, ProbeId, String)>,
    /// What is known of each probe.
    heard: HashMap<ProbeId, Heard>,
    messages: u64,
    retained: u64,
    passed_over: u64,
}

/// Messages of one kind.
#[derive(Debug)]
struct Stream {
    topic: String,
    values: Values,
    /// Whether they only bring the counter, for the next reading.
    is_counter: bool,
}

/// One probe, as its messages tell of it.
#[derive(Debug, Default)]
struct Heard {
    memory: OutletMemory,
    /// For each stream the topic that carries it, and when it last did.
    sources: [Option<(String, Instant)>; 2],
    /// The counter, told by itself since the last reading, and when.
    counter: Option<(MeterCounter, Instant)>,
    /// Messages that carried none, before any did.
    without_power: u64,
}

impl Driver for Mqtt {
    const NAME: &'static str = "mqtt";
    const SUMMARY: &'static str = "anything that publishes watts as JSON or plain numbers over MQTT 3.1.1";
    const CADENCE: Cadence = Cadence::Pushed;
    const KEYS: &'static [DriverKey] = &[
        DriverKey::required("broker", "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"),
        DriverKey::new("username", "the broker's user").login(),
        DriverKey::new("password", "its password").secret(),
        DriverKey::new("tls", "whom to trust, with mqtts://").login().or("system").naming(Names::Authority),
        DriverKey::required("topic", "what to subscribe to; {outlet} stands for the outlet's key"),
        DriverKey::new("energy_topic", "where the energy counter is published, if by messages of its own"),
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
        let streams = streams(config);
        let mut all = Vec::new();
        for stream in &streams {
            all.extend(filters(&stream.topic, outlets)?);
        }
        let address = BrokerAddress::new(config)?;
        let subscription = brokers.subscribe(&address, &all).await?;
        Ok(Self {
            outlets: outlets.clone(),
            streams,
            subscription,
            topics: HashMap::new(),
            heard: HashMap::new(),
            messages: 0,
            retained: 0,
            passed_over: 0,
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        // The connection notices itself when the broker is gone.
        if let Ok(message) = timeout(QUIET, self.subscription.next()).await {
            self.take(&message?, readings);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let dropped = self.subscription.dropped();
        let mut topics: Vec<_> = self.topics.keys().take(TOPICS_SHOWN).cloned().collect();
        topics.sort();
        let subscription = Finding {
            what: format!(
                "subscription to {}",
                self.streams.iter().map(|stream| stream.topic.as_str()).collect::<Vec<_>>().join(" and ")
            ),
            value: format!(
                "{} messages, {} retained and ignored, {dropped} dropped",
                self.messages, self.retained
            ),
            is_used: true,
            why: format!("{} without power; received on {topics:?}", self.passed_over),
        };
        let left_out = self.heard.values().flat_map(|heard| heard.memory.findings());
        std::iter::once(subscription).chain(left_out.take(TOPICS_SHOWN)).collect()
    }
}

impl Mqtt {
    fn take(&mut self, message: &Message, readings: &mut Readings) {
        if message.is_retained {
            self.retained += 1;
            return;
        }
        self.messages += 1;
        let found = self.outlet(&message.topic);
        let Some((index, probe, outlet)) = found else {
            self.passed_over += 1;
            return;
        };
        let Some(Stream { values, is_counter, .. }) = self.streams.get(index) else { return };
        let document = serde_json::from_slice(&message.payload);
        let is_about_power = document.as_ref().is_ok_and(|document| values.is_about_power(document, &outlet));
        let is_known = self.heard.contains_key(&probe);
        // A template makes a probe of what carries power, and of nothing else.
        if !is_known && (self.heard.len() >= TOPICS_MAX || self.outlets.wants_all() && !is_about_power) {
            self.passed_over += 1;
            return;
        }
        let heard = self.heard.entry(probe.clone()).or_default();
        if !heard.is_from(index, &message.topic) {
            self.passed_over += 1;
            return;
        }
        if is_about_power {
            if let Some(source) = heard.sources.get_mut(index) {
                *source = Some((message.topic.clone(), Instant::now()));
            }
            if self.topics.len() < TOPICS_MAX {
                let known = (index, probe.clone(), outlet.clone());
                self.topics.entry(message.topic.clone()).or_insert(known);
            }
        }
        let reading = match document {
            Ok(document) if *is_counter && is_about_power => {
                let counter = values.read(probe.as_str(), &document, &outlet, &mut heard.memory);
                if let Some(counter) = counter.ok().and_then(|reading| reading.counter) {
                    heard.counter = Some((counter, Instant::now()));
                }
                return;
            }
            Ok(_) | Err(_) if *is_counter => {
                self.passed_over += 1;
                return;
            }
            Ok(document) if is_about_power => {
                let reading = values.read(probe.as_str(), &document, &outlet, &mut heard.memory);
                let counter = heard.counter.take().filter(|(_, at)| at.elapsed() <= SOURCE_LAPSES_AFTER);
                let counter = counter.map(|(counter, _)| counter);
                reading.map(|reading| Reading { counter: reading.counter.or(counter), ..reading })
            }
            Ok(document) => {
                // It is about something else, unless nothing else ever comes.
                self.passed_over += 1;
                heard.without_power += 1;
                if heard.sources.iter().any(Option::is_some) || heard.without_power < TOLD_AFTER {
                    return;
                }
                values.read(probe.as_str(), &document, &outlet, &mut heard.memory)
            }
            Err(_) => Err(NoReading::Implausible(format!("invalid JSON: {:?}", excerpt(&message.payload)))),
        };
        readings.push(&probe, reading.map_err(|error| on_topic(error, &message.topic)));
    }

    /// The stream, probe and outlet of a topic.
    fn outlet(&self, topic: &str) -> Option<(usize, ProbeId, String)> {
        if let Some(known) = self.topics.get(topic) {
            return Some(known.clone());
        }
        self.streams.iter().enumerate().find_map(|(index, stream)| {
            let is_its = |key: &str| rumqttc::matches(topic, &stream.topic.replace("{outlet}", key));
            let key = match self.outlets.named() {
                [] => key_of(&stream.topic, topic).filter(|_| is_its("+"))?,
                named => named.iter().find(|outlet| is_its(&outlet.key))?.key.clone(),
            };
            Some((index, self.outlets.probe(&key, None)?, key))
        })
    }
}

impl Heard {
    /// Whether `topic` is where this stream of it comes from, or may be from now on: two sources of one probe would be one
    /// probe that jumps between them.
    fn is_from(&self, stream: usize, topic: &str) -> bool {
        let source = self.sources.get(stream).and_then(Option::as_ref);
        source.is_none_or(|(source, at)| source == topic || at.elapsed() > SOURCE_LAPSES_AFTER)
    }
}

/// What a meter subscribes to.
fn streams(config: &MqttConfig) -> Vec<Stream> {
    let stream = |topic: &String, values, is_counter| Stream { topic: topic.clone(), values, is_counter };
    let Some(energy_topic) = &config.energy_topic else {
        return vec![stream(&config.topic, config.values.clone(), false)];
    };
    let power = Values { energy: None, energy_reset: None, ..config.values.clone() };
    let energy = Values { power: None, voltage: None, current: None, time: None, ..config.values.clone() };
    vec![stream(&config.topic, power, false), stream(energy_topic, energy, true)]
}

/// Adds the topic to what an outlet did not say.
fn on_topic(error: NoReading, topic: &str) -> NoReading {
    let topic = printable(topic);
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
/// When the topic cannot tell the outlets apart.
fn filters(topic: &str, outlets: &Outlets) -> Result<Vec<String>, ConfigError> {
    let refused = |why: &str| Err(ConfigError::new(format!("{topic:?}: {why}")));
    if topic.is_empty() || topic.len() > 65_535 || topic.contains('\0') {
        return refused("invalid MQTT topic");
    }
    let has_place = topic.contains("{outlet}");
    if outlets.wants_all() {
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

/// What stands for `{outlet}` in a topic that came.
fn key_of(pattern: &str, topic: &str) -> Option<String> {
    let position = pattern.split('/').position(|level| level == "{outlet}")?;
    topic.split('/').nth(position).filter(|key| !key.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
