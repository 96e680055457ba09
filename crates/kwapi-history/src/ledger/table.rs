//! Rows of the ledger as Parquet. What a column means is in the manual, `ledger.md`: names and types are a promise.

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, LazyLock};

use kwapi_core::{Cause, Increment, ProbeId, Row, Watts};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::{ChunkReader, FileReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

pub(super) use crate::columns::Wanted;
use crate::columns::{column, doubles, failed, guarded, integers, short, texts};

/// Rows of a group: what a reader takes into memory at once, and a writer.
pub(super) const GROUP_ROWS: usize = 1 << 15;
/// What is written at a time.
const WRITE_BYTES: usize = 1 << 18;
/// A file with more rows is not one of ours.
const ROWS_MAX: usize = 1 << 25;

const SCHEMA: &str = "message ledger {
    required binary probe (UTF8);
    required int64 begin (TIMESTAMP(MILLIS,true));
    required int64 measured_mj;
    required int64 estimated_mj;
    required int64 bridged_mj;
    required int64 measured_ms;
    required int64 estimated_ms;
    required int64 bridged_ms;
    optional double peak_w;
    required int64 correction;
    optional binary cause (UTF8);
}";

/// The columns of numbers that every row has.
const NUMBERS: [&str; 8] = [
    "begin",
    "measured_mj",
    "estimated_mj",
    "bridged_mj",
    "measured_ms",
    "estimated_ms",
    "bridged_ms",
    "correction",
];

static LAYOUT: LazyLock<Option<(TypePtr, WriterPropertiesPtr)>> = LazyLock::new(|| {
    let schema = parse_message_type(SCHEMA).ok()?;
    let mut properties = WriterProperties::builder()
        .set_created_by("kwapi".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).ok()?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN);
    for name in NUMBERS {
        properties = properties.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["probe", "cause"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    properties = properties.set_column_encoding(ColumnPath::from("peak_w"), Encoding::BYTE_STREAM_SPLIT);
    Some((Arc::new(schema), Arc::new(properties.build())))
});

/// A row of one probe as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRow {
    /// Whose.
    pub probe: ProbeId,
    /// Begin, energy and time by status, peak.
    pub row: Row,
    /// 0: the row itself. Else the number of a correction, which rises through the ledger's life.
    pub correction: u64,
    /// Why it was corrected.
    pub cause: Option<Cause>,
}

impl LedgerRow {
    fn numbers(&self) -> [i64; 8] {
        let [measured_mj, estimated_mj, bridged_mj] = self.row.increment.mj;
        let [measured_ms, estimated_ms, bridged_ms] = self.row.increment.ms;
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        [
            signed(self.row.begin),
            measured_mj,
            estimated_mj,
            bridged_mj,
            measured_ms,
            estimated_ms,
            bridged_ms,
            signed(self.correction),
        ]
    }
}

/// Writes a file, a group of rows at a time.
pub(super) struct RowsWriter<W: Write + Send>(SerializedFileWriter<BufWriter<W>>);

impl<W: Write + Send> RowsWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn new(output: W) -> io::Result<Self> {
        let Some((schema, properties)) = LAYOUT.clone() else {
            return Err(io::Error::other("the schema of the ledger is malformed"));
        };
        let output = BufWriter::with_capacity(WRITE_BYTES, output);
        SerializedFileWriter::new(output, schema, properties).map(Self).map_err(failed)
    }

    /// Adds rows, [`GROUP_ROWS`] at most, in the order of all of the file: by probe, begin and correction.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn push(&mut self, rows: &[LedgerRow]) -> io::Result<()> {
        let mut group = self.0.next_row_group().map_err(failed)?;
        write_group(&mut group, rows).map_err(failed)?;
        group.close().map(drop).map_err(failed)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn finish(self) -> io::Result<()> {
        self.0.into_inner().map_err(failed)?.flush()
    }
}

