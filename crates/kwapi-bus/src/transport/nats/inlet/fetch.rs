//! The thread that fetches.

mod consumer_watch;
mod gaps;
mod keys;
mod known;
mod live;
mod reporting;
mod requests;
mod sites;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::aside::{Aside, SETTLE_MAX, changed};
use super::fetched::{Ended, Fetched, FetchedSender, Place, Room, tail};
use crate::transport::nats::address::NatsAddress;
use crate::transport::nats::connection::{Connection, Event};
use crate::transport::nats::consumer::{Begin, ConsumerPlan, is_deletion};
use crate::transport::nats::jetstream::{Delivered, stream_info};
use crate::transport::nats::link::Link;
use crate::transport::nats::position::{self, HEADER};
use crate::transport::nats::servers::Servers;
use crate::transport::nats::wire::Message;
use crate::transport::nats::{RETRY_INTERVAL, batch};
use crate::transport::wake::Waker;
use consumer_watch::ConsumerWatch;
use gaps::Gaps;
use keys::RightWatch;
use known::Known;
use reporting::{REPORT_INTERVAL, Report, written};
use requests::{HEARTBEAT, Requests};
use sites::Sites;

pub(super) use reporting::Reporting;

/// A stream that has messages for us and delivers none of them for so long cannot read them.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// How often a position is reported where the server does not let it.
const FORBIDDEN_INTERVAL: Duration = Duration::from_secs(60);
/// Acknowledgements that are sent before the next messages are looked at.
const ACKNOWLEDGEMENTS_MAX: usize = 1_024;
/// What acknowledges a message.
const ACKNOWLEDGEMENT: &[u8] = b"+ACK";

pub(super) struct Fetcher {
    servers: Servers,
    filters: Vec<String>,
    fetched: FetchedSender,
    acknowledgements: mpsc::UnboundedReceiver<Place>,
    waker: Waker,
    link: Arc<Link>,
    known: Known,
    reporting: Option<Reporting>,
    /// How many connections there were.
    connections: u64,
    sites: Sites,
    gaps: Gaps,
    /// What of the consumer was set aside; none where there is no consumer.
    pub(super) aside: Option<Arc<Aside>>,
}

/// Why no more is fetched on a connection that works.
enum FetchOutcome {
    /// Nobody takes any more.
    Ended,
    /// Other keys are accepted, with which the stream is to be read again.
    KeysChanged,
}

