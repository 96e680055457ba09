//! The file that systemd gives the services their environment from, for the commands of an operator, which have another one.
//!
//! Source: systemd.exec(5), `EnvironmentFile=`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Beside the configuration: `/etc/kwapi/environment`, as the units name it.
pub(super) const FILE: &str = "environment";
/// A larger file is not ours.
const BYTES_MAX: u64 = 1 << 20;

/// The variable `name` in `file`, which has one `NAME=value` a line; `None` where it has no such line.
///
/// # Errors
/// When the file cannot be read, is too large, or is not UTF-8.
pub(super) fn read(file: &Path, name: &str) -> io::Result<Option<String>> {
    let mut text = String::new();
    File::open(file)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large"));
    }
    Ok(value(&text, name))
}

/// The value that the last line for `name` gives it. A value over several lines is none.
fn value(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().rev().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let mut values = lines.filter_map(|line| line.split_once('=').filter(|(of, _)| of.trim_end() == name));
    values.next().and_then(|(_, value)| unquoted(value.trim()))
}

/// A value without its quotes; `None` where a quote or the line continues.
fn unquoted(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut rest = value.chars();
    let mut quote = None;
    while let Some(character) = rest.next() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if character == open => quote = None,
            (None, '\\') => plain.push(rest.next()?),
            (Some('"'), '\\') => {
                let next = rest.next()?;
                if !matches!(next, '"' | '\\' | '`' | '$') {
                    plain.push('\\');
                }
                plain.push(next);
            }
            (_, _) => plain.push(character),
        }
    }
    quote.is_none().then_some(plain)
}

#[cfg(test)]
mod tests;
