//! Streams and consumers at a server, made for an operator.

use std::time::Duration;

use kwapi_core::{Pattern, Timestamp};
use serde_json::{Value, json};

use super::address::{NAME_BYTES_MAX, is_name};
use super::connection::Connection;
use super::consumer::{Begin, ConsumerPlan, merged};
use super::jetstream::{STREAM_NOT_FOUND, call, stream_info};
use super::servers::Servers;
use super::subject;
use crate::endpoint::EndpointConfig;
use crate::error::BusError;
use crate::message::PAYLOAD_BYTES_MAX;

/// Above the largest message, for what a server adds.
const MESSAGE_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX;
/// How long it is waited for sites to be reached, and how often that is looked up.
const REACHED_WITHIN: Duration = Duration::from_secs(10);
const QUERY_AGAIN: Duration = Duration::from_millis(200);

/// How much a stream keeps, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Servers that have a copy: 1, or 3 of a cluster.
    pub replicas: usize,
    /// Bytes; full: the oldest messages are dropped.
    pub bytes_max: Option<u64>,
    /// Older messages are dropped.
    pub age_max: Duration,
}

/// A site whose server stores its measurements, in a stream of the same name, and is connected to ours as a leaf node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSite {
    /// The JetStream domain of its server.
    name: String,
    /// The probes that are its own: no other site's are taken from it.
    probes: Pattern,
}

impl NatsSite {
    /// Reads `lyon` (whose probes are `lyon.*`) or `lyon=fr.lyon.*`.
    ///
    /// # Errors
    /// When that is no name of a domain, or no pattern, as text.
    pub fn new(text: &str) -> Result<Self, String> {
        let (name, probes) = text.split_once('=').map_or((text, None), |(name, probes)| (name, Some(probes)));
        if !is_name(name) {
            return Err(format!("the name of a site must be 1 to {NAME_BYTES_MAX} letters, digits, - or _"));
        }
        let probes = probes.map_or_else(|| Pattern::new(&format!("{name}.*")), Pattern::new);
        Ok(Self { name: name.to_owned(), probes: probes.map_err(|error| error.to_string())? })
    }

    /// The JetStream domain of its server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong with `sites`: two of one name, or two that have a probe in common, for which either could report.
    ///
    /// # Errors
    /// When anything is, as text.
    pub fn check(sites: &[Self]) -> Result<(), String> {
        for (place, site) in sites.iter().enumerate() {
            for other in sites.iter().skip(place + 1) {
                if site.name == other.name {
                    return Err(format!("site {}: named twice", site.name));
                }
                if subject::overlap(&site.probes, &other.probes) {
                    return Err(format!(
                        "sites {} and {}: probes of {} are of both; each site needs probes of its own",
                        site.name, other.name, other.probes
                    ));
                }
            }
        }
        Ok(())
    }

    /// The subjects of its probes in `stream`.
    pub fn subjects(&self, stream: &str) -> String {
        subject::of_pattern(stream, &self.probes)
    }

    /// Where its server sends what a stream of ours takes from it: subjects that no stream of ours can have, and no other
    /// site may publish to.
    pub fn deliveries(&self) -> String {
        format!("$KWAPI.FROM.{}", self.name)
    }

    /// Where its server receives the request for it.
    pub fn requests(&self) -> String {
        format!("$JS.{}.API", self.name)
    }

    /// As a source of `stream`; what was stored before `begin` is left.
    fn source(&self, stream: &str, begin: &str) -> Value {
        json!({
            "name": stream,
            "filter_subject": self.subjects(stream),
            "external": { "api": self.requests(), "deliver": self.deliveries() },
            "opt_start_time": begin,
        })
    }
}

/// The sources of a stream that has `known` already, and is to have `sites` as well. One that is known begins where it did.
fn sources(known: &[Value], sites: &[NatsSite], stream: &str, now: Timestamp) -> Option<Vec<Value>> {
    let now = rfc3339(now)?;
    let mut all = known.to_vec();
    for site in sites {
        let mut source = site.source(stream, &now);
        let requests = site.requests();
        let is_same = |other: &&mut Value| {
            let external = other.get("external").and_then(|external| external.get("api"));
            external.and_then(Value::as_str) == Some(requests.as_str())
        };
        match all.iter_mut().find(is_same) {
            None => all.push(source),
            Some(known) => {
                if let Some(source) = source.as_object_mut() {
                    source.remove("opt_start_time");
                }
                *known = merged(known.clone(), &source);
            }
        }
    }
    Some(all)
}

