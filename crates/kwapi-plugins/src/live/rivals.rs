//! Probes that two publishers claim at the same time, with the names of both: one of them is to be stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kwapi_bus::Received;
use kwapi_core::{ProbeId, Timestamp};
use parking_lot::Mutex;

/// Who has not been refused for so long has gone.
const GONE_AFTER: Duration = Duration::from_secs(60);
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// More probes are not named: a manager that runs twice claims all of its own.
const PROBES_MAX: usize = 1_000;

/// Who publishes a probe: the key that signs, and the session, which began when the publisher did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherName {
    key: Option<Arc<str>>,
    session: Option<Timestamp>,
}

impl PublisherName {
    fn of(received: &Received) -> Self {
        let session = received.measurement.accounting.as_ref().map(|accounting| accounting.session);
        Self { key: received.key.clone(), session }
    }
}

impl fmt::Display for PublisherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "key {key}")?,
            None => f.write_str("no key")?,
        }
        let session = self.session.and_then(|at| i64::try_from(at.micros()).ok());
        match session.and_then(|at| jiff::Timestamp::from_microsecond(at).ok()) {
            Some(session) => write!(f, ", session of {session}"),
            None => f.write_str(", no session"),
        }
    }
}

/// A probe with two publishers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRivals {
    /// The probe.
    pub probe: ProbeId,
    /// Whose messages are credited; `None` until the first after the other was refused.
    pub credited: Option<PublisherName>,
    /// Whose are refused.
    pub refused: PublisherName,
}

impl fmt::Display for ProbeRivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: two publishers at the same time; ", self.probe)?;
        if let Some(credited) = &self.credited {
            write!(f, "{credited} is credited, ")?;
        }
        write!(f, "{} is refused; stop one of them", self.refused)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// Whether there are any; most have none and need not be looked up.
    has_any: AtomicBool,
    table: Mutex<RivalTable>,
}

#[derive(Debug, Default)]
struct RivalTable {
    all: BTreeMap<ProbeId, Entry>,
    looked_at: Duration,
}

impl RivalTable {
    /// Forgets who has gone; looks once a second at most.
    fn look(&mut self, now: Duration) {
        if now.saturating_sub(self.looked_at) >= LOOKED_AT_EVERY {
            self.looked_at = now;
            self.all.retain(|_, entry| now.saturating_sub(entry.received_at) < GONE_AFTER);
        }
    }
}

#[derive(Debug)]
struct Entry {
    rivals: ProbeRivals,
    /// When a message was last refused, on the monotonic clock.
    received_at: Duration,
    is_reported: bool,
}

impl Rivals {
    /// Takes note of a message that was refused, since another publisher of its probe is alive.
    pub(super) fn refused(&self, received: &Received) {
        let mut table = self.table.lock();
        table.look(received.received_at);
        let is_full = table.all.len() >= PROBES_MAX;
        let (probe, refused) = (received.measurement.probe.clone(), PublisherName::of(received));
        if let Some(entry) = table.all.get_mut(&probe) {
            (entry.rivals.refused, entry.received_at) = (refused, received.received_at);
        } else if !is_full {
            let rivals = ProbeRivals { probe: probe.clone(), credited: None, refused };
            table.all.insert(probe, Entry { rivals, received_at: received.received_at, is_reported: false });
        }
        self.has_any.store(true, Ordering::Relaxed);
    }

    /// Takes note of a message that was credited. Of probes that have two publishers at once, the first is logged.
    pub(super) fn credited(&self, received: &Received) {
        if !self.has_any.load(Ordering::Relaxed) {
            return;
        }
        let mut table = self.table.lock();
        table.look(received.received_at);
        if table.all.is_empty() {
            self.has_any.store(false, Ordering::Relaxed);
            return;
        }
        let Some(entry) = table.all.get_mut(&received.measurement.probe) else { return };
        entry.rivals.credited = Some(PublisherName::of(received));
        if !entry.is_reported {
            let message = entry.rivals.to_string();
            if table.all.values().all(|entry| !entry.is_reported) {
                tracing::error!("{message}");
            }
            if let Some(entry) = table.all.get_mut(&received.measurement.probe) {
                entry.is_reported = true;
            }
        }
    }

    /// Those of `now`, on the monotonic clock.
    pub(super) fn now(&self, now: Duration) -> Vec<ProbeRivals> {
        let mut table = self.table.lock();
        table.look(now);
        table.all.values().map(|entry| entry.rivals.clone()).collect()
    }
}
