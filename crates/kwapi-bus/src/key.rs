//! Keys and the schemes that use them.

mod instant;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use kwapi_core::{Pattern, Secret, Timestamp};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;

pub use instant::read as key_instant;

/// The longest key id. It stands in each message.
const KEY_ID_BYTES_MAX: usize = 64;
/// A shorter secret is guessed from one recorded message.
const SECRET_BYTES_MIN: usize = 16;

/// Which keys, each by its name and what distinguishes its secret from others ([`Key::print`]).
pub(crate) type KeyPrints = BTreeSet<String>;

/// How an endpoint's messages are signed. It is configured, never derived from a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum Scheme {
    /// HMAC-SHA256 over the bytes as sent, topic and key id included. One key a publisher.
    #[default]
    #[serde(rename = "kwapi-1")]
    Kwapi1,
    /// The original Kwapi's, forgeable by whoever sees a message: only for what is already installed.
    #[serde(rename = "legacy")]
    Legacy,
    /// No signature: only for an endpoint nobody else can reach.
    #[serde(rename = "none")]
    None,
}

/// A key as configured: `[[…keys]]`, or `key` of a publisher.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name in messages, logs and metrics: letters, digits, `-`, `_` and `.`, at most 64.
    pub id: String,
    /// The shared secret: at least 16 bytes, of any length under `legacy`.
    pub secret: Secret,
    /// The probes it may sign for: `*` (the default), an id, or `lyon.*`. Every verifier of a shared key can forge with
    /// it; this bounds what for.
    #[serde(default = "all_probes")]
    pub probes: Pattern,
    /// What was measured earlier is not signed with it, nor accepted: RFC 3339, or a date in UTC.
    #[serde(default, deserialize_with = "instant::optional")]
    pub valid_from: Option<Timestamp>,
    /// What was measured then or later is not signed with it, nor accepted.
    #[serde(default, deserialize_with = "instant::optional")]
    pub valid_until: Option<Timestamp>,
}

fn all_probes() -> Pattern {
    Pattern::All
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The scheme signs and there is nothing to sign with, or the other way round.
    #[error("this signature scheme requires {0}")]
    Count(&'static str),
    /// Two keys of one endpoint have the same id.
    #[error("duplicate key {0:?}")]
    Twice(String),
    /// The id would not survive its place in a message.
    #[error("key id {0:?}: must be 1 to {KEY_ID_BYTES_MAX} letters, digits, -, _ or .")]
    Id(String),
    /// There is no time at which it is valid.
    #[error("key {0:?}: valid_until must be later than valid_from")]
    Validity(String),
    /// The secret is empty or easily guessed.
    #[error("the secret of key {id:?} is too short: {bytes} bytes, minimum {min}")]
    Short {
        /// Which key.
        id: String,
        /// How long its secret is.
        bytes: usize,
        /// How long it must be.
        min: usize,
    },
}

impl Key {
    /// A key for all probes.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        let (id, secret) = (id.into(), Secret::new(secret));
        Self { id, secret, probes: Pattern::All, valid_from: None, valid_until: None }
    }

    /// Whether what was measured at `at` may be signed with it.
    pub fn is_valid(&self, at: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= at) && self.valid_until.is_none_or(|until| at < until)
    }

    /// From when until when it is valid, as text; `None` where it always is.
    pub fn validity(&self) -> Option<String> {
        let text = |at: Timestamp| {
            let at =
                i64::try_from(at.micros()).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
            at.unwrap_or(jiff::Timestamp::MAX).to_string()
        };
        match (self.valid_from.map(text), self.valid_until.map(text)) {
            (None, None) => None,
            (Some(from), None) => Some(format!("from {from}")),
            (None, Some(until)) => Some(format!("until {until}")),
            (Some(from), Some(until)) => Some(format!("from {from} until {until}")),
        }
    }

    /// Shows whether two keys have the same secret; nothing of the secret can be derived from it. 16 hexadecimal
    /// digits.
    pub fn fingerprint(&self) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes());
        let bytes = mac.map(|mac| mac.chain_update(b"kwapi key fingerprint").finalize().into_bytes().into());
        let text = hex(&bytes.unwrap_or_default());
        String::from_utf8_lossy(text.get(..16).unwrap_or_default()).into_owned()
    }

    /// Its name, and what distinguishes its secret from others.
    pub(crate) fn print(&self) -> String {
        format!("{}:{}", self.id, self.fingerprint())
    }

    /// Checks whether `scheme` can use it.
    ///
    /// # Errors
    /// When its id or its secret will not do.
    pub fn check(&self, scheme: Scheme) -> Result<(), KeyError> {
        match scheme {
            Scheme::Kwapi1 | Scheme::Legacy => KeyedMac::new(self, scheme).map(drop),
            Scheme::None => Ok(()),
        }
    }
}

/// A key ready for use: its secret has been turned into the state HMAC starts from.
#[derive(Clone)]
pub(crate) struct KeyedMac {
    pub(crate) id: Arc<str>,
    start: Hmac<Sha256>,
}

