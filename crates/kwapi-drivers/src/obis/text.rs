//! Text telegrams: IEC 62056-21 and DSMR P1, which adds a checksum.
//!
//! ```text
//! /XMX5LGBBFG10        what the meter is
//!
//! 1-0:1.8.1(000123.456*kWh)
//! !A1B2                DSMR 4 and 5: CRC-16 of all from / to !
//! ```
//!
//! Source: *Dutch Smart Meter Requirements, P1 Companion Standard* 5.0.2, chapter 6; IEC 62056-21, chapters 6.3 and 6.5.

use super::ObisCode;
use super::number::Number;
use super::registers::TelegramValues;
use crate::parts::printable;

/// From this version of DSMR on, every telegram has a checksum. Belgium's begins at 50.
const CHECKED_SINCE: u32 = 40;

/// What is wrong with a telegram, in a few words.
pub(crate) type Bad = &'static str;

/// Reads the lines of a telegram, from `/` to before `!`. Lines of other things (gas, texts, power failures) are passed over.
///
/// # Errors
/// When a register of electricity cannot be read: then nothing of the telegram can be trusted.
pub(crate) fn parse(text: &str) -> Result<TelegramValues, Bad> {
    let mut registers = TelegramValues::default();
    let mut lines = text.lines();
    registers.identification =
        lines.next().map(|line| printable(line.trim_start_matches('/'))).unwrap_or_default();
    for line in lines {
        let line = line.trim_matches(['\r', '\u{2}', ' ']);
        let Some((code, values)) = line.split_once('(') else { continue };
        let is_value = |code: &ObisCode| matches!(code.1, 7 | 8);
        let of = parse_code(code).filter(is_value);
        let Some(value) = values.strip_suffix(')') else {
            if of.is_some() {
                return Err("truncated line");
            }
            continue;
        };
        match code {
            "1-3:0.2.8" => registers.version = value.parse().ok(),
            "0-0:96.1.4" => registers.version = value.get(..2).and_then(|version| version.parse().ok()),
            "0-0:96.1.1" | "0-0:42.0.0" | "0-0:96.1.0" | "1-0:96.1.0" | "1-0:96.1.0*255"
            | "1-0:0.0.0*255" | "0.0.0" | "C.1.0" | "96.1.0" => {
                let serial = serial(value);
                registers.serial = registers.serial.take().or(serial);
            }
            _ => {
                // A value may stand behind its stamp, in brackets of its own.
                let value = value.rsplit('(').next().unwrap_or_default();
                if let (Some(code), Some(number)) = (of, Number::parse(value)) {
                    registers.add(code, number.map_err(|()| "register is not a number")?);
                }
            }
        }
    }
    Ok(registers)
}

/// `1-0:1.8.1`, `1-1:1.8.1*255` or `1.8.1`: a present value of electricity.
fn parse_code(text: &str) -> Option<ObisCode> {
    let (text, stored) = match text.split_once('*') {
        Some((text, stored)) => (text, Some(stored)),
        None => (text, None),
    };
    let code = match text.split_once(':') {
        Some(("1-0" | "1-1", code)) => code,
        Some(_) => return None,
        None => text,
    };
    // What is stored of earlier periods is numbered.
    if stored.is_some_and(|stored| stored != "255") {
        return None;
    }
    let mut parts = code.split('.').map(|part| part.parse::<u8>().ok().filter(|_| !part.starts_with('+')));
    let code = ObisCode(parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(code)
}

/// A serial number: text, or the hexadecimal digits of one (DSMR).
fn serial(value: &str) -> Option<String> {
    let pairs: Option<Vec<u8>> = value
        .len()
        .is_multiple_of(2)
        .then(|| {
            (0..value.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(value.get(at..at + 2)?, 16).ok())
                .collect()
        })
        .flatten();
    let text = pairs
        .filter(|bytes| bytes.len() >= 4 && bytes.iter().all(u8::is_ascii_graphic))
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_else(|| value.to_owned());
    let text = printable(text.trim());
    (!text.is_empty()).then_some(text)
}

/// Checks what stands after `!` against the telegram, `/` and `!` included.
///
/// # Errors
/// When they disagree, or a checksum is missing of a meter that has one.
pub(crate) fn check(telegram: &[u8], written: &str, version: Option<u32>) -> Result<(), Bad> {
    if written.is_empty() {
        let is_due = version.is_some_and(|version| version >= CHECKED_SINCE);
        return if is_due { Err("checksum missing") } else { Ok(()) };
    }
    // Four digits; some meters leave zeros in front of them out.
    let is_hex = written.len() <= 4 && written.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u16::from_str_radix(written, 16) {
        Ok(expected) if is_hex && expected == crc(telegram) => Ok(()),
        _ => Err("wrong checksum"),
    }
}

/// CRC-16/ARC: x¹⁶ + x¹⁵ + x² + 1, the least significant bit first, from 0 (P1 companion standard 5.2).
pub(crate) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}

/// One telegram in what came off the line: where it begins and ends, and what stands after its `!`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextFrame {
    pub(super) begin: usize,
    /// Behind `!`.
    pub(super) end: usize,
    /// Behind all of it.
    pub(super) next: usize,
    pub(super) checksum: String,
    /// Where the block begins that a block check ends (IEC 62056-21, 6.1): behind STX.
    pub(super) block: Option<usize>,
}

const STX: u8 = 2;
const ETX: u8 = 3;

/// Looks for a whole telegram; `None` where more has to come. `bytes` have seven bits. One that starts again before its
/// end was cut: it is left out.
pub(super) fn find(bytes: &[u8]) -> Option<TextFrame> {
    let line_end = |from: usize| bytes.iter().skip(from).position(|byte| *byte == b'\n').map(|at| from + at);
    let mut begin = None;
    let mut at = 0;
    // Where a line begins; what comes before the first may be the middle of one.
    loop {
        match (bytes.get(at)?, begin) {
            (b'/', _) => begin = Some(at),
            (b'!', Some(begin)) => {
                let line = line_end(at)?;
                let checksum = bytes.get(at + 1..line)?;
                let checksum = String::from_utf8_lossy(checksum).trim().to_owned();
                let block =
                    bytes.get(begin..at)?.iter().position(|byte| *byte == STX).map(|found| begin + found + 1);
                // ETX and the block check follow.
                let next = if block.is_some() { line + 3 } else { line + 1 };
                bytes.get(next - 1)?;
                return Some(TextFrame { begin, end: at + 1, next, checksum, block });
            }
            _ => {}
        }
        // The first telegram may begin in the middle of a line of noise.
        let line = line_end(at)?;
        at = match (begin, bytes.get(at..line)?.iter().skip(1).position(|byte| *byte == b'/')) {
            (None, Some(found)) => at + 1 + found,
            _ => line + 1,
        };
    }
}

/// The block check: all bytes behind STX up to ETX, by exclusive or.
///
/// # Errors
/// When it is wrong.
pub(super) fn check_block(bytes: &[u8], framed: &TextFrame) -> Result<(), Bad> {
    let Some(block) = framed.block else { return Ok(()) };
    let (Some(block), Some(check)) = (bytes.get(block..framed.next - 1), bytes.get(framed.next - 1)) else {
        return Err("block check missing");
    };
    let is_right = block.last() == Some(&ETX) && block.iter().fold(0, |check, byte| check ^ byte) == *check;
    if is_right { Ok(()) } else { Err("wrong block check") }
}
