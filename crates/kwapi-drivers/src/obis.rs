//! Electricity meters that report their registers by OBIS code (IEC 62056-61), whatever carries them: text telegrams
//! (IEC 62056-21, DSMR P1) or SML.
//!
//! A code is `A-B:C.D.E*F`: A is 1 for electricity; C what is measured (1 import, 2 export, 16 the difference, 21 to 76 one
//! phase); D how (7 now, 8 a register); E the tariff, 0 for all; F 255 for the present value.

pub(crate) mod encrypted;
pub(crate) mod line;
mod number;
mod port;
pub(crate) mod reader;
mod registers;
pub(crate) mod sml;
pub(crate) mod text;

pub(crate) use line::{TelegramLine, into_error};
pub(crate) use port::{Port, PortConfig};
pub(crate) use reader::{Damage, Expects, LineBuffer, Telegram};
pub(crate) use registers::{TelegramMeter, TelegramValues, check_outlets};

/// A code of electricity, its present value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObisCode(pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl std::fmt::Display for ObisCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What a fuzzer throws at the telegrams: whatever comes off the line, and the same as the content of a whole frame.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn parse_anything(bytes: &[u8]) {
    let key = kwapi_core::Secret::new("00".repeat(16));
    let keys = || encrypted::TelegramKeys::of(Some(&key), None).ok().flatten();
    for (expects, keys) in [(Expects::P1, None), (Expects::P1, keys()), (Expects::Any, None)] {
        let mut reader = LineBuffer::new(expects, keys);
        for part in bytes.chunks(64) {
            reader.feed(part);
            while let Some(telegram) = reader.next() {
                _ = telegram.map(|telegram| telegram.registers.codes().count());
            }
        }
    }
    _ = sml::parse(bytes);
    _ = text::parse(&String::from_utf8_lossy(bytes));
}

#[cfg(test)]
mod tests;
