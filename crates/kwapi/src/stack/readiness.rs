//! What `/readyz` checks: whether whoever sends a request here gets a right answer. Each check states why not, and does
//! not change with every fluctuation.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kwapi_bus::{Forwarder, NatsLink, NatsSide, Publisher, Subscriber};
use kwapi_drivers::manager::{Manager, MeterState};
use kwapi_history::{Groups, History, Ledger, Samples};
use kwapi_plugins::metrics::Metrics;
use parking_lot::Mutex;

/// A directory is tried this often at most, and must fail twice: a disk that is full for a moment is no reason to send
/// clients elsewhere.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// What is written to try; it is removed again.
const TRIAL: &str = ".writable";

/// Whether files can be made in a directory.
#[derive(Debug)]
struct Writable {
    directory: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    failures: u32,
    problem: String,
}

impl Writable {
    fn new(directory: PathBuf) -> Self {
        Self { directory, seen: Mutex::default() }
    }

    fn check(&self, now: Instant) -> Result<(), String> {
        /// A directory that has never worked is not given the benefit of the doubt.
        const FAILURES_MIN: u32 = 2;
        let mut seen = self.seen.lock();
        if seen.at.is_none_or(|at| now.duration_since(at) >= LOOK_INTERVAL) {
            let is_first = seen.at.replace(now).is_none();
            match self.try_to_write() {
                Ok(()) => seen.failures = 0,
                Err(error) => {
                    seen.failures += if is_first { FAILURES_MIN } else { 1 };
                    seen.problem = format!("cannot write to {}: {error}", self.directory.display());
                }
            }
        }
        if seen.failures >= FAILURES_MIN { Err(seen.problem.clone()) } else { Ok(()) }
    }

    fn try_to_write(&self) -> io::Result<()> {
        let trial = self.directory.join(TRIAL);
        let written = File::create(&trial).and_then(|mut file| file.write_all(b"kwapi\n"));
        // Also after a failure: a full disk may let it be made and not be filled.
        let removed = fs::remove_file(&trial);
        written.and(removed)
    }
}

/// The state directory of a part of this process.
pub(super) fn directory(all: &mut Metrics, part: &'static str, directory: PathBuf) {
    let writable = Writable::new(directory);
    all.add_readiness(part, move || writable.check(Instant::now()));
}

/// The RRD files that are made of the journal.
pub(super) fn history(all: &mut Metrics, history: Arc<History>) {
    all.add_readiness("history", move || history.trouble().map_or(Ok(()), Err));
}

/// The RRD files of groups.
pub(super) fn groups(all: &mut Metrics, groups: Groups) {
    all.add_readiness("groups", move || groups.trouble().map_or(Ok(()), Err));
}

/// The ledger that is made of the journal.
pub(super) fn ledger(all: &mut Metrics, ledger: Arc<Ledger>) {
    all.add_readiness("ledger", move || ledger.trouble().map_or(Ok(()), Err));
}

/// The samples that are taken from the journal.
pub(super) fn samples(all: &mut Metrics, samples: Arc<Samples>) {
    all.add_readiness("samples", move || samples.trouble().map_or(Ok(()), Err));
}

/// What is received from the bus: ready with the first measurement that is accepted, and from then on for as long as the
/// subscriber runs. That publishers fall silent later is not to be remedied by using another plugin.
pub(super) fn subscriber(all: &mut Metrics, part: &'static str, subscriber: Arc<Subscriber>) {
    all.add_readiness(part, move || {
        if !subscriber.is_running() {
            return Err("subscriber stopped; see the log".to_owned());
        }
        let counters = subscriber.counters();
        if counters.verified > 0 {
            return Ok(());
        }
        let refused: u64 = counters.refused.iter().map(|(_, count)| count).sum();
        Err(if refused > 0 {
            format!("{refused} messages received, all failed verification; see kwapi_bus_refused_total")
        } else {
            "no data received yet".to_owned()
        })
    });
}

/// The connections to NATS: ready while all of them work that something is kept by. `part` distinguishes them.
pub(super) fn nats(
    all: &mut Metrics,
    part: &'static str,
    links: impl Fn() -> Vec<NatsLink> + Send + Sync + 'static,
) {
    if links().is_empty() {
        return;
    }
    all.add_readiness(part, move || problems(links()).next().map_or(Ok(()), Err));
}

