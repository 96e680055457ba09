//! Rows of the ledger as Parquet. What a column means is in the manual, `ledger.md`: names and types are a promise.

mod read;

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, LazyLock};

use kwapi_core::{Cause, ProbeId, Row};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

pub(super) use crate::columns::Wanted;
use crate::columns::{column, failed};
pub(super) use read::{Begins, ReadRow, count, decode};

/// Rows of a group: what a reader takes into memory at once, and a writer.
pub(super) const GROUP_ROWS: usize = 1 << 15;
/// What is written at a time.
const WRITE_BYTES: usize = 1 << 18;

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
    /// A row that was read.
    pub(super) fn of(probe: &ProbeId, read: ReadRow) -> Self {
        let ReadRow { row, correction, cause } = read;
        Self { probe: probe.clone(), row, correction, cause }
    }

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

    /// Adds rows, [`GROUP_ROWS`] at most, in order of probe, begin and correction.
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

/// In what order rows stand in a group of a file.
pub(super) fn order(row: &LedgerRow) -> (&ProbeId, u64, u64) {
    (&row.probe, row.row.begin, row.correction)
}
