//! Where a consumer stands in the spool of each site: what it has taken, and up to where that is on its disk.
//!
//! Messages of a site are taken in the site's order, each once, whatever the servers between have lost, duplicated or
//! delivered again. One that comes before those it follows is dropped: this consumer reports its position to the site,
//! which sends again from there. Where this consumer is not one that the site keeps messages for, or receives only some
//! of its probes, what is missing cannot be distinguished from what never existed, and messages are accepted as
//! received.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use kwapi_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spool::put;
use crate::transport::Token;
use crate::transport::nats::position::{SignedPosition, Standing};

/// Sites whose positions are kept; beyond it the one that was silent the longest is forgotten.
const SITES_MAX: usize = 1_024;
/// A site that does not send again what is missing for so long, with nothing more to come, will not.
const MISSING_MAX: Duration = Duration::from_secs(30);
const FILE_VERSION: u32 = 1;
/// A larger file is not ours.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport::nats) enum Judgement {
    /// It is the next one.
    Take,
    /// It was taken before.
    Known,
    /// One before it is missing, which comes again, and this one after it.
    Early,
}

/// Which spool, and by keys for which probes: one without authority over a site moves nothing there.
type SiteName = (String, String);

/// Where this consumer stands at all sites.
#[derive(Debug)]
pub(in crate::transport::nats) struct SitePositions {
    consumer: String,
    /// Whether it is given all probes of a stream.
    takes_all: bool,
    sites: BTreeMap<SiteName, SitePosition>,
    /// Messages that are under way to the journal.
    open: BTreeMap<Token, (SiteName, u64)>,
}

#[derive(Debug, Default)]
struct SitePosition {
    /// The number of the newest message taken.
    taken: u64,
    /// Taken and not on the disk yet: the number, and that of the newest taken before it.
    open: BTreeMap<u64, u64>,
    /// Of those, the ones that were dropped: they are delivered again.
    released: BTreeSet<u64>,
    missing: Option<Missing>,
    /// Whether the site keeps messages for this consumer.
    is_listed: bool,
    /// The key that the site signs with.
    key: String,
    received_at: Timestamp,
}

/// Something is missing.
#[derive(Clone, Copy, Debug)]
struct Missing {
    /// The site's pass in which that was seen.
    pass: u64,
    /// Since when, on the monotonic clock.
    since: Duration,
}

/// As it is kept.
#[derive(Debug, Deserialize, Serialize)]
struct SitePositionsFile {
    version: u32,
    sites: Vec<StoredSitePosition>,
}

#[derive(Debug, Deserialize, Serialize)]
struct StoredSitePosition {
    spool: String,
    probes: String,
    durable: u64,
    #[serde(rename = "heard_us")]
    received_us: u64,
}

