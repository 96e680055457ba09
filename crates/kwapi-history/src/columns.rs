//! Columns of Parquet files, and which rows of them are requested: what the ledger's tables and the samples' have in
//! common.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kwapi_core::ProbeId;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::RowGroupReader;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;

/// Which probes are requested.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// All.
    All,
    /// These, in order of their ids.
    Sorted(&'a [ProbeId]),
}

impl Wanted<'_> {
    pub(crate) fn has(&self, probe: &str) -> Option<ProbeId> {
        match self {
            Wanted::All => ProbeId::new(probe).ok(),
            Wanted::Sorted(probes) => {
                let at = probes.binary_search_by(|other| other.as_str().cmp(probe)).ok()?;
                probes.get(at).cloned()
            }
        }
    }

    /// Whether there may be any between two names.
    pub(crate) fn may_have(&self, least: &[u8], most: &[u8]) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Sorted(probes) => {
                let at = probes.partition_point(|probe| probe.as_str().as_bytes() < least);
                probes.get(at).is_some_and(|probe| probe.as_str().as_bytes() <= most)
            }
        }
    }
}

/// Writes the next column of a group; `levels`, where it may lack values: 1 for each value, 0 for none.
pub(crate) fn column<T: DataType, W: io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("a column too many".to_owned()));
    };
    writer.typed::<T>().write_batch(values, levels, None)?;
    writer.close()
}

/// What `read` makes of a file.
///
/// # Errors
/// `InvalidData`: it is no file of ours, or damaged. What strangers put there must not end the process, whatever the codec
/// makes of it.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> io::Result<T> {
    let decoded = catch_unwind(AssertUnwindSafe(read));
    let decoded = decoded.unwrap_or_else(|_| Err(ParquetError::General("the codec panicked".to_owned())));
    decoded.map_err(|error| match of_disk(error) {
        Ok(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        Err(error) => io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

pub(crate) fn texts(
    group: &dyn RowGroupReader,
    column: usize,
    count: usize,
) -> Result<Vec<Option<ByteArray>>, ParquetError> {
    match group.get_column_reader(column)? {
        ColumnReader::ByteArrayColumnReader(reader) => values(reader, count),
        _ => Err(other_type()),
    }
}

/// Texts that are taken into memory at once.
const TEXTS: usize = 1 << 10;

/// Hands over the texts of a column that has one a row, one after the other.
pub(crate) fn each_text(
    group: &dyn RowGroupReader,
    column: usize,
    count: usize,
    mut each: impl FnMut(&ByteArray) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let ColumnReader::ByteArrayColumnReader(mut reader) = group.get_column_reader(column)? else {
        return Err(other_type());
    };
    let (mut levels, mut texts, mut left) = (Vec::new(), Vec::with_capacity(TEXTS.min(count)), count);
    while left > 0 {
        texts.clear();
        let (records, values, _) =
            reader.read_records(left.min(TEXTS), Some(&mut levels), None, &mut texts)?;
        if records == 0 || values != records {
            return Err(short());
        }
        texts.iter().try_for_each(&mut each)?;
        left = left.saturating_sub(records);
    }
    Ok(())
}

/// The least and the most of a column of integers, where the file states it for all of them.
pub(crate) fn extent(column: &ColumnChunkMetaData) -> Option<(i64, i64)> {
    match column.statistics()? {
        Statistics::Int64(range) if range.min_is_exact() && range.max_is_exact() => {
            Some((*range.min_opt()?, *range.max_opt()?))
        }
        _ => None,
    }
}

pub(crate) fn doubles(
    group: &dyn RowGroupReader,
    column: usize,
    count: usize,
) -> Result<Vec<Option<f64>>, ParquetError> {
    match group.get_column_reader(column)? {
        ColumnReader::DoubleColumnReader(reader) => values(reader, count),
        _ => Err(other_type()),
    }
}

pub(crate) fn integers(
    group: &dyn RowGroupReader,
    column: usize,
    count: usize,
) -> Result<Vec<i64>, ParquetError> {
    match group.get_column_reader(column)? {
        ColumnReader::Int64ColumnReader(reader) => {
            let (levels, present) = present(reader, count)?;
            if levels.iter().all(|level| *level > 0) { Ok(present) } else { Err(short()) }
        }
        _ => Err(other_type()),
    }
}

pub(crate) fn sparse_integers(
    group: &dyn RowGroupReader,
    column: usize,
    count: usize,
) -> Result<Vec<Option<i64>>, ParquetError> {
    match group.get_column_reader(column)? {
        ColumnReader::Int64ColumnReader(reader) => values(reader, count),
        _ => Err(other_type()),
    }
}

/// All values of a column, absent ones among them.
fn values<T: DataType>(reader: ColumnReaderImpl<T>, count: usize) -> Result<Vec<Option<T::T>>, ParquetError> {
    let (levels, present) = present(reader, count)?;
    if levels.is_empty() {
        return Ok(present.into_iter().map(Some).collect());
    }
    let mut present = present.into_iter();
    levels
        .into_iter()
        .map(|level| if level > 0 { present.next().map(Some).ok_or_else(short) } else { Ok(None) })
        .collect()
}

/// The values of a column that are there; and of each row whether it has one, where the column may lack some.
fn present<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    count: usize,
) -> Result<(Vec<i16>, Vec<T::T>), ParquetError> {
    let (mut levels, mut present) = (Vec::new(), Vec::new());
    while present.len() < count {
        let (records, ..) = reader.read_records(count, Some(&mut levels), None, &mut present)?;
        if records == 0 {
            break;
        }
    }
    Ok((levels, present))
}

pub(crate) fn short() -> ParquetError {
    ParquetError::General("a column is short, or a number out of range".to_owned())
}

pub(crate) fn other_type() -> ParquetError {
    ParquetError::General("a column is of another type".to_owned())
}

/// What a write of a file came to.
pub(crate) fn failed(error: ParquetError) -> io::Error {
    of_disk(error).unwrap_or_else(io::Error::other)
}

/// The disk's own error, where it is one: what the codec puts before it (`External: `) carries no information.
fn of_disk(error: ParquetError) -> Result<io::Error, ParquetError> {
    match error {
        ParquetError::External(cause) => {
            cause.downcast::<io::Error>().map(|cause| *cause).map_err(ParquetError::External)
        }
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_disk_is_reported_as_the_disk_reports_it() {
        let full = || ParquetError::from(io::Error::from(io::ErrorKind::StorageFull));
        let error = failed(full());
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::StorageFull, "no storage space".to_owned())
        );
        let read = guarded::<()>(|| Err(full())).unwrap_err();
        assert_eq!(
            (read.kind(), read.to_string()),
            (io::ErrorKind::InvalidData, "no storage space".to_owned())
        );
        assert_eq!(failed(short()).to_string(), short().to_string());
    }
}
