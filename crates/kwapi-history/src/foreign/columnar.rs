//! Parquet, as pandas, polars, Spark and `DuckDB` write it: flat columns of numbers, texts and stamps.

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::{Cell, RowError, TableError, TableRow, places};

/// Rows that are in memory at a time.
const ROWS: usize = 8_192;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Text,
    Integer,
    Unsigned,
    Number,
    /// Fractions of a second, how many make one, and whether they are of UTC.
    Stamp {
        per_second: i64,
        is_utc: bool,
    },
    /// Whole days.
    Date,
    /// Whole numbers of which so many make 1.
    Decimal(f64),
}

pub(super) struct Columnar {
    file: SerializedFileReader<File>,
    columns: Vec<(usize, Meaning)>,
    readers: Vec<ColumnReader>,
    next_group: usize,
    /// Rows of the group that have not been read.
    left: usize,
    /// Rows that have, by column, and how many of them were handed over.
    chunk: Vec<Vec<Cell>>,
    given: usize,
    number: u64,
    rows: u64,
}

impl fmt::Debug for Columnar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columnar").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Columnar {
    pub(super) fn open(path: &Path, file: File, columns: &[String]) -> Result<Self, TableError> {
        let malformed = |why: String| TableError::Malformed(path.to_owned(), why);
        let file = quietly(|| SerializedFileReader::new(file)).map_err(malformed)?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let mut wanted = Vec::new();
        for (place, column) in places(path, columns, &names)?.into_iter().zip(columns) {
            let Some(described) = schema.columns().get(place) else { continue };
            let meaning = meaning(described).ok_or_else(|| {
                let (kind, is_list) = (described.physical_type(), described.max_rep_level() > 0);
                let kind = if is_list { "a list".to_owned() } else { kind.to_string() };
                malformed(format!("column {column:?} is {kind}, which is neither number, text nor stamp"))
            })?;
            wanted.push((place, meaning));
        }
        let rows = u64::try_from(file.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok(Self {
            file,
            columns: wanted,
            readers: Vec::new(),
            next_group: 0,
            left: 0,
            chunk: Vec::new(),
            given: 0,
            number: 0,
            rows,
        })
    }

    pub(super) fn next_row(&mut self) -> Result<Option<TableRow>, RowError> {
        if self.chunk.first().is_none_or(|column| self.given >= column.len()) {
            self.chunk.clear();
            self.given = 0;
            // What strangers put there must not end the process, whatever the codec makes of it.
            let number = self.number;
            let failed = |why| RowError::File(format!("after row {number}: {why}"));
            let filled = quietly(|| self.fill()).map_err(failed)?;
            if !filled {
                return Ok(None);
            }
        }
        let cells = self
            .chunk
            .iter_mut()
            .map(|column| {
                column.get_mut(self.given).map_or(Cell::Empty, |cell| std::mem::replace(cell, Cell::Empty))
            })
            .collect();
        self.given += 1;
        self.number += 1;
        Ok(Some(TableRow { number: self.number, cells }))
    }

    pub(super) fn progress(&self) -> f64 {
        self.number as f64 / self.rows.max(1) as f64
    }

    /// Reads the next rows; `false` where there are none.
    fn fill(&mut self) -> Result<bool, ParquetError> {
        while self.left == 0 {
            if self.next_group >= self.file.num_row_groups() {
                return Ok(false);
            }
            let group = self.file.get_row_group(self.next_group)?;
            self.next_group += 1;
            self.left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            self.readers.clear();
            for (place, _) in &self.columns {
                self.readers.push(group.get_column_reader(*place)?);
            }
        }
        let count = self.left.min(ROWS);
        for ((_, meaning), reader) in self.columns.iter().zip(&mut self.readers) {
            let cells = cells(reader, *meaning, count)?;
            if cells.len() != count {
                return Err(ParquetError::General("a column has fewer rows than the file states".to_owned()));
            }
            self.chunk.push(cells);
        }
        self.left -= count;
        Ok(!self.chunk.is_empty())
    }
}

fn quietly<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the file is damaged".to_owned()),
    }
}

