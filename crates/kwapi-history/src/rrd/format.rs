//! The bytes of an RRD file.
//!
//! Native C structures of a 64-bit little-endian machine: every integer 8 bytes, every value an IEEE-754 double.
//! In order: `stat_head` (128), `ds_def` (120 each), `rra_def` (120 each), `live_head` (16), `pdp_prep` (112 a
//! source), `cdp_prep` (80 an archive and source), `rra_ptr` (8 an archive), then the rows of each archive in turn.

use kwapi_core::Timestamp;

use super::{Archive, Consolidation, DataSource, Definition, LastValue, RowState, Rrd, StepState};

/// 8.642135E130: shows byte order and alignment of doubles.
const FLOAT_COOKIE: f64 = 8.642_135E130;
/// What RRDtool takes for unknown: the NaN that x86 computes from 0/0, sign bit set.
pub(super) const UNKNOWN: f64 = f64::from_bits(0xfff8_0000_0000_0000);
pub(super) const LAST_VALUE_BYTES: usize = 30;
const NAME_BYTES: usize = 20;
const STAT_HEAD_BYTES: usize = 128;
const DEFINITION_BYTES: usize = 120;
/// A hostile file may claim any number; ours has one source and at most ten archives.
const SOURCES_MAX: u64 = 64;
const ARCHIVES_MAX: u64 = 256;
/// A larger file is refused: the seed's has 9 752 bytes.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;
/// The year 36 812: far enough, and sums of such stamps cannot overflow.
const SECONDS_MAX: u64 = 1 << 40;

/// Runs of rows no further apart than this are written as one: two pages, so that least and most of
/// the same rows come together.
const JOINED_VALUES_MAX: usize = 1_024;

/// Positions in `pdp_prep.scratch`.
pub(super) mod step_scratch {
    pub(crate) const UNKNOWN_SECONDS: usize = 0;
    pub(crate) const VALUE: usize = 1;
}

/// Positions in `cdp_prep.scratch`.
pub(super) mod row_scratch {
    pub(crate) const VALUE: usize = 0;
    pub(crate) const UNKNOWN_STEPS: usize = 1;
    pub(crate) const PRIMARY: usize = 8;
    pub(crate) const SECONDARY: usize = 9;
}

/// Why bytes are no RRD this engine takes: nothing to retry, the file is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RrdError {
    /// Not an RRD, of another version (only 0003 and 0004 are known) or of another machine.
    #[error("not an RRD file of version 3 or 4 from a 64-bit little-endian machine")]
    Foreign,
    /// It ends before what its header promises.
    #[error("truncated")]
    CutShort,
    /// A header field that RRDtool would not have written.
    #[error("invalid {0}")]
    Impossible(&'static str),
}

