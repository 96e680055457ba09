//! `[bus]`, and endpoints as they are written: a URL, or a table where one differs from the rest.

mod streams;

use std::fmt;
use std::num::NonZeroU32;

use kwapi_bus::{
    Attach, CurveConfig, EndpointConfig, Key, NatsConfig, PublisherConfig, Scheme, SourceConfig,
    SubscriberConfig,
};
use kwapi_core::Pattern;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::document::{Document, DocumentError, Step};
use super::{Config, chain};

/// History waits for what NATS keeps for it for a day.
const STORED_WAIT_MAX_SECONDS: u64 = 86_400;

/// `[bus]`: what holds for every endpoint without a setting of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BusSection {
    /// How messages are signed.
    pub(crate) signature: Scheme,
    /// What this process signs with: one key, or several that follow each other.
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) key: Vec<Key>,
    /// What it signs with where no key is configured and nobody else listens: a key of this process alone.
    #[serde(skip)]
    pub(crate) inside: Option<Key>,
    /// What others sign with; our own key is accepted too.
    pub(crate) keys: Vec<Key>,
    /// Encryption for every endpoint that does not have its own.
    pub(crate) curve: Option<CurveConfig>,
    /// How to log in to NATS, for every `nats://` endpoint that does not have its own.
    pub(crate) nats: NatsConfig,
    /// An older measurement is refused as stale, in seconds…
    pub(crate) max_age_seconds: u64,
    /// …and one that NATS has stored.
    pub(crate) stored_age_max_seconds: u64,
    /// How long history waits with what the clock ends for what NATS keeps for it, in seconds.
    pub(crate) stored_wait_max_seconds: u64,
    /// How many messages are kept for a slow peer; by default four intervals of all probes.
    pub(crate) high_water: Option<NonZeroU32>,
    /// How long a publisher may be silent, in seconds, before its time is unknown, where neither it nor the meters in the
    /// same configuration state more about the probe; by default the longest `max_gap` of these meters.
    pub(crate) max_gap_seconds: Option<f64>,
}

impl Default for BusSection {
    fn default() -> Self {
        let SubscriberConfig { max_age_seconds, stored_age_max_seconds, .. } =
            SubscriberConfig::new(Vec::new());
        Self {
            signature: Scheme::default(),
            key: Vec::new(),
            inside: None,
            keys: Vec::new(),
            curve: None,
            nats: NatsConfig::default(),
            max_age_seconds,
            stored_age_max_seconds,
            stored_wait_max_seconds: STORED_WAIT_MAX_SECONDS,
            high_water: None,
            max_gap_seconds: None,
        }
    }
}

/// One endpoint of a list: `"tcp://gateway:5556"`, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Endpoint(Full);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an endpoint: a URL, or a table with `url` and any of attach, ipv6, curve, signature, keys, nats, consumer, consumers, batch_messages_max"
)]
enum Written {
    Url(String),
    Full(Box<Full>),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    url: String,
    #[serde(default)]
    attach: Option<Attach>,
    #[serde(default)]
    ipv6: bool,
    #[serde(default)]
    curve: Option<CurveConfig>,
    /// Of what is subscribed to.
    #[serde(default)]
    signature: Option<Scheme>,
    /// Of what is subscribed to.
    #[serde(default)]
    keys: Vec<Key>,
    #[serde(default)]
    nats: Option<NatsConfig>,
    /// Of a history that subscribes.
    #[serde(default)]
    consumer: Option<String>,
    /// Of drivers that publish: the histories for which messages are kept until each has them on its disk.
    #[serde(default)]
    consumers: Vec<String>,
    /// Of drivers that publish: how many measurements one message of NATS may hold.
    #[serde(default)]
    batch_messages_max: Option<u32>,
}

impl From<Written> for Endpoint {
    fn from(written: Written) -> Self {
        match written {
            Written::Url(url) => Self::new(url),
            Written::Full(full) => Self(*full),
        }
    }
}