/// What a column's values are; `None`: nothing that a reading is made of.
fn meaning(column: &ColumnDescriptor) -> Option<Meaning> {
    if column.max_rep_level() > 0 || column.max_def_level() > 1 {
        return None;
    }
    let per_second = |unit: TimeUnit| match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    };
    Some(match (column.physical_type(), column.logical_type_ref()) {
        (Type::BYTE_ARRAY, None | Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)) => {
            Meaning::Text
        }
        (Type::INT64, Some(LogicalType::Timestamp(stamp))) => {
            Meaning::Stamp { per_second: per_second(stamp.unit), is_utc: stamp.is_adjusted_to_u_t_c }
        }
        (Type::INT32, Some(LogicalType::Date)) => Meaning::Date,
        (Type::INT32 | Type::INT64, Some(LogicalType::Decimal(decimal))) => {
            Meaning::Decimal(10_f64.powi(decimal.scale))
        }
        (Type::INT32 | Type::INT64, Some(LogicalType::Integer(integer))) if !integer.is_signed => {
            Meaning::Unsigned
        }
        (Type::INT32 | Type::INT64, None | Some(LogicalType::Integer(_))) => Meaning::Integer,
        // Stamps of older programs: always UTC (Spark, Hive, Impala).
        (Type::INT96, _) => Meaning::Stamp { per_second: 1_000_000, is_utc: true },
        (Type::FLOAT | Type::DOUBLE, _) => Meaning::Number,
        _ => return None,
    })
}

/// The next `count` values of a column, absent ones among them.
fn cells(reader: &mut ColumnReader, meaning: Meaning, count: usize) -> Result<Vec<Cell>, ParquetError> {
    let whole = |number: i64| match meaning {
        Meaning::Stamp { per_second, is_utc } => {
            let micros = i128::from(number) * 1_000_000 / i128::from(per_second);
            let micros = i64::try_from(micros).unwrap_or(i64::MAX);
            if is_utc { Cell::Instant(micros) } else { Cell::Civil(micros) }
        }
        Meaning::Date => Cell::Civil(number.saturating_mul(86_400_000_000)),
        Meaning::Decimal(one) => Cell::Number(number as f64 / one),
        Meaning::Unsigned if number < 0 => Cell::Number(number.cast_unsigned() as f64),
        _ => Cell::Integer(number),
    };
    match reader {
        ColumnReader::Int32ColumnReader(reader) => {
            let unsigned = meaning == Meaning::Unsigned;
            let wide =
                |number: i32| if unsigned { i64::from(number.cast_unsigned()) } else { i64::from(number) };
            values(reader, count, |number| Ok(whole(wide(number))))
        }
        ColumnReader::Int64ColumnReader(reader) => values(reader, count, |number| Ok(whole(number))),
        ColumnReader::Int96ColumnReader(reader) => {
            values(reader, count, |stamp| Ok(Cell::Instant(stamp.to_micros())))
        }
        ColumnReader::FloatColumnReader(reader) => values(reader, count, |number| {
            // The digits that it was written with, not those of its neighbour among doubles.
            Ok(Cell::Number(number.to_string().parse().unwrap_or(f64::from(number))))
        }),
        ColumnReader::DoubleColumnReader(reader) => values(reader, count, |number| Ok(Cell::Number(number))),
        ColumnReader::ByteArrayColumnReader(reader) => values(reader, count, |bytes| {
            let text = bytes.as_utf8()?.trim();
            Ok(if text.is_empty() { Cell::Empty } else { Cell::Text(text.to_owned()) })
        }),
        ColumnReader::BoolColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
            Err(ParquetError::General("a column is of another type".to_owned()))
        }
    }
}

fn values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    count: usize,
    cell: impl Fn(T::T) -> Result<Cell, ParquetError>,
) -> Result<Vec<Cell>, ParquetError> {
    let (mut levels, mut present) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < count {
        let (records, ..) = reader.read_records(count - read, Some(&mut levels), None, &mut present)?;
        if records == 0 {
            break;
        }
        read += records;
    }
    let mut present = present.into_iter();
    if levels.is_empty() {
        return present.map(cell).collect();
    }
    let place = |level: i16| match (level, &mut present) {
        (0, _) => Ok(Cell::Empty),
        (_, present) => present.next().map_or(Ok(Cell::Empty), &cell),
    };
    levels.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests;
