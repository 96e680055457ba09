//! Tables that other programs wrote: readings in CSV or Parquet, row by row.
//!
//! A file is read once, from its begin, with a few thousand rows of the wanted columns in memory at most. What is wrong
//! with a row costs that row and is reported by its number; only what is wrong with the file ends it.

mod columnar;
mod delimited;
mod stamp;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use stamp::{Instants, StampError, Stamps, TimeFormat};

use columnar::Columnar;
use delimited::Delimited;

/// A Parquet file begins and ends with this (parquet-format, "File format").
const PARQUET_MAGIC: &[u8; 4] = b"PAR1";
/// Names of columns in a message at most.
const NAMES_LISTED_MAX: usize = 20;

/// How the text of a CSV file is to be taken. Parquet defines it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Between two fields; `None`: of comma, semicolon, tab and bar the one by which the wanted columns are there.
    pub separator: Option<char>,
    /// Whether the first line names the columns. Without it they are called `1`, `2`, …
    pub has_header: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self { separator: None, has_header: true }
    }
}

/// What stands in a column of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing: an empty field, a null.
    Empty,
    /// A text, without blanks at its ends; whatever CSV has.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// An instant, in Unix microseconds.
    Instant(i64),
    /// A date and time of no zone, in microseconds since 1970-01-01 00:00 of that zone.
    Civil(i64),
}

impl Cell {
    /// As it is written, `None` where there is nothing: of a number the fewest digits that give it back.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Empty => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Integer(number) | Self::Instant(number) | Self::Civil(number) => {
                Some(Cow::Owned(number.to_string()))
            }
            Self::Number(number) => Some(Cow::Owned(number.to_string())),
        }
    }
}

/// A row with the wanted columns, in the order in which they were requested.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRow {
    /// The line of a CSV file, the row of a Parquet file; the first is 1.
    pub number: u64,
    /// What it has.
    pub cells: Vec<Cell>,
}

/// Why there is no next row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// This row is wrong; the next may be read.
    #[error("{why}")]
    Row {
        /// See [`TableRow::number`].
        number: u64,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read any further.
    #[error("{0}")]
    File(String),
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be opened or read.
    #[error("cannot read {0}")]
    Io(PathBuf, #[source] io::Error),
    /// It has no such column.
    #[error("{file} has no column {column:?}; it has {there}")]
    NoColumn {
        /// Which file.
        file: PathBuf,
        /// What was requested.
        column: String,
        /// What it has.
        there: String,
    },
    /// It is neither CSV nor Parquet that can be read.
    #[error("{0}: {1}")]
    Malformed(PathBuf, String),
}

/// An open file.
#[derive(Debug)]
pub struct Table(Kind);

#[derive(Debug)]
enum Kind {
    Delimited(Box<Delimited>),
    Columnar(Box<Columnar>),
}

impl Table {
    /// Opens `path`, of which `columns` are requested. Its format is recognised by its first bytes.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn open(path: &Path, columns: &[String], layout: Layout) -> Result<Self, TableError> {
        let failed = |error| TableError::Io(path.to_owned(), error);
        let mut magic = Vec::new();
        let file = File::open(path).map_err(failed)?;
        (&file).take(PARQUET_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
        let file = File::open(path).map_err(failed)?;
        Ok(Self(if magic == PARQUET_MAGIC {
            Kind::Columnar(Box::new(Columnar::open(path, file, columns)?))
        } else {
            Kind::Delimited(Box::new(Delimited::open(path, file, columns, layout)?))
        }))
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn next_row(&mut self) -> Result<Option<TableRow>, RowError> {
        match &mut self.0 {
            Kind::Delimited(table) => table.next_row(),
            Kind::Columnar(table) => table.next_row(),
        }
    }

    /// How much of the file has been read, from 0 to 1.
    pub fn progress(&self) -> f64 {
        match &self.0 {
            Kind::Delimited(table) => table.progress(),
            Kind::Columnar(table) => table.progress(),
        }
    }
}

/// Where each of `columns` is among `names`.
fn places(path: &Path, columns: &[String], names: &[String]) -> Result<Vec<usize>, TableError> {
    let place = |column: &String| {
        let place = names.iter().position(|name| name == column);
        place.ok_or_else(|| TableError::NoColumn {
            file: path.to_owned(),
            column: column.clone(),
            there: listed(names),
        })
    };
    columns.iter().map(place).collect()
}

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(NAMES_LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_LISTED_MAX {
        text += &format!(" and {} more", names.len() - NAMES_LISTED_MAX);
    }
    text
}
