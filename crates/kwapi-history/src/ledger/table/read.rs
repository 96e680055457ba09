//! Files of the ledger as they are read: of each the groups that may have what is requested, and of these the columns
//! that hold anything.

use std::io;
use std::ops::{Range, RangeInclusive};

use kwapi_core::{Cause, Increment, ProbeId, Row, Watts};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;

use super::{NUMBERS, ParquetError};
use crate::columns::{Wanted, doubles, each_text, extent, guarded, integers, short, texts};

/// A file with more rows is not one of ours.
const ROWS_MAX: usize = 1 << 25;

/// Begins of rows that are requested, in Unix milliseconds: ranges in order, apart from each other.
#[derive(Clone, Debug)]
pub(in super::super) struct Begins(Vec<Range<u64>>);

/// A row as it is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct ReadRow {
    pub(in super::super) row: Row,
    /// See [`LedgerRow::correction`](super::LedgerRow::correction).
    pub(in super::super) correction: u64,
    pub(in super::super) cause: Option<Cause>,
}

/// What was read of a file.
#[derive(Debug)]
pub(in super::super) struct FileRows {
    groups: Vec<GroupRows>,
    /// The begins of all its rows lie between these; `None` where it does not state it.
    pub(in super::super) extent: Option<RangeInclusive<u64>>,
    /// Rows of the groups that were read.
    pub(in super::super) rows_read: u64,
}

/// A group of rows, by columns.
#[derive(Debug)]
struct GroupRows {
    /// Whose the rows are up to which, one after the other; `None` of one that is not requested.
    probes: Vec<(Option<ProbeId>, usize)>,
    /// In the order of [`NUMBERS`].
    numbers: [Numbers; NUMBERS.len()],
    peaks: Vec<Option<f64>>,
    /// Empty where nothing was corrected.
    causes: Vec<Option<Cause>>,
}

/// A column of numbers.
#[derive(Debug)]
enum Numbers {
    /// All the same.
    Same(i64),
    /// One a row.
    Each(Vec<i64>),
}

impl Begins {
    /// Those in some ranges.
    pub(in super::super) fn of(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut ranges: Vec<Range<u64>> = ranges.into_iter().collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut apart: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match apart.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        Self(apart)
    }

    /// Whether a row that begins then is requested.
    pub(in super::super) fn has(&self, begin: u64) -> bool {
        self.range_after(begin).is_some_and(|range| range.start <= begin)
    }

    /// Whether any between the two is.
    pub(in super::super) fn may_have(&self, extent: &RangeInclusive<u64>) -> bool {
        self.range_after(*extent.start()).is_some_and(|range| range.start <= *extent.end())
    }

    /// The first range that ends after an instant.
    fn range_after(&self, at: u64) -> Option<&Range<u64>> {
        self.0.get(self.0.partition_point(|range| range.end <= at))
    }
}

impl Numbers {
    fn at(&self, row: usize) -> i64 {
        match self {
            Self::Same(number) => *number,
            Self::Each(numbers) => numbers.get(row).copied().unwrap_or_default(),
        }
    }
}

impl FileRows {
    /// Hands over the rows that were requested, those of a probe in a group one after the other.
    pub(in super::super) fn each(&self, begins: &Begins, mut take: impl FnMut(&ProbeId, ReadRow)) {
        for group in &self.groups {
            let mut first = 0;
            for (probe, until) in &group.probes {
                let rows = std::mem::replace(&mut first, *until)..*until;
                let Some(probe) = probe else { continue };
                for row in rows {
                    let read = group.row(row);
                    if begins.has(read.row.begin) {
                        take(probe, read);
                    }
                }
            }
        }
    }
}

impl GroupRows {
    fn row(&self, row: usize) -> ReadRow {
        let [begin, measured_mj, estimated_mj, bridged_mj, measured_ms, estimated_ms, bridged_ms, correction] =
            self.numbers.each_ref().map(|numbers| numbers.at(row));
        let increment = Increment {
            mj: [measured_mj, estimated_mj, bridged_mj],
            ms: [measured_ms, estimated_ms, bridged_ms],
        };
        let peak = self.peaks.get(row).copied().flatten().map(Watts);
        let row_read = Row { begin: begin.cast_unsigned(), increment, peak };
        let cause = self.causes.get(row).copied().flatten();
        ReadRow { row: row_read, correction: correction.cast_unsigned(), cause }
    }
}

/// How many rows a file states that it has.
///
/// # Errors
/// `InvalidData`: it is no file of the ledger, or damaged.
pub(in super::super) fn count(file: impl ChunkReader + 'static) -> io::Result<usize> {
    guarded(|| rows_of(SerializedFileReader::new(file)?.metadata()))
}

/// The rows of a file that are requested; all of them can be read, or none is returned.
///
/// # Errors
/// `InvalidData`: it is no file of the ledger, or damaged.
pub(in super::super) fn decode(
    file: impl ChunkReader + 'static,
    wanted: Wanted<'_>,
    begins: &Begins,
) -> io::Result<FileRows> {
    guarded(|| {
        let reader = SerializedFileReader::new(file)?;
        rows_of(reader.metadata())?;
        let places = Places::of(reader.metadata())?;
        let mut rows =
            FileRows { groups: Vec::new(), extent: places.extent(reader.metadata()), rows_read: 0 };
        for index in 0..reader.num_row_groups() {
            let group = reader.metadata().row_group(index);
            if !places.may_have(group, wanted, begins) {
                continue;
            }
            let count = usize::try_from(group.num_rows()).unwrap_or(usize::MAX).min(ROWS_MAX);
            rows.rows_read += count as u64;
            rows.groups.extend(places.read(reader.get_row_group(index)?.as_ref(), count, wanted)?);
        }
        Ok(rows)
    })
}