impl Fetcher {
    pub(super) fn new(
        address: NatsAddress,
        filters: Vec<String>,
        fetched: FetchedSender,
        acknowledgements: mpsc::UnboundedReceiver<Place>,
        waker: Waker,
        link: Arc<Link>,
        reporting: Option<Reporting>,
    ) -> Self {
        let (servers, sites) = (Servers::new(address), Sites::new(link.clone()));
        let known = Known::default();
        let gaps = Gaps::new(link.clone());
        Self {
            servers,
            filters,
            fetched,
            acknowledgements,
            waker,
            link,
            known,
            reporting,
            connections: 0,
            sites,
            gaps,
            aside: None,
        }
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
                Ok(FetchOutcome::Ended) => return,
                Ok(FetchOutcome::KeysChanged) => continue,
                Err(problem) => self.link.fails(problem),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Ensures that the consumer exists and begins with what is not acknowledged. One that never existed begins with what is published from now on: what is
    /// older enters a history only if an operator configures it. One that was deleted meanwhile resumes where it was.
    async fn bind(&mut self, connection: &mut Connection, plan: &ConsumerPlan) -> Result<(), String> {
        let info = stream_info(connection, &plan.stream).await?;
        self.sites.note(&info, Instant::now());
        self.connections += 1;
        self.settle_keys().await?;
        let last = info.get("state").and_then(|state| state.get("last_seq")).and_then(Value::as_u64);
        let created = info.get("created").cloned().unwrap_or_default();
        if let Some(aside) = &self.aside {
            aside.meet(created.to_string());
        }
        let begin = self.known.meet(created, last.unwrap_or_default());
        let endpoint = self.servers.address().endpoint.clone();
        if begin == Begin::All {
            tracing::warn!(
                endpoint,
                "NATS: the stream was created again, or has lost messages that were received; reading all it has"
            );
        }
        let state = plan.find_unrequested(connection).await?;
        if let Some(state) = self.read_again(connection, plan, state.as_ref()).await? {
            self.link.waiting.store(state.waiting, Ordering::Relaxed);
            self.gaps.begin(plan, &state, self.known.generation);
            return Ok(());
        }
        if let Some(state) = state {
            self.link.waiting.store(state.waiting, Ordering::Relaxed);
            self.gaps.begin(plan, &state, self.known.generation);
            return plan.rewind(connection).await;
        }
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
        let state = plan.create(connection, &begin).await?;
        self.link.waiting.store(state.waiting, Ordering::Relaxed);
        self.gaps.begin(plan, &state, self.known.generation);
        Ok(())
    }

    async fn fetch(
        &mut self,
        connection: &mut Connection,
        plan: &ConsumerPlan,
    ) -> Result<FetchOutcome, String> {
        let aside = self.aside.clone();
        // Until when what was delivered is waited for, once other keys are accepted.
        let mut settled_by: Option<Instant> = None;
        let mut requests = Requests::default();
        let mut places = Vec::new();
        let fetched = self.fetched.clone();
        // What there was no room for.
        let mut held: Option<Fetched> = None;
        let mut silent_at = Instant::now() + 2 * HEARTBEAT;
        let mut delivered_at = Instant::now();
        let mut report_at = Instant::now();
        let mut report: Option<Report> = None;
        let mut watch = ConsumerWatch::new(self.link.clone());
        let mut right = RightWatch::new();
        loop {
            if delivered_at.elapsed() > STUCK_AFTER && self.has_waiting() {
                return Err(
                    "the stream does not deliver its messages; see the log of the NATS server".to_owned()
                );
            }
            if aside.as_ref().is_some_and(|aside| aside.is_due()) {
                // No more is requested; what comes still is judged with the keys from before.
                let until = *settled_by.get_or_insert_with(|| Instant::now() + SETTLE_MAX);
                if (self.known.open.is_empty() && held.is_none()) || Instant::now() >= until {
                    // The server has the last acknowledgements then.
                    connection.settle().await?;
                    return Ok(FetchOutcome::KeysChanged);
                }
            } else if held.is_none() {
                // What is requested is read without delay.
                requests.fill(connection, plan);
            }
            self.sites.request(connection, &plan.stream);
            watch.request(connection, plan);
            right.request(connection, plan, aside.as_deref());
            connection.flush().await?;
            tokio::select! {
                count = self.acknowledgements.recv_many(&mut places, ACKNOWLEDGEMENTS_MAX) => {
                    aside.iter().filter(|_| count == 0).for_each(|aside| aside.ends());
                    self.acknowledge(connection, &mut places).await?;
                    if count == 0 {
                        if let Some(reporting) = &mut self.reporting {
                            let (standings, written) = reporting.begin();
                            _ = written.await;
                            reporting.publish(connection, &standings);
                        }
                        connection.settle().await?;
                        return Ok(FetchOutcome::Ended);
                    }
                }
                room = room(&fetched, held.as_ref()) => {
                    let Ok(room) = room else { return Ok(FetchOutcome::Ended) };
                    if let Some(message) = held.take() {
                        room.take(message);
                    }
                    self.waker.wake();
                    // Nothing was read meanwhile.
                    silent_at = Instant::now() + 2 * HEARTBEAT;
                    delivered_at = Instant::now();
                }
                event = connection.next(), if held.is_none() => {
                    match event? {
                        Event::Complaint(complaint) if position::is_complaint(&complaint) => {
                            let endpoint = &self.servers.address().endpoint;
                            tracing::warn!(endpoint, "NATS: cannot report to sites what is on the disk here: {complaint}");
                            report_at = Instant::now() + FORBIDDEN_INTERVAL;
                        }
                        Event::Complaint(complaint) if is_deletion(&complaint) => {}
                        Event::Complaint(complaint) => return Err(format!("the server reports: {complaint}")),
                        Event::Message(message) => {
                            let number = connection.reply_number(&message.subject);
                            if self.sites.takes(number, &message)
                                || right.takes(number, aside.as_deref())
                                || watch.takes(number, &message, plan)?
                            {
                                continue;
                            }
                            // Responses to other requests do not show that this one still stands.
                            silent_at = Instant::now() + 2 * HEARTBEAT;
                            if requests.note(number, &message)? {
                                delivered_at = Instant::now();
                                let Ok(full) = self.hand_on(message) else { return Ok(FetchOutcome::Ended) };
                                held = full;
                            }
                        }
                    }
                }
                () = sleep_until(report_at), if self.reporting.is_some() && report.is_none() => {
                    report_at = Instant::now() + REPORT_INTERVAL;
                    report = self.reporting.as_mut().map(Reporting::begin);
                }
                standings = written(&mut report) => {
                    if let Some(reporting) = &self.reporting {
                        reporting.publish(connection, &standings);
                    }
                }
                () = changed(aside.as_deref()) => {}
                () = sleep_until(settled_by.unwrap_or(silent_at)), if settled_by.is_some() => {}
                () = sleep_until(silent_at), if held.is_none() => {
                    return Err("no response from the stream".to_owned());
                }
            }
        }
    }

    /// Whether messages wait for us at the server, by the last that came, and none here.
    fn has_waiting(&self) -> bool {
        self.link.waiting.load(Ordering::Relaxed) > 0 && self.known.open.is_empty()
    }

    /// Hands a message on; returns it where there is no room.
    fn hand_on(&mut self, message: Message) -> Result<Option<Fetched>, Ended> {
        let Some(reply) = message.reply.clone() else { return Ok(None) };
        // Else it is not one that a consumer delivers.
        let Some(delivered) = Delivered::read(&reply) else { return Ok(None) };
        let count = self.count(&message);
        if delivered.times > 1 {
            self.link.repeated.fetch_add(count, Ordering::Relaxed);
        }
        self.link.waiting.store(delivered.pending, Ordering::Relaxed);
        self.gaps.note(delivered);
        self.known.newest = self.known.newest.max(delivered.sequence);
        self.known.open.insert(delivered.sequence);
        let sequence = (self.known.generation, delivered.sequence, tail(&message.payload));
        let position = message.header(HEADER).map(str::to_owned);
        let fetched = Fetched {
            place: Some(Place { sequence, connection: self.connections, reply }),
            position,
            later: delivered.pending,
            subject: message.subject,
            payload: message.payload,
        };
        let Some(room) = self.fetched.room_now(&fetched)? else { return Ok(Some(fetched)) };
        room.take(fetched);
        self.waker.wake();
        Ok(None)
    }

    /// Takes note of a message received; returns how many measurements it has.
    fn count(&self, message: &Message) -> u64 {
        let count = batch::count(&message.payload);
        self.link.messages.fetch_add(count, Ordering::Relaxed);
        if count > 1 {
            self.link.batches.fetch_add(1, Ordering::Relaxed);
        }
        count
    }

    async fn acknowledge(
        &mut self,
        connection: &mut Connection,
        places: &mut Vec<Place>,
    ) -> Result<(), String> {
        self.settle(places.iter()).await?;
        for Place { connection: of, reply, .. } in places.drain(..) {
            // What was received on an earlier one is delivered again.
            if of == self.connections {
                connection.publish(&reply, None, ACKNOWLEDGEMENT);
            }
        }
        Ok(())
    }
}

/// Waits until there is room for what is held; for ever, where nothing is.
async fn room<'a>(fetched: &'a FetchedSender, held: Option<&Fetched>) -> Result<Room<'a>, Ended> {
    match held {
        Some(message) => fetched.room(message).await,
        None => std::future::pending().await,
    }
}
