//! Quarter hours as they are written: a month has thousands of them, so each run of equal ones is a list of how many there
//! are, their millijoules and their status.

use serde::de::{Deserialize as _, Deserializer, Error as _};
use serde::ser::{SerializeSeq as _, Serializer};

use super::document::{BillQuarterSum, QuarterStatus};
use super::grid::QUARTERS_MAX;

pub(super) fn serialize<S: Serializer>(
    quarters: &[BillQuarterSum],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut runs = serializer.serialize_seq(None)?;
    for run in quarters.chunk_by(|one, other| one == other) {
        let Some(BillQuarterSum { mj, status }) = run.first() else { continue };
        runs.serialize_element(&(run.len(), mj, status))?;
    }
    runs.end()
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<BillQuarterSum>, D::Error> {
    let runs = Vec::<(u64, i64, QuarterStatus)>::deserialize(deserializer)?;
    // The counts come from the document: they are checked before anything is expanded.
    let count = runs.iter().fold(0_u64, |sum, (count, ..)| sum.saturating_add(*count));
    if count > QUARTERS_MAX {
        return Err(D::Error::custom(format_args!("{count} quarter hours are more than a bill has")));
    }
    let mut quarters = Vec::new();
    for (count, mj, status) in runs {
        quarters.extend((0..count).map(|_| BillQuarterSum { mj, status }));
    }
    Ok(quarters)
}
