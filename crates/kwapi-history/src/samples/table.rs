//! Samples as Parquet. What a column means is in the manual, `samples.md`: names and types are a promise.
//!
//! The energy of a sample is nearly its power times the time since the sample before: what is written is what the
//! account gained over that, a small number, and the account's total where a probe begins in a group of rows.

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, LazyLock};

use kwapi_core::{Amperes, Energy, ProbeId, Quality, Timestamp, Volts, Watts};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::sample::{SampleRow, held_mj};
use crate::columns::{column, failed};

mod read;

pub(super) use read::{SampleColumns, count, decode};

/// Rows of a group: what a reader takes into memory at once.
const GROUP_ROWS: usize = 1 << 16;
/// So many rows of a file show which encoding makes a column small.
const TRIAL_ROWS: usize = 1 << 14;

const SCHEMA: &str = "message samples {
    required binary probe (UTF8);
    required int64 time (TIMESTAMP(MICROS,true));
    required double power_w;
    optional double voltage_v;
    optional double current_a;
    optional int64 register_mj;
    required binary status (UTF8);
    optional int64 total_mj;
    optional int64 gain_mj;
}";

/// How a status is written.
const STATUS: [(Quality, &str); 2] = [(Quality::Measured, "measured"), (Quality::Estimated, "estimated")];

static SCHEMA_TYPE: LazyLock<Option<TypePtr>> =
    LazyLock::new(|| parse_message_type(SCHEMA).ok().map(Arc::new));

/// How the values of a column may be written.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Each by a number in a list of those there are.
    Dictionary,
    /// By what each has over the one before.
    Delta,
    /// Byte by byte.
    Split,
}

impl Shape {
    fn apply(self, properties: WriterPropertiesBuilder, column: &'static str) -> WriterPropertiesBuilder {
        let path = ColumnPath::from(column);
        let encoding = match self {
            Self::Dictionary => return properties.set_column_dictionary_enabled(path, true),
            Self::Delta => Encoding::DELTA_BINARY_PACKED,
            Self::Split => Encoding::BYTE_STREAM_SPLIT,
        };
        properties.set_column_encoding(path, encoding)
    }
}

fn common() -> Result<WriterPropertiesBuilder, ParquetError> {
    Ok(WriterProperties::builder()
        .set_created_by("kwapi".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_data_page_row_count_limit(GROUP_ROWS)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN))
}

/// The shape that makes the first of these values smallest.
fn best<T: DataType>(kind: &str, values: &[T::T], shapes: [Shape; 2]) -> Result<Shape, ParquetError> {
    let [mut best, _] = shapes;
    let values = values.get(..TRIAL_ROWS).unwrap_or(values);
    let mut least = usize::MAX;
    for shape in shapes {
        let schema = Arc::new(parse_message_type(&format!("message trial {{ required {kind} value; }}"))?);
        let properties = Arc::new(shape.apply(common()?, "value").build());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
        let mut group = writer.next_row_group()?;
        column::<T, _>(&mut group, values, None)?;
        group.close()?;
        let bytes = writer.into_inner()?.len();
        if bytes < least {
            (least, best) = (bytes, shape);
        }
    }
    Ok(best)
}

/// Writes one file.
pub(super) struct PartWriter<W: Write + Send> {
    sink: Sink<W>,
    group: RowGroup,
}

/// Where groups go: its properties are known when the first is.
enum Sink<W: Write + Send> {
    Ready(W),
    Begun(Box<SerializedFileWriter<BufWriter<W>>>),
    Broken,
}

/// Rows that make a group.
#[derive(Default)]
struct RowGroup {
    probe: Option<(ProbeId, ByteArray)>,
    before: Option<SampleRow>,
    probes: Vec<ByteArray>,
    times: Vec<i64>,
    powers: Vec<f64>,
    voltages: Sparse<f64>,
    currents: Sparse<f64>,
    registers: Sparse<i64>,
    statuses: Vec<ByteArray>,
    totals: Sparse<i64>,
    gains: Sparse<i64>,
}

/// A column that may lack values.
#[derive(Default)]
struct Sparse<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Sparse<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

impl RowGroup {
    fn push(&mut self, probe: &ProbeId, sample: &SampleRow) {
        if self.probe.as_ref().is_none_or(|(id, _)| id != probe) {
            self.before = None;
            self.probe = Some((probe.clone(), ByteArray::from(probe.as_str())));
        }
        self.probes.extend(self.probe.as_ref().map(|(_, name)| name.clone()));
        self.times.push(sample.at.micros().cast_signed());
        self.powers.push(sample.power.0);
        self.voltages.push(sample.voltage.map(|volts| volts.0));
        self.currents.push(sample.current.map(|amperes| amperes.0));
        self.registers.push(sample.register.map(millijoules));
        let status = STATUS.iter().find(|(quality, _)| *quality == sample.quality);
        self.statuses.push(ByteArray::from(status.map_or("", |(_, name)| *name)));
        let gained = gained(self.before.as_ref(), sample);
        self.totals.push(sample.total.filter(|_| gained.is_none()).map(millijoules));
        self.gains.push(gained);
        self.before = Some(*sample);
    }

