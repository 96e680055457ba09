//! Cipher suites of RMCP+ and the authentication code of IPMI 1.5.
//!
//! Source: IPMI 2.0 rev. 1.1, 13.28 to 13.32 (RMCP+), 22.17.1 (1.5).

use aes::Aes128;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::packet::{self, payload};

/// A block of AES, and its key here.
const BLOCK: usize = 16;
/// The constants K1 and K2 are made from are 20 bytes, whatever the hash: 13.32.
const KEY_CONSTANT_BYTES: usize = 20;

/// The cipher suites we support: 22.15.2, table 22-20.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128. Every card of IPMI 2.0 has it.
    Sha1,
    /// RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Sha256,
}

impl Suite {
    /// Best first.
    pub(super) const ALL: [Self; 2] = [Self::Sha256, Self::Sha1];

    /// Its number in the specification and in the configuration.
    pub(super) const fn id(self) -> u8 {
        match self {
            Self::Sha1 => 3,
            Self::Sha256 => 17,
        }
    }

    pub(super) fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// Authentication, integrity and confidentiality algorithm: tables 13-17, 13-18, 13-19.
    pub(super) const fn algorithms(self) -> [u8; 3] {
        match self {
            Self::Sha1 => [1, 1, 1],
            Self::Sha256 => [3, 4, 1],
        }
    }

    /// Bytes of a full code, as in RAKP messages 2 and 3.
    pub(super) const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Bytes of the shortened code of packets and of RAKP message 4.
    pub(super) const fn code_bytes(self) -> usize {
        match self {
            Self::Sha1 => 12,
            Self::Sha256 => 16,
        }
    }

    /// The keyed hash of `parts` in a row.
    pub(super) fn mac(self, key: &[u8], parts: &[&[u8]]) -> KeyedHash {
        match self {
            Self::Sha1 => KeyedHash::of::<Hmac<Sha1>>(key, parts),
            Self::Sha256 => KeyedHash::of::<Hmac<Sha256>>(key, parts),
        }
    }
}

/// A keyed hash. Compared in constant time, never printed.
#[derive(Clone)]
pub(super) struct KeyedHash {
    bytes: [u8; 32],
    length: usize,
}

impl KeyedHash {
    fn of<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Self {
        let mut code = Self { bytes: [0; 32], length: 0 };
        // HMAC takes a key of any length.
        if let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) {
            for part in parts {
                mac.update(part);
            }
            let output = mac.finalize().into_bytes();
            for (to, from) in code.bytes.iter_mut().zip(output) {
                *to = from;
                code.length += 1;
            }
        }
        code
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Whether `other` is the first `length` bytes of this code.
    pub(super) fn is(&self, other: &[u8], length: usize) -> bool {
        length > 0 && self.bytes().get(..length).is_some_and(|code| code.ct_eq(other).into())
    }
}

/// What a session's packets are sealed with.
#[derive(Clone)]
pub(super) struct Keys {
    suite: Suite,
    integrity: KeyedHash,
    cipher: [u8; BLOCK],
}

impl Keys {
    /// K1 and K2 from the session integrity key: 13.32.
    pub(super) fn derive(suite: Suite, session_integrity_key: &KeyedHash) -> Self {
        let key = session_integrity_key.bytes();
        let integrity = suite.mac(key, &[&[0x01; KEY_CONSTANT_BYTES]]);
        let confidentiality = suite.mac(key, &[&[0x02; KEY_CONSTANT_BYTES]]);
        let mut cipher = [0; BLOCK];
        for (to, from) in cipher.iter_mut().zip(confidentiality.bytes()) {
            *to = *from;
        }
        Self { suite, integrity, cipher }
    }

    /// The packet of one IPMI message: encrypted, padded and signed.
    pub(super) fn seal(&self, session: u32, sequence: u32, message: &[u8]) -> Vec<u8> {
        let flags = payload::ENCRYPTED | payload::AUTHENTICATED | payload::IPMI;
        let mut datagram = packet::plus(flags, session, sequence, &self.encrypt(message));
        // From the authentication type to the next header, a multiple of four: 13.6, "Integrity PAD".
        let padding = (4 - (datagram.len() - packet::RMCP.len() + 2) % 4) % 4;
        datagram.extend(std::iter::repeat_n(0xFF, padding));
        datagram.extend([u8::try_from(padding).unwrap_or_default(), packet::NEXT_HEADER]);
        let signed = datagram.get(packet::RMCP.len()..).unwrap_or_default();
        let code = self.suite.mac(self.integrity.bytes(), &[signed]);
        datagram.extend(code.bytes().iter().take(self.suite.code_bytes()));
        datagram
    }

    /// The message inside a packet, if the packet is genuine. `sealed` is the packet after the RMCP header.
    pub(super) fn open(&self, sealed: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
        let (signed, code) = sealed.split_at_checked(sealed.len().checked_sub(self.suite.code_bytes())?)?;
        let expected = self.suite.mac(self.integrity.bytes(), &[signed]);
        // The signed part must reach beyond the payload, or part of the payload was taken for its code.
        let header_bytes = 12;
        if !expected.is(code, self.suite.code_bytes()) || signed.len() < header_bytes + payload.len() + 2 {
            return None;
        }
        self.decrypt(payload)
    }

    /// Initialisation vector, message, padding 01h 02h …, its length; the last three encrypted: 13.29, table 13-20.
    fn encrypt(&self, message: &[u8]) -> Vec<u8> {
        let vector: [u8; BLOCK] = rand::random();
        let padding = (BLOCK - (message.len() + 1) % BLOCK) % BLOCK;
        let mut plain = Vec::with_capacity(message.len() + padding + 1);
        plain.extend(message);
        plain.extend((1_u8..).take(padding));
        plain.push(u8::try_from(padding).unwrap_or_default());
        let length = plain.len();
        let mut encrypted = vector.to_vec();
        let encryptor = cbc::Encryptor::<Aes128>::new(&self.cipher.into(), &vector.into());
        // A whole number of blocks always fits.
        encrypted.extend(encryptor.encrypt_padded::<NoPadding>(&mut plain, length).unwrap_or_default());
        encrypted
    }

    pub(super) fn decrypt(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let (vector, encrypted) = payload.split_first_chunk::<BLOCK>()?;
        let mut plain = encrypted.to_vec();
        let decryptor = cbc::Decryptor::<Aes128>::new(&self.cipher.into(), vector.into());
        let length = decryptor.decrypt_padded::<NoPadding>(&mut plain).ok()?.len();
        plain.truncate(length);
        let padding = plain.pop()?;
        let length = plain.len().checked_sub(padding.into())?;
        plain.truncate(length);
        Some(plain)
    }
}

/// The authentication code of an IPMI 1.5 packet by MD5: 22.17.1.
pub(super) fn legacy_code(password: &[u8; 16], session: u32, sequence: u32, message: &[u8]) -> [u8; 16] {
    let mut hash = Md5::new();
    hash.update(password);
    hash.update(session.to_le_bytes());
    hash.update(message);
    hash.update(sequence.to_le_bytes());
    hash.update(password);
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
