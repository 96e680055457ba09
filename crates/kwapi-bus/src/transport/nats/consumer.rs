//! The consumer at the server that belongs to a plugin's history: what the server keeps for it, and delivers again
//! until it is acknowledged.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::RESPONSE_TIMEOUT;
use super::connection::{Connection, Event};
use super::jetstream::{
    ApiError, CONSUMER_NOT_FOUND, INVALID_RESET, STREAM_NOT_FOUND, call, missing, stream_info,
};

/// What is not acknowledged within this time is delivered again, while the connection stands. A journal takes a fifth
/// of a second.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Measurements that are handed on before any of them is acknowledged, less than the subscriber's queue holds; and messages,
/// each of which has one at least, that the server delivers.
pub(super) const UNACKNOWLEDGED_MAX: usize = 1 << 16;
/// What an operator can give a consumer, and ours must not have: it would lose messages that are sent again (`backoff`), all that
/// is in them (`headers_only`), itself while the history is away (`inactive_threshold`), or deliver less than is requested.
const UNWANTED: [&str; 6] =
    ["backoff", "headers_only", "inactive_threshold", "max_batch", "max_bytes", "max_expires"];

/// Requests of a connection that has ended stand for two seconds at a server with leaf nodes (nats-server 2.14,
/// `defaultGatewayRecentSubExpiration`), and for as long as they were made for where the server has not noticed the end.
const REQUESTED_MAX: Duration = Duration::from_secs(3);
/// How often it is looked whether they do.
const REQUESTED_INTERVAL: Duration = Duration::from_millis(100);

/// Where a consumer is deleted, and what no server takes for a request to do so.
const DELETION: &str = "$JS.API.CONSUMER.DELETE.";
const NOT_EMPTY: &[u8] = b"is it allowed";

/// What a consumer's metadata names that was made again to read a stretch of the stream again: that stretch.
const RECALL: &str = "kwapi-recall";

/// Whether the server complains that we may not delete a consumer.
pub(super) fn is_deletion(complaint: &str) -> bool {
    complaint.contains(DELETION)
}

/// A consumer as it is wanted.
#[derive(Clone, Debug)]
pub(super) struct ConsumerPlan {
    pub(super) stream: String,
    pub(super) name: String,
    /// The subjects that it is given.
    pub(super) filters: Vec<String>,
}

/// A consumer as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConsumerState {
    /// How many messages wait for it: not delivered yet, or not acknowledged.
    pub(super) waiting: u64,
    /// Of those, how many were not delivered yet.
    pub(super) undelivered: u64,
    /// Up to this number of the stream it has acknowledged all that was there.
    pub(super) acknowledged: u64,
    /// How many requests for its messages stand.
    pub(super) requests: u64,
    /// The number of the first message that it can be set back to; `None` where it began with what was new.
    pub(super) begin: Option<u64>,
    /// What it was made again for, if it was ([`RECALL`]).
    pub(super) recall: Option<String>,
}

impl ConsumerState {
    fn read(info: &Value) -> Self {
        let count = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or_default();
        let undelivered = count(info.get("num_pending"));
        let waiting = undelivered.saturating_add(count(info.get("num_ack_pending")));
        let acknowledged = count(info.get("ack_floor").and_then(|floor| floor.get("stream_seq")));
        let config = info.get("config").unwrap_or(&Value::Null);
        let begin = match config.get("deliver_policy").and_then(Value::as_str) {
            // Of one that begins with an instant, what was delivered is later.
            None | Some("all" | "by_start_time") => Some(0),
            Some("by_start_sequence") => Some(count(config.get("opt_start_seq"))),
            Some(_) => None,
        };
        let metadata = config.get("metadata");
        let recall = metadata.and_then(|metadata| metadata.get(RECALL)).and_then(Value::as_str);
        let requests = count(info.get("num_waiting"));
        let recall = recall.map(str::to_owned);
        Self { waiting, undelivered, acknowledged, requests, begin, recall }
    }

