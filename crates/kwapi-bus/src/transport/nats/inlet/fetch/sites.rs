//! The sites whose streams the stream pulls from: whether all they have stored is there. The consumer's end is the end
//! of what the centre has, and does not cover a site whose line is down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::transport::nats::connection::Connection;
use crate::transport::nats::link::{Link, NatsSiteState};
use crate::transport::nats::wire::Message;

/// How often the server is polled.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// A server that pulls from a site receives from it every second.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// More sites of a stream are not looked at.
const SITES_MAX: usize = 1_000;
/// Messages on their way from a site that has a line, as servers count them: a second of a large one, in batches.
const UNDER_WAY_MAX: u64 = 250;

/// What is known of them since this process began.
pub(super) struct Sites {
    link: Arc<Link>,
    looked_at: Option<Instant>,
    /// The number of the request that stands.
    requested: Option<u64>,
    /// When all that a site had stored was there last.
    complete: HashMap<String, Instant>,
}

impl Sites {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, looked_at: None, requested: None, complete: HashMap::new() }
    }

    /// Requests the stream's state when it is due, where it pulls from sites.
    pub(super) fn request(&mut self, connection: &mut Connection, stream: &str) {
        let is_due = self.looked_at.is_none_or(|at| at.elapsed() > LOOK_INTERVAL);
        if is_due && self.link.has_sites() {
            let (number, reply) = connection.reply_address();
            connection.publish(&format!("$JS.API.STREAM.INFO.{stream}"), Some(&reply), b"");
            (self.requested, self.looked_at) = (Some(number), Some(Instant::now()));
        }
    }

    /// Whether a message is the answer; it is taken note of.
    pub(super) fn takes(&mut self, number: Option<u64>, message: &Message) -> bool {
        if number.is_none() || number != self.requested {
            return false;
        }
        self.requested = None;
        if let Ok(info) = serde_json::from_slice(&message.payload) {
            self.note(&info, Instant::now());
        }
        true
    }

    /// Takes note of the state of the stream. A site that it no longer lists is removed.
    pub(super) fn note(&mut self, info: &Value, now: Instant) {
        let sources = info.get("sources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut states = Vec::new();
        for source in sources.iter().take(SITES_MAX) {
            let requests =
                source.get("external").and_then(|external| external.get("api")).and_then(Value::as_str);
            let name = requests.and_then(|text| text.strip_prefix("$JS.")?.strip_suffix(".API"));
            let Some(name) = name else { continue };
            let waiting = source.get("lag").and_then(Value::as_u64).unwrap_or_default();
            // Negative where it was never reached.
            let active = source.get("active").and_then(Value::as_u64).map(Duration::from_nanos);
            let is_complete = waiting <= UNDER_WAY_MAX && active.is_some_and(|active| active < SILENT_AFTER);
            if is_complete {
                self.complete
                    .insert(name.to_owned(), now.checked_sub(active.unwrap_or_default()).unwrap_or(now));
            }
            let complete_at = self.complete.get(name).copied();
            states.push(NatsSiteState { name: name.to_owned(), waiting, is_complete, complete_at });
        }
        self.complete.retain(|name, _| states.iter().any(|state| state.name == *name));
        self.link.note_sites(states);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::transport::nats::link::NatsSide;

    fn source(name: &str, active: i64, lag: u64) -> Value {
        json!({ "name": "power", "active": active, "lag": lag, "external": { "api": format!("$JS.{name}.API") } })
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_site_lacks_is_counted_from_when_it_was_last_complete() {
        let link = Arc::new(Link::new("nats://a/power", NatsSide::Subscribe));
        let mut sites = Sites::new(link.clone());
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let lacking = |seconds: u64| link.lacking_for(at(seconds));
        sites.note(&json!({}), at(0));
        assert!(!link.has_sites() && lacking(0).is_none(), "a stream of its own");
        sites.note(
            &json!({ "sources": [source("lyon", -1, 0), source("paris", 2_000_000_000, 200)] }),
            at(100),
        );
        assert_eq!(lacking(100), Some(Duration::MAX), "Lyon was never reached");
        sites.note(&json!({ "sources": [source("lyon", 0, 70_000), source("paris", 0, 0)] }), at(110));
        assert_eq!(lacking(110), Some(Duration::MAX), "and is being read");
        sites.note(&json!({ "sources": [source("lyon", 0, 3), source("paris", 0, 0)] }), at(120));
        assert_eq!(lacking(120), None);
        sites.note(
            &json!({ "sources": [source("lyon", 12_000_000_000_i64, 0), source("paris", 0, 0)] }),
            at(130),
        );
        assert_eq!(lacking(133), Some(Duration::from_secs(13)), "since the last look at which it was there");
        sites.note(&json!({ "sources": [source("paris", 0, 0)] }), at(140));
        assert_eq!(lacking(140), None, "it is none any more");
        assert_eq!(link.snapshot(0).sites.len(), 1);
    }
}
