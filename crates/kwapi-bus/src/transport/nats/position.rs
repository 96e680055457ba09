//! Positions in the spool of a site, as they travel.
//!
//! A message that a site keeps until its consumers have it names its place in the header `Kwapi-Position`:
//! `<spool> <number> <before> <pass> <consumers> <key id> <MAC>`. A consumer reports its position once a second, on
//! `%position.<consumer>.<spool>`, which no stream stores and no probe has:
//! `1 <consumer> <spool> <durable> <taken> <missing> <Unix µs> <key id> <MAC>`.
//!
//! A batch has one place, that of its last message: those before it have the numbers before, as many as it holds.
//!
//! Numbers are decimal. The MAC is HMAC-SHA256 in hex over the text before it, by a key of the site: of the header over the
//! message as well, so that a place cannot be moved to another message.

use kwapi_core::{Pattern, Timestamp};
use parking_lot::RwLock;

use crate::key::{Key, KeyError, KeyPrints, KeyedMac, Scheme};
use crate::message::topic_length;

/// The header of a message.
pub(super) const HEADER: &str = "Kwapi-Position";
/// What is hashed first, so that no text is taken for another.
const SENT: &[u8] = b"kwapi-position-1\0";
const SENT_BATCH: &[u8] = b"kwapi-position-batch-1\0";
const REPORTED: &[u8] = b"kwapi-standing-1\0";
/// The first word of a report, and of its subject. A stream's name has no `%`.
const VERSION: &str = "1";
const SUBJECT: &str = "%position";
/// Digits of a spool's identity, in hex.
pub(crate) const SPOOL_ID_DIGITS: usize = 32;
/// Longer texts are no positions: names of eight consumers, and all else.
const TEXT_BYTES_MAX: usize = 1_024;

/// The keys of a site: what its positions are signed with.
#[derive(Debug, Default)]
pub(crate) struct PositionKeys(RwLock<Vec<(Key, KeyedMac)>>);

impl PositionKeys {
    /// Those of `keys`, in their order.
    ///
    /// # Errors
    /// When one is unfit.
    pub(crate) fn new(keys: &[Key]) -> Result<Self, KeyError> {
        let all = Self::default();
        all.replace(keys)?;
        Ok(all)
    }

    /// Takes up others.
    ///
    /// # Errors
    /// When one is unfit; nothing has changed then.
    pub(crate) fn replace(&self, keys: &[Key]) -> Result<(), KeyError> {
        let keyed = |key: &Key| Ok((key.clone(), KeyedMac::new(key, Scheme::Kwapi1)?));
        *self.0.write() = keys.iter().map(keyed).collect::<Result<_, KeyError>>()?;
        Ok(())
    }

    /// Which they are.
    pub(super) fn prints(&self) -> KeyPrints {
        self.0.read().iter().map(|(key, _)| key.print()).collect()
    }

    /// The probes that they may report for, each once.
    pub(super) fn probes(&self) -> Vec<Pattern> {
        let mut probes = Vec::new();
        for (key, _) in self.0.read().iter() {
            if !probes.contains(&key.probes) {
                probes.push(key.probes.clone());
            }
        }
        probes
    }

    /// The one to sign with at `now`: of those that are valid, the one that began last.
    fn with_valid<T>(&self, now: Timestamp, then: impl FnOnce(&KeyedMac) -> T) -> Option<T> {
        let keys = self.0.read();
        let valid = keys.iter().filter(|(key, _)| key.is_valid(now));
        valid.max_by_key(|(key, _)| key.valid_from).map(|(_, mac)| then(mac))
    }

    fn with_id<T>(&self, id: &str, then: impl FnOnce(&Key, &KeyedMac) -> T) -> Option<T> {
        let keys = self.0.read();
        keys.iter().find(|(key, _)| key.id == id).map(|(key, mac)| then(key, mac))
    }
}

