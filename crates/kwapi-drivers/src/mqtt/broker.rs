//! Connections to brokers, one for each address and user in the process, closed with the last meter on it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kwapi_core::Secret;
use parking_lot::Mutex;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::time::{Instant, timeout};

use super::MqttConfig;
use super::queue::{End, Message, Queue};
use crate::config::ConfigError;
use crate::error::DriverError;
use crate::http::Login;
use crate::tls::{self, DeviceTls};

/// Connecting, with TLS and the broker's answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The broker drops us after one and a half of these in silence, and we it after two (MQTT 3.1.1, 3.1.2.10).
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A message about power is a few kilobytes at most; a longer one ends the connection.
const PACKET_BYTES_MAX: usize = 256 << 10;
/// Subscriptions that wait for the connection to write them. Full: the next meter waits to open.
const REQUESTS_MAX: usize = 64;
/// How long it waits before it looks again.
const REQUESTS_PAUSE: Duration = Duration::from_millis(10);

/// Which broker, as whom, trusted how. Meters with the same share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BrokerAddress {
    host: String,
    port: u16,
    is_tls: bool,
    tls: DeviceTls,
    user: Option<(String, Secret)>,
}

impl BrokerAddress {
    /// Reads the `broker` key.
    ///
    /// # Errors
    /// For an address that is none or carries a password, and a user without a password.
    pub(super) fn new(config: &MqttConfig) -> Result<Self, ConfigError> {
        let refused = |why: &str| ConfigError::of("broker", why);
        let (is_tls, rest) = match config.broker.split_once("://") {
            Some(("mqtt" | "tcp", rest)) => (false, rest),
            Some(("mqtts" | "ssl", rest)) => (true, rest),
            Some(_) => return Err(refused("must start with mqtt:// or mqtts://")),
            None => (false, config.broker.as_str()),
        };
        if rest.contains('@') {
            return Err(refused("must not contain credentials; set username and password instead"));
        }
        let rest = rest.trim_end_matches('/');
        let default = if is_tls { 8883 } else { 1883 };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') && (host.starts_with('[') || !host.contains(':')) => {
                (host, port.parse().map_err(|_| refused("invalid port; must be 0 to 65535"))?)
            }
            _ => (rest, default),
        };
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() || host.contains('/') {
            return Err(refused("invalid address; write mqtt://HOST:PORT"));
        }
        let user = Login::from_keys(config.username.as_deref(), config.password.as_ref())?.user;
        Ok(Self { host: host.to_owned(), port, is_tls, tls: config.tls.clone(), user })
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {}:{}", self.host, self.port)
    }
}

/// The connections of a process.
#[derive(Debug, Default)]
pub struct Brokers(Mutex<Vec<(BrokerAddress, Arc<Slot>)>>);

/// One address: its connection, if it stands, and what became of the last try.
type Slot = tokio::sync::Mutex<Last>;

#[derive(Debug, Default)]
struct Last {
    connection: Weak<Connection>,
    failure: Option<(Instant, End)>,
}

impl Brokers {
    /// Joins the connection to `address`, or makes it, and subscribes to `filters` on it.
    ///
    /// # Errors
    /// `Link` when the broker cannot be reached, `Refused` when it does not take the user or a filter is none.
    pub(super) async fn subscribe(
        &self,
        address: &BrokerAddress,
        filters: &[String],
    ) -> Result<Subscription, DriverError> {
        let requested_at = Instant::now();
        let slot = self.slot(address);
        let connection = {
            let mut last = slot.lock().await;
            match (last.connection.upgrade().filter(|connection| connection.is_up()), &last.failure) {
                (Some(connection), _) => connection,
                // Another meter tried while this one stood in line: one try is enough for all.
                (None, Some((at, end))) if *at >= requested_at => return Err(end.clone().into()),
                (None, _) => match connect(address).await {
                    Ok(connection) => {
                        *last = Last { connection: Arc::downgrade(&connection), failure: None };
                        connection
                    }
                    Err(end) => {
                        last.failure = Some((Instant::now(), end.clone()));
                        return Err(end.into());
                    }
                },
            }
        };
        let queue = Arc::new(Queue::default());
        // Kept from here on, so that being cancelled in the loop leaves no route behind.
        let mut subscription = Subscription { connection, queue, filters: Vec::new() };
        for filter in filters {
            subscription.add(filter).await?;
        }
        Ok(subscription)
    }

    fn slot(&self, address: &BrokerAddress) -> Arc<Slot> {
        let mut slots = self.0.lock();
        if let Some((_, slot)) = slots.iter().find(|(known, _)| known == address) {
            return Arc::clone(slot);
        }
        // Addresses that a reload has left behind.
        slots.retain(|(_, slot)| {
            Arc::strong_count(slot) > 1
                || slot.try_lock().is_ok_and(|last| last.connection.strong_count() > 0)
        });
        let slot = Arc::new(Slot::default());
        slots.push((address.clone(), Arc::clone(&slot)));
        slot
    }
}

/// A connection that stands.
struct Connection {
    client: AsyncClient,
    routes: Arc<Mutex<Routes>>,
    task: tokio::task::AbortHandle,
    address: String,
}

