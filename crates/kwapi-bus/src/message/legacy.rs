//! The original Kwapi's signature: HMAC-SHA256 over names and values, sorted and run together.
//!
//! With nothing between a name and its value, values move between fields and probes under the same signature, and
//! digits past the twelfth are not covered. It is here for interoperation with what is already installed, and only
//! where an endpoint is configured for it.

use std::fmt::Write as _;

use super::float_text::{python2_repr, python2_str};
use super::json::{self, JsonValue, Member};

/// There is no signature over this: the original could not compute one, or not the same one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsignable;

/// What the signature of a message with these members covers, appended to `digest`.
pub(crate) fn digest(members: &[Member<'_>], digest: &mut String) -> Result<(), Unsignable> {
    walk(members, "", digest)
}

fn walk(members: &[Member<'_>], path: &str, digest: &mut String) -> Result<(), Unsignable> {
    for member in sorted(members) {
        if path.is_empty() && member.name == super::SIGNATURE_MEMBER {
            continue;
        }
        if !member.name.is_ascii() {
            return Err(Unsignable);
        }
        if let JsonValue::Object(text) = &member.value {
            let nested = json::members(text).map_err(|_| Unsignable)?;
            walk(&nested, &format!("{path}{}:", member.name), digest)?;
            continue;
        }
        digest.push_str(path);
        digest.push_str(&member.name);
        match &member.value {
            JsonValue::Text(text) => digest.push_str(text),
            JsonValue::Number(text) if is_float(text) => digest.push_str(&python2_str(float(text))),
            JsonValue::Number("-0") => digest.push('0'),
            JsonValue::Number(text) => digest.push_str(text),
            JsonValue::Null | JsonValue::Bool(_) | JsonValue::List(_) | JsonValue::Object(_) => {
                repr(&member.value, digest)?;
            }
        }
    }
    Ok(())
}

/// Members by name, in byte order; of a name that comes twice, the last.
fn sorted<'m, 'a>(members: &'m [Member<'a>]) -> Vec<&'m Member<'a>> {
    let mut sorted: Vec<_> = members.iter().rev().collect();
    sorted.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    sorted.dedup_by(|later, earlier| later.name == earlier.name);
    sorted
}

/// Whether Python reads this number as a float.
fn is_float(text: &str) -> bool {
    text.contains(['.', 'e', 'E', 'N', 'I'])
}

fn float(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// Python 2's `repr`, which is what a list signs as. The depth of `value` is bounded: it has been scanned.
fn repr(value: &JsonValue<'_>, text: &mut String) -> Result<(), Unsignable> {
    match value {
        JsonValue::Null => text.push_str("None"),
        JsonValue::Bool(true) => text.push_str("True"),
        JsonValue::Bool(false) => text.push_str("False"),
        JsonValue::Number("-0") => text.push('0'),
        JsonValue::Number(number) if is_float(number) => text.push_str(&python2_repr(float(number))),
        JsonValue::Number(number) => {
            text.push_str(number);
            if number.parse::<i64>().is_err() {
                text.push('L');
            }
        }
        JsonValue::Text(string) => repr_text(string, text),
        JsonValue::List(list) => {
            text.push('[');
            for (index, element) in json::elements(list).map_err(|_| Unsignable)?.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                repr(element, text)?;
            }
            text.push(']');
        }
        JsonValue::Object(object) => {
            let members = json::members(object).map_err(|_| Unsignable)?;
            text.push('{');
            match sorted(&members).as_slice() {
                [] => {}
                [member] => {
                    repr_text(&member.name, text);
                    text.push_str(": ");
                    repr(&member.value, text)?;
                }
                _ => return Err(Unsignable), // In the order of CPython 2's hash table.
            }
            text.push('}');
        }
    }
    Ok(())
}

fn repr_text(string: &str, text: &mut String) {
    let quote = if string.contains('\'') && !string.contains('"') { '"' } else { '\'' };
    text.push('u');
    text.push(quote);
    for character in string.chars() {
        match u32::from(character) {
            _ if character == quote || character == '\\' => {
                text.push('\\');
                text.push(character);
            }
            0x09 => text.push_str("\\t"),
            0x0a => text.push_str("\\n"),
            0x0d => text.push_str("\\r"),
            0x20..0x7f => text.push(character),
            code @ ..=0xff => _ = write!(text, "\\x{code:02x}"),
            code @ ..=0xffff => _ = write!(text, "\\u{code:04x}"),
            code => _ = write!(text, "\\U{code:08x}"),
        }
    }
    text.push(quote);
}

#[cfg(test)]
mod tests;