    fn write<W: Write + Send>(&self, writer: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        let mut open = writer.next_row_group()?;
        let group = &mut open;
        column::<ByteArrayType, _>(group, &self.probes, None)?;
        column::<Int64Type, _>(group, &self.times, None)?;
        column::<DoubleType, _>(group, &self.powers, None)?;
        for sparse in [&self.voltages, &self.currents] {
            column::<DoubleType, _>(group, &sparse.values, Some(&sparse.levels))?;
        }
        column::<Int64Type, _>(group, &self.registers.values, Some(&self.registers.levels))?;
        column::<ByteArrayType, _>(group, &self.statuses, None)?;
        for sparse in [&self.totals, &self.gains] {
            column::<Int64Type, _>(group, &sparse.values, Some(&sparse.levels))?;
        }
        open.close().map(drop)
    }

    /// How its columns become small.
    fn properties(&self) -> Result<WriterProperties, ParquetError> {
        use Shape::{Delta, Dictionary, Split};
        let doubles = |values: &[f64]| best::<DoubleType>("double", values, [Split, Dictionary]);
        let integers = |values: &[i64], shapes| best::<Int64Type>("int64", values, shapes);
        let mut properties = common()?;
        for (name, shape) in [
            ("probe", Dictionary),
            ("time", integers(&self.times, [Delta, Split])?),
            ("power_w", doubles(&self.powers)?),
            ("voltage_v", doubles(&self.voltages.values)?),
            ("current_a", doubles(&self.currents.values)?),
            ("register_mj", integers(&self.registers.values, [Delta, Dictionary])?),
            ("status", Dictionary),
            ("total_mj", Delta),
            ("gain_mj", integers(&self.gains.values, [Delta, Dictionary])?),
        ] {
            properties = shape.apply(properties, name);
        }
        Ok(properties.build())
    }
}

/// What the account gained with a sample over its power held since the one before; `None` where either has no total.
fn gained(before: Option<&SampleRow>, sample: &SampleRow) -> Option<i64> {
    let before = before?;
    let gained = millijoules(sample.total?).wrapping_sub(millijoules(before.total?));
    Some(gained.wrapping_sub(held_mj(sample.power, micros_between(before.at, sample.at))))
}

/// The total that [`gained`] was given.
fn total_of(before: &SampleRow, gained: i64, power: Watts, at: Timestamp) -> Option<Energy> {
    let held = held_mj(power, micros_between(before.at, at));
    let total = millijoules(before.total?).wrapping_add(held).wrapping_add(gained);
    Some(Energy::from_millijoules(total.cast_unsigned()))
}

fn micros_between(earlier: Timestamp, later: Timestamp) -> u64 {
    later.micros().saturating_sub(earlier.micros())
}

fn millijoules(energy: Energy) -> i64 {
    energy.millijoules().cast_signed()
}

impl<W: Write + Send> PartWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { sink: Sink::Ready(output), group: RowGroup::default() }
    }

    /// Adds a sample: in order of probes, and of time.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn push(&mut self, probe: &ProbeId, sample: &SampleRow) -> io::Result<()> {
        self.group.push(probe, sample);
        if self.group.times.len() >= GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> io::Result<()> {
        let group = std::mem::take(&mut self.group);
        // Broken until it is known to be whole: what fails in between writes no more.
        self.sink = match std::mem::replace(&mut self.sink, Sink::Broken) {
            Sink::Ready(output) => {
                let Some(schema) = SCHEMA_TYPE.clone() else {
                    return Err(io::Error::other("the schema of samples is malformed"));
                };
                let properties = Arc::new(group.properties().map_err(failed)?);
                let output = BufWriter::with_capacity(1 << 18, output);
                Sink::Begun(Box::new(SerializedFileWriter::new(output, schema, properties).map_err(failed)?))
            }
            begun_or_broken => begun_or_broken,
        };
        match &mut self.sink {
            Sink::Begun(writer) => group.write(writer).map_err(failed),
            Sink::Ready(_) | Sink::Broken => Err(io::Error::other("nothing more can be written")),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.group.times.is_empty() || matches!(self.sink, Sink::Ready(_)) {
            self.write_group()?;
        }
        match self.sink {
            Sink::Begun(writer) => writer.into_inner().map_err(failed)?.flush(),
            Sink::Ready(_) | Sink::Broken => Err(io::Error::other("nothing more can be written")),
        }
    }
}
