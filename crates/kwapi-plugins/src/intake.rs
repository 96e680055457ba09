//! Intake: the one place of a process where measurements arrive. Each is received once, credited once, journalled once.
//!
//! A batch is *prepared* (credited to copies of the accounts it touches), *appended* to the journal, whole or not at all,
//! and *committed* (the copies take the accounts' places, whoever waits is woken). When the append fails, the accounts are
//! as before: the batch can be tried again, or delivered again, and is no duplicate.
//!
//! ZeroMQ delivers nothing again, so what could not be appended is held, in order, up to [`HELD_MAX`] samples. Full: the
//! oldest are dropped and counted; the next totals carry their energy. While anything is held, present watts are shown
//! beside the totals last recorded.
//!
//! Where there is no journal (`kwapi api`), a batch is committed at once, and a reader records before it shows.

pub mod accounts;
mod counts;
mod group_commit;
mod inbox;
mod running;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::{Batch, Received};
use kwapi_core::{Account, ProbeId, Refused, Succession, Timestamp};
use kwapi_history::journal::{Credited, Position, Records, Taken};

use crate::descriptions::Descriptions;
use crate::live::{CreditDraft, Live, LiveProbe};
use crate::peers::Adopted;

pub use counts::IntakeCounts;
pub(crate) use counts::{IntakeTally, Outcome};
pub use inbox::Receipt;
pub use running::Running;

use inbox::{Held, Inbox};

/// Samples that are held while they cannot be appended.
pub(crate) const HELD_MAX: usize = 1 << 17;
/// Samples that are tried at a time when several batches are held.
const TRIED_MAX: usize = 8_192;
/// While appending fails, it is tried again this often.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Accounts that were replaced and lend their room to the next copies.
const SPARE_MAX: usize = 512;
/// No place in the drafts.
const NOWHERE: u32 = u32::MAX;

/// Appends records to the journal, all or none of them; returns the position after them.
pub type Append = Box<dyn FnMut(&Records, Timestamp) -> io::Result<Position> + Send>;

/// The intake of a process.
pub struct Intake {
    live: Live,
    descriptions: Descriptions,
    append: Option<Append>,
    inbox: Arc<Inbox>,
    /// Accounts as they will be once the batch is in the journal…
    drafts: Vec<CreditDraft>,
    /// …and by the index of a probe, where its draft is, if it has one: two entries that point at each other.
    places: Vec<u32>,
    /// By its index, each probe that was received; and in which order they come.
    known: Vec<Option<Arc<LiveProbe>>>,
    succession: Succession,
    spare: Vec<Account>,
    outcomes: Vec<Outcome>,
    /// Messages of more probes than there may be.
    too_many: u64,
    tries_again_at: Option<Duration>,
    /// Where accounts of other instances come from, if there are any.
    adopted: Option<Adopted>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("live", &self.live).finish_non_exhaustive()
    }
}

impl Intake {
    /// An intake that journals with `append` before `live` shows; with none, `live` shows at once.
    pub fn new(live: Live, append: Option<Append>) -> Self {
        let inbox = Arc::new(Inbox::new(live.clone()));
        let descriptions = Descriptions::in_memory(live.config().gaps.clone());
        Self {
            live,
            descriptions,
            append,
            inbox,
            drafts: Vec::new(),
            places: Vec::new(),
            known: Vec::new(),
            succession: Succession::default(),
            spare: Vec::new(),
            outcomes: Vec::new(),
            too_many: 0,
            tries_again_at: None,
            adopted: None,
        }
    }

    /// The same, which notes descriptions of probes in `descriptions`.
    #[must_use]
    pub fn with_descriptions(self, descriptions: Descriptions) -> Self {
        Self { descriptions, ..self }
    }

    /// The same, merging what other instances of the API report of their accounts. Only where there is no journal: an
    /// account that is the journal's fold is made of nothing else.
    #[must_use]
    pub fn with_peers(mut self, adopted: Adopted) -> Self {
        self.adopted = self.append.is_none().then_some(adopted);
        self
    }

    /// Merges accounts of another instance; how many of them had something new.
    pub(crate) fn adopt(&mut self, accounts: &[(ProbeId, Account)]) -> usize {
        let now = self.live.now();
        let mut merged = 0;
        for (id, account) in accounts {
            match self.live.find_or_register(id) {
                Some(probe) => merged += usize::from(probe.merge(account, now)),
                None => self.live.tally().too_many_probes(self.live.config().probes_max),
            }
        }
        if merged > 0 {
            self.live.changed();
        }
        merged
    }

    /// Takes a batch; `receipt` is called once it is in the journal.
    pub fn take(&mut self, batch: Batch, receipt: Receipt) {
        if self.tries_again_at.is_some() || !self.inbox.is_empty() {
            self.inbox.hold(batch, receipt);
            self.turn();
        } else if let Err((batch, receipt)) = self.record(batch, receipt) {
            self.inbox.hold(batch, receipt);
        }
    }

    /// Tries what is held again, if it is time. To be called some times a second.
    pub fn turn(&mut self) {
        if self.tries_again_at.is_some_and(|at| self.live.now() < at) {
            return;
        }
        self.try_held();
    }

    /// Tries what is held again.
    fn try_held(&mut self) {
        loop {
            let batches = self.inbox.oldest(TRIED_MAX);
            if batches.is_empty() {
                return;
            }
            let all = batches.iter().flat_map(|(batch, _)| batch.measurements.iter());
            if self.record_all(all).is_err() {
                self.inbox.put_back(batches);
                return;
            }
            for (_, receipt) in batches {
                receipt();
            }
        }
    }

