//! CSV: lines of fields. A quoted field does not continue past the end of its line, so that damage costs one line.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::{Cell, Layout, RowError, TableError, TableRow, places};

/// A longer line is none of a table of readings.
const LINE_BYTES_MAX: usize = 1 << 16;
/// What may stand between two fields, where the operator does not configure one.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];
/// Some programs begin a text with this.
const BYTE_ORDER_MARK: char = '\u{feff}';

#[derive(Debug)]
pub(super) struct Delimited {
    input: BufReader<File>,
    separator: char,
    /// Where the wanted columns are, and how many there are in all.
    places: Vec<usize>,
    width: usize,
    line: Vec<u8>,
    number: u64,
    /// Bytes read, and bytes there are.
    read: u64,
    length: u64,
    /// The first line, where it is a row.
    first: Option<String>,
}

impl Delimited {
    pub(super) fn open(
        path: &Path,
        file: File,
        columns: &[String],
        layout: Layout,
    ) -> Result<Self, TableError> {
        let failed = |error| TableError::Io(path.to_owned(), error);
        let length = file.metadata().map_err(failed)?.len();
        let mut table = Self {
            input: BufReader::with_capacity(1 << 18, file),
            separator: ',',
            places: Vec::new(),
            width: 0,
            line: Vec::new(),
            number: 0,
            read: 0,
            length,
            first: None,
        };
        let malformed = |why: String| TableError::Malformed(path.to_owned(), why);
        let first = match table.next_line() {
            Ok(Some(first)) => first.trim_start_matches(BYTE_ORDER_MARK).to_owned(),
            Ok(None) => return Err(malformed("the file is empty".to_owned())),
            Err(RowError::Row { why, .. } | RowError::File(why)) => {
                return Err(malformed(format!("line 1: {why}")));
            }
        };
        let names = |separator: char| -> Vec<String> {
            let fields = fields(&first, separator).unwrap_or_default();
            if layout.has_header {
                fields.iter().map(|field| field.trim().to_owned()).collect()
            } else {
                (1..=fields.len()).map(|number| number.to_string()).collect()
            }
        };
        let tried = layout.separator.map_or_else(|| SEPARATORS.to_vec(), |separator| vec![separator]);
        let fits = |separator: &char| places(path, columns, &names(*separator)).is_ok();
        let likeliest = || tried.iter().copied().max_by_key(|separator| names(*separator).len());
        table.separator = tried.iter().copied().find(fits).or_else(likeliest).unwrap_or(',');
        let names = names(table.separator);
        table.places = places(path, columns, &names)?;
        table.width = names.len();
        table.first = (!layout.has_header).then_some(first);
        Ok(table)
    }

    pub(super) fn next_row(&mut self) -> Result<Option<TableRow>, RowError> {
        let first = self.first.take();
        loop {
            let line = match &first {
                Some(first) => Cow::Borrowed(first.as_str()),
                None => match self.next_line()? {
                    Some(line) => Cow::Owned(line.to_owned()),
                    None => return Ok(None),
                },
            };
            if line.trim().is_empty() {
                continue;
            }
            let number = self.number;
            let wrong = |why: String| RowError::Row { number, why };
            let fields =
                fields(&line, self.separator).ok_or_else(|| wrong("a quote is not closed".to_owned()))?;
            if fields.len() != self.width {
                return Err(wrong(format!("{} fields; the first line has {}", fields.len(), self.width)));
            }
            let cell = |place: &usize| match fields.get(*place).map(|field| field.trim()) {
                None | Some("") => Cell::Empty,
                Some(text) => Cell::Text(text.to_owned()),
            };
            return Ok(Some(TableRow { number, cells: self.places.iter().map(cell).collect() }));
        }
    }

    pub(super) fn progress(&self) -> f64 {
        self.read as f64 / self.length.max(1) as f64
    }

    /// The next line, without its end.
    fn next_line(&mut self) -> Result<Option<&str>, RowError> {
        self.line.clear();
        let number = self.number + 1;
        let file_failed = |error: std::io::Error| RowError::File(error.to_string());
        let limit = LINE_BYTES_MAX as u64 + 1;
        let count = (&mut self.input).take(limit).read_until(b'\n', &mut self.line).map_err(file_failed)?;
        if count == 0 {
            return Ok(None);
        }
        self.number = number;
        self.read += count as u64;
        if count > LINE_BYTES_MAX && self.line.last() != Some(&b'\n') {
            self.skip_line().map_err(file_failed)?;
            let why = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            return Err(RowError::Row { number, why });
        }
        let text = std::str::from_utf8(&self.line)
            .map_err(|_| RowError::Row { number, why: "the line is not UTF-8".to_owned() })?;
        Ok(Some(text.trim_end_matches(['\n', '\r'])))
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let bytes = self.input.fill_buf()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(bytes.len(), |end| end + 1);
            self.input.consume(count);
            self.read += count as u64;
            if end.is_some() || count == 0 {
                return Ok(());
            }
        }
    }
}

/// The fields of a line (RFC 4180); `None` where a quote is not closed.
fn fields(line: &str, separator: char) -> Option<Vec<Cow<'_, str>>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let quoted = rest.trim_start_matches(' ').strip_prefix('"');
        let (field, after) = if let Some(quoted) = quoted {
            let (field, after) = unquoted(quoted)?;
            (field, after.trim_start_matches(' '))
        } else {
            let end = rest.find(separator).unwrap_or(rest.len());
            let (field, after) = rest.split_at_checked(end)?;
            (Cow::Borrowed(field), after)
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None => return after.is_empty().then_some(fields),
        }
    }
}

/// A quoted field, whose first quote is gone, and what follows its last.
fn unquoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut from = 0;
    loop {
        let quote = from + text.get(from..)?.find('"')?;
        let after = text.get(quote + 1..)?;
        if !after.starts_with('"') {
            let field = text.get(..quote)?;
            let field =
                if from == 0 { Cow::Borrowed(field) } else { Cow::Owned(field.replace("\"\"", "\"")) };
            return Some((field, after));
        }
        from = quote + 2;
    }
}

#[cfg(test)]
mod tests;
