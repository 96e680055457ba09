//! What a device was seen to have since the process began, so that what vanishes is missed and not forgotten.
//!
//! A PDU that restarts answers before it has found its outlets again. Whoever lists them then, and only then, loses the
//! others for good.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::ProbeId;
use tokio::time::Instant;

use super::interpret::Usefulness;
use super::plan;
use super::profile::{ProfileKind, Section};

/// A device that has reported nothing of what it was read by for so long is taken for another, and read by what it has.
const KEPT: Duration = Duration::from_secs(3_600);
/// More rows than this are no PDU's. Of those that were seen, the ones that are listed no longer are forgotten then.
pub(super) const ROWS_MAX: usize = 2_048;
/// Names that were given up are reported as gone; above this many the others are forgotten.
const GONE_MAX: usize = 1_000;

/// What a device is read by where everything it has is wanted.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// By which profile.
    pub profile: String,
    /// Outlets, inlets, …
    pub kind: ProfileKind,
    /// What can be measured of each, as this device has it.
    pub section: Arc<Section>,
    /// The best that a row of it reports.
    pub usefulness: Usefulness,
    /// Its rows.
    pub rows: Vec<ListedRow>,
}

/// A row that a device lists.
#[derive(Clone, Debug)]
pub(super) struct ListedRow {
    /// Where.
    pub index: Vec<u32>,
    /// The operator's name of it on the device.
    pub label: Option<String>,
    /// Whether the device reports something of it, if only that it cannot measure now.
    pub is_reported: bool,
}

/// What one meter's device was seen to have.
#[derive(Clone, Debug)]
pub(super) struct Known {
    profile: String,
    kind: ProfileKind,
    section: Arc<Section>,
    /// The best that it was good for.
    best: Usefulness,
    rows: BTreeMap<Vec<u32>, KnownRow>,
    gone: BTreeMap<ProbeId, String>,
}

/// One row that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownRow {
    /// The operator's name of it on the device; the last there was.
    pub label: Option<String>,
    /// The probe it was read as.
    pub probe: Option<ProbeId>,
    /// When the device last reported something of it.
    pub seen_at: Option<Instant>,
    /// Whether the device lists it now.
    pub is_listed: bool,
    /// Whether it has been reported that it has no probe.
    is_left_out: bool,
}

impl Known {
    /// What is known after a device was looked at again. What it was read by stays, unless it now has something better.
    pub(super) fn after(before: Option<Self>, chosen: Chosen, now: Instant) -> Self {
        let Some(mut known) = before else { return Self::of(chosen, now) };
        if known.profile == chosen.profile && known.kind == chosen.kind {
            known.section = chosen.section;
            known.best = known.best.max(chosen.usefulness);
            known.list(chosen.rows, now);
            return known;
        }
        // As good, and of the same kind by another profile: new firmware has other tables.
        let is_better = chosen.usefulness > known.best
            || (chosen.usefulness == known.best && chosen.kind <= known.kind)
            || known.rows.values().all(|row| row.seen_at.is_none_or(|at| now.duration_since(at) >= KEPT));
        if !is_better {
            known.list(Vec::new(), now);
            return known;
        }
        let why = format!("the device is now read by its {}", chosen.kind.plural());
        let mut next = Self::of(chosen, now);
        next.gone = known.gone;
        for probe in known.rows.into_values().filter_map(|row| row.probe) {
            next.give_up(probe, why.clone());
        }
        next
    }

    fn of(chosen: Chosen, now: Instant) -> Self {
        let mut known = Self {
            profile: chosen.profile,
            kind: chosen.kind,
            section: chosen.section,
            best: chosen.usefulness,
            rows: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        known.list(chosen.rows, now);
        known
    }

    /// Takes in the rows that the device lists now.
    fn list(&mut self, listed: Vec<ListedRow>, now: Instant) {
        for row in self.rows.values_mut() {
            row.is_listed = false;
        }
        for listed in listed {
            let row = self.rows.entry(listed.index).or_default();
            row.is_listed = true;
            // An agent that has just started may not have read its names yet.
            row.label = listed.label.or(row.label.take());
            if listed.is_reported {
                row.seen_at = Some(now);
            }
        }
        if self.rows.len() > ROWS_MAX {
            self.rows.retain(|_, row| row.is_listed);
        }
    }

    /// Gives each row its probe; a name that was given up meanwhile is remembered as gone. The rows that are left without
    /// one and were not before: key and label.
    pub(super) fn name(&mut self, probes: Vec<Option<ProbeId>>) -> Vec<(String, Option<String>)> {
        let mut renamed = Vec::new();
        let mut left_out = Vec::new();
        for ((index, row), probe) in self.rows.iter_mut().zip(probes) {
            if let Some(before) = row.probe.take().filter(|before| Some(before) != probe.as_ref()) {
                let key = plan::key(self.kind, &self.section, index);
                let now =
                    probe.as_ref().map_or_else(|| "no probe".to_owned(), |probe| format!("probe {probe}"));
                renamed.push((before, format!("{key} of the device is now {now}")));
            }
            if probe.is_none() && !row.is_left_out {
                left_out.push((plan::key(self.kind, &self.section, index), row.label.clone()));
            }
            row.is_left_out = probe.is_none();
            row.probe = probe;
        }
        for (probe, why) in renamed {
            self.give_up(probe, why);
        }
        let (rows, gone) = (&self.rows, &mut self.gone);
        let taken: HashSet<_> = rows.values().filter_map(|row| row.probe.as_ref()).collect();
        gone.retain(|probe, _| !taken.contains(probe));
        left_out
    }

    fn give_up(&mut self, probe: ProbeId, why: String) {
        if self.gone.len() < GONE_MAX {
            self.gone.insert(probe, why);
        }
    }

    /// Notes when the device last reported something of a row.
    pub(super) fn seen(&mut self, index: &[u32], at: Option<Instant>) {
        if let Some(row) = self.rows.get_mut(index) {
            row.seen_at = row.seen_at.max(at);
        }
    }

    /// Which kind of thing it is read by.
    pub(super) fn kind(&self) -> ProfileKind {
        self.kind
    }

    /// What can be measured of each row.
    pub(super) fn section(&self) -> &Arc<Section> {
        &self.section
    }

    /// All rows that were seen, by index.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Vec<u32>, &KnownRow)> {
        self.rows.iter()
    }

    /// The probes that nothing is measured for any more, and why.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&ProbeId, &String)> {
        self.gone.iter()
    }
}

#[cfg(test)]
mod tests;