    /// Whether it can be set back to the message of this number without being made again.
    pub(super) fn reaches(&self, number: u64) -> bool {
        self.begin.is_some_and(|begin| begin <= number)
    }
}

/// Where a consumer begins that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With what is published from now on. The consumer begins with a number all the same: one that begins with what is new cannot
    /// be set back.
    Now,
    /// With the oldest message there is.
    All,
    /// With the message of this number.
    Sequence(u64),
    /// With what was stored at this instant or later, in RFC 3339.
    Instant(String),
}

impl Begin {
    /// How that is put to the server.
    fn wanted(&self) -> Value {
        match self {
            Self::Now => json!({ "deliver_policy": "new" }),
            Self::All => json!({ "deliver_policy": "all" }),
            Self::Sequence(number) => {
                json!({ "deliver_policy": "by_start_sequence", "opt_start_seq": number })
            }
            Self::Instant(at) => json!({ "deliver_policy": "by_start_time", "opt_start_time": at }),
        }
    }
}

impl ConsumerPlan {
    /// Whether it is given all messages of the stream.
    pub(super) fn takes_all(&self) -> bool {
        self.filters == [format!("{}.>", self.stream)]
    }

    /// The configuration we request, except where it begins.
    fn wanted(&self) -> Value {
        json!({
            "durable_name": self.name,
            "name": self.name,
            "description": "history of a kwapi",
            "ack_policy": "explicit",
            "ack_wait": u64::try_from(ACK_WAIT.as_nanos()).unwrap_or(u64::MAX),
            "max_ack_pending": UNACKNOWLEDGED_MAX,
            // Without a limit: a message is delivered until it is acknowledged.
            "max_deliver": -1,
            "replay_policy": "instant",
            "filter_subjects": self.filters,
        })
    }

    /// Makes it at the server.
    ///
    /// # Errors
    /// Why that is not possible, as text.
    pub(super) async fn create(
        &self,
        connection: &mut Connection,
        begin: &Begin,
    ) -> Result<ConsumerState, String> {
        let next = match begin {
            Begin::Now => {
                let info = stream_info(connection, &self.stream).await?;
                let last = info.get("state").and_then(|state| state.get("last_seq")).and_then(Value::as_u64);
                Some(Begin::Sequence(last.unwrap_or_default().saturating_add(1)))
            }
            Begin::All | Begin::Sequence(_) | Begin::Instant(_) => None,
        };
        let begin = next.as_ref().unwrap_or(begin).wanted();
        self.put(connection, merged(self.wanted(), &begin), "create").await
    }

    /// Sets it back to the message of this number, whatever was acknowledged; `recall` names why. One that the server cannot set
    /// back so far is made again.
    ///
    /// # Errors
    /// Why that is not possible, as text.
    pub(super) async fn set_back(
        &self,
        connection: &mut Connection,
        number: u64,
        recall: &str,
    ) -> Result<ConsumerState, String> {
        let Self { stream, name, .. } = self;
        let metadata = json!({ "metadata": { RECALL: recall } });
        let request = json!({ "seq": number });
        match call(connection, &format!("CONSUMER.RESET.{stream}.{name}"), &request).await {
            Ok(_) => {
                let info = call(connection, &self.info_request(), &Value::Null).await;
                let info = info.map_err(|error| self.lookup_problem(&error))?;
                self.put(connection, merged(self.restored(&info), &metadata), "update").await
            }
            Err(error) if error.is(INVALID_RESET) || error.is(CONSUMER_NOT_FOUND) => {
                if error.is(INVALID_RESET) {
                    self.delete(connection).await?;
                }
                let begin = merged(Begin::Sequence(number).wanted(), &metadata);
                self.put(connection, merged(self.wanted(), &begin), "create").await
            }
            Err(error) => Err(format!("cannot set back consumer {name}: {error}")),
        }
    }