fn write_group<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[LedgerRow],
) -> Result<(), ParquetError> {
    let probes: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(row.probe.as_str())).collect();
    column::<ByteArrayType, _>(group, &probes, None)?;
    let numbers: Vec<[i64; 8]> = rows.iter().map(LedgerRow::numbers).collect();
    let of = |index: usize| -> Vec<i64> {
        numbers.iter().map(|numbers| numbers.get(index).copied().unwrap_or_default()).collect()
    };
    for index in 0..7 {
        column::<Int64Type, _>(group, &of(index), None)?;
    }
    let peaks: Vec<f64> = rows.iter().filter_map(|row| row.row.peak.map(|peak| peak.0)).collect();
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.row.peak.is_some())).collect();
    column::<DoubleType, _>(group, &peaks, Some(&levels))?;
    column::<Int64Type, _>(group, &of(7), None)?;
    let causes: Vec<ByteArray> =
        rows.iter().filter_map(|row| row.cause.map(|cause| ByteArray::from(cause.name()))).collect();
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.cause.is_some())).collect();
    column::<ByteArrayType, _>(group, &causes, Some(&levels))
}

/// The rows of a file that are asked for.
///
/// # Errors
/// `InvalidData`: it is no file of the ledger, or damaged.
pub(super) fn decode<R: ChunkReader + 'static>(file: R, wanted: Wanted<'_>) -> io::Result<Vec<LedgerRow>> {
    guarded(|| decode_checked(file, wanted))
}

fn decode_checked<R: ChunkReader + 'static>(
    file: R,
    wanted: Wanted<'_>,
) -> Result<Vec<LedgerRow>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let file = reader.metadata().file_metadata();
    let count = usize::try_from(file.num_rows()).unwrap_or(usize::MAX);
    if count > ROWS_MAX {
        return Err(ParquetError::General(format!("{count} rows")));
    }
    let schema = file.schema_descr_ptr();
    let place = |name: &str| {
        let at = schema.columns().iter().position(|column| column.name() == name);
        at.ok_or_else(|| ParquetError::General(format!("no column {name}")))
    };
    let mut places = Vec::new();
    for name in NUMBERS {
        places.push(place(name)?);
    }
    let (probe, peak, cause) = (place("probe")?, place("peak_w")?, place("cause")?);
    let mut rows = Vec::new();
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index)?;
        let range = group.metadata().column(probe).statistics();
        if let Some((least, most)) = range.and_then(|range| range.min_bytes_opt().zip(range.max_bytes_opt()))
            && !wanted.may_have(least, most)
        {
            continue;
        }
        let count = usize::try_from(group.metadata().num_rows()).unwrap_or(0).min(ROWS_MAX);
        let names = texts(group.as_ref(), probe, count)?;
        let mut numbers = Vec::new();
        for place in &places {
            numbers.push(integers(group.as_ref(), *place, count)?);
        }
        let peaks = doubles(group.as_ref(), peak, count)?;
        let causes = texts(group.as_ref(), cause, count)?;
        let mut last: Option<(ByteArray, Option<ProbeId>)> = None;
        for row in 0..count {
            let Some(Some(name)) = names.get(row) else { return Err(short()) };
            // Rows of a probe lie together.
            let known = last.take().filter(|(known, _)| known == name);
            let probe = match known {
                Some((_, probe)) => probe,
                None => wanted.has(name.as_utf8()?),
            };
            last = Some((name.clone(), probe.clone()));
            let Some(probe) = probe else { continue };
            let of = |column: usize| {
                numbers.get(column).and_then(|column| column.get(row)).copied().ok_or_else(short)
            };
            let unsigned = |number: i64| u64::try_from(number).map_err(|_| short());
            let increment = Increment { mj: [of(1)?, of(2)?, of(3)?], ms: [of(4)?, of(5)?, of(6)?] };
            let peak = peaks.get(row).copied().ok_or_else(short)?.map(Watts);
            let row_read = Row { begin: unsigned(of(0)?)?, increment, peak };
            let cause = match causes.get(row).ok_or_else(short)? {
                Some(name) => cause_of(name.as_utf8()?),
                None => None,
            };
            rows.push(LedgerRow { probe, row: row_read, correction: unsigned(of(7)?)?, cause });
        }
    }
    Ok(rows)
}

fn cause_of(name: &str) -> Option<Cause> {
    [Cause::Late, Cause::Stop, Cause::Clock, Cause::Silence].into_iter().find(|cause| cause.name() == name)
}

/// In what order rows stand in a file.
pub(super) fn order(row: &LedgerRow) -> (&ProbeId, u64, u64) {
    (&row.probe, row.row.begin, row.correction)
}