impl Endpoint {
    /// An endpoint that is like all others but for its address.
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self(Full {
            url: url.into(),
            attach: None,
            ipv6: false,
            curve: None,
            signature: None,
            keys: Vec::new(),
            nats: None,
            consumer: None,
            consumers: Vec::new(),
            batch_messages_max: None,
        })
    }

    /// The consumer that a stream of NATS keeps messages for.
    pub(crate) fn consumer(&self) -> Option<&str> {
        self.0.consumer.as_deref()
    }

    /// The same without a consumer: what is published is received, and nothing is kept.
    pub(crate) fn live(mut self) -> Self {
        self.0.consumer = None;
        self
    }

    /// The address.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// As an end that carries messages and verifies none.
    pub(crate) fn plain(&self, bus: &BusSection) -> EndpointConfig {
        let Full { url, attach, ipv6, curve, nats, consumers, batch_messages_max, .. } = &self.0;
        let curve = curve.clone().or_else(|| bus.curve.clone().filter(|_| url.starts_with("tcp://")));
        let endpoint = EndpointConfig { attach: *attach, ipv6: *ipv6, curve, ..EndpointConfig::new(url) };
        let of_all = bus.nats.clone();
        let nats = nats.clone().unwrap_or(if endpoint.is_nats() { of_all } else { NatsConfig::default() });
        let (consumers, batch_messages_max) = (consumers.clone(), *batch_messages_max);
        EndpointConfig { nats, consumers, batch_messages_max, ..endpoint }
    }

    /// As an end whose messages are verified.
    pub(crate) fn source(&self, bus: &BusSection) -> SourceConfig {
        let EndpointConfig { url, attach, ipv6, curve, nats, consumers: _, batch_messages_max: _ } =
            self.plain(bus);
        let signature = self.0.signature.unwrap_or(bus.signature);
        let keys = match (signature, self.0.keys.is_empty()) {
            (Scheme::None, _) => Vec::new(),
            (Scheme::Kwapi1 | Scheme::Legacy, false) => self.0.keys.clone(),
            (Scheme::Kwapi1 | Scheme::Legacy, true) => bus.trusted_keys(),
        };
        let consumer = self.0.consumer.clone();
        SourceConfig { url, attach, ipv6, curve, signature, keys, nats, consumer }
    }
}

impl BusSection {
    /// The keys that this process signs with.
    fn signing(&self) -> Vec<Key> {
        if self.key.is_empty() { self.inside.iter().cloned().collect() } else { self.key.clone() }
    }

    /// The keys that a message may be signed with.
    fn trusted_keys(&self) -> Vec<Key> {
        let mut keys = self.keys.clone();
        keys.extend(self.signing().into_iter().filter(|own| self.keys.iter().all(|key| key.id != own.id)));
        keys
    }

    /// What the driver manager's publisher is configured with: the endpoints of `[drivers] publish`, and those of this
    /// process.
    pub(crate) fn publisher(&self, publish: &[Endpoint], inside: &[Endpoint]) -> PublisherConfig {
        let endpoints = publish.iter().chain(inside).map(|endpoint| endpoint.plain(self)).collect();
        let keys = if self.signature == Scheme::None { Vec::new() } else { self.signing() };
        PublisherConfig { endpoints, signature: self.signature, keys, high_water: self.high_water }
    }

    /// What a plugin's subscriber is configured with; no patterns stand for all probes.
    pub(crate) fn subscriber(&self, endpoints: &[Endpoint], probes: &[Pattern]) -> SubscriberConfig {
        let mut config =
            SubscriberConfig::new(endpoints.iter().map(|endpoint| endpoint.source(self)).collect());
        if !probes.is_empty() {
            config.probes = probes.to_vec();
        }
        config.max_age_seconds = self.max_age_seconds;
        config.stored_age_max_seconds = self.stored_age_max_seconds;
        config.high_water = self.high_water;
        config
    }
}

/// Reads a table, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<Key>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key, or a list of keys")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Key>, A::Error> {
            Key::deserialize(MapAccessDeserializer::new(map)).map(|key| vec![key])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<Key>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(Keys)
}

impl Config {
    fn endpoint_lists(&self) -> [(&'static str, &'static str, &[Endpoint]); 5] {
        [
            ("drivers", "publish", &self.drivers.publish),
            ("forwarder", "publish", &self.forwarder.publish),
            ("forwarder", "subscribe", &self.forwarder.subscribe),
            ("api", "subscribe", &self.api.subscribe),
            ("rrd", "subscribe", &self.rrd.subscribe),
        ]
    }

