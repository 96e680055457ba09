//! SML (Smart Message Language) on a serial line: frames with escapes and a checksum, in them messages of typed fields.
//!
//! Source: BSI TR-03109-1, Anlage IV *Feinspezifikation "Drahtgebundene LMN-Schnittstelle"*, part b (SML 1.04), chapters 6.2
//! (binary encoding), 7 (messages) and 8 (transport); units and codes by IEC 62056-62 and 61.

use kwapi_core::hex;

use super::ObisCode;
use super::number::Number;
use super::registers::TelegramValues;
use super::text::Bad;
use crate::parts::printable;

const ESCAPE: [u8; 4] = [0x1b; 4];
/// Begins version 1 of the transport, behind an escape.
const BEGIN: [u8; 4] = [1; 4];
/// Ends a frame, behind an escape: then the bytes of padding and the checksum.
const END: u8 = 0x1a;
/// `SML_GetList.Res`, the message that carries registers.
const GET_LIST: u64 = 0x0701;
/// Lists lie in lists: a message, its body, the list of registers, an entry, a time.
const DEPTH_MAX: usize = 8;
/// Fields of one frame. The longest real ones have some three hundred.
const FIELDS_MAX: usize = 4_096;

/// What was found in what came off the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SmlFrame {
    /// Nothing before this is of use.
    Nothing { keep_from: usize },
    /// A whole frame, with its escapes taken out.
    Frame { payload: Vec<u8>, next: usize },
    /// A frame that is damaged, and where to continue.
    Bad { why: Bad, next: usize },
}

/// Where a frame begins, if it does.
pub(super) fn begin(bytes: &[u8]) -> Option<usize> {
    bytes.windows(8).position(|window| window.starts_with(&ESCAPE) && window.ends_with(&BEGIN))
}

/// Looks for a frame. Its bytes are taken four at a time from where it begins, as escapes are put in.
pub(super) fn find(bytes: &[u8]) -> SmlFrame {
    let Some(begin) = begin(bytes) else {
        return SmlFrame::Nothing { keep_from: bytes.len().saturating_sub(7) };
    };
    let mut payload = Vec::new();
    let mut at = begin + 8;
    loop {
        let Some(block) = bytes.get(at..at + 4) else { return SmlFrame::Nothing { keep_from: begin } };
        at += 4;
        if block != ESCAPE {
            payload.extend_from_slice(block);
            continue;
        }
        let Some(escaped) = bytes.get(at..at + 4) else { return SmlFrame::Nothing { keep_from: begin } };
        match escaped {
            [0x1b, 0x1b, 0x1b, 0x1b] => payload.extend_from_slice(escaped),
            // The frame before was cut.
            [1, 1, 1, 1] => return SmlFrame::Bad { why: "truncated frame", next: at - 4 },
            [END, padding, low, high] => {
                let next = at + 4;
                let written = u16::from_le_bytes([*low, *high]);
                let covered = bytes.get(begin..at + 2).unwrap_or_default();
                let length = payload.len().checked_sub(usize::from(*padding)).filter(|_| *padding <= 3);
                let Some(length) = length else { return SmlFrame::Bad { why: "wrong padding", next } };
                if !is_checksum(covered, written) {
                    return SmlFrame::Bad { why: "wrong checksum", next };
                }
                payload.truncate(length);
                return SmlFrame::Frame { payload, next };
            }
            _ => return SmlFrame::Bad { why: "unknown escape", next: at },
        }
        at += 4;
    }
}

