//! From bytes off a line to telegrams: joins in the middle of one, gets over noise, keeps no more than a telegram needs.

use kwapi_core::hex;

use super::encrypted::{self, TelegramKeys};
use super::registers::TelegramValues;
use super::sml;
use super::text::{self, Bad};

/// The longest telegram has some 4 KiB (DSMR with a long text). What has no end by then is noise.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// So many telegrams that cannot be opened, and none that can, are of a meter with other keys.
const UNOPENED_MAX: u8 = 2;
/// As much of a damaged telegram as an error repeats.
const EXCERPT_CHARS_MAX: usize = 80;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expects {
    /// Text telegrams of a P1 port.
    P1,
    /// SML, or text telegrams.
    Any,
}

/// Why what came is no telegram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// It is damaged, with what of it can be shown.
    Telegram(Bad, String),
    /// SML came where a P1 port was expected.
    IsSml,
    /// An encrypted telegram came, and there is no key.
    IsEncrypted,
    /// A telegram in clear came, and there is a key.
    IsClear,
    /// Of several encrypted telegrams, none could be opened.
    IsOtherKeys,
}

/// A telegram, and how it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telegram {
    pub(crate) registers: TelegramValues,
    pub(crate) is_sml: bool,
    /// Whether a checksum after `!`, as DSMR has it, agreed.
    pub(crate) is_dsmr: bool,
}

/// What has come off a line and is not used yet.
#[derive(Debug)]
pub(crate) struct LineBuffer {
    expects: Expects,
    /// Of a meter that encrypts.
    keys: Option<TelegramKeys>,
    /// How many telegrams could not be opened, while none could.
    unopened: Option<u8>,
    buffer: Vec<u8>,
    /// Whether frames of SML have come: text is not looked for in them any more.
    is_sml: bool,
}

impl LineBuffer {
    pub(crate) fn new(expects: Expects, keys: Option<TelegramKeys>) -> Self {
        Self { expects, keys, unopened: Some(0), buffer: Vec::new(), is_sml: false }
    }

