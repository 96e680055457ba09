//! Updates: what RRDtool makes of a value that held from the last update until now.
//!
//! The arithmetic is RRDtool's to the last bit, oddities included, since its users compare. Three of them matter to
//! whoever calls this: unknown time is counted in whole seconds, so an unknown at a fraction of a second dilutes the
//! next PDP; an unknown that ends a PDP begun with known time paints every PDP up to its stamp with that value; and
//! after a gap longer than an archive, the row that was in progress before the gap becomes the archive's oldest.
//! All go away when unknowns are written at whole seconds, one at the end of every PDP and row in progress.

use kwapi_core::Timestamp;

use super::format::{UNKNOWN, row_scratch, step_scratch};
use super::{Archive, Consolidation, DataSource, LastValue, RowState, Rrd, StepState};

/// Why an update was refused; the database is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Its stamp is not after the last update's.
    #[error("not after the last update")]
    NotAfterLast,
    /// As many values as there are sources must be given.
    #[error("expected {expected} values, got {given}")]
    ValueCount {
        /// How many were given.
        given: usize,
        /// How many sources there are.
        expected: usize,
    },
    /// A source that is no gauge, an archive that is neither average, min, max nor last, or steps of other than one
    /// second: RRDtool treats a long step that begins unknown in a way of its own, and no file of Kwapi has one.
    #[error("unsupported kind of RRD file")]
    Unsupported,
}

/// Where an update falls between PDPs, the same for all sources.
struct Span {
    /// Seconds since the last update.
    seconds: f64,
    /// Seconds of it before the newest PDP boundary passed; all of it when none was.
    before: f64,
    /// Seconds of it after that boundary.
    after: f64,
    /// How many PDPs it completes.
    steps: u64,
}

/// Where the PDPs an update completes fall between the rows of one archive.
struct RowSpan {
    /// How many PDPs it completes.
    steps: u64,
    /// How many of them the row in progress still wanted.
    wanted: u64,
    /// How many rows it completes.
    rows: u64,
}

impl Rrd {
    /// Takes one value a source, which held since the last update; `None` is unknown.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn update(&mut self, at: Timestamp, values: &[Option<f64>]) -> Result<(), UpdateError> {
        if at <= self.last_update {
            return Err(UpdateError::NotAfterLast);
        }
        if values.len() != self.sources.len() {
            return Err(UpdateError::ValueCount { given: values.len(), expected: self.sources.len() });
        }
        let supported = self.step == 1
            && self.sources.iter().all(|source| source.is_gauge)
            && self.archives.iter().all(|archive| archive.consolidation != Consolidation::Other);
        if !supported {
            return Err(UpdateError::Unsupported);
        }
        let span = Span::between(self.last_update, at, self.step);
        let completed_before = self.last_update.seconds() / self.step;
        let source_count = self.sources.len();
        for (index, value) in values.iter().enumerate() {
            let (Some(source), Some(step)) = (self.sources.get(index), self.steps.get_mut(index)) else {
                continue;
            };
            let amount = source.amount(*value, &span);
            step.last_value = LastValue::Number(*value);
            if span.steps == 0 {
                step.continue_step(amount, &span);
                continue;
            }
            let per_second = step.complete_steps(source, amount, &span, self.step);
            for (number, archive) in self.archives.iter().enumerate() {
                let Some(row) = self.rows_in_progress.get_mut(number * source_count + index) else {
                    continue;
                };
                let rows = RowSpan::of(archive, completed_before, span.steps);
                row.consolidate(archive, per_second, &rows);
                // One turn of the archive at most, the completed row first even if it is older than that.
                for offset in 0..rows.rows.min(archive.rows as u64) {
                    let slot = if offset == 0 { row_scratch::PRIMARY } else { row_scratch::SECONDARY };
                    let at = archive.row_after_newest(offset) * source_count + archive.first_value + index;
                    if let Some(value) = self.values.get_mut(at) {
                        *value = row.float(slot);
                    }
                }
            }
        }
        if span.steps > 0 {
            for archive in &mut self.archives {
                let rows = RowSpan::of(archive, completed_before, span.steps).rows.min(archive.rows as u64);
                if let Some(last) = rows.checked_sub(1) {
                    archive.newest = archive.row_after_newest(last);
                    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
                    archive.unwritten = archive.unwritten.saturating_add(rows).min(archive.rows);
                }
            }
        }
        self.last_update = at;
        Ok(())
    }
}

