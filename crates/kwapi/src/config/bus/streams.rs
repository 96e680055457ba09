//! What is probably not meant of the streams of NATS that a configuration names.

use super::Endpoint;
use crate::config::document::{Document, Step};
use crate::config::{Config, nearest};

impl Config {
    /// What a start takes as it is, and what is worth an operator's attention.
    pub(in crate::config) fn stream_remarks(&self, document: &Document) -> Vec<String> {
        let mut all = self.unknown_consumers(document);
        all.extend(self.repeated_streams(document));
        all.extend(self.unverified_streams(document));
        all
    }

    /// Consumers that messages are kept for and that no history of this configuration is, though some of the same stream are.
    fn unknown_consumers(&self, document: &Document) -> Vec<String> {
        let stream = |endpoint: &Endpoint| endpoint.plain(&self.bus).nats_stream();
        let mut warnings = Vec::new();
        for endpoint in &self.drivers.publish {
            let read = self
                .rrd
                .subscribe
                .iter()
                .filter(|it| it.url() == endpoint.url() || stream(it) == stream(endpoint));
            let known: Vec<&str> = read.filter_map(Endpoint::consumer).collect();
            let unknown = endpoint.0.consumers.iter().filter(|name| !known.contains(&name.as_str()));
            for name in unknown.filter(|_| !known.is_empty()) {
                let advice = nearest(name, known.iter().copied())
                    .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                let path = ["drivers", "publish"].map(|key| Step::Key(key.to_owned()));
                let message = format!("{}: no `consumer` in [rrd] is named `{name}`{advice}", endpoint.url());
                warnings.push(document.error(&path, message).to_string());
            }
        }
        warnings
    }

    /// Streams that are listed more than once: each message is stored, or received, as often.
    fn repeated_streams(&self, document: &Document) -> Vec<String> {
        let lists = [
            ("drivers", "publish", &self.drivers.publish, "each message is stored more than once"),
            ("rrd", "subscribe", &self.rrd.subscribe, "each message is received more than once"),
        ];
        let mut warnings = Vec::new();
        for (table, key, endpoints, effect) in lists {
            for (place, endpoint) in endpoints.iter().enumerate() {
                let before = endpoints.iter().take(place);
                let is_again = before.into_iter().any(|other| other.url() == endpoint.url());
                if is_again && endpoint.plain(&self.bus).is_nats() {
                    let message = format!("{} is listed twice: {effect}", endpoint.url());
                    warnings.push(at(document, table, key, &message));
                }
            }
        }
        warnings
    }

    /// Streams of whose messages none can be verified. Those that fail are not kept for the history any longer.
    fn unverified_streams(&self, document: &Document) -> Vec<String> {
        let lists = [("api", &self.api.subscribe), ("rrd", &self.rrd.subscribe)];
        let streams = lists.into_iter().flat_map(|(table, all)| all.iter().map(move |one| (table, one)));
        let unverified = streams.filter(|(_, endpoint)| {
            let source = endpoint.source(&self.bus);
            endpoint.plain(&self.bus).is_nats() && source.keys.is_empty()
        });
        unverified
            .map(|(table, endpoint)| {
                let url = endpoint.url();
                let message = format!("{url}: no key is accepted, so that every message fails verification and is lost; set `keys` in [bus]");
                at(document, table, "subscribe", &message)
            })
            .collect()
    }
}

fn at(document: &Document, table: &str, key: &str, message: &str) -> String {
    let path = [table, key].map(|key| Step::Key(key.to_owned()));
    document.error(&path, message).to_string()
}