    /// Whether the server lets us delete it: by a request that it refuses by its form alone.
    ///
    /// # Errors
    /// When there is no answer, as text.
    pub(super) async fn may_be_deleted(&self, connection: &mut Connection) -> Result<bool, String> {
        let number = self.request_deletion(connection);
        loop {
            let event = timeout(RESPONSE_TIMEOUT, connection.next()).await;
            match event.unwrap_or_else(|_| Err("no response from the stream".to_owned()))? {
                Event::Message(message) if connection.reply_number(&message.subject) == Some(number) => {
                    return Ok(true);
                }
                Event::Message(_) => {}
                Event::Complaint(complaint) if is_deletion(&complaint) => return Ok(false),
                Event::Complaint(complaint) => return Err(format!("the server reports: {complaint}")),
            }
        }
    }

    /// Adds that request to what is sent next; returns the number of its answer.
    pub(super) fn request_deletion(&self, connection: &mut Connection) -> u64 {
        let (number, reply) = connection.reply_address();
        connection.publish(&format!("{DELETION}{}.{}", self.stream, self.name), Some(&reply), NOT_EMPTY);
        number
    }

    /// The right that making it again requires, which its user does not have.
    pub(super) fn deletion_problem(&self) -> String {
        let Self { stream, name, .. } = self;
        format!(
            "consumer {name} was made by an earlier version and must be made again to read them; allow its user to publish to \
             {DELETION}{stream}.{name}"
        )
    }

    /// The configuration of one that the server describes, with what is wanted in place of its own.
    fn restored(&self, info: &Value) -> Value {
        let mut config = merged(info.get("config").cloned().unwrap_or_default(), &self.wanted());
        if let Some(config) = config.as_object_mut() {
            // The server gives one subject in a member of its own.
            config.remove("filter_subject");
            UNWANTED.iter().for_each(|key| _ = config.remove(*key));
        }
        config
    }

    /// Looks for it at the server; `None` where there is none. One that is given other probes than it should be, or that an
    /// operator has changed in a way that loses messages, is changed.
    ///
    /// # Errors
    /// When the server reports none, it is paused, or another kind of consumer, as text.
    pub(super) async fn find(&self, connection: &mut Connection) -> Result<Option<ConsumerState>, String> {
        let Self { stream, name, .. } = self;
        let info = match call(connection, &self.info_request(), &Value::Null).await {
            Ok(info) => info,
            Err(error) if error.is(CONSUMER_NOT_FOUND) => return Ok(None),
            Err(error) if error.is(STREAM_NOT_FOUND) => return Err(missing(stream)),
            Err(error) => return Err(self.lookup_problem(&error)),
        };
        if let Some(state) = self.state(&info)? {
            return Ok(Some(state));
        }
        tracing::warn!(
            stream,
            consumer = name,
            "NATS: the consumer is not configured as this history requires; updating it"
        );
        self.put(connection, self.restored(&info), "update").await.map(Some)
    }