impl KeyedMac {
    pub(crate) fn new(key: &Key, scheme: Scheme) -> Result<Self, KeyError> {
        let id_is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if key.id.is_empty() || key.id.len() > KEY_ID_BYTES_MAX || !key.id.bytes().all(id_is_plain) {
            return Err(KeyError::Id(key.id.clone()));
        }
        if key.valid_from.zip(key.valid_until).is_some_and(|(from, until)| until <= from) {
            return Err(KeyError::Validity(key.id.clone()));
        }
        let secret = key.secret.expose().as_bytes();
        let min = if scheme == Scheme::Legacy { 1 } else { SECRET_BYTES_MIN };
        let short = KeyError::Short { id: key.id.clone(), bytes: secret.len(), min };
        if secret.len() < min {
            return Err(short);
        }
        let start = Hmac::new_from_slice(secret).map_err(|_| short)?;
        Ok(Self { id: key.id.as_str().into(), start })
    }

    /// The signature over `parts`, one after the other, in lower-case hex.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; 64] {
        let mut mac = self.start.clone();
        for part in parts {
            mac.update(part);
        }
        hex(&mac.finalize().into_bytes().into())
    }

    /// Whether `signature` is that over `parts`, in time that does not depend on how much of it is.
    pub(crate) fn verify(&self, parts: &[&[u8]], signature: &str) -> bool {
        let own = self.sign(parts);
        if signature.len() != own.len() {
            return false;
        }
        // By words: `ct_eq` over bytes takes half as long as the signature itself.
        let words = own.chunks_exact(8).zip(signature.as_bytes().chunks_exact(8));
        let differ = words.fold(0, |differ, (own, other)| differ | (word(own) ^ word(other)));
        differ.ct_eq(&0).into()
    }
}

impl fmt::Debug for KeyedMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedMac").field("id", &self.id).finish_non_exhaustive()
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

pub(crate) fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    let digit = |nibble: u8| b'0' + nibble + u8::from(nibble > 9) * (b'a' - b'9' - 1);
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_protects_nothing_is_refused() {
        let refused = |id: &str, secret: &str, scheme| KeyedMac::new(&Key::new(id, secret), scheme).err();
        let short = |bytes, min| Some(KeyError::Short { id: "k".into(), bytes, min });
        assert_eq!(refused("k", "0123456789abcdef", Scheme::Kwapi1), None);
        assert_eq!(refused("k", "0123456789abcde", Scheme::Kwapi1), short(15, 16));
        assert_eq!(refused("k", "", Scheme::Legacy), short(0, 1));
        assert_eq!(refused("k", "x", Scheme::Legacy), None);
        for id in ["", "a:b", "a\"b", "é", &"x".repeat(65)] {
            assert_eq!(refused(id, "0123456789abcdef", Scheme::Kwapi1), Some(KeyError::Id(id.into())));
        }
    }

    #[test]
    fn a_key_is_valid_from_its_first_instant_to_before_its_last() {
        let at = Timestamp::from_seconds;
        let key =
            |from, until| Key { valid_from: from, valid_until: until, ..Key::new("k", "0123456789abcdef") };
        let valid = |key: &Key| [9, 10, 19, 20].map(|second| key.is_valid(at(second)));
        assert_eq!(valid(&key(None, None)), [true; 4]);
        assert_eq!(valid(&key(Some(at(10)), Some(at(20)))), [false, true, true, false]);
        assert_eq!(valid(&key(None, Some(at(20)))), [true, true, true, false]);
        let never = key(Some(at(20)), Some(at(20)));
        assert_eq!(never.check(Scheme::Kwapi1), Err(KeyError::Validity("k".into())));
    }

    #[test]
    fn a_fingerprint_is_of_the_secret_alone() {
        let (key, other) = (Key::new("a", "0123456789abcdef"), Key::new("a", "0123456789abcdeg"));
        assert_eq!(key.fingerprint(), Key::new("b", "0123456789abcdef").fingerprint());
        assert_ne!(key.fingerprint(), other.fingerprint());
        assert_eq!(key.fingerprint().len(), 16);
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231_and_one_bit_off_is_none() {
        // Test case 2: key "Jefe", which only `legacy` would take.
        let mac = KeyedMac::new(&Key::new("k", "Jefe"), Scheme::Legacy).unwrap();
        let right = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        assert_eq!(&mac.sign(&parts), right.as_bytes());
        assert!(mac.verify(&parts, right));
        for at in 0..64 {
            let mut wrong = right.to_owned().into_bytes();
            wrong[at] ^= 1;
            assert!(!mac.verify(&parts, str::from_utf8(&wrong).unwrap()), "{at}");
        }
        for length in [0, 8, 63] {
            assert!(!mac.verify(&parts, right.split_at(length).0));
        }
        assert!(!mac.verify(&parts, &format!("{right}0")));
    }

    #[test]
    fn a_key_does_not_print() {
        let key = Key::new("k", "0123456789abcdef");
        let mac = KeyedMac::new(&key, Scheme::Kwapi1).unwrap();
        assert!(!format!("{key:?}{mac:?}").contains("0123"));
    }
}
