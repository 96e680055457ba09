//! Telegrams that a meter encrypts: a text telegram inside a frame of DLMS, by AES-128 in Galois/Counter Mode.
//!
//! ```text
//! DB 08 <8 bytes: system title> 82 <2 bytes: length> 30 <4 bytes: frame counter> <ciphertext> <12 bytes: tag>
//! ```
//!
//! Source: *Spécification P1 des compteurs intelligents*, Luxmetering (Luxembourg's Smarty), 3.2; DLMS UA *Green Book*,
//! 9.2.7 (general-glo-ciphering, security suite 0).

use kwapi_core::{Secret, hex};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use subtle::ConstantTimeEq;

use super::text::Bad;
use crate::config::ConfigError;

const TITLE_BYTES: usize = 8;
const COUNTER_BYTES: usize = 4;
const TAG_BYTES: usize = 12;
const KEY_BYTES: usize = 16;
/// Up to the length of what follows.
const HEADER_BYTES: usize = 13;
/// Authenticated and encrypted, by security suite 0.
const SECURITY: u8 = 0x30;
/// No telegram is longer.
const FRAME_BYTES_MAX: usize = 8 * 1024;
/// The authentication key of all meters of Luxembourg, as published.
const AUTHENTICATION_KEY: [u8; KEY_BYTES] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF];

/// The keys of one meter.
#[derive(Debug)]
pub(crate) struct TelegramKeys {
    encryption: LessSafeKey,
    /// What the tag covers besides the ciphertext: the security byte and the authentication key.
    covered: [u8; 1 + KEY_BYTES],
    /// Without a key of the operator's, a telegram's own checksum does where the tag is by a key we don't have.
    is_tag_required: bool,
}

impl TelegramKeys {
    /// Keys as they are handed out, 32 hexadecimal digits each.
    ///
    /// # Errors
    /// When one is not that; the message does not repeat it.
    pub(crate) fn of(
        encryption: Option<&Secret>,
        authentication: Option<&Secret>,
    ) -> Result<Option<Self>, ConfigError> {
        let key = |key: &'static str, secret: &Secret| {
            let digits: String =
                secret.expose().chars().filter(|it| !matches!(it, ' ' | ':' | '-')).collect();
            let bytes = hex::decode(&digits).and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
            bytes.ok_or_else(|| ConfigError::of(key, "must be 32 hexadecimal digits"))
        };
        let Some(encryption) = encryption else {
            return match authentication {
                Some(_) => Err(ConfigError::of("authentication_key", "requires encryption_key")),
                None => Ok(None),
            };
        };
        let encryption = key("encryption_key", encryption)?;
        let encryption = UnboundKey::new(&AES_128_GCM, &encryption)
            .map_err(|_| ConfigError::of("encryption_key", "must be 32 hexadecimal digits"))?;
        let authenticated = authentication.map(|secret| key("authentication_key", secret)).transpose()?;
        let mut covered = [SECURITY; 1 + KEY_BYTES];
        if let Some(tail) = covered.get_mut(1..) {
            tail.copy_from_slice(&authenticated.unwrap_or(AUTHENTICATION_KEY));
        }
        Ok(Some(Self {
            encryption: LessSafeKey::new(encryption),
            covered,
            is_tag_required: authenticated.is_some(),
        }))
    }

    /// The text in a frame, and whether its tag proves it. Where it does not, the text's own checksum has to.
    ///
    /// # Errors
    /// When the keys are not this meter's, or the frame is damaged.
    pub(crate) fn open(&self, frame: &EncryptedFrame<'_>) -> Result<(Vec<u8>, bool), Bad> {
        const BAD: Bad = "cannot be decrypted; check encryption_key";
        // The cipher is its own inverse, and its library takes no tag of 12 bytes: what seals the ciphertext opens it, and
        // what seals the text again makes the tag to compare with.
        let mut text = frame.ciphertext.to_vec();
        self.seal(frame, &mut text).ok_or(BAD)?;
        let tag = self.seal(frame, &mut text.clone()).ok_or(BAD)?;
        let is_right = bool::from(tag.get(..TAG_BYTES).unwrap_or_default().ct_eq(frame.tag));
        let may_be_checked = text.starts_with(b"/") && !self.is_tag_required;
        if is_right || may_be_checked { Ok((text, is_right)) } else { Err(BAD) }
    }

    fn seal(&self, frame: &EncryptedFrame<'_>, bytes: &mut [u8]) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(&frame.nonce).ok()?;
        let tag = self.encryption.seal_in_place_separate_tag(nonce, Aad::from(&self.covered), bytes).ok()?;
        Some(tag.as_ref().to_vec())
    }
}

/// A whole frame, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EncryptedFrame<'a> {
    nonce: [u8; TITLE_BYTES + COUNTER_BYTES],
    ciphertext: &'a [u8],
    tag: &'a [u8],
    /// Behind it.
    pub(crate) next: usize,
}

/// Where a frame begins in what came off a line, if its header is there.
pub(crate) fn begin(bytes: &[u8]) -> Option<usize> {
    bytes.windows(HEADER_BYTES + 1).position(
        |window| matches!(window, [0xDB, 0x08, .., 0x82, high, low, SECURITY] if is_length(*high, *low)),
    )
}

/// Where in the end of `bytes` a frame may begin whose header is not there yet.
pub(crate) fn may_begin(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(HEADER_BYTES);
    let tail = bytes.get(from..)?;
    let is_begin = |at: &usize| matches!(tail.get(*at..), Some([0xDB] | [0xDB, 0x08, ..]));
    (0..tail.len()).find(is_begin).map(|at| from + at)
}

fn is_length(high: u8, low: u8) -> bool {
    (1 + COUNTER_BYTES + TAG_BYTES..=FRAME_BYTES_MAX).contains(&usize::from(u16::from_be_bytes([high, low])))
}

/// The frame that begins at `begin`; `None` until it is whole.
pub(crate) fn frame(bytes: &[u8], begin: usize) -> Option<EncryptedFrame<'_>> {
    let [_, _, title @ .., _, high, low] = bytes.get(begin..begin + HEADER_BYTES)? else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let next = begin + HEADER_BYTES + length;
    let (counter, rest) = bytes.get(begin + HEADER_BYTES + 1..next)?.split_first_chunk::<COUNTER_BYTES>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let nonce = [title, counter.as_slice()].concat().try_into().ok()?;
    Some(EncryptedFrame { nonce, ciphertext, tag, next })
}