    /// The same once no request for its messages stands. What is delivered for one of an earlier connection is missing in
    /// what the next one is given, and comes again after messages that follow it.
    ///
    /// # Errors
    /// As [`ConsumerPlan::find`], and when some stand for seconds.
    pub(super) async fn find_unrequested(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<ConsumerState>, String> {
        let until = Instant::now() + REQUESTED_MAX;
        loop {
            let state = self.find(connection).await?;
            if state.as_ref().is_none_or(|state| state.requests == 0) {
                return Ok(state);
            }
            if Instant::now() >= until {
                return Err(format!(
                    "requests of another connection stand at consumer {}: those of an earlier one end within seconds; \
                    each history requires a consumer of its own",
                    self.name
                ));
            }
            sleep(REQUESTED_INTERVAL).await;
        }
    }

    /// Why it could not be looked up.
    pub(super) fn lookup_problem(&self, error: &ApiError) -> String {
        format!("cannot look up consumer {}: {error}", self.name)
    }

    /// The request that looks it up.
    pub(super) fn info_request(&self) -> String {
        format!("CONSUMER.INFO.{}.{}", self.stream, self.name)
    }

    /// The consumer by the server's report; `None` where it is not as required.
    ///
    /// # Errors
    /// When it is paused, or another kind of consumer, as text.
    pub(super) fn state(&self, info: &Value) -> Result<Option<ConsumerState>, String> {
        let Self { stream, name, .. } = self;
        let present = info.get("config").unwrap_or(&Value::Null);
        let is_ours = present.get("ack_policy").and_then(Value::as_str) == Some("explicit")
            && present.get("deliver_subject").is_none();
        if !is_ours {
            return Err(format!("consumer {name} is of another kind; use another name"));
        }
        if info.get("paused").and_then(Value::as_bool) == Some(true) {
            let until = present.get("pause_until").and_then(Value::as_str).unwrap_or("it is resumed");
            return Err(format!(
                "consumer {name} is paused until {until}; to resume it: nats consumer resume {stream} {name}"
            ));
        }
        Ok(self.is_as_wanted(present).then(|| ConsumerState::read(info)))
    }

    fn is_as_wanted(&self, present: &Value) -> bool {
        let one = present.get("filter_subject").and_then(Value::as_str).filter(|one| !one.is_empty());
        let many = present.get("filter_subjects").and_then(Value::as_array).into_iter().flatten();
        let mut has: Vec<&str> = many.filter_map(Value::as_str).chain(one).collect();
        let mut required: Vec<&str> = self.filters.iter().map(String::as_str).collect();
        has.sort_unstable();
        required.sort_unstable();
        let wanted = self.wanted();
        // The server leaves out what has its default value.
        let is_unwanted = |key: &&str| present.get(*key).is_some_and(|value| *value != json!(false));
        has == required
            && ["ack_wait", "max_ack_pending"].iter().all(|key| present.get(key) == wanted.get(key))
            && present.get("max_deliver").and_then(Value::as_i64).is_none_or(|count| count < 0)
            && !UNWANTED.iter().any(is_unwanted)
    }

    async fn put(
        &self,
        connection: &mut Connection,
        config: Value,
        action: &str,
    ) -> Result<ConsumerState, String> {
        let Self { stream, name, .. } = self;
        let request = json!({ "stream_name": stream, "config": config, "action": action });
        match call(connection, &format!("CONSUMER.CREATE.{stream}.{name}"), &request).await {
            Ok(info) => Ok(ConsumerState::read(&info)),
            Err(error) if error.is(STREAM_NOT_FOUND) => Err(missing(stream)),
            Err(error) => Err(format!("cannot {action} consumer {name}: {error}")),
        }
    }

    /// Has what was delivered and not acknowledged delivered again, before anything else: in the order of the stream,
    /// as an account does not distinguish a message far behind others from one it has seen.
    ///
    /// # Errors
    /// When the server refuses, as text.
    pub(super) async fn rewind(&self, connection: &mut Connection) -> Result<(), String> {
        let Self { stream, name, .. } = self;
        let reset = call(connection, &format!("CONSUMER.RESET.{stream}.{name}"), &json!({})).await;
        reset.map(drop).map_err(|error| {
            format!("cannot rewind consumer {name}: {error}; nats-server 2.14 or later is required")
        })
    }

    /// Deletes it; returns whether there was one.
    ///
    /// # Errors
    /// When the server refuses, as text.
    pub(super) async fn delete(&self, connection: &mut Connection) -> Result<bool, String> {
        let Self { stream, name, .. } = self;
        match call(connection, &format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null).await {
            Ok(_) => Ok(true),
            Err(error) if error.is(CONSUMER_NOT_FOUND) => Ok(false),
            Err(error) if error.is(STREAM_NOT_FOUND) => Err(missing(stream)),
            Err(error) => Err(format!("cannot delete consumer {name}: {error}")),
        }
    }
}

/// `base` with the members of `changes` in place of its own.
pub(super) fn merged(mut base: Value, changes: &Value) -> Value {
    if let (Some(base), Some(changes)) = (base.as_object_mut(), changes.as_object()) {
        base.extend(changes.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    base
}