/// Reads a byte string field by field; past its end everything is missing.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], RrdError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(RrdError::CutShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RrdError> {
        self.take(N)?.try_into().map_err(|_| RrdError::CutShort)
    }

    fn u64(&mut self) -> Result<u64, RrdError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn f64(&mut self) -> Result<f64, RrdError> {
        Ok(f64::from_bits(self.u64()?))
    }

    /// An integer from `1` to `max`.
    fn count(&mut self, what: &'static str, max: u64) -> Result<u64, RrdError> {
        let count = self.u64()?;
        if (1..=max).contains(&count) { Ok(count) } else { Err(RrdError::Impossible(what)) }
    }

    fn scratch(&mut self) -> Result<[u64; 10], RrdError> {
        let mut scratch = [0; 10];
        for slot in &mut scratch {
            *slot = self.u64()?;
        }
        Ok(scratch)
    }
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn small(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl Rrd {
    /// Reads a whole file.
    ///
    /// # Errors
    /// When it is none, is cut short, or contradicts itself. Bytes after its last row are ignored, as RRDtool does.
    pub fn parse(bytes: &[u8]) -> Result<Self, RrdError> {
        let mut fields = Fields(bytes);
        let head = fields.take(16).map_err(|_| RrdError::Foreign)?;
        let version = head.get(4..9).unwrap_or_default();
        let known = head.starts_with(b"RRD\0") && (version == b"0003\0" || version == b"0004\0");
        if !known || fields.u64().map_err(|_| RrdError::Foreign)? != FLOAT_COOKIE.to_bits() {
            return Err(RrdError::Foreign);
        }
        let source_count = small(fields.count("number of sources", SOURCES_MAX)?);
        let archive_count = small(fields.count("number of archives", ARCHIVES_MAX)?);
        let step = fields.count("step", u64::from(u32::MAX))?;
        fields.take(80)?;
        let sources = (0..source_count).map(|_| parse_source(&mut fields)).collect::<Result<Vec<_>, _>>()?;
        let mut first_value = 0;
        let mut archives = Vec::with_capacity(archive_count);
        for _ in 0..archive_count {
            let archive = parse_archive(&mut fields, first_value)?;
            first_value = archive.rows.saturating_mul(source_count).saturating_add(first_value);
            archives.push(archive);
        }
        let definition_bytes = STAT_HEAD_BYTES + DEFINITION_BYTES * (source_count + archive_count);
        let definition = bytes.get(..definition_bytes).ok_or(RrdError::CutShort)?.to_vec();

        let (seconds, micros) = (fields.u64()?, fields.u64()?);
        if seconds > SECONDS_MAX || micros >= 1_000_000 {
            return Err(RrdError::Impossible("last update"));
        }
        let last_update = Timestamp::from_micros(seconds * 1_000_000 + micros);
        let mut steps = Vec::with_capacity(source_count);
        for _ in 0..source_count {
            let last_value = LastValue::Text(fields.array()?);
            fields.take(2)?;
            steps.push(StepState { last_value, scratch: fields.scratch()? });
        }
        let rows_in_progress = (0..archive_count * source_count)
            .map(|_| fields.scratch().map(|scratch| RowState { scratch }))
            .collect::<Result<Vec<_>, _>>()?;
        for archive in &mut archives {
            archive.newest = small(fields.u64()?);
            if archive.newest >= archive.rows {
                return Err(RrdError::Impossible("current row"));
            }
        }
        let data = fields.take(first_value.checked_mul(8).ok_or(RrdError::CutShort)?)?;
        let values =
            data.chunks_exact(8).map(|chunk| chunk.try_into().map_or(UNKNOWN, f64::from_le_bytes)).collect();
        Ok(Self { definition, step, sources, archives, last_update, steps, rows_in_progress, values })
    }

    /// A new file whose first PDP begins at or before `start`, in whole seconds.
    pub fn new(definition: &Definition<'_>, start: u64) -> Self {
        let start = start.min(SECONDS_MAX);
        let mut head = Vec::new();
        head.extend(padded::<16>(b"RRD\x000003"));
        head.extend(FLOAT_COOKIE.to_le_bytes());
        let step = definition.step.max(1);
        for count in [1, definition.archives.len() as u64, step] {
            head.extend(count.to_le_bytes());
        }
        head.extend([0; 80]);
        head.extend(padded::<NAME_BYTES>(definition.source.as_bytes()));
        head.extend(padded::<NAME_BYTES>(b"GAUGE"));
        head.extend(definition.heartbeat.to_le_bytes());
        head.extend(definition.min.to_le_bytes());
        head.extend(UNKNOWN.to_le_bytes());
        head.extend([0; 56]);

        let unknown_seconds = start % step;
        let mut archives = Vec::new();
        let mut rows_in_progress = Vec::new();
        let mut first_value = 0;
        for (consolidation, steps_per_row, rows) in definition.archives {
            let (steps_per_row, rows) = ((*steps_per_row).max(1), (*rows).max(1));
            head.extend(padded::<NAME_BYTES>(consolidation.name().as_bytes()));
            head.extend([0; 4]);
            head.extend((rows as u64).to_le_bytes());
            head.extend(steps_per_row.to_le_bytes());
            head.extend(definition.unknown_share_max.to_le_bytes());
            head.extend([0; 72]);
            archives.push(Archive {
                consolidation: *consolidation,
                steps_per_row,
                rows,
                unknown_share_max: definition.unknown_share_max,
                newest: rows - 1,
                first_value,
                unwritten: 0,
            });
            let mut scratch = [0; 10];
            scratch[row_scratch::VALUE] = UNKNOWN.to_bits();
            scratch[row_scratch::UNKNOWN_STEPS] = start / step % steps_per_row;
            rows_in_progress.push(RowState { scratch });
            first_value += rows;
        }
        let mut scratch = [0; 10];
        scratch[step_scratch::UNKNOWN_SECONDS] = unknown_seconds;
        scratch[step_scratch::VALUE] = UNKNOWN.to_bits();
        Self {
            definition: head,
            step,
            sources: vec![DataSource {
                is_gauge: true,
                heartbeat: definition.heartbeat,
                min: definition.min,
                max: UNKNOWN,
            }],
            archives,
            last_update: Timestamp::from_seconds(start),
            steps: vec![StepState { last_value: LastValue::Number(None), scratch }],
            rows_in_progress,
            values: vec![UNKNOWN; first_value],
        }
    }

    /// The whole file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.definition.clone();
        bytes.extend(self.changing_head());
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// Where the part of the head that changes begins.
    pub(super) fn definition_bytes(&self) -> usize {
        self.definition.len()
    }

    /// The part of the head that changes: from `live_head` to `rra_ptr`.
    pub(super) fn changing_head(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.changing_head_bytes());
        bytes.extend(self.last_update.seconds().to_le_bytes());
        bytes.extend((self.last_update.micros() % 1_000_000).to_le_bytes());
        for step in &self.steps {
            bytes.extend(step.last_value.field());
            bytes.extend([0; 2]);
            bytes.extend(step.scratch.iter().flat_map(|slot| slot.to_le_bytes()));
        }
        for row in &self.rows_in_progress {
            bytes.extend(row.scratch.iter().flat_map(|slot| slot.to_le_bytes()));
        }
        for archive in &self.archives {
            bytes.extend((archive.newest as u64).to_le_bytes());
        }
        bytes
    }

    pub(super) fn changing_head_bytes(&self) -> usize {
        16 + 112 * self.steps.len() + 80 * self.rows_in_progress.len() + 8 * self.archives.len()
    }

    /// What rows the file does not have yet: where each run of them belongs in it, and its bytes. Runs near each other come
    /// as one, with what is between them as it is: a call of the system costs more than a page.
    pub(super) fn unwritten_rows(&self) -> Vec<(usize, Vec<u8>)> {
        let data = self.definition_bytes() + self.changing_head_bytes();
        let sources = self.sources.len();
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for archive in &self.archives {
            let count = archive.unwritten.min(archive.rows);
            let first = (archive.newest + 1 + archive.rows - count) % archive.rows;
            let until_end = count.min(archive.rows - first);
            // In the order of the file: what has begun again at the archive's first row, then what came before.
            for (row, count) in [(0, count - until_end), (first, until_end)] {
                let begin = archive.first_value + row * sources;
                let end = begin + count * sources;
                match runs.last_mut() {
                    _ if count == 0 => {}
                    Some(last) if begin.saturating_sub(last.end) <= JOINED_VALUES_MAX => last.end = end,
                    _ => runs.push(begin..end),
                }
            }
        }
        let bytes = |run: std::ops::Range<usize>| {
            let values = self.values.get(run.clone()).unwrap_or_default();
            (data + run.start * 8, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        };
        runs.into_iter().map(bytes).collect()
    }

    /// Notes that the file has everything.
    pub(super) fn mark_written(&mut self) {
        for archive in &mut self.archives {
            archive.unwritten = 0;
        }
    }
}

fn parse_source(fields: &mut Fields<'_>) -> Result<DataSource, RrdError> {
    fields.take(NAME_BYTES)?;
    let kind = text(fields.take(NAME_BYTES)?);
    let (heartbeat, min, max) = (fields.u64()?, fields.f64()?, fields.f64()?);
    fields.take(56)?;
    Ok(DataSource { is_gauge: kind == b"GAUGE", heartbeat, min, max })
}

fn parse_archive(fields: &mut Fields<'_>, first_value: usize) -> Result<Archive, RrdError> {
    let consolidation = Consolidation::of(text(fields.take(NAME_BYTES)?));
    fields.take(4)?;
    let rows = small(fields.count("number of rows", FILE_BYTES_MAX / 8)?);
    let steps_per_row = fields.count("steps per row", u64::from(u32::MAX))?;
    let unknown_share_max = fields.f64()?;
    fields.take(72)?;
    if consolidation != Consolidation::Other && !(0.0..1.0).contains(&unknown_share_max) {
        return Err(RrdError::Impossible("share of unknown steps"));
    }
    Ok(Archive {
        consolidation,
        steps_per_row,
        rows,
        unknown_share_max,
        newest: 0,
        first_value,
        unwritten: 0,
    })
}

/// `bytes` and zeros up to `N`; what does not fit beside a last zero is cut.
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    for (slot, byte) in field.iter_mut().take(N - 1).zip(bytes) {
        *slot = *byte;
    }
    field
}

impl Consolidation {
    fn of(name: &[u8]) -> Self {
        match name {
            b"AVERAGE" => Self::Average,
            b"MIN" => Self::Min,
            b"MAX" => Self::Max,
            b"LAST" => Self::Last,
            _ => Self::Other,
        }
    }

    /// Its name in `rrdcreate(1)`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Average => "AVERAGE",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Last => "LAST",
            Self::Other => "",
        }
    }
}

impl LastValue {
    fn field(&self) -> [u8; LAST_VALUE_BYTES] {
        match self {
            Self::Text(text) => *text,
            Self::Number(None) => padded(b"U"),
            Self::Number(Some(value)) => padded(value_text(*value).as_bytes()),
        }
    }
}

/// A value as `rrdtool update` takes it: the shortest decimal that is this number, in no more than `last_ds` holds.
pub(super) fn value_text(value: f64) -> String {
    let plain = value.to_string();
    if plain.len() < LAST_VALUE_BYTES { plain } else { format!("{value:e}") }
}