    /// Every endpoint once: its address, its encryption, and the keys that only it accepts.
    pub(crate) fn endpoints(&self) -> Vec<(&str, Option<CurveConfig>, &[Key])> {
        let lists = self.endpoint_lists();
        let all = lists.iter().flat_map(|(_, _, endpoints)| endpoints.iter());
        let mut distinct: Vec<(&str, Option<CurveConfig>, &[Key])> = Vec::new();
        for endpoint in all {
            let one = (endpoint.url(), endpoint.plain(&self.bus).curve, endpoint.0.keys.as_slice());
            if !distinct.contains(&one) {
                distinct.push(one);
            }
        }
        distinct
    }

    /// What is wrong with an endpoint that is a stream of NATS, or should be, in its place.
    fn nats_trouble(&self, table: &str, key: &str, endpoint: &Endpoint) -> Option<&'static str> {
        let Full { signature, consumer, consumers, batch_messages_max, .. } = &endpoint.0;
        if !consumers.is_empty() && (table, key) != ("drivers", "publish") {
            return Some("`consumers` is for `publish` in [drivers]");
        }
        if batch_messages_max.is_some() && (table, key) != ("drivers", "publish") {
            return Some("`batch_messages_max` is for `publish` in [drivers]");
        }
        if !endpoint.plain(&self.bus).is_nats() {
            return consumer
                .as_ref()
                .map(|_| "`consumer` is for endpoints that start with nats:// or tls://");
        }
        if table == "forwarder" {
            return Some("a forwarder connects ZeroMQ endpoints; subscribe to NATS in [api] and [rrd]");
        }
        if signature.unwrap_or(self.bus.signature) != Scheme::Kwapi1 {
            return Some(
                "NATS requires signature = \"kwapi-1\"; legacy and unsigned messages are not stored",
            );
        }
        match (table, key, consumer) {
            ("drivers", _, Some(_)) => Some("`consumer` is for `subscribe` in [rrd]"),
            ("rrd", _, None) => Some(
                "[rrd] requires `consumer`, for which NATS keeps messages: a name of this history alone, \
                 for example { url = \"nats://…\", consumer = \"centre\" }",
            ),
            _ => None,
        }
    }

    /// The streams of NATS that are configured, each once, with the consumers of a history there.
    pub(crate) fn nats_streams(&self) -> Vec<(EndpointConfig, Vec<&str>)> {
        let mut streams: Vec<(EndpointConfig, Vec<&str>)> = Vec::new();
        for endpoint in self.endpoint_lists().iter().flat_map(|(_, _, endpoints)| endpoints.iter()) {
            let plain = EndpointConfig {
                consumers: Vec::new(),
                batch_messages_max: None,
                ..endpoint.plain(&self.bus)
            };
            if !plain.is_nats() {
                continue;
            }
            let place = streams.iter().position(|(known, _)| *known == plain).unwrap_or(streams.len());
            if place == streams.len() {
                streams.push((plain, Vec::new()));
            }
            let consumers = streams.get_mut(place).map(|(_, consumers)| consumers);
            if let (Some(consumers), Some(name)) = (consumers, endpoint.consumer())
                && !consumers.contains(&name)
            {
                consumers.push(name);
            }
        }
        streams
    }

    /// What the bus would refuse at the start: addresses that are none, keys that are too short.
    pub(super) fn check_bus(&self, document: &Document) -> Result<(), DocumentError> {
        let at = |table: &str, key: &str| [Step::Key(table.to_owned()), Step::Key(key.to_owned())];
        for key in self.bus.key.iter().chain(&self.bus.keys) {
            let name = if self.bus.key.contains(key) { "key" } else { "keys" };
            key.check(self.bus.signature).map_err(|error| document.error(&at("bus", name), chain(&error)))?;
        }
        for (table, key, endpoints) in self.endpoint_lists() {
            for endpoint in endpoints {
                let checked = endpoint.plain(&self.bus).check();
                checked.map_err(|error| document.error(&at(table, key), chain(&error)))?;
                if let Some(trouble) = self.nats_trouble(table, key, endpoint) {
                    return Err(document.error(&at(table, key), format!("{}: {trouble}", endpoint.url())));
                }
            }
        }
        Ok(())
    }
}
