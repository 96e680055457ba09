//! Keys of NATS: Ed25519, written in base32 with a first letter that gives the kind.
//!
//! Source: github.com/nats-io/nkeys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The first five bits of a seed, `S`, and of a user's key, `U`, at the top of a byte.
const SEED: u8 = 18 << 3;
const USER: u8 = 20 << 3;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The key of a user.
pub(super) struct UserKey(Ed25519KeyPair);

impl UserKey {
    /// Reads a seed: two bytes that give the kind, 32 of the key, and a checksum.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = decode(text.trim())?;
        let (body, checksum) = bytes.split_at_checked(34)?;
        let [first, second, key @ ..] = body else { return None };
        let is_user = *first == SEED | USER >> 5 && *second == USER << 3;
        if !is_user || checksum != crc16(body).to_le_bytes() {
            return None;
        }
        Ed25519KeyPair::from_seed_unchecked(key).ok().map(Self)
    }

    /// What identifies it to the server.
    pub(super) fn public(&self) -> String {
        let mut bytes = vec![USER];
        bytes.extend_from_slice(self.0.public_key().as_ref());
        let checksum = crc16(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        encode(&bytes)
    }

    /// Its signature over the server's challenge.
    pub(super) fn sign(&self, nonce: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(nonce.as_bytes()))
    }
}

/// Base32 of RFC 4648 without padding.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.extend(ALPHABET.get((bits >> count & 31) as usize).map(|digit| char::from(*digit)));
        }
    }
    if count > 0 {
        text.extend(ALPHABET.get((bits << (5 - count) & 31) as usize).map(|digit| char::from(*digit)));
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A user's seed of 32 bytes that count up.
    pub(in super::super) fn seed() -> String {
        let mut bytes = vec![SEED | USER >> 5, USER << 3];
        bytes.extend(0..32);
        let checksum = crc16(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        encode(&bytes)
    }

    #[test]
    fn base32_and_its_checksum_are_those_of_their_standards() {
        // RFC 4648, section 10, less the padding; the check value of CRC-16/XMODEM.
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode("m1"), None);
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn a_seed_is_that_of_a_user_and_whole() {
        let seed = seed();
        assert!(seed.starts_with("SU"), "{seed}");
        let key = UserKey::read(&format!(" {seed}\n")).unwrap();
        assert!(key.public().starts_with('U') && key.public().len() == 56);
        let mut broken = seed.clone().into_bytes();
        broken[20] = if broken[20] == b'A' { b'B' } else { b'A' };
        for other in
            [&String::from_utf8(broken).unwrap(), &seed.replacen("SU", "SA", 1), "", "SU", &key.public()]
        {
            assert!(UserKey::read(other).is_none(), "{other}");
        }
    }
}