/// CRC-16/X-25; meters of Holley (DTZ541) begin from 0 and don't invert.
fn is_checksum(bytes: &[u8], written: u16) -> bool {
    let crc = |start: u16| {
        bytes.iter().fold(start, |crc, byte| {
            (0..8).fold(
                crc ^ u16::from(*byte),
                |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 },
            )
        })
    };
    !crc(0xffff) == written || crc(0) == written
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field<'a> {
    /// A text, a number of bytes, or nothing.
    Octets(&'a [u8]),
    Signed(i64),
    Unsigned(u64),
    Bool,
    List(Vec<Field<'a>>),
    /// The end of a message.
    End,
}

/// Reads fields one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Bad> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("truncated field")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Bad> {
        self.take(1)?.first().copied().ok_or("truncated field")
    }

    fn field(&mut self, depth: usize) -> Result<Field<'a>, Bad> {
        self.count += 1;
        if depth > DEPTH_MAX || self.count > FIELDS_MAX {
            return Err("too many fields");
        }
        let head = self.byte()?;
        if head == 0 {
            return Ok(Field::End);
        }
        let kind = head >> 4 & 7;
        let mut length = usize::from(head & 15);
        let (mut more, mut heads) = (head & 0x80 != 0, 1);
        while more {
            let next = self.byte()?;
            heads += 1;
            length = length << 4 | usize::from(next & 15);
            more = next & 0x80 != 0;
            if heads > 4 {
                return Err("field too long");
            }
        }
        if kind == 7 {
            let mut list = Vec::new();
            for _ in 0..length {
                list.push(self.field(depth + 1)?);
            }
            return Ok(Field::List(list));
        }
        // The length counts the bytes that hold it.
        let bytes = self.take(length.checked_sub(heads).ok_or("field too short")?)?;
        match (kind, bytes.len()) {
            (0, _) => Ok(Field::Octets(bytes)),
            (4, 1) => Ok(Field::Bool),
            (5, 1..=8) => {
                let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
                let start = if is_negative { -1 } else { 0 };
                Ok(Field::Signed(bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte))))
            }
            (6, 1..=8) => {
                Ok(Field::Unsigned(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))))
            }
            _ => Err("unknown field type"),
        }
    }
}

/// Reads the messages of a frame.
///
/// # Errors
/// When they are no SML, or hold no list of registers.
pub(crate) fn parse(payload: &[u8]) -> Result<TelegramValues, Bad> {
    let mut fields = Fields { rest: payload, count: 0 };
    let mut registers = TelegramValues::default();
    "SML".clone_into(&mut registers.identification);
    let mut has_list = false;
    while !fields.rest.is_empty() {
        let Field::List(message) = fields.field(0)? else { continue };
        // Transaction, group, what to do on errors, body, checksum, end.
        let Some(Field::List(body)) = message.get(3) else { return Err("message without body") };
        let [Field::Unsigned(GET_LIST), Field::List(list)] = body.as_slice() else { continue };
        let [_, server, _, _, Field::List(values), ..] = list.as_slice() else {
            return Err("list without registers");
        };
        has_list = true;
        if let Field::Octets(server) = server {
            registers.serial = registers.serial.take().or_else(|| name(server));
        }
        for value in values {
            entry(value, &mut registers)?;
        }
    }
    if has_list { Ok(registers) } else { Err("no list of registers") }
}

/// Takes an entry of the list: name, status, time, unit, power of ten, value, signature.
fn entry(entry: &Field<'_>, registers: &mut TelegramValues) -> Result<(), Bad> {
    let Field::List(entry) = entry else { return Err("entry is not a list") };
    let [Field::Octets(object), _, _, unit, scaler, value, ..] = entry.as_slice() else {
        return Err("truncated entry");
    };
    let [1, 0, c, d, e, 255] = object else { return Ok(()) };
    let count = match value {
        Field::Signed(count) => i128::from(*count),
        Field::Unsigned(count) => i128::from(*count),
        Field::Octets(_) | Field::Bool | Field::List(_) | Field::End => return Ok(()),
    };
    let exponent = match scaler {
        Field::Signed(exponent) => i8::try_from(*exponent).map_err(|_| "exponent too large")?,
        Field::Octets([]) => 0,
        _ => return Ok(()),
    };
    let Field::Unsigned(unit) = unit else { return Ok(()) };
    let Ok(unit) = u8::try_from(*unit) else { return Ok(()) };
    if let Some(number) = Number::scaled(count, exponent, unit) {
        registers.add(ObisCode(*c, *d, *e), number);
    }
    Ok(())
}

/// A server id: as text where it is one, else its bytes.
fn name(octets: &[u8]) -> Option<String> {
    if octets.is_empty() {
        return None;
    }
    if octets.iter().all(u8::is_ascii_graphic) {
        return Some(printable(&String::from_utf8_lossy(octets)));
    }
    Some(hex::encode(octets.get(..24).unwrap_or(octets)))
}
