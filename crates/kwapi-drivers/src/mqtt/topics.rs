//! Which topic is which probe, and what its messages hold.

use std::collections::HashMap;
use std::time::Duration;

use kwapi_core::{MeterCounter, NoReading, ProbeId, Reading};
use tokio::time::Instant;

use super::MqttConfig;
use super::queue::Message;
use crate::driver::{Finding, Readings};
use crate::http::excerpt;
use crate::json_values::{OutletMemory, Values};
use crate::outlets::Outlets;
use crate::parts::printable;

/// A filter that matches more topics than this gives no more probes, until some of them have been silent for long.
const TOPICS_MAX: usize = 10_000;
/// While there are so many, it is looked for silent ones this often.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);
/// So many messages of a named outlet that hold nothing of power, and none that does, are reported as no reading.
pub(super) const REPORTED_AFTER: u64 = 10;
/// A topic that has carried no power for so long is no longer the source of its probe's.
const SOURCE_LAPSES_AFTER: Duration = Duration::from_secs(600);
/// So many topics are shown by `kwapi probe`.
const TOPICS_SHOWN: usize = 20;

/// What a meter's topics sent.
#[derive(Debug)]
pub(super) struct Topics {
    outlets: Outlets,
    /// What is subscribed to: the messages that make readings, and those of the counter alone.
    streams: Vec<Stream>,
    /// Stream, probe and outlet of each topic that carried something.
    topics: HashMap<String, (usize, ProbeId, String)>,
    /// What is known of each probe.
    probes: HashMap<ProbeId, TopicProbe>,
    /// When it was last looked for silent ones among them.
    swept: Option<Instant>,
    /// How many messages came, but for retained ones.
    pub(super) messages: u64,
    retained: u64,
    passed_over: u64,
}

/// Messages of one kind.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) topic: String,
    values: Values,
    /// Whether they only carry the counter, for the next reading.
    is_counter: bool,
}

/// One probe, as its messages report it.
#[derive(Debug, Default)]
struct TopicProbe {
    memory: OutletMemory,
    /// For each stream the topic that carries it, and when it last did.
    sources: [Option<(String, Instant)>; 2],
    /// The counter, sent by itself since the last reading, and when.
    counter: Option<(MeterCounter, Instant)>,
    /// Messages that carried none, before any did.
    without_power: u64,
}

impl Topics {
    pub(super) fn new(outlets: Outlets, streams: Vec<Stream>) -> Self {
        Self {
            outlets,
            streams,
            topics: HashMap::new(),
            probes: HashMap::new(),
            swept: None,
            messages: 0,
            retained: 0,
            passed_over: 0,
        }
    }

    /// Takes one message: a reading, or what the next one needs, or nothing of ours.
    pub(super) fn take(&mut self, message: &Message, readings: &mut Readings) {
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
        let is_known = self.probes.contains_key(&probe);
        let has_room = is_known || self.has_room();
        let Some(Stream { values, is_counter, .. }) = self.streams.get(index) else { return };
        let document = serde_json::from_slice(&message.payload);
        let is_about_power = document.as_ref().is_ok_and(|document| values.is_about_power(document, &outlet));
        // A template makes a probe of what carries power, and of nothing else.
        if !has_room || !is_known && self.outlets.selects_all() && !is_about_power {
            self.passed_over += 1;
            return;
        }
        let state = self.probes.entry(probe.clone()).or_default();
        if !state.is_from(index, &message.topic) {
            self.passed_over += 1;
            return;
        }
        if is_about_power {
            if let Some(source) = state.sources.get_mut(index) {
                *source = Some((message.topic.clone(), Instant::now()));
            }
            if self.topics.len() < TOPICS_MAX {
                let known = (index, probe.clone(), outlet.clone());
                self.topics.entry(message.topic.clone()).or_insert(known);
            }
        }
        let reading = match document {
            Ok(document) if *is_counter && is_about_power => {
                let counter = values.read(probe.as_str(), &document, &outlet, &mut state.memory);
                if let Some(counter) = counter.ok().and_then(|reading| reading.counter) {
                    state.counter = Some((counter, Instant::now()));
                }
                return;
            }
            Ok(_) | Err(_) if *is_counter => {
                self.passed_over += 1;
                return;
            }
            Ok(document) if is_about_power => {
                let reading = values.read(probe.as_str(), &document, &outlet, &mut state.memory);
                let counter = state.counter.take().filter(|(_, at)| at.elapsed() <= SOURCE_LAPSES_AFTER);
                let counter = counter.map(|(counter, _)| counter);
                reading.map(|reading| Reading { counter: reading.counter.or(counter), ..reading })
            }
            Ok(document) => {
                // It is about something else, unless nothing else ever comes.
                self.passed_over += 1;
                state.without_power += 1;
                if state.sources.iter().any(Option::is_some) || state.without_power < REPORTED_AFTER {
                    return;
                }
                values.read(probe.as_str(), &document, &outlet, &mut state.memory)
            }
            Err(_) => Err(NoReading::Implausible(format!("invalid JSON: {:?}", excerpt(&message.payload)))),
        };
        readings.push(&probe, reading.map_err(|error| on_topic(error, &message.topic)));
    }

