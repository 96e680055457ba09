//! The thread that fetches.

mod live;
mod sites;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Fetched, Place};
use crate::transport::nats::RETRY_INTERVAL;
use crate::transport::nats::address::NatsAddress;
use crate::transport::nats::connection::{Connection, Event, Servers};
use crate::transport::nats::consumer::{Begin, ConsumerPlan};
use crate::transport::nats::jetstream::{Delivered, stream_info};
use crate::transport::nats::link::Link;
use crate::transport::nats::wire::Message;
use crate::transport::wake::Waker;
use sites::Sites;

/// Messages asked for at a time…
const REQUEST_MESSAGES: u64 = 2_000;
/// …and requests that stand, so that the next is there when one is served.
const REQUESTS: usize = 2;
/// How long a request stands.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// How often the server says that there is nothing; one that does not is connected to anew.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// A stream that has messages for us and brings none of them for so long cannot read them.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// Acknowledgements that are sent before the next messages are looked at.
const ACKNOWLEDGEMENTS_MAX: usize = 1_024;
/// What acknowledges a message.
const ACKNOWLEDGEMENT: &[u8] = b"+ACK";
/// Status codes of JetStream: a heartbeat; nothing came in time; a request or its consumer has ended.
const IDLE_HEARTBEAT: u16 = 100;
const REQUEST_TIMEOUT: u16 = 408;
const CONFLICT: u16 = 409;

pub(super) struct Fetcher {
    servers: Servers,
    filters: Vec<String>,
    fetched: mpsc::Sender<Fetched>,
    acknowledgements: mpsc::UnboundedReceiver<Place>,
    waker: Waker,
    link: Arc<Link>,
    known: Known,
    sites: Sites,
}

/// What is known of the stream since this process began.
#[derive(Debug, Default)]
struct Known {
    /// How many streams of this name there were.
    generation: u64,
    /// When it was created.
    created: Option<Value>,
    /// The number of the newest message brought.
    newest: u64,
    /// Those that were brought and not acknowledged.
    open: BTreeSet<u64>,
}

/// Requests for messages that stand: the number of each, and how many it may still bring.
#[derive(Debug, Default)]
struct Requests(VecDeque<(u64, u64)>);

/// Nobody takes any more.
struct Ended;

impl Fetcher {
    pub(super) fn new(
        address: NatsAddress,
        filters: Vec<String>,
        fetched: mpsc::Sender<Fetched>,
        acknowledgements: mpsc::UnboundedReceiver<Place>,
        waker: Waker,
        link: Arc<Link>,
    ) -> Self {
        let (servers, sites) = (Servers::new(address), Sites::new(link.clone()));
        Self { servers, filters, fetched, acknowledgements, waker, link, known: Known::default(), sites }
    }