    /// Takes what came, a few kilobytes at most.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets what came.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
    }

    /// The next telegram, or what is wrong with one; `None` until more has come.
    pub(crate) fn next(&mut self) -> Option<Result<Telegram, Damage>> {
        // Ciphertext may look like the beginning of anything.
        let encrypted = encrypted::begin(&self.buffer).filter(|_| !self.is_sml);
        self.is_sml |= encrypted.is_none() && sml::begin(&self.buffer).is_some();
        let found = match encrypted {
            Some(begin) => self.next_encrypted(begin),
            None if self.is_sml => self.next_sml(),
            None => self.next_text(),
        };
        if found.is_none() && self.buffer.len() > BUFFER_BYTES_MAX {
            let damage = self.damage("noise only", &self.buffer);
            self.buffer.clear();
            return Some(Err(damage));
        }
        found
    }

    fn next_sml(&mut self) -> Option<Result<Telegram, Damage>> {
        if self.expects == Expects::P1 {
            self.buffer.clear();
            self.is_sml = false;
            return Some(Err(Damage::IsSml));
        }
        let (next, result) = match sml::find(&self.buffer) {
            sml::SmlFrame::Nothing { keep_from } => {
                self.drop_to(keep_from);
                return None;
            }
            sml::SmlFrame::Frame { payload, next } => {
                let parsed = sml::parse(&payload);
                let telegram = parsed.map(|registers| Telegram { registers, is_sml: true, is_dsmr: false });
                (next, telegram.map_err(|why| self.damage(why, &payload)))
            }
            sml::SmlFrame::Bad { why, next } => {
                (next, Err(self.damage(why, self.buffer.get(..next).unwrap_or_default())))
            }
        };
        self.drop_to(next);
        Some(result)
    }

    fn next_encrypted(&mut self, begin: usize) -> Option<Result<Telegram, Damage>> {
        let frame = encrypted::frame(&self.buffer, begin)?;
        let next = frame.next;
        let opened = match &self.keys {
            None => Err(Damage::IsEncrypted),
            Some(keys) => keys.open(&frame).map_err(|why| {
                let excerpt = self.buffer.get(begin..next).unwrap_or_default();
                Damage::Telegram(why, hexadecimal(excerpt))
            }),
        };
        // One may be damaged; several are of another meter.
        self.unopened = self.unopened.filter(|_| opened.is_err()).map(|count| count.saturating_add(1));
        let is_other = self.keys.is_some() && self.unopened.is_some_and(|count| count >= UNOPENED_MAX);
        let opened = if is_other { Err(Damage::IsOtherKeys) } else { opened };
        let result = opened.and_then(|(mut text, is_proven)| {
            text.extend_from_slice(b"\r\n");
            match self.text_in(&text) {
                Some((_, Ok(telegram))) if !is_proven && !telegram.is_dsmr => {
                    Err(self.damage("checksum missing", &text))
                }
                Some((_, result)) => result,
                None => Err(self.damage("no telegram in it; check encryption_key", &[])),
            }
        });
        // One that lost a byte reaches into the next.
        let inside = self.buffer.get(begin + 1..next).filter(|_| result.is_err());
        let inside = inside.and_then(|bytes| encrypted::begin(bytes).or_else(|| encrypted::may_begin(bytes)));
        self.drop_to(inside.map_or(next, |inside| begin + 1 + inside));
        Some(result)
    }

    fn next_text(&mut self) -> Option<Result<Telegram, Damage>> {
        let (next, result) = self.text_in(&self.buffer)?;
        let result = if self.keys.is_some() && result.is_ok() { Err(Damage::IsClear) } else { result };
        self.drop_to(next);
        Some(result)
    }

    /// The first telegram in `buffer`, and where to continue after it.
    fn text_in(&self, buffer: &[u8]) -> Option<(usize, Result<Telegram, Damage>)> {
        // The eighth bit is parity, or nothing.
        let bytes: Vec<u8> = buffer.iter().map(|byte| byte & 0x7f).collect();
        let framed = text::find(&bytes)?;
        let raw = buffer.get(framed.begin..framed.next).unwrap_or_default();
        let has_parity = raw.iter().any(|byte| byte & 0x80 != 0);
        let is_even = raw.iter().all(|byte| byte.count_ones().is_multiple_of(2));
        let telegram = bytes.get(framed.begin..framed.end).unwrap_or_default();
        let lines = String::from_utf8_lossy(telegram.strip_suffix(b"!").unwrap_or(telegram));
        let parsed = text::parse(&lines).and_then(|registers| {
            // Parity is all that a telegram without a checksum has.
            if has_parity && !is_even {
                return Err("wrong parity");
            }
            text::check_block(&bytes, &framed)?;
            text::check(telegram, &framed.checksum, registers.version)?;
            Ok(registers)
        });
        let is_dsmr = !framed.checksum.is_empty();
        let result = match parsed {
            Ok(registers) if registers.is_empty() => Err(self.damage("no electricity registers", telegram)),
            Ok(registers) => Ok(Telegram { registers, is_sml: false, is_dsmr }),
            Err(why) => Err(self.damage(why, telegram)),
        };
        // In one that is damaged, the next may have begun.
        Some((if result.is_ok() { framed.next } else { framed.begin + 1 }, result))
    }

    fn damage(&self, why: Bad, bytes: &[u8]) -> Damage {
        let excerpt: String = if self.is_sml {
            hexadecimal(bytes)
        } else {
            String::from_utf8_lossy(bytes).chars().take(EXCERPT_CHARS_MAX).collect()
        };
        Damage::Telegram(why, excerpt)
    }

    fn drop_to(&mut self, end: usize) {
        self.buffer.drain(..end.min(self.buffer.len()));
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    hex::encode(bytes.get(..EXCERPT_CHARS_MAX / 2).unwrap_or(bytes))
}
