//! From bytes off a line to telegrams: joins in the middle of one, gets over noise, keeps no more than a telegram needs.

use kwapi_core::hex;

use super::registers::TelegramValues;
use super::sml;
use super::text::{self, Bad};

/// The longest telegram has some 4 KiB (DSMR with a long text). What has no end by then is noise.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
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
    buffer: Vec<u8>,
    /// Whether frames of SML have come: text is not looked for in them any more.
    is_sml: bool,
}

impl LineBuffer {
    pub(crate) fn new(expects: Expects) -> Self {
        Self { expects, buffer: Vec::new(), is_sml: false }
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
        self.is_sml |= sml::begin(&self.buffer).is_some();
        let found = if self.is_sml { self.next_sml() } else { self.next_text() };
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

    fn next_text(&mut self) -> Option<Result<Telegram, Damage>> {
        // The eighth bit is parity, or nothing.
        let bytes: Vec<u8> = self.buffer.iter().map(|byte| byte & 0x7f).collect();
        let framed = text::find(&bytes)?;
        let raw = self.buffer.get(framed.begin..framed.next).unwrap_or_default();
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
        self.drop_to(if result.is_ok() { framed.next } else { framed.begin + 1 });
        Some(result)
    }

    fn damage(&self, why: Bad, bytes: &[u8]) -> Damage {
        let excerpt: String = if self.is_sml {
            hex::encode(bytes.get(..EXCERPT_CHARS_MAX / 2).unwrap_or(bytes))
        } else {
            String::from_utf8_lossy(bytes).chars().take(EXCERPT_CHARS_MAX).collect()
        };
        Damage::Telegram(why, excerpt)
    }

    fn drop_to(&mut self, end: usize) {
        self.buffer.drain(..end.min(self.buffer.len()));
    }
}