fn rows_of(file: &ParquetMetaData) -> Result<usize, ParquetError> {
    let count = usize::try_from(file.file_metadata().num_rows()).unwrap_or(usize::MAX);
    if count > ROWS_MAX { Err(ParquetError::General(format!("{count} rows"))) } else { Ok(count) }
}

/// Where the columns are.
struct Places {
    probe: usize,
    numbers: [usize; NUMBERS.len()],
    peak: usize,
    cause: usize,
}

impl Places {
    fn of(file: &ParquetMetaData) -> Result<Self, ParquetError> {
        let schema = file.file_metadata().schema_descr();
        let place = |name: &str| {
            let at = schema.columns().iter().position(|column| column.name() == name);
            at.ok_or_else(|| ParquetError::General(format!("no column {name}")))
        };
        let mut numbers = [0; NUMBERS.len()];
        for (at, name) in numbers.iter_mut().zip(NUMBERS) {
            *at = place(name)?;
        }
        Ok(Self { probe: place("probe")?, numbers, peak: place("peak_w")?, cause: place("cause")? })
    }

    /// The begins of the rows of a group lie between these.
    fn extent_of_group(&self, group: &RowGroupMetaData) -> Option<RangeInclusive<u64>> {
        let [begin, ..] = self.numbers;
        let (least, most) = extent(group.column(begin))?;
        Some(u64::try_from(least).ok()?..=u64::try_from(most).ok()?)
    }

    fn extent(&self, file: &ParquetMetaData) -> Option<RangeInclusive<u64>> {
        let mut whole: Option<RangeInclusive<u64>> = None;
        for group in file.row_groups() {
            let of_group = self.extent_of_group(group)?;
            whole = Some(match whole {
                Some(whole) => *whole.start().min(of_group.start())..=*whole.end().max(of_group.end()),
                None => of_group,
            });
        }
        whole
    }

    /// Whether a group may have anything that is requested.
    fn may_have(&self, group: &RowGroupMetaData, wanted: Wanted<'_>, begins: &Begins) -> bool {
        let names = group.column(self.probe).statistics();
        let has_probe = names
            .and_then(|range| range.min_bytes_opt().zip(range.max_bytes_opt()))
            .is_none_or(|(least, most)| wanted.may_have(least, most));
        has_probe && self.extent_of_group(group).is_none_or(|extent| begins.may_have(&extent))
    }

    /// Reads a group; `None` where none of its probes is requested.
    fn read(
        &self,
        group: &dyn RowGroupReader,
        count: usize,
        wanted: Wanted<'_>,
    ) -> Result<Option<GroupRows>, ParquetError> {
        let probes = runs(group, self.probe, count, wanted)?;
        if probes.iter().all(|(probe, _)| probe.is_none()) {
            return Ok(None);
        }
        let mut numbers = [const { Numbers::Same(0) }; NUMBERS.len()];
        for (numbers, place) in numbers.iter_mut().zip(self.numbers) {
            *numbers = read_numbers(group, place, count)?;
        }
        // Begins and corrections count from 0.
        let [begins, .., corrections] = &numbers;
        if [begins, corrections].into_iter().any(Numbers::has_negative) {
            return Err(short());
        }
        let causes = match corrections {
            Numbers::Same(0) => Vec::new(),
            _ => read_causes(group, self.cause, count)?,
        };
        let peaks = doubles(group, self.peak, count)?;
        if peaks.len() < count {
            return Err(short());
        }
        Ok(Some(GroupRows { probes, numbers, peaks, causes }))
    }
}

impl Numbers {
    fn has_negative(&self) -> bool {
        match self {
            Self::Same(number) => *number < 0,
            Self::Each(numbers) => numbers.iter().any(|number| *number < 0),
        }
    }
}

/// Whose rows follow each other up to which.
fn runs(
    group: &dyn RowGroupReader,
    place: usize,
    count: usize,
    wanted: Wanted<'_>,
) -> Result<Vec<(Option<ProbeId>, usize)>, ParquetError> {
    let mut runs: Vec<(Option<ProbeId>, usize)> = Vec::new();
    let (mut last, mut rows) = (None, 0);
    each_text(group, place, count, |name| {
        rows += 1;
        match runs.last_mut() {
            Some((_, until)) if last.as_ref() == Some(name) => *until = rows,
            _ => {
                runs.push((wanted.has(name.as_utf8()?), rows));
                last = Some(name.clone());
            }
        }
        Ok(())
    })?;
    if rows < count { Err(short()) } else { Ok(runs) }
}

fn read_numbers(group: &dyn RowGroupReader, place: usize, count: usize) -> Result<Numbers, ParquetError> {
    if let Some((least, most)) = extent(group.metadata().column(place))
        && least == most
    {
        return Ok(Numbers::Same(least));
    }
    let numbers = integers(group, place, count)?;
    if numbers.len() < count { Err(short()) } else { Ok(Numbers::Each(numbers)) }
}

fn read_causes(
    group: &dyn RowGroupReader,
    place: usize,
    count: usize,
) -> Result<Vec<Option<Cause>>, ParquetError> {
    let names = texts(group, place, count)?;
    if names.len() < count {
        return Err(short());
    }
    let cause_of = |name: &str| {
        [Cause::Late, Cause::Stop, Cause::Clock, Cause::Silence]
            .into_iter()
            .find(|cause| cause.name() == name)
    };
    names.into_iter().map(|name| name.map_or(Ok(None), |name| Ok(cause_of(name.as_utf8()?)))).collect()
}
