//! Files of samples as they are read.

use std::io;
use std::ops::Range;

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::statistics::Statistics;

use super::{
    Amperes, ByteArray, Energy, ParquetError, ProbeId, Quality, STATUS, SampleRow, Timestamp, Volts, Watts,
    total_of,
};
use crate::columns::{Wanted, doubles, guarded, integers, other_type, short, sparse_integers, texts};

/// A group with more rows is not one of ours.
const GROUP_ROWS_MAX: usize = 1 << 20;

/// What of a sample is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum SampleColumns {
    All,
    /// Time, power and total.
    Energy,
}

/// How many rows a file states that it has.
///
/// # Errors
/// `InvalidData`: it is no file of samples, or damaged.
pub(in super::super) fn count(file: impl ChunkReader + 'static) -> io::Result<u64> {
    guarded(|| {
        let reader = SerializedFileReader::new(file)?;
        u64::try_from(reader.metadata().file_metadata().num_rows()).map_err(|_| short())
    })
}

/// Hands over the samples of a file that are `wanted` and within `times` (Unix microseconds), in order of probes and time.
///
/// # Errors
/// `InvalidData`: it is no file of samples, or damaged. Some samples may have been handed over.
pub(in super::super) fn decode(
    file: impl ChunkReader + 'static,
    wanted: Wanted<'_>,
    times: &Range<u64>,
    columns: SampleColumns,
    mut each: impl FnMut(&ProbeId, SampleRow),
) -> io::Result<()> {
    guarded(|| {
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let place = |name: &str| {
            let at = schema.columns().iter().position(|column| column.name() == name);
            at.ok_or_else(|| ParquetError::General(format!("no column {name}")))
        };
        let places = Places {
            probe: place("probe")?,
            time: place("time")?,
            power: place("power_w")?,
            voltage: place("voltage_v")?,
            current: place("current_a")?,
            register: place("register_mj")?,
            status: place("status")?,
            total: place("total_mj")?,
            gain: place("gain_mj")?,
        };
        for index in 0..reader.num_row_groups() {
            let group = reader.get_row_group(index)?;
            if places.may_have(group.metadata(), wanted, times) {
                places.read(group.as_ref(), wanted, times, columns, &mut each)?;
            }
        }
        Ok(())
    })
}

/// Where the columns are.
#[derive(Clone, Copy)]
struct Places {
    probe: usize,
    time: usize,
    power: usize,
    voltage: usize,
    current: usize,
    register: usize,
    status: usize,
    total: usize,
    gain: usize,
}

impl Places {
    /// Whether a group may have anything that is wanted.
    fn may_have(&self, group: &RowGroupMetaData, wanted: Wanted<'_>, times: &Range<u64>) -> bool {
        let names = group.column(self.probe).statistics();
        let has_probe = names
            .and_then(|range| range.min_bytes_opt().zip(range.max_bytes_opt()))
            .is_none_or(|(least, most)| wanted.may_have(least, most));
        let has_time = match group.column(self.time).statistics() {
            Some(Statistics::Int64(range)) => {
                let least = range.min_opt().is_none_or(|least| least.cast_unsigned() < times.end);
                least && range.max_opt().is_none_or(|most| most.cast_unsigned() >= times.start)
            }
            _ => true,
        };
        has_probe && has_time
    }

    fn read(
        &self,
        group: &dyn RowGroupReader,
        wanted: Wanted<'_>,
        times: &Range<u64>,
        columns: SampleColumns,
        each: &mut impl FnMut(&ProbeId, SampleRow),
    ) -> Result<(), ParquetError> {
        let rows = usize::try_from(group.metadata().num_rows()).map_err(|_| short())?;
        if rows > GROUP_ROWS_MAX {
            return Err(ParquetError::General(format!("{rows} rows in a group")));
        }
        let names = texts(group, self.probe, rows)?;
        let moments = integers(group, self.time, rows)?;
        let powers = doubles(group, self.power, rows)?;
        let totals = sparse_integers(group, self.total, rows)?;
        let gains = sparse_integers(group, self.gain, rows)?;
        let more = match columns {
            SampleColumns::Energy => None,
            SampleColumns::All => Some((
                doubles(group, self.voltage, rows)?,
                doubles(group, self.current, rows)?,
                sparse_integers(group, self.register, rows)?,
                texts(group, self.status, rows)?,
            )),
        };
        let mut last: Option<(&ByteArray, Option<ProbeId>)> = None;
        let mut before: Option<SampleRow> = None;
        for row in 0..rows {
            let Some(Some(name)) = names.get(row) else { return Err(short()) };
            // Rows of a probe lie together.
            if last.as_ref().is_none_or(|(known, _)| *known != name) {
                before = None;
                last = Some((name, wanted.has(name.as_utf8()?)));
            }
            let Some((_, Some(probe))) = &last else { continue };
            let at = moments.get(row).copied().and_then(|at| u64::try_from(at).ok()).ok_or_else(short)?;
            let at = Timestamp::from_micros(at);
            let power = Watts(powers.get(row).copied().flatten().ok_or_else(short)?);
            let total = totals.get(row).copied().ok_or_else(short)?;
            let gained = gains.get(row).copied().ok_or_else(short)?;
            let total = match (total, gained, &before) {
                (Some(total), ..) => Some(Energy::from_millijoules(total.cast_unsigned())),
                (None, Some(gained), Some(before)) => total_of(before, gained, power, at),
                (None, Some(_), None) => return Err(short()),
                (None, None, _) => None,
            };
            let mut sample = SampleRow {
                at,
                power,
                voltage: None,
                current: None,
                register: None,
                quality: Quality::Measured,
                total,
            };
            before = Some(sample);
            if !times.contains(&at.micros()) {
                continue;
            }
            if let Some((voltages, currents, registers, statuses)) = &more {
                sample.voltage = voltages.get(row).copied().flatten().map(Volts);
                sample.current = currents.get(row).copied().flatten().map(Amperes);
                let register = registers.get(row).copied().flatten();
                sample.register = register.map(|register| Energy::from_millijoules(register.cast_unsigned()));
                let name = statuses.get(row).and_then(Option::as_ref).ok_or_else(short)?.as_utf8()?;
                let status = STATUS.iter().find(|(_, known)| *known == name);
                sample.quality = status.map(|(quality, _)| *quality).ok_or_else(other_type)?;
            }
            each(probe, sample);
        }
        Ok(())
    }
}