/// What is wrong with the connections to NATS that something is kept by, a line each.
fn problems(links: Vec<NatsLink>) -> impl Iterator<Item = String> {
    let kept = links.into_iter().filter(|link| link.side != NatsSide::Live);
    kept.filter_map(|link| Some(format!("{}: {}", link.endpoint, link.problem?)))
}

/// What keeps measurements from being received, a line each.
pub(super) fn reception(subscriber: &Subscriber) -> Vec<String> {
    problems(subscriber.nats_links()).chain(subscriber.losses()).collect()
}

/// The warning that measurements are being lost before they are sent or stored…
pub(super) const PUBLISHER_LOSSES: &str = "publisher_losses";
/// …and after they were received.
pub(super) const SUBSCRIBER_LOSSES: &str = "subscriber_losses";

/// What is being lost on its way out. Where that is all of it, the publisher is not ready.
pub(super) fn publisher_losses(all: &mut Metrics, publisher: Arc<Publisher>) {
    all.add_warning(PUBLISHER_LOSSES, move || {
        let own = publisher.loss().map(|loss| loss.text("measurements"));
        // Where all is lost, that is the problem of the connection.
        let of_streams = publisher.nats_links().into_iter().filter_map(|link| {
            let loss = link.loss.filter(|loss| !loss.is_all)?;
            Some(format!("{}: {}", link.endpoint, loss.text("messages")))
        });
        let lines: Vec<String> = own.into_iter().chain(of_streams).collect();
        if lines.is_empty() { Ok(()) } else { Err(lines.join("; ")) }
    });
}

/// What is being lost of what comes from the bus.
pub(super) fn subscriber_losses(all: &mut Metrics, subscriber: Arc<Subscriber>) {
    all.add_warning(SUBSCRIBER_LOSSES, move || {
        let lines = subscriber.losses();
        if lines.is_empty() { Ok(()) } else { Err(lines.join("; ")) }
    });
}

/// The messages that are kept for consumers: ready while they are written, and the consumers' reports can be received.
/// One that is unreachable is no reason to use another instance.
pub(super) fn spool(all: &mut Metrics, publisher: Arc<Publisher>) {
    all.add_readiness("spool", move || {
        let Some((counters, readers)) = publisher.spool() else { return Ok(()) };
        let unreachable =
            readers.into_iter().find_map(|reader| Some(format!("{}: {}", reader.endpoint, reader.trouble?)));
        counters.trouble.or(unreachable).map_or(Ok(()), Err)
    });
}

/// The meters: ready when each has been tried once, whatever came of it. A meter that fails is no reason not to use
/// the others; `kwapi_meter_up` shows it.
pub(super) fn drivers(all: &mut Metrics, manager: Arc<Manager>, publisher: Arc<Publisher>) {
    let has_begun = AtomicBool::new(false);
    all.add_readiness("drivers", move || {
        if !publisher.is_running() {
            return Err("publisher stopped; see the log".to_owned());
        }
        if let Some(loss) = publisher.loss().filter(|loss| loss.is_all) {
            return Err(loss.text("measurements"));
        }
        // A meter that a reload adds does not make the others unready.
        if has_begun.load(Ordering::Relaxed) {
            return Ok(());
        }
        let meters = manager.statuses();
        let is_untried = |state| matches!(state, MeterState::Starting);
        match meters.iter().filter(|meter| is_untried(meter.state)).count() {
            0 => {
                has_begun.store(true, Ordering::Relaxed);
                Ok(())
            }
            untried => Err(format!("{untried} of {} meters have not been tried yet", meters.len())),
        }
    });
}

/// A forwarder forwards for as long as its thread runs.
pub(super) fn forwarder(all: &mut Metrics, forwarder: Arc<Forwarder>) {
    all.add_readiness("bus", move || {
        if forwarder.is_running() { Ok(()) } else { Err("forwarder stopped; see the log".to_owned()) }
    });
}

#[cfg(test)]
mod tests;
