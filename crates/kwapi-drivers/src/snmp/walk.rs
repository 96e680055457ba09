//! Recorded walks: writing one without the site's names in it, and seeing what a profile makes of it.
//!
//! The format is snmprec, `OID|TAG|VALUE` a line, which snmpsim plays back. Tags are ASN.1's: 2 INTEGER, 4 OCTET STRING
//! (`4x` in hexadecimal, `4e` escaped), 6 OID, 65 Counter32, 66 Gauge32, 67 `TimeTicks`, 68 Opaque, 70 Counter64.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use async_snmp::Oid;
use kwapi_core::{NoReading, Reading, hex};

use super::interpret::{self, ColumnValues};
use super::plan;
use super::profile::{Profile, Section, parse_oid};
use super::value::ObjectValue;

/// A device's objects, in order.
pub type Walk = BTreeMap<Oid, ObjectValue>;

/// A longer walk is no PDU's; its end is refused.
const LINES_MAX: usize = 1_000_000;

/// What a profile makes of one outlet.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// The key a configuration would use.
    pub key: String,
    /// The operator's name on the device (anonymised in a recorded walk).
    pub label: Option<String>,
    /// The reading, or why there is none.
    pub reading: Result<Reading, NoReading>,
}

/// Reads a walk in snmprec format. Values that vary in snmpsim (`67:numeric|…`) are taken as they begin.
///
/// # Errors
/// The line and what is wrong with it.
pub fn parse_snmprec(text: &str) -> Result<Walk, String> {
    let mut walk = Walk::new();
    for (line, number) in text.lines().zip(1_usize..) {
        if number > LINES_MAX {
            return Err(format!("more than {LINES_MAX} lines"));
        }
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.splitn(3, '|');
        let (Some(oid), Some(tag), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("line {number}: not OID|TAG|VALUE: {:?}", shorten(line)));
        };
        let oid = parse_oid(oid).map_err(|error| format!("line {number}: {error}"))?;
        let value = parse_value(tag, value)
            .ok_or_else(|| format!("line {number}: no value of type {tag}: {:?}", shorten(value)))?;
        walk.insert(oid, value);
    }
    Ok(walk)
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A value in any form that snmpsim reads and writes: a tag may end in `x` (hexadecimal) or `e` (escaped as in Python), and
/// name a module that makes the value (`2:numeric|initial=7,rate=1`).
fn parse_value(tag: &str, value: &str) -> Option<ObjectValue> {
    let Some((tag, _)) = tag.split_once(':') else { return parse_plain(tag, value) };
    let setting = |name: &str| {
        let mut settings = value.split(',').filter_map(|setting| setting.trim().split_once('='));
        settings.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if let Some(digits) = setting("hexvalue") {
        return parse_plain(&format!("{}x", tag.trim_end_matches(['x', 'e'])), digits);
    }
    let given = ["initial", "value", "min"].into_iter().find_map(setting);
    // Made by a module elsewhere (a database, a program): the object is there, and its value is not in the file.
    given.map_or(Some(ObjectValue::Other), |value| parse_plain(tag, value))
}

fn parse_plain(tag: &str, value: &str) -> Option<ObjectValue> {
    let (tag, bytes) = match tag.strip_suffix('x') {
        Some(tag) => (tag, hex::decode(value.trim())?),
        None => match tag.strip_suffix('e') {
            Some(tag) => (tag, from_escaped(value)?),
            None => (tag, value.as_bytes().to_vec()),
        },
    };
    match tag {
        "2" | "65" | "66" | "67" | "70" | "71" if value.trim().is_empty() => Some(ObjectValue::Null),
        "2" | "65" | "66" | "67" | "70" | "71" => value.trim().parse().ok().map(ObjectValue::Integer),
        "4" => Some(ObjectValue::Text(bytes)),
        "5" => Some(ObjectValue::Null),
        "6" => parse_oid(value).ok().map(ObjectValue::Oid),
        "64" => Some(ObjectValue::Other),
        "68" => Some(ObjectValue::from_opaque(&bytes)),
        // noSuchObject, noSuchInstance, endOfMibView
        "128" | "129" | "130" => Some(ObjectValue::Absent),
        _ => None,
    }
}

/// Text with backslashes as Python writes them: `\\x0a`, `\\n`, `\\\\`.
fn from_escaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => {
                    let digit = |digit: u8| char::from(digit).to_digit(16);
                    let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    u8::try_from(high * 16 + low).ok()?
                }
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 7,
                b'b' => 8,
                b'v' => 11,
                b'f' => 12,
                quoted @ (b'\\' | b'\'' | b'"') => quoted,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

/// Writes a walk in snmprec format, with nothing in it that shows whose it is: letters of texts become `x` and digits
/// `0` (so that their shapes stay to be seen), addresses vanish. Numbers and OIDs stay, among them sysObjectID.
pub(crate) fn to_snmprec<'a>(objects: impl IntoIterator<Item = &'a (Oid, ObjectValue)>) -> String {
    let mut text = String::new();
    for (oid, value) in objects {
        let (tag, value) = match value {
            ObjectValue::Integer(number) => (tag_of(*number), number.to_string()),
            // snmprec has no floats; as text they are read back as numbers.
            ObjectValue::Float(number) => ("4", number.to_string()),
            ObjectValue::Text(bytes) => {
                let hidden = anonymise(bytes);
                match String::from_utf8(hidden) {
                    Ok(text) if !text.contains(['\n', '\r']) => ("4", text),
                    Ok(text) => ("4x", hex::encode(text.as_bytes())),
                    Err(error) => ("4x", hex::encode(error.as_bytes())),
                }
            }
            ObjectValue::Oid(oid) => ("6", oid.to_string()),
            ObjectValue::Null | ObjectValue::Other => ("5", String::new()),
            ObjectValue::Absent | ObjectValue::Failed => continue,
        };
        _ = writeln!(text, "{oid}|{tag}|{value}");
    }
    text
}