impl Connection {
    fn is_up(&self) -> bool {
        !self.task.is_finished()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who subscribes to what.
#[derive(Debug, Default)]
struct Routes {
    /// Topics without wildcards, by far the most.
    exact: HashMap<String, Vec<Arc<Queue>>>,
    /// Filters with `+` or `#`.
    wild: Vec<(String, Arc<Queue>)>,
    /// Filters in the order their subscriptions were requested, to find whose was refused.
    unconfirmed: VecDeque<String>,
    end: Option<End>,
}

impl Routes {
    fn queues(&self, topic: &str) -> impl Iterator<Item = &Arc<Queue>> {
        let wild =
            self.wild.iter().filter(|(filter, _)| rumqttc::matches(topic, filter)).map(|(_, queue)| queue);
        self.exact.get(topic).into_iter().flatten().chain(wild)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.exact.values().flatten().chain(self.wild.iter().map(|(_, queue)| queue))
    }

    fn of_filter(&self, filter: &str) -> impl Iterator<Item = &Arc<Queue>> {
        let wild = self.wild.iter().filter(move |(wild, _)| wild == filter).map(|(_, queue)| queue);
        self.exact.get(filter).into_iter().flatten().chain(wild)
    }
}

/// One meter's part of a connection.
#[derive(Debug)]
pub(super) struct Subscription {
    connection: Arc<Connection>,
    queue: Arc<Queue>,
    filters: Vec<String>,
}

impl Subscription {
    async fn add(&mut self, filter: &str) -> Result<(), DriverError> {
        if !rumqttc::valid_filter(filter) {
            return Err(DriverError::Refused(format!("topic {filter:?}: invalid MQTT topic filter")));
        }
        // Full of other meters' subscriptions: wait until the connection has written some.
        while !self.try_add(filter)? {
            tokio::time::sleep(REQUESTS_PAUSE).await;
        }
        Ok(())
    }

    /// Refuses when too many subscriptions wait. Route and request are made under one lock, so that the order of the
    /// requests is known when their acknowledgements come.
    fn try_add(&mut self, filter: &str) -> Result<bool, DriverError> {
        let mut routes = self.connection.routes.lock();
        if let Some(end) = &routes.end {
            return Err(end.clone().into());
        }
        if self.connection.client.try_subscribe(filter, QoS::AtMostOnce).is_err() {
            return Ok(false);
        }
        routes.unconfirmed.push_back(filter.to_owned());
        let queue = Arc::clone(&self.queue);
        if filter.contains(['+', '#']) {
            routes.wild.push((filter.to_owned(), queue));
        } else {
            routes.exact.entry(filter.to_owned()).or_default().push(queue);
        }
        self.filters.push(filter.to_owned());
        Ok(true)
    }

    /// The next message, waited for.
    pub(super) async fn next(&self) -> Result<Message, DriverError> {
        self.queue.next().await.map_err(DriverError::from)
    }

    /// How many messages came faster than they were read.
    pub(super) fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut routes = self.connection.routes.lock();
        for filter in &self.filters {
            routes.wild.retain(|(wild, queue)| wild != filter || !Arc::ptr_eq(queue, &self.queue));
            if let Some(queues) = routes.exact.get_mut(filter) {
                queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
            }
            if routes.of_filter(filter).next().is_none() {
                routes.exact.remove(filter);
                // If this does not get through, messages that nobody subscribes to are dropped on arrival.
                _ = self.connection.client.try_unsubscribe(filter);
            }
        }
    }
}

async fn connect(address: &BrokerAddress) -> Result<Arc<Connection>, End> {
    let id = format!("kwapi-{:016x}", rand::random::<u64>());
    let mut options = MqttOptions::new(id, &address.host, address.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    if let Some((username, password)) = &address.user {
        options.set_credentials(username, password.expose());
    }
    if address.is_tls {
        let config = tls::client_config(&address.tls).map_err(|error| End::Refused(error.to_string()))?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
    match timeout(CONNECT_TIMEOUT, events.poll()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(end(address, &error)),
        Err(_) => {
            return Err(End::Lost(format!("{address}: connection timed out after {CONNECT_TIMEOUT:?}")));
        }
    }
    let routes = Arc::default();
    let task = tokio::spawn(serve(address.to_string(), events, Arc::clone(&routes))).abort_handle();
    Ok(Arc::new(Connection { client, routes, task, address: address.to_string() }))
}

/// Why a connection did not come about or did not last.
fn end(address: &BrokerAddress, error: &ConnectionError) -> End {
    match error {
        ConnectionError::ConnectionRefused(
            code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
        ) => End::Refused(format!("{address}: {code:?}; check username and password")),
        ConnectionError::ConnectionRefused(code) => End::Lost(format!("{address}: {code:?}")),
        other => End::Lost(format!("{address}: {other}")),
    }
}

/// Hands out messages until the connection ends.
async fn serve(address: String, mut events: EventLoop, routes: Arc<Mutex<Routes>>) {
    let mut unacknowledged = HashMap::new();
    let why = loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let routes = routes.lock();
                for queue in routes.queues(&publish.topic) {
                    queue.push(Message {
                        topic: publish.topic.clone(),
                        payload: publish.payload.to_vec(),
                        is_retained: publish.retain,
                    });
                }
            }
            Ok(Event::Outgoing(Outgoing::Subscribe(id))) => {
                if let Some(filter) = routes.lock().unconfirmed.pop_front() {
                    unacknowledged.insert(id, filter);
                }
            }
            Ok(Event::Incoming(Packet::SubAck(acknowledged))) => {
                let filter = unacknowledged.remove(&acknowledged.pkid);
                if acknowledged.return_codes.contains(&SubscribeReasonCode::Failure) {
                    let filter = filter.unwrap_or_default();
                    let why = format!("{address}: not authorized to subscribe to {filter:?}");
                    routes.lock().of_filter(&filter).for_each(|queue| queue.end(End::Refused(why.clone())));
                }
            }
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    let end = End::Lost(format!("{address}: {why}"));
    let mut routes = routes.lock();
    routes.all().for_each(|queue| queue.end(end.clone()));
    routes.end = Some(end);
}