/// The place of a message in the spool of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentPosition<'a> {
    /// The spool's identity.
    pub(crate) spool: &'a str,
    pub(crate) number: u64,
    /// The number of the message before it that the site has, of a batch before its first: what lies between, nobody can be
    /// given any more.
    pub(crate) before: u64,
    /// Changes whenever the site goes back to an earlier place.
    pub(crate) pass: u64,
    /// The consumers that the site keeps messages for, with commas between.
    pub(crate) consumers: &'a str,
}

/// What is at a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// The topic of its probe, or what the topics of a batch begin with.
    pub(super) topic: &'a str,
    /// As it travels.
    pub(super) payload: &'a [u8],
    pub(super) is_batch: bool,
    /// How many messages it is.
    pub(super) count: u64,
}

impl Placed<'_> {
    /// What is signed, after `text`.
    fn with_parts<T>(&self, text: &str, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        let Self { topic, payload, is_batch, count: _ } = self;
        let (topic, kind) = (topic.as_bytes(), if *is_batch { SENT_BATCH } else { SENT });
        then(&[kind, text.as_bytes(), b"\0", &topic_length(topic), topic, payload])
    }
}

/// A place that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedPosition<'a> {
    pub(super) sent: SentPosition<'a>,
    /// The key it is signed with.
    pub(super) key: &'a str,
    /// The probes that key may report for. A key for other probes has no authority over a spool of this one's.
    pub(super) probes: String,
}

impl<'a> SentPosition<'a> {
    /// As the header of a message; `None` where no key is valid at `now`.
    pub(super) fn write(&self, keys: &PositionKeys, now: Timestamp, message: Placed<'_>) -> Option<String> {
        let Self { spool, number, before, pass, consumers } = self;
        keys.with_valid(now, |key| {
            let mut text = format!("{spool} {number} {before} {pass} {consumers} {}", key.id);
            let mac = message.with_parts(&text, |parts| key.sign(parts));
            push_mac(&mut text, &mac);
            text
        })
    }

    /// Reads the header of a message; `None` where it is none, or not signed by one of `keys` for this message.
    pub(super) fn read(
        text: &'a str,
        keys: &PositionKeys,
        message: Placed<'_>,
    ) -> Option<SignedPosition<'a>> {
        let (signed, mac) = text.rsplit_once(' ').filter(|_| text.len() <= TEXT_BYTES_MAX)?;
        let words: Vec<&str> = signed.split(' ').collect();
        let [spool, number, before, pass, consumers, key] = words.as_slice() else { return None };
        let sent = Self {
            spool: spool_id(spool)?,
            number: decimal(number)?,
            before: decimal(before)?,
            pass: decimal(pass)?,
            consumers,
        };
        let probes = keys.with_id(key, |key, keyed| {
            // Whether the key may report for this probe is decided with the message: its place is valid regardless.
            let is_right = message.with_parts(signed, |parts| keyed.verify(parts, mac));
            is_right.then(|| key.probes.to_string())
        })??;
        // Each message of a batch has a number of its own.
        let first = sent.number.checked_sub(message.count.checked_sub(1)?)?;
        (sent.before < first).then_some(SignedPosition { sent, key, probes })
    }

    /// The place of the message of a batch that so many come after; this is that of its last.
    pub(super) fn before_last(self, after: u64, is_first: bool) -> Self {
        let number = self.number.saturating_sub(after);
        let before = if is_first { self.before } else { number.saturating_sub(1) };
        Self { number, before, ..self }
    }

    /// Whether the site keeps messages for `consumer`.
    pub(super) fn is_kept_for(&self, consumer: &str) -> bool {
        self.consumers.split(',').any(|name| name == consumer)
    }
}

/// Where a consumer stands in the spool of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) consumer: String,
    pub(super) spool: String,
    /// Up to here it has everything on its disk.
    pub(super) durable: u64,
    /// Up to here it has everything.
    pub(super) taken: u64,
    /// The pass in which it found the next one missing; 0 where it did not.
    pub(super) missing: u64,
    pub(super) at: Timestamp,
}