/// The narrowest type that holds a number: a walk does not keep which it was.
fn tag_of(number: i128) -> &'static str {
    if i32::try_from(number).is_ok() {
        "2"
    } else if u32::try_from(number).is_ok() {
        "66"
    } else {
        "70"
    }
}

fn anonymise(bytes: &[u8]) -> Vec<u8> {
    let hide = |byte: &u8| match byte {
        b'0'..=b'9' => b'0',
        b'a'..=b'z' | b'A'..=b'Z' => b'x',
        b' '..=b'~' => *byte,
        _ => b'.',
    };
    bytes.iter().map(hide).collect()
}

/// Shows what a profile makes of a walk: every outlet, inlet, unit, phase and group it finds a row of.
pub fn evaluate(profile: &Profile, walk: &Walk) -> Vec<Evaluated> {
    let mut evaluated = Vec::new();
    for (kind, section) in profile.kinds() {
        let indexes = rows(section, walk);
        let as_recorded: Vec<ColumnValues> = indexes.iter().map(|index| row(section, index, walk)).collect();
        let section = &interpret::on_device(section, &as_recorded);
        for index in indexes {
            let row = row(section, &index, walk);
            evaluated.push(Evaluated {
                key: plan::key(kind, section, &index),
                label: interpret::label(&row),
                reading: interpret::reading(section, &row),
            });
        }
    }
    evaluated
}

fn rows(section: &Section, walk: &Walk) -> Vec<Vec<u32>> {
    let mut listed = section.listings().map(|listing| section.rows(listing, walk));
    listed.find(|rows| !rows.is_empty()).unwrap_or_default()
}

fn row(section: &Section, index: &[u32], walk: &Walk) -> ColumnValues {
    let columns = section.columns().into_iter();
    columns
        .map(|(field, column)| (field, walk.get(&column.at(index)).cloned().unwrap_or(ObjectValue::Absent)))
        .collect()
}

#[cfg(test)]
mod tests;
