//! The intake at work: a thread of its own between the bus and the journal, so that a disk that does not answer keeps
//! nobody else waiting.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use kwapi_bus::{Ack, Batch, Subscriber};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::accounts::Keeper;
use super::group_commit::{GroupCommit, GroupCommitQueue};
use super::{Inbox, Intake, Receipt};
use crate::live::Live;
use crate::peers::{Adopted, AdoptedPart};

/// How often the intake looks whether something is to be tried again or kept.
const TICK: Duration = Duration::from_millis(250);
/// An append that takes longer has the present shown ahead of it.
const SLOW: Duration = Duration::from_secs(1);
/// At a stop, so many batches that are there already are still taken.
const LAST_BATCHES_MAX: usize = 1_000;

/// An intake at work. It ends when it is requested to, or when the subscriber does.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    watcher: tokio::task::JoinHandle<()>,
    shows_live: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts it; `keeper` keeps the accounts where there is a journal. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(intake: Intake, subscriber: Arc<Subscriber>, keeper: Option<Keeper>) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime = Handle::current();
        let commit = keeper.as_ref().map(|keeper| GroupCommit::start(keeper.journal_sync())).transpose()?;
        let receipts = Receipts(commit.as_ref().map(GroupCommit::queue));
        let watcher =
            tokio::spawn(watch_appends(Arc::clone(&intake.inbox), Arc::clone(&subscriber), receipts.clone()));
        let shows_live = tokio::spawn(show_live(intake.live.clone(), Arc::clone(&subscriber)));
        let parts = Parts { keeper, commit, receipts };
        let thread = std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || runtime.block_on(work(intake, &subscriber, parts, stopped)))?;
        Ok(Self { stop, thread, watcher, shows_live })
    }

    /// Takes what has come by now, keeps the accounts, and ends. Waits for the disk.
    pub fn stop(self) {
        self.stop.send_replace(true);
        self.watcher.abort();
        self.shows_live.abort();
        if self.thread.join().is_err() {
            tracing::error!("the intake panicked");
        }
    }
}

/// What works beside the intake where there is a journal.
struct Parts {
    keeper: Option<Keeper>,
    commit: Option<GroupCommit>,
    receipts: Receipts,
}

/// Confirms batches as safe: where there is a journal, once it is on the disk.
#[derive(Clone)]
struct Receipts(Option<GroupCommitQueue>);

impl Receipts {
    /// The receipt of a batch of so many measurements, for when it has been appended.
    fn of(&self, batch: &Batch, ack: Ack) -> Receipt {
        match &self.0 {
            Some(queue) if ack.is_awaited() => {
                let (queue, count) = (queue.clone(), batch.measurements.len());
                Box::new(move || queue.push(Box::new(move || ack.confirm()), count))
            }
            // Nobody waits for it.
            _ => Box::new(move || ack.confirm()),
        }
    }
}

async fn work(mut intake: Intake, subscriber: &Subscriber, parts: Parts, mut stopped: watch::Receiver<bool>) {
    let Parts { mut keeper, commit, receipts } = parts;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut adopted = intake.adopted.take();
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(part) = next(&mut adopted) => {
                let merged = intake.adopt(&part.accounts);
                _ = part.done.send(merged); // Whoever waited may have ended.
            }
            received = subscriber.recv() => match received {
                Some((batch, ack)) => {
                    let receipt = receipts.of(&batch, ack);
                    intake.take(batch, receipt);
                }
                None => break,
            },
            _ = ticks.tick() => {}
        }
        intake.turn();
        if let Some(keeper) = &mut keeper {
            keeper.keep_if_due(&intake.live);
        }
    }
    for _ in 0..LAST_BATCHES_MAX {
        let Ok(Some((batch, ack))) = timeout(Duration::ZERO, subscriber.recv()).await else { break };
        let receipt = receipts.of(&batch, ack);
        intake.take(batch, receipt);
    }
    intake.try_held();
    if let Some(keeper) = keeper {
        keeper.keep_last(&intake.live);
    }
    if let Some(commit) = commit {
        commit.finish();
    }
}

/// The next accounts of another instance; none, for ever, where there are no others.
async fn next(adopted: &mut Option<Adopted>) -> Option<AdoptedPart> {
    match adopted {
        Some(adopted) => adopted.next().await,
        None => std::future::pending().await,
    }
}

/// Shows what is published while what was stored before is read. Neither waits for the other.
async fn show_live(live: Live, subscriber: Arc<Subscriber>) {
    while let Some(batch) = subscriber.recv_ahead().await {
        live.show_live(&batch);
    }
}

/// Shows the present, and holds what comes, while an append does not return.
async fn watch_appends(inbox: Arc<Inbox>, subscriber: Arc<Subscriber>, receipts: Receipts) {
    loop {
        sleep(TICK).await;
        while inbox.appending_for().is_some_and(|taken| taken > SLOW) {
            match timeout(TICK, subscriber.recv()).await {
                Ok(Some((batch, ack))) => {
                    let receipt = receipts.of(&batch, ack);
                    inbox.hold(batch, receipt);
                }
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }
}
