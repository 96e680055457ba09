//! How often a log was written, derived from its first rows: nobody should have to state it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};
use kwapi_history::foreign::{Layout, RowError, Table};

use super::columns::Columns;

/// Rows that are looked at.
const ROWS: usize = 20_000;

/// The median time between two rows of a probe; nothing where no probe has two.
pub(super) fn guess(file: &Path, columns: &Columns, layout: Layout) -> Duration {
    let Ok(mut table) = Table::open(file, columns.wanted(), layout) else { return Duration::ZERO };
    let mut last: HashMap<ProbeId, Timestamp> = HashMap::new();
    let mut steps = Vec::new();
    for _ in 0..ROWS {
        let row = match table.next_row() {
            Ok(Some(row)) => row,
            Err(RowError::Row { .. }) => continue,
            Ok(None) | Err(RowError::File(_)) => break,
        };
        let (Ok(probe), Ok(instants)) = (columns.probe(&row.cells), columns.instants(&row.cells)) else {
            continue;
        };
        if let Some(before) = last.insert(probe, instants.first) {
            steps.extend(Some(instants.first.since(before)).filter(|step| !step.is_zero()));
        }
    }
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or_default()
}