/// The sites of a stream that its server has not reached.
fn unreached(info: &Value) -> Vec<String> {
    let sources = info.get("sources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // `active` is negative then.
    let unheard =
        sources.iter().filter(|source| source.get("active").is_none_or(|active| active.as_u64().is_none()));
    let requests = unheard.filter_map(|source| source.get("external")?.get("api")?.as_str());
    requests.filter_map(|text| Some(text.strip_prefix("$JS.")?.strip_suffix(".API")?.to_owned())).collect()
}

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerBegin {
    /// With what is published from now on; one that is there stays as it is.
    Now,
    /// With all that is stored: it is recreated.
    All,
    /// With what was stored at this instant or later: it is recreated.
    At(Timestamp),
}

/// What was done, or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsReport {
    /// The stream or the consumer.
    pub name: String,
    /// What was done, as one word.
    pub done: &'static str,
    /// Messages that it has, or that wait for it.
    pub messages: u64,
}

/// A connection of an operator.
pub struct NatsSetup {
    endpoint: String,
    stream: String,
    connection: Connection,
}

impl std::fmt::Debug for NatsSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsSetup").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl NatsSetup {
    /// Connects to the server of an endpoint. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the endpoint is no stream, or the server cannot be reached.
    pub async fn connect(endpoint: &EndpointConfig) -> Result<Self, BusError> {
        let address = endpoint.nats()?;
        let (endpoint, stream) = (address.endpoint.clone(), address.stream.clone());
        match Servers::new(address).try_open().await {
            Ok(connection) => Ok(Self { endpoint, stream, connection }),
            Err(reason) => Err(BusError::Nats { url: endpoint, reason }),
        }
    }

    /// Makes the stream, or gives it these limits. Without `sites` it takes what publishers send to this server; with some,
    /// only what the streams of those sites have stored. Sites that it takes from already stay.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn stream(
        &mut self,
        limits: StreamLimits,
        sites: &[NatsSite],
        now: Timestamp,
    ) -> Result<NatsReport, BusError> {
        NatsSite::check(sites).map_err(|reason| BusError::config(&self.endpoint, reason))?;
        let name = self.stream.clone();
        let found = match call(&mut self.connection, &format!("STREAM.INFO.{name}"), &Value::Null).await {
            Ok(info) => info.get("config").cloned(),
            Err(error) if error.is(STREAM_NOT_FOUND) => None,
            Err(error) => return Err(self.error(format!("cannot look up stream {name}: {error}"))),
        };
        let mut wanted = json!({
            "name": name,
            "description": "signed measurements of kwapi",
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_bytes": limits.bytes_max.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            "max_age": u64::try_from(limits.age_max.as_nanos()).unwrap_or(u64::MAX),
            "max_msg_size": MESSAGE_BYTES_MAX,
            // Neither the number of messages nor that of a probe's is limited.
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "num_replicas": limits.replicas,
            "compression": "s2",
        });
        let known = found.as_ref().and_then(|found| found.get("sources")).and_then(Value::as_array);
        let known = known.map_or(&[][..], Vec::as_slice);
        let origin = if sites.is_empty() && known.is_empty() {
            json!({ "subjects": [format!("{name}.>")] })
        } else {
            let sources = sources(known, sites, &name, now)
                .ok_or_else(|| BusError::config(&self.endpoint, "the time is out of range"))?;
            json!({ "subjects": [], "sources": sources })
        };
        wanted = merged(wanted, &origin);
        let (verb, done, config) = match found {
            // A server that pulls from this one resumes after the number it has: a recreated one must not begin below
            // that.
            None => ("CREATE", "created", Some(merged(wanted, &json!({ "first_seq": now.micros() })))),
            Some(mut found) => {
                // The server leaves an empty list out.
                if let Some(found) = found.as_object_mut() {
                    found.entry("subjects").or_insert_with(|| json!([]));
                }
                let changed = merged(found.clone(), &wanted);
                if changed == found {
                    ("UPDATE", "unchanged", None)
                } else {
                    ("UPDATE", "changed", Some(changed))
                }
            }
        };
        if let Some(config) = config
            && let Err(error) = call(&mut self.connection, &format!("STREAM.{verb}.{name}"), &config).await
        {
            return Err(self.error(format!("cannot {} stream {name}: {error}", verb.to_lowercase())));
        }
        let info = stream_info(&mut self.connection, &name).await.map_err(|reason| self.error(reason))?;
        let messages = info.get("state").and_then(|state| state.get("messages")).and_then(Value::as_u64);
        Ok(NatsReport { name, done, messages: messages.unwrap_or_default() })
    }

    /// Waits until this server has reached each site that the stream takes from, for a few seconds at most; the sites that it has
    /// not. What a site stores in the moment in which it is reached for the first time can be passed over (nats-server 2.14).
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn unreached(&mut self) -> Result<Vec<String>, BusError> {
        let end = tokio::time::Instant::now() + REACHED_WITHIN;
        loop {
            let info = stream_info(&mut self.connection, &self.stream).await;
            let missing = unreached(&info.map_err(|reason| self.error(reason))?);
            if missing.is_empty() || tokio::time::Instant::now() >= end {
                return Ok(missing);
            }
            tokio::time::sleep(QUERY_AGAIN).await;
        }
    }

    /// Creates the consumer of a history, or recreates it where it is to begin earlier.
    ///
    /// # Errors
    /// When its name is none, or the server refuses.
    pub async fn consumer(
        &mut self,
        name: &str,
        probes: &[Pattern],
        begin: ConsumerBegin,
    ) -> Result<NatsReport, BusError> {
        if !is_name(name) {
            let reason =
                format!("the name of a consumer must be 1 to {NAME_BYTES_MAX} letters, digits, - or _");
            return Err(BusError::config(&self.endpoint, reason));
        }
        let stream = self.stream.clone();
        let filters = subject::filters(&stream, probes);
        let plan = ConsumerPlan { stream, name: name.to_owned(), filters };
        let report = |done, messages| Ok(NatsReport { name: name.to_owned(), done, messages });
        let connection = &mut self.connection;
        let failed = |reason| BusError::Nats { url: self.endpoint.clone(), reason };
        let begin = match begin {
            ConsumerBegin::Now => {
                if let Some(state) = plan.find(connection).await.map_err(failed)? {
                    return report("unchanged", state.waiting);
                }
                let state = plan.create(connection, &Begin::Now).await.map_err(failed)?;
                return report("created", state.waiting);
            }
            ConsumerBegin::All => Begin::All,
            ConsumerBegin::At(at) => Begin::Instant(
                rfc3339(at).ok_or_else(|| BusError::config(&self.endpoint, "the instant is out of range"))?,
            ),
        };
        let was_there = plan.delete(connection).await.map_err(failed)?;
        let state = plan.create(connection, &begin).await.map_err(failed)?;
        report(if was_there { "recreated" } else { "created" }, state.waiting)
    }

    fn error(&self, reason: String) -> BusError {
        BusError::Nats { url: self.endpoint.clone(), reason }
    }
}

