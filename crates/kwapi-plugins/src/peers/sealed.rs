//! What instances of the API send each other: a line that states who, when, in which request and by which key, what is
//! to be sent, and the signature over both.
//!
//! ```text
//! kwapi-peer-1 KIND INSTANCE TIME NONCE KEY\n
//! payload
//! HMAC-SHA256 of all before it, 64 hexadecimal digits
//! ```
//!
//! KIND is `request` or `answer`, INSTANCE 32 hexadecimal digits that a process draws at its start, TIME microseconds of the
//! Unix epoch, NONCE 32 hexadecimal digits that the requester draws and the responder repeats, KEY the id of a key of the
//! bus. Messages of the bus begin otherwise, so that neither can be passed off as the other.

use std::collections::HashMap;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use kwapi_bus::Key;
use kwapi_core::{Pattern, Timestamp, hex};
use parking_lot::Mutex;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::Sha256;

/// The version of what follows.
const VERSION: &str = "kwapi-peer-1";
/// How versions begin.
const VERSIONS: &str = "kwapi-peer-";
/// The longest first line: a key's id has 64 bytes at most.
const LINE_BYTES_MAX: usize = 256;
/// Digits of the signature.
const SIGNATURE_BYTES: usize = 64;
/// What claims to be older or newer than this is refused.
const AGE_MAX: Duration = Duration::from_secs(60);
/// Questions that are remembered, so that none is answered twice. Full: no more are answered until some are too old.
const NONCES_MAX: usize = 8_192;

/// The keys that instances sign with and accept: `key` of `[bus]`, and no publisher's.
#[derive(Clone, Debug, Default)]
pub struct PeerKeys(Vec<Key>);

/// Which process this is to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity(String);

/// Whether it is a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SealedKind {
    Request,
    Answer,
}

/// Why what came from an instance is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(super) enum PeerRefusal {
    /// It is cut short, or nothing of ours.
    #[error("malformed")]
    Malformed,
    /// A version of Kwapi wrote it that this one does not understand.
    #[error("another version of the protocol; run the same version of kwapi in both instances")]
    Version,
    /// There is no such key here.
    #[error("signed with an unknown key; configure the same `key` in [bus] of both instances")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("wrong signature; configure the same `key` in [bus] of both instances")]
    WrongSignature,
    /// It is too old or of the future, or the key is not valid at that time.
    #[error("stale; check the clocks of both machines and the dates of the key")]
    Stale,
    /// It has come before.
    #[error("replayed")]
    Replayed,
    /// It is this process's own, or the answer to another question.
    #[error("this instance itself; remove its own address from `peers` in [api]")]
    Itself,
    /// Too many questions in a minute.
    #[error("too many questions")]
    TooMany,
}

impl PeerRefusal {
    /// All, in the order of [`PeerRefusal::index`].
    pub(super) const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Version,
        Self::UnknownKey,
        Self::WrongSignature,
        Self::Stale,
        Self::Replayed,
        Self::Itself,
        Self::TooMany,
    ];

    /// Its name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::UnknownKey => "unknown_key",
            Self::WrongSignature => "wrong_signature",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::Itself => "itself",
            Self::TooMany => "too_many",
        }
    }
}

/// What has been accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened<'a> {
    pub(super) instance: &'a str,
    pub(super) at: Timestamp,
    pub(super) nonce: &'a str,
    /// The probes that its key covers.
    pub(super) probes: Pattern,
    pub(super) payload: &'a [u8],
}

impl PeerKeys {
    /// One's own, of which each instance has the same.
    pub fn new(keys: &[Key]) -> Self {
        Self(keys.to_vec())
    }

    /// Begins to seal something.
    pub(super) fn sealer(
        &self,
        kind: SealedKind,
        instance: &PeerIdentity,
        at: Timestamp,
        nonce: &str,
    ) -> Option<Sealer> {
        let key = self.0.iter().find(|key| key.is_valid(at))?;
        let line = format!("{VERSION} {} {} {} {nonce} {}\n", kind.word(), instance.0, at.micros(), key.id);
        let mut mac = Hmac::new_from_slice(key.secret.expose().as_bytes()).ok()?;
        mac.update(line.as_bytes());
        Some(Sealer { line: line.into_bytes(), mac, limits: vec![key.probes.clone()] })
    }