    /// Fetches what is stored for a consumer, until nobody takes any more.
    pub(super) async fn fetch_stored(&mut self, plan: &ConsumerPlan) {
        loop {
            let mut connection = self.servers.open(&self.link).await;
            let ended = match self.bind(&mut connection, plan).await {
                Ok(()) => {
                    self.link.works();
                    self.fetch(&mut connection, plan).await
                }
                Err(problem) => Err(problem),
            };
            match ended {
                Ok(Ended) => return,
                Err(problem) => self.link.fails(problem),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Sees to it that the consumer is there. One that has never been begins with what is published from now on: what is
    /// older comes into a history by an operator's word alone. One that was deleted meanwhile goes on where it was.
    async fn bind(&mut self, connection: &mut Connection, plan: &ConsumerPlan) -> Result<(), String> {
        let info = stream_info(connection, &plan.stream).await?;
        self.sites.note(&info, Instant::now());
        let begin = self.known.meet(info.get("created").cloned().unwrap_or_default());
        if let Some(waiting) = plan.find(connection).await? {
            self.link.waiting.store(waiting, Ordering::Relaxed);
            return plan.rewind(connection).await;
        }
        let endpoint = &self.servers.address().endpoint;
        if begin == Begin::Now {
            tracing::warn!(
                endpoint,
                consumer = plan.name,
                "NATS: new consumer; messages stored before are not received (see `kwapi nats-setup --from`)"
            );
        } else {
            tracing::warn!(
                endpoint,
                consumer = plan.name,
                "NATS: the consumer was deleted; creating it again"
            );
        }
        let waiting = plan.create(connection, &begin).await?;
        self.link.waiting.store(waiting, Ordering::Relaxed);
        Ok(())
    }

    async fn fetch(&mut self, connection: &mut Connection, plan: &ConsumerPlan) -> Result<Ended, String> {
        let mut requests = Requests::default();
        let mut places = Vec::new();
        let fetched = self.fetched.clone();
        // What there was no room for.
        let mut held: Option<Fetched> = None;
        let mut silent_at = Instant::now() + 2 * HEARTBEAT;
        let mut brought_at = Instant::now();
        loop {
            if brought_at.elapsed() > STUCK_AFTER && self.is_owed() {
                return Err(
                    "the stream does not deliver its messages; see the log of the NATS server".to_owned()
                );
            }
            requests.fill(connection, plan);
            self.sites.ask(connection, &plan.stream);
            connection.flush().await?;
            tokio::select! {
                count = self.acknowledgements.recv_many(&mut places, ACKNOWLEDGEMENTS_MAX) => {
                    self.acknowledge(connection, &mut places);
                    if count == 0 {
                        connection.settle().await?;
                        return Ok(Ended);
                    }
                }
                room = fetched.reserve(), if held.is_some() => {
                    let Ok(room) = room else { return Ok(Ended) };
                    if let Some(message) = held.take() {
                        room.send(message);
                    }
                    self.waker.wake();
                    // Nothing was read meanwhile.
                    silent_at = Instant::now() + 2 * HEARTBEAT;
                    brought_at = Instant::now();
                }
                event = connection.next(), if held.is_none() => {
                    silent_at = Instant::now() + 2 * HEARTBEAT;
                    match event? {
                        Event::Complaint(complaint) => return Err(format!("the server reports: {complaint}")),
                        Event::Message(message) => {
                            let number = connection.reply_number(&message.subject);
                            if !self.sites.takes(number, &message) && requests.note(number, &message)? {
                                brought_at = Instant::now();
                                held = self.hand_on(message);
                            }
                        }
                    }
                }
                () = sleep_until(silent_at), if held.is_none() => {
                    return Err("no response from the stream".to_owned());
                }
            }
        }
    }

    /// Whether messages wait for us at the server, by the last that came, and none here.
    fn is_owed(&self) -> bool {
        self.link.waiting.load(Ordering::Relaxed) > 0 && self.known.open.is_empty()
    }

    /// Hands a message on; returns it where there is no room.
    fn hand_on(&mut self, message: Message) -> Option<Fetched> {
        let reply = message.reply?;
        // Not one that a consumer brings.
        let delivered = Delivered::read(&reply)?;
        if delivered.times > 1 {
            self.link.repeated.fetch_add(1, Ordering::Relaxed);
        }
        self.link.messages.fetch_add(1, Ordering::Relaxed);
        self.link.waiting.store(delivered.pending, Ordering::Relaxed);
        self.known.newest = self.known.newest.max(delivered.sequence);
        self.known.open.insert(delivered.sequence);
        let sequence = (self.known.generation, delivered.sequence);
        let place = Some(Place { sequence, reply });
        let later = delivered.pending;
        let fetched = Fetched { subject: message.subject, payload: message.payload, place, later };
        match self.fetched.try_send(fetched) {
            Ok(()) => {
                self.waker.wake();
                None
            }
            Err(mpsc::error::TrySendError::Full(fetched) | mpsc::error::TrySendError::Closed(fetched)) => {
                Some(fetched)
            }
        }
    }

    fn acknowledge(&mut self, connection: &mut Connection, places: &mut Vec<Place>) {
        for Place { sequence: (generation, number), reply } in places.drain(..) {
            if generation == self.known.generation {
                self.known.open.remove(&number);
                connection.publish(&reply, None, ACKNOWLEDGEMENT);
            }
        }
    }
}

impl Requests {
    /// Asks for more, so that [`REQUESTS`] stand.
    fn fill(&mut self, connection: &mut Connection, plan: &ConsumerPlan) {
        while self.0.len() < REQUESTS {
            let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            let request = json!({
                "batch": REQUEST_MESSAGES,
                "expires": nanoseconds(REQUEST_TIME),
                "idle_heartbeat": nanoseconds(HEARTBEAT),
            });
            let (number, reply) = connection.reply_address();
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", plan.stream, plan.name);
            connection.publish(&subject, Some(&reply), request.to_string().as_bytes());
            self.0.push_back((number, REQUEST_MESSAGES));
        }
    }

    /// Takes note of what came for the request of this number, or by the stream's own subject; says whether it is a message
    /// of the stream.
    ///
    /// # Errors
    /// When there will be no more: why.
    fn note(&mut self, number: Option<u64>, message: &Message) -> Result<bool, String> {
        let Some((code, text)) = &message.status else {
            // A message of the stream has its own subject: it serves the oldest request that stands.
            if let Some((_, left)) = self.0.front_mut() {
                *left -= 1;
                if *left == 0 {
                    self.0.pop_front();
                }
            }
            return Ok(message.reply.is_some());
        };
        match *code {
            IDLE_HEARTBEAT => {}
            REQUEST_TIMEOUT => self.end(number),
            CONFLICT if text.contains("Deleted") => return Err("the consumer was deleted".to_owned()),
            CONFLICT if text.contains("Batch Completed") || text.contains("Exceeded") => self.end(number),
            503 => return Err("no response from the stream".to_owned()),
            code => return Err(format!("cannot fetch messages: {code} {text}")),
        }
        Ok(false)
    }

    fn end(&mut self, number: Option<u64>) {
        self.0.retain(|(open, _)| Some(*open) != number);
    }
}

impl Known {
    /// Takes note of the stream as it is now, by when it was created; says where a consumer that is made now begins.
    fn meet(&mut self, created: Value) -> Begin {
        match self.created.replace(created) {
            None => Begin::Now,
            before if before == self.created => {
                Begin::Sequence(self.open.first().copied().unwrap_or(self.newest.saturating_add(1)))
            }
            // All of it came after we did.
            Some(_) => {
                self.generation += 1;
                (self.newest, self.open) = (0, BTreeSet::new());
                Begin::All
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(status: Option<(u16, &str)>) -> Message {
        let status = status.map(|(code, text)| (code, text.to_owned()));
        Message {
            subject: "power.a".to_owned(),
            reply: Some("back".to_owned()),
            status,
            payload: Bytes::new(),
        }
    }

    #[test]
    fn a_request_stands_until_it_is_served_or_ended() {
        let mut requests = Requests(VecDeque::from([(1, 2), (2, 5)]));
        assert_eq!(requests.note(None, &message(None)), Ok(true));
        assert_eq!(requests.note(None, &message(None)), Ok(true));
        assert_eq!(requests.0, [(2, 5)]);
        assert_eq!(requests.note(Some(2), &message(Some((100, "Idle Heartbeat")))), Ok(false));
        assert_eq!(requests.note(Some(1), &message(Some((408, "Request Timeout")))), Ok(false));
        assert_eq!(requests.0, [(2, 5)]);
        assert_eq!(requests.note(Some(2), &message(Some((408, "Request Timeout")))), Ok(false));
        assert_eq!(requests.0, []);
        assert_eq!(requests.note(None, &message(None)), Ok(true));
        for (status, expected) in [
            ((409, "Consumer Deleted"), "the consumer was deleted"),
            ((409, "Leadership Change"), "cannot fetch messages: 409 Leadership Change"),
            ((503, ""), "no response from the stream"),
        ] {
            assert_eq!(requests.note(Some(2), &message(Some(status))), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_consumer_that_is_made_again_goes_on_where_it_was() {
        let mut known = Known::default();
        assert_eq!(known.meet("monday".into()), Begin::Now);
        (known.newest, known.open) = (9, BTreeSet::from([7, 9]));
        assert_eq!(known.meet("monday".into()), Begin::Sequence(7));
        known.open.clear();
        assert_eq!(known.meet("monday".into()), Begin::Sequence(10));
        assert_eq!((known.meet("tuesday".into()), known.generation), (Begin::All, 1));
        assert_eq!(known.meet("tuesday".into()), Begin::Sequence(1));
    }
}