impl Span {
    fn between(last: Timestamp, at: Timestamp, step: u64) -> Self {
        let micros = |stamp: Timestamp| (stamp.micros() % 1_000_000) as f64;
        let seconds = (at.seconds() - last.seconds()) as f64 + (micros(at) - micros(last)) / 1e6;
        let boundary = at.seconds() - at.seconds() % step;
        let steps = at.seconds() / step - last.seconds() / step;
        if steps == 0 {
            return Self { seconds, before: seconds, after: 0.0, steps };
        }
        let before = boundary.saturating_sub(last.seconds()) as f64 - micros(last) / 1e6;
        let after = (at.seconds() - boundary) as f64 + micros(at) / 1e6;
        Self { seconds, before, after, steps }
    }
}

impl RowSpan {
    fn of(archive: &Archive, completed_before: u64, steps: u64) -> Self {
        let wanted = archive.steps_per_row - completed_before % archive.steps_per_row;
        let rows = if wanted <= steps { (steps - wanted) / archive.steps_per_row + 1 } else { 0 };
        Self { steps, wanted, rows }
    }

    /// How many PDPs belong to the row after the completed ones.
    fn carried(&self, steps_per_row: u64) -> u64 {
        (self.steps - self.wanted) % steps_per_row
    }
}

impl Archive {
    /// The row `offset + 1` places after the newest.
    fn row_after_newest(&self, offset: u64) -> usize {
        let rows = self.rows as u64;
        usize::try_from((self.newest as u64 + 1 + offset % rows) % rows).unwrap_or(0)
    }
}

impl DataSource {
    /// Value times seconds; unknown when nothing was given, too late, or out of range.
    fn amount(&self, value: Option<f64>, span: &Span) -> f64 {
        let Some(value) = value.filter(|_| self.heartbeat as f64 >= span.seconds) else { return UNKNOWN };
        let amount = value * span.seconds;
        let rate = amount / span.seconds;
        // A limit of NaN is no limit: no comparison with it holds.
        if rate > self.max || rate < self.min { UNKNOWN } else { amount }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds between two stamps: never negative"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.floor() as u64
}

impl StepState {
    fn value(&self) -> f64 {
        f64::from_bits(self.scratch[step_scratch::VALUE])
    }

    fn set_value(&mut self, value: f64) {
        self.scratch[step_scratch::VALUE] = value.to_bits();
    }

    /// The PDP in progress continues.
    fn continue_step(&mut self, amount: f64, span: &Span) {
        if amount.is_nan() {
            let unknown = self.scratch[step_scratch::UNKNOWN_SECONDS];
            self.scratch[step_scratch::UNKNOWN_SECONDS] = unknown.saturating_add(whole_seconds(span.seconds));
        } else if self.value().is_nan() {
            self.set_value(amount);
        } else {
            self.set_value(self.value() + amount);
        }
    }

    /// Completes the PDP in progress and those after it, and begins the next. Returns their value.
    fn complete_steps(&mut self, source: &DataSource, amount: f64, span: &Span, step: u64) -> f64 {
        let mut unknown_before = 0.0;
        if amount.is_nan() {
            unknown_before = span.before;
        } else {
            let so_far = if self.value().is_nan() { 0.0 } else { self.value() };
            self.set_value(so_far + amount / span.seconds * span.before);
        }
        let unknown = self.scratch[step_scratch::UNKNOWN_SECONDS];
        let mostly_unknown = step as f64 / 2.0 < unknown as f64;
        let per_second = if span.seconds > source.heartbeat as f64 || mostly_unknown {
            UNKNOWN
        } else {
            let seconds = span.steps.saturating_mul(step).saturating_sub(unknown) as f64;
            self.value() / (seconds - unknown_before)
        };
        if amount.is_nan() {
            self.scratch[step_scratch::UNKNOWN_SECONDS] = whole_seconds(span.after);
            self.set_value(UNKNOWN);
        } else {
            self.scratch[step_scratch::UNKNOWN_SECONDS] = 0;
            self.set_value(amount / span.seconds * span.after);
        }
        per_second
    }
}

impl RowState {
    pub(super) fn float(&self, slot: usize) -> f64 {
        f64::from_bits(self.scratch.get(slot).copied().unwrap_or_default())
    }