fn rfc3339(at: Timestamp) -> Option<String> {
    let micros = i64::try_from(at.micros()).ok()?;
    jiff::Timestamp::from_microsecond(micros).ok().map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_site_has_a_name_and_probes_of_its_own() {
        let check = |sites: &[&str]| {
            let sites: Vec<_> = sites.iter().map(|text| NatsSite::new(text).unwrap()).collect();
            NatsSite::check(&sites)
        };
        assert_eq!(check(&["lyon", "lyonnais", "fr=fr.a.*", "nancy=fr.b.*", "one=fr.c"]), Ok(()));
        assert_eq!(check(&["lyon", "paris", "lyon=x.*"]), Err("site lyon: named twice".to_owned()));
        for both in [
            ["fr", "lyon=fr.lyon.*"],
            ["lyon=fr.lyon.*", "fr"],
            ["fr", "one=fr.c"],
            ["all=*", "fr"],
            ["a=x.*", "b=x.*"],
        ] {
            assert!(check(&both).unwrap_err().contains("each site needs probes of its own"), "{both:?}");
        }
        for text in ["", "ly on", "=x", "a.b", "lyon=", "lyon=\u{7}"] {
            assert!(NatsSite::new(text).is_err(), "{text:?}");
        }
        let site = NatsSite::new("nancy=fr.nancy.*").unwrap();
        assert_eq!((site.name(), site.subjects("power")), ("nancy", "power.fr.nancy.>".to_owned()));
    }

    #[test]
    fn a_site_that_is_known_begins_where_it_did() {
        let now = |seconds: u64| Timestamp::from_seconds(1_790_000_000 + seconds);
        let site = |text: &str| NatsSite::new(text).unwrap();
        let first = sources(&[], &[site("lyon"), site("paris")], "power", now(0)).unwrap();
        assert_eq!(sources(&first, &[], "power", now(9)).unwrap(), first, "what is there stays");
        let more = sources(&first, &[site("paris=fr.paris.*"), site("nancy")], "power", now(9)).unwrap();
        let of = |place: usize, key: &str| more[place][key].as_str().unwrap().to_owned();
        assert_eq!(more.len(), 3);
        assert_eq!(more[0], first[0]);
        assert_eq!(of(1, "filter_subject"), "power.fr.paris.>");
        assert_eq!(of(1, "opt_start_time"), of(0, "opt_start_time"));
        assert_ne!(of(2, "opt_start_time"), of(0, "opt_start_time"));
    }
}