    /// What keeps measurements from being recorded, if anything does.
    pub fn trouble(&self) -> Trouble {
        Trouble(Arc::clone(&self.inbox))
    }

    fn record(&mut self, batch: Batch, receipt: Receipt) -> Result<(), Held> {
        match self.record_all(batch.measurements.iter()) {
            Ok(()) => {
                receipt();
                Ok(())
            }
            Err(_) => Err((batch, receipt)),
        }
    }

    /// Prepares, appends and commits; when the append fails, nothing has changed.
    fn record_all<'a>(&mut self, all: impl Iterator<Item = &'a Received>) -> io::Result<()> {
        let records = self.prepare(all);
        let mut position = None;
        if let Some(append) = self.append.as_mut().filter(|_| !records.is_empty()) {
            let records = Arc::new(records);
            self.inbox.appending();
            let appended = append(&records, self.live.wall().now());
            let is_news = self.inbox.appended(&appended);
            position = appended.as_ref().ok().copied();
            if let Err(error) = appended {
                if is_news {
                    tracing::error!(%error, "cannot write the journal; totals are not updated, measurements are queued");
                }
                self.tries_again_at = Some(self.live.now() + RETRY_INTERVAL);
                self.drafts.clear();
                self.outcomes.clear();
                self.too_many = 0;
                return Err(error);
            }
            if is_news {
                tracing::info!("journal is writable again");
            }
        }
        self.tries_again_at = None;
        self.commit(position);
        Ok(())
    }

    /// Credits measurements to copies of their accounts, and returns what the journal is to have of it.
    fn prepare<'a>(&mut self, all: impl Iterator<Item = &'a Received>) -> Vec<Credited> {
        let has_journal = self.append.is_some();
        let gaps = self.live.config().gaps.clone();
        let mut records = Vec::with_capacity(if has_journal { all.size_hint().0 } else { 0 });
        for received in all {
            let measurement = &received.measurement;
            let Some(probe) = self.find(&measurement.probe) else {
                self.too_many += 1;
                continue;
            };
            let place = self.place_of(&probe);
            let Some(draft) = self.drafts.get_mut(place) else { continue };
            let credit = match draft.credit(received, gaps.of(&probe.id)) {
                Ok(credit) => credit,
                Err(refused) => {
                    if refused == Refused::ConflictingPublisher {
                        self.live.note_publisher(received, false);
                    }
                    self.outcomes.push(Outcome::Refused(refused));
                    continue;
                }
            };
            self.live.note_publisher(received, true);
            // Before the journal has the record: whoever reads that counts by what is noted here.
            self.descriptions.note(received);
            self.outcomes.push(match (&measurement.accounting, credit.is_newest) {
                (None, _) => Outcome::Legacy,
                (Some(_), true) => Outcome::Credited,
                (Some(_), false) => Outcome::Late,
            });
            if has_journal {
                let taken = Taken { decision: credit.decision, register: credit.totals };
                // By the one name all share.
                records.push(Credited::named(probe.id.clone(), measurement, received.arrived, taken));
            }
        }
        records
    }

    /// The probe of a message, registered if it is new; none where there are as many as there may be.
    fn find(&mut self, id: &ProbeId) -> Option<Arc<LiveProbe>> {
        let guessed = self.known.get(self.succession.guess() as usize).and_then(Option::as_ref);
        let probe = if let Some(probe) = guessed.filter(|probe| probe.id == *id) {
            Arc::clone(probe)
        } else {
            let probe = self.live.find_or_register(id)?;
            let index = probe.index as usize;
            if index >= self.known.len() {
                self.known.resize(index + 1, None);
            }
            if let Some(place) = self.known.get_mut(index) {
                place.get_or_insert_with(|| Arc::clone(&probe));
            }
            probe
        };
        self.succession.note(probe.index);
        Some(probe)
    }

    /// Where the draft of a probe is; it is begun if need be.
    fn place_of(&mut self, probe: &Arc<LiveProbe>) -> usize {
        let index = probe.index as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, NOWHERE);
        }
        let Some(place) = self.places.get_mut(index) else { return usize::MAX };
        let is_others = |draft: &CreditDraft| draft.probe.index != probe.index;
        if self.drafts.get(*place as usize).is_none_or(is_others) {
            *place = u32::try_from(self.drafts.len()).unwrap_or(NOWHERE);
            self.drafts.push(probe.draft(self.spare.pop().unwrap_or_default()));
        }
        *place as usize
    }

    /// Makes what was prepared the present; the journal has it up to `position`, if it was appended.
    fn commit(&mut self, position: Option<Position>) {
        let counts = self.live.tally();
        let mut lost = 0;
        let before = self.live.changing();
        for draft in self.drafts.drain(..) {
            let (change, replaced) = draft.commit();
            lost += change;
            if self.spare.len() < SPARE_MAX {
                self.spare.push(replaced);
            }
        }
        // Without a record no account has changed.
        self.live.stands_at(position.or(before));
        counts.lost(lost);
        for outcome in self.outcomes.drain(..) {
            counts.count(outcome);
        }
        for _ in 0..std::mem::take(&mut self.too_many) {
            counts.too_many_probes(self.live.config().probes_max);
        }
        self.live.changed();
    }
}

/// Reports what keeps measurements from being recorded.
#[derive(Clone, Debug)]
pub struct Trouble(Arc<Inbox>);

impl Trouble {
    /// What it is, if anything does.
    pub fn now(&self) -> Option<String> {
        self.0.trouble()
    }
}

#[cfg(test)]
mod tests;