    /// Whether there is room for one more probe.
    fn has_room(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_PAUSE);
        if self.probes.len() >= TOPICS_MAX && is_due {
            self.swept = Some(now);
            self.probes.retain(|_, state| !state.has_lapsed());
            self.topics.retain(|_, (_, probe, _)| self.probes.contains_key(probe));
        }
        self.probes.len() < TOPICS_MAX
    }

    /// What `kwapi probe` shows; `dropped` messages came faster than they were read.
    pub(super) fn findings(&self, dropped: u64) -> Vec<Finding> {
        let mut topics: Vec<_> = self.topics.keys().take(TOPICS_SHOWN).cloned().collect();
        topics.sort();
        let filters: Vec<&str> = self.streams.iter().map(|stream| stream.topic.as_str()).collect();
        let ignored = if self.probes.len() < TOPICS_MAX {
            String::new()
        } else {
            format!("; at the limit of {TOPICS_MAX} probes, further topics are ignored")
        };
        let subscription = Finding {
            what: format!("subscription to {}", filters.join(" and ")),
            value: format!(
                "{} messages, {} retained and ignored, {dropped} dropped",
                self.messages, self.retained
            ),
            is_used: true,
            why: format!("{} without power; received on {topics:?}{ignored}", self.passed_over),
        };
        let left_out = self.probes.values().flat_map(|state| state.memory.findings());
        std::iter::once(subscription).chain(left_out.take(TOPICS_SHOWN)).collect()
    }

    /// The stream, probe and outlet of a topic.
    fn outlet(&self, topic: &str) -> Option<(usize, ProbeId, String)> {
        if let Some(known) = self.topics.get(topic) {
            return Some(known.clone());
        }
        self.streams.iter().enumerate().find_map(|(index, stream)| {
            let is_of = |key: &str| rumqttc::matches(topic, &stream.topic.replace("{outlet}", key));
            let key = match self.outlets.named() {
                [] => key_of(&stream.topic, topic).filter(|_| is_of("+"))?,
                named => named.iter().find(|outlet| is_of(&outlet.key))?.key.clone(),
            };
            Some((index, self.outlets.probe(&key, None)?, key))
        })
    }
}

impl TopicProbe {
    /// Whether nothing has carried it for long.
    fn has_lapsed(&self) -> bool {
        self.sources.iter().flatten().all(|(_, at)| at.elapsed() > SOURCE_LAPSES_AFTER)
    }

    /// Whether `topic` is where this stream of it comes from, or may be from now on: two sources of one probe would be one
    /// probe that jumps between them.
    fn is_from(&self, stream: usize, topic: &str) -> bool {
        let source = self.sources.get(stream).and_then(Option::as_ref);
        source.is_none_or(|(source, at)| source == topic || at.elapsed() > SOURCE_LAPSES_AFTER)
    }
}

/// Adds the topic to what an outlet did not report.
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

impl Stream {
    /// What a meter subscribes to.
    pub(super) fn all(config: &MqttConfig) -> Vec<Self> {
        let stream = |topic: &String, values, is_counter| Self { topic: topic.clone(), values, is_counter };
        let Some(energy_topic) = &config.energy_topic else {
            return vec![stream(&config.topic, config.values.clone(), false)];
        };
        let power = Values { energy: None, energy_reset: None, ..config.values.clone() };
        let energy =
            Values { power: None, voltage: None, current: None, time: None, ..config.values.clone() };
        vec![stream(&config.topic, power, false), stream(energy_topic, energy, true)]
    }
}

/// What stands for `{outlet}` in a topic that came.
fn key_of(pattern: &str, topic: &str) -> Option<String> {
    let position = pattern.split('/').position(|level| level == "{outlet}")?;
    topic.split('/').nth(position).filter(|key| !key.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