impl SitePositions {
    /// Of a consumer that has none yet.
    pub(in crate::transport::nats) fn new(consumer: String, takes_all: bool) -> Self {
        Self { consumer, takes_all, sites: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// Loads `file`. One that cannot be read counts as none: this consumer then stands where the next message of each
    /// site is.
    pub(in crate::transport::nats) fn read(&mut self, file: &Path) {
        match read_file(file) {
            Ok(stored) => {
                for StoredSitePosition { spool, probes, durable, received_us } in stored.sites {
                    let received_at = Timestamp::from_micros(received_us);
                    let position = SitePosition { taken: durable, received_at, ..SitePosition::default() };
                    self.sites.insert((spool, probes), position);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(
                %error,
                file = %file.display(),
                "cannot read the positions of this consumer; continuing with the next message of each site"
            ),
        }
    }

    /// Judges a message that is at this place; `is_last` is whether hardly anything waits behind it at the server,
    /// `now` is the monotonic clock, `wall` the other. What is accepted is in flight from then on, as `token`.
    pub(in crate::transport::nats) fn judge(
        &mut self,
        signed: &SignedPosition<'_>,
        token: Token,
        is_last: bool,
        now: Duration,
        wall: Timestamp,
    ) -> Judgement {
        let sent = &signed.sent;
        let is_listed = sent.is_kept_for(&self.consumer);
        let is_awaited = self.takes_all && is_listed;
        let name = (sent.spool.to_owned(), signed.probes.clone());
        if !self.sites.contains_key(&name) {
            self.make_room();
        }
        let site = self.sites.entry(name.clone()).or_insert_with(|| SitePosition {
            // A site that is new to us begins with what it sends.
            taken: sent.before,
            ..SitePosition::default()
        });
        (site.received_at, site.is_listed) = (wall, is_listed);
        if site.key != signed.key {
            signed.key.clone_into(&mut site.key);
        }
        if sent.number <= site.taken {
            if !site.released.remove(&sent.number) {
                return Judgement::Known;
            }
        } else {
            if sent.before > site.taken && is_awaited && !site.gives_up(sent.pass, is_last, now) {
                return Judgement::Early;
            }
            if sent.before > site.taken {
                tracing::warn!(
                    spool = sent.spool,
                    after = site.taken,
                    before = sent.number,
                    "messages of a site are missing; continuing without them"
                );
            }
            site.open.insert(sent.number, site.taken);
            (site.taken, site.missing) = (sent.number, None);
        }
        self.open.insert(token, (name, sent.number));
        Judgement::Take
    }

    fn make_room(&mut self) {
        while self.sites.len() >= SITES_MAX {
            let Some(oldest) = self.sites.iter().min_by_key(|(_, site)| site.received_at) else { return };
            let name = oldest.0.clone();
            self.sites.remove(&name);
        }
    }

    /// Takes note that messages that were under way are on the disk, or were let go of.
    pub(in crate::transport::nats) fn settle(&mut self, tokens: &RangeInclusive<Token>, is_durable: bool) {
        let settled: Vec<Token> = self.open.range(tokens.clone()).map(|(token, _)| *token).collect();
        for (name, number) in settled.iter().filter_map(|token| self.open.remove(token)) {
            let Some(site) = self.sites.get_mut(&name) else { continue };
            if is_durable {
                site.open.remove(&number);
            } else if site.open.contains_key(&number) {
                site.released.insert(number);
            }
        }
    }

    /// This consumer's position at each site that lists it, and the key to sign that report with.
    pub(in crate::transport::nats) fn standings(&self, at: Timestamp) -> Vec<(Standing, String)> {
        let standing = |((spool, _), site): (&SiteName, &SitePosition)| {
            let standing = Standing {
                consumer: self.consumer.clone(),
                spool: spool.clone(),
                durable: site.durable(),
                taken: site.taken,
                missing: site.missing.map_or(0, |missing| missing.pass),
                at,
            };
            (standing, site.key.clone())
        };
        self.sites.iter().filter(|(_, site)| site.is_listed).map(standing).collect()
    }

    /// As it is kept in a file.
    pub(in crate::transport::nats) fn stored(&self) -> Vec<u8> {
        let site = |((spool, probes), site): (&SiteName, &SitePosition)| StoredSitePosition {
            spool: spool.clone(),
            probes: probes.clone(),
            durable: site.durable(),
            received_us: site.received_at.micros(),
        };
        let file = SitePositionsFile { version: FILE_VERSION, sites: self.sites.iter().map(site).collect() };
        serde_json::to_vec(&file).unwrap_or_default()
    }
}

impl SitePosition {
    /// Up to where all that was taken is on the disk.
    fn durable(&self) -> u64 {
        self.open.first_key_value().map_or(self.taken, |(_, before)| *before)
    }

    /// Takes note that something is missing; returns whether it has been for too long.
    fn gives_up(&mut self, pass: u64, is_last: bool, now: Duration) -> bool {
        let Some(missing) = self.missing.filter(|missing| missing.pass == pass) else {
            self.missing = Some(Missing { pass, since: now });
            return false;
        };
        is_last && now.saturating_sub(missing.since) > MISSING_MAX
    }
}

fn read_file(file: &Path) -> io::Result<SitePositionsFile> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    let stored: SitePositionsFile = serde_json::from_slice(&text)?;
    if stored.version != FILE_VERSION || stored.sites.len() > SITES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another version wrote it"));
    }
    Ok(stored)
}

/// Writes positions, which are on the disk then.
///
/// # Errors
/// When the disk refuses.
pub(super) fn write_positions(file: &Path, stored: &[u8]) -> io::Result<()> {
    let (directory, name) = (file.parent(), file.file_name().and_then(|name| name.to_str()));
    let (Some(directory), Some(name)) = (directory, name) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no file name"));
    };
    put(directory, name, stored, true)
}

#[cfg(test)]
mod tests;