    /// Seals all of `payload` at once.
    pub(super) fn seal(
        &self,
        kind: SealedKind,
        instance: &PeerIdentity,
        at: Timestamp,
        nonce: &str,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let mut sealer = self.sealer(kind, instance, at, nonce)?;
        sealer.update(payload);
        let mut sealed = std::mem::take(&mut sealer.line);
        sealed.extend_from_slice(payload);
        sealed.extend_from_slice(&sealer.signature());
        Some(sealed)
    }

    /// Takes apart what was sealed, if it can be accepted at `now`.
    pub(super) fn open<'a>(
        &self,
        sealed: &'a [u8],
        kind: SealedKind,
        now: Timestamp,
    ) -> Result<Opened<'a>, PeerRefusal> {
        let malformed = PeerRefusal::Malformed;
        let length = sealed.len().checked_sub(SIGNATURE_BYTES).ok_or(malformed)?;
        let (signed, signature) = sealed.split_at_checked(length).ok_or(malformed)?;
        let end = signed.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n').ok_or(malformed)?;
        let (line, payload) = signed.split_at_checked(end).ok_or(malformed)?;
        let payload = payload.get(1..).unwrap_or_default();
        let line = std::str::from_utf8(line).map_err(|_| malformed)?;
        let fields: Vec<&str> = line.split(' ').collect();
        let Some(version) = fields.first().filter(|version| version.starts_with(VERSIONS)) else {
            return Err(malformed);
        };
        if *version != VERSION {
            return Err(PeerRefusal::Version);
        }
        let [_, word, instance, at, nonce, id] = fields.as_slice() else { return Err(malformed) };
        let at = at.parse().map(Timestamp::from_micros).map_err(|_| malformed)?;
        if *word != kind.word() || !is_drawn(instance) || !is_drawn(nonce) {
            return Err(malformed);
        }
        let key = self.0.iter().find(|key| key.id == *id).ok_or(PeerRefusal::UnknownKey)?;
        let wrong = PeerRefusal::WrongSignature;
        let mut mac = Hmac::<Sha256>::new_from_slice(key.secret.expose().as_bytes()).map_err(|_| wrong)?;
        mac.update(signed);
        let signature = std::str::from_utf8(signature).ok().and_then(hex::decode).ok_or(wrong)?;
        mac.verify_slice(&signature).map_err(|_| wrong)?;
        // Only from here on is its content trusted.
        if at.since(now) > AGE_MAX || now.since(at) > AGE_MAX || !key.is_valid(at) {
            return Err(PeerRefusal::Stale);
        }
        Ok(Opened { instance, at, nonce, probes: key.probes.clone(), payload })
    }
}

/// Signs what is sent piece by piece.
#[derive(Debug)]
pub(super) struct Sealer {
    pub(super) line: Vec<u8>,
    mac: Hmac<Sha256>,
    /// Only probes of all of these are sent.
    pub(super) limits: Vec<Pattern>,
}

impl Sealer {
    pub(super) fn update(&mut self, part: &[u8]) {
        self.mac.update(part);
    }

    pub(super) fn signature(self) -> Vec<u8> {
        hex::encode(&self.mac.finalize().into_bytes()).into_bytes()
    }
}

impl SealedKind {
    fn word(self) -> &'static str {
        match self {
            Self::Request => "ask",
            Self::Answer => "answer",
        }
    }
}

impl PeerIdentity {
    /// One that no other process has.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn draw() -> Result<Self, String> {
        draw().map(Self)
    }

    pub(super) fn is(&self, instance: &str) -> bool {
        self.0 == instance
    }
}

/// 128 random bits, as hexadecimal digits.
pub(super) fn draw() -> Result<String, String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(hex::encode(&bytes))
}

fn is_drawn(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The questions of the last minute.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<HashMap<String, Timestamp>>);

impl Nonces {
    /// Takes note of a request that was made `at`.
    pub(super) fn note(&self, nonce: &str, at: Timestamp, now: Timestamp) -> Result<(), PeerRefusal> {
        let mut seen = self.0.lock();
        if seen.contains_key(nonce) {
            return Err(PeerRefusal::Replayed);
        }
        if seen.len() >= NONCES_MAX {
            // What is older is refused as stale anyway.
            seen.retain(|_, at| now.since(*at) <= AGE_MAX);
        }
        if seen.len() >= NONCES_MAX {
            return Err(PeerRefusal::TooMany);
        }
        seen.insert(nonce.to_owned(), at);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