    pub(super) fn unknown_steps(&self) -> u64 {
        self.scratch[row_scratch::UNKNOWN_STEPS]
    }

    /// Takes `span.steps` PDPs of the same value.
    fn consolidate(&mut self, archive: &Archive, value: f64, span: &RowSpan) {
        if archive.steps_per_row == 1 {
            // Nothing to consolidate: the row is the PDP. The fill-in is only renewed when it is used.
            self.scratch[row_scratch::PRIMARY] = value.to_bits();
            if span.steps > 1 {
                self.scratch[row_scratch::SECONDARY] = value.to_bits();
            }
            return;
        }
        let so_far = self.float(row_scratch::VALUE);
        let unknown = self.unknown_steps();
        if span.rows == 0 {
            if value.is_nan() {
                self.scratch[row_scratch::UNKNOWN_STEPS] = unknown.saturating_add(span.steps);
            } else {
                self.scratch[row_scratch::VALUE] =
                    archive.consolidation.add(so_far, value, span.steps).to_bits();
            }
            return;
        }
        let unknown = if value.is_nan() { unknown.saturating_add(span.wanted) } else { unknown };
        self.scratch[row_scratch::SECONDARY] = value.to_bits();
        let primary = if unknown as f64 > archive.steps_per_row as f64 * archive.unknown_share_max {
            UNKNOWN
        } else {
            archive.consolidation.complete(
                so_far,
                value,
                span.wanted,
                archive.steps_per_row.saturating_sub(unknown),
            )
        };
        self.scratch[row_scratch::PRIMARY] = primary.to_bits();
        let carried = span.carried(archive.steps_per_row);
        self.scratch[row_scratch::VALUE] = archive.consolidation.carry(value, carried).to_bits();
        self.scratch[row_scratch::UNKNOWN_STEPS] = if value.is_nan() { carried } else { 0 };
    }
}

impl Consolidation {
    /// `so_far` and `steps` PDPs of `value`, which is known.
    fn add(self, so_far: f64, value: f64, steps: u64) -> f64 {
        match self {
            Self::Average if so_far.is_nan() => value * steps as f64,
            Self::Average => so_far + value * steps as f64,
            Self::Min if so_far < value => so_far,
            Self::Max if so_far > value => so_far,
            Self::Min | Self::Max | Self::Last | Self::Other => value,
        }
    }

    /// The completed row: `so_far` and `wanted` PDPs of `value`, `known` PDPs in all.
    fn complete(self, so_far: f64, value: f64, wanted: u64, known: u64) -> f64 {
        let or = |number: f64, otherwise: f64| if number.is_nan() { otherwise } else { number };
        match self {
            Self::Average => (or(so_far, 0.0) + or(value, 0.0) * wanted as f64) / known as f64,
            Self::Min => or(so_far, f64::INFINITY).min(or(value, f64::INFINITY)),
            Self::Max => or(so_far, f64::NEG_INFINITY).max(or(value, f64::NEG_INFINITY)),
            Self::Last | Self::Other => value,
        }
    }

    /// What the next row begins with: `carried` PDPs of `value`.
    fn carry(self, value: f64, carried: u64) -> f64 {
        let nothing = carried == 0 || value.is_nan();
        match self {
            Self::Average if nothing => 0.0,
            Self::Average => value * carried as f64,
            Self::Min if nothing => f64::INFINITY,
            Self::Max if nothing => f64::NEG_INFINITY,
            Self::Last | Self::Other if nothing => UNKNOWN,
            Self::Min | Self::Max | Self::Last | Self::Other => value,
        }
    }
}