/// Why a consumer's report is refused. The names are labels of a metric and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandingRefusal {
    /// Not of this form.
    Malformed,
    /// Signed with a key that this site does not have, or has not now.
    Key,
    /// The signature is another.
    Signature,
    /// Of another spool, or of a consumer that is not listed here.
    Foreign,
    /// Too old, or too early.
    Clock,
    /// Not later than one that was accepted.
    Replayed,
    /// Ahead of all that was sent.
    Ahead,
}

impl StandingRefusal {
    pub(crate) const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Key,
        Self::Signature,
        Self::Foreign,
        Self::Clock,
        Self::Replayed,
        Self::Ahead,
    ];

    /// Its name among the metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Foreign => "foreign",
            Self::Clock => "clock",
            Self::Replayed => "replayed",
            Self::Ahead => "ahead",
        }
    }
}

impl Standing {
    /// As it is published, signed with the key of this id; `None` where there is no such key.
    pub(super) fn write(&self, keys: &PositionKeys, key: &str) -> Option<String> {
        let Self { consumer, spool, durable, taken, missing, at } = self;
        keys.with_id(key, |_, keyed| {
            let mut text = format!(
                "{VERSION} {consumer} {spool} {durable} {taken} {missing} {} {}",
                at.micros(),
                keyed.id
            );
            let mac = keyed.sign(&[REPORTED, text.as_bytes()]);
            push_mac(&mut text, &mac);
            text
        })
    }

    /// Reads what was published.
    ///
    /// # Errors
    /// When it is not of this form, or not signed by one of `keys` while that is valid.
    pub(super) fn read(payload: &[u8], keys: &PositionKeys) -> Result<Self, StandingRefusal> {
        let text = str::from_utf8(payload).ok().filter(|text| text.len() <= TEXT_BYTES_MAX);
        let (signed, mac) = text.and_then(|text| text.rsplit_once(' ')).ok_or(StandingRefusal::Malformed)?;
        let (standing, key) = Self::parse(signed).ok_or(StandingRefusal::Malformed)?;
        let is_right = keys.with_id(key, |key, keyed| {
            key.is_valid(standing.at).then(|| keyed.verify(&[REPORTED, signed.as_bytes()], mac))
        });
        match is_right.flatten() {
            None => Err(StandingRefusal::Key),
            Some(false) => Err(StandingRefusal::Signature),
            Some(true) => Ok(standing),
        }
    }

    fn parse(signed: &str) -> Option<(Self, &str)> {
        let words: Vec<&str> = signed.split(' ').collect();
        let [VERSION, consumer, spool, durable, taken, missing, at, key] = words.as_slice() else {
            return None;
        };
        let standing = Self {
            consumer: (*consumer).to_owned(),
            spool: spool_id(spool)?.to_owned(),
            durable: decimal(durable)?,
            taken: decimal(taken)?,
            missing: decimal(missing)?,
            at: Timestamp::from_micros(decimal(at)?),
        };
        (standing.durable <= standing.taken).then_some((standing, *key))
    }

    /// Where it is published.
    pub(super) fn subject(&self) -> String {
        format!("{SUBJECT}.{}.{}", self.consumer, self.spool)
    }
}

/// The subjects of all reports on a spool.
pub(super) fn subjects(spool: &str) -> String {
    format!("{SUBJECT}.*.{spool}")
}

/// Whether a subject is one of those.
pub(super) fn is_standing(subject: &str) -> bool {
    subject.strip_prefix(SUBJECT).is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a server complains of those.
pub(super) fn is_complaint(complaint: &str) -> bool {
    complaint.contains(SUBJECT)
}

fn push_mac(text: &mut String, mac: &[u8; 64]) {
    text.push(' ');
    text.extend(mac.iter().map(|digit| char::from(*digit)));
}

fn spool_id(text: &str) -> Option<&str> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == SPOOL_ID_DIGITS && text.bytes().all(is_digit)).then_some(text)
}

/// A number as we write it: digits alone, no zero before others.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests;
