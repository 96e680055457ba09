//! Open rows in a third of the room: a ledger has three of each of a hundred thousand probes.

use super::{Increment, Row, RowStep, Rows};
use crate::Watts;

/// Open rows as they are kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Packed {
    /// Each row, if there is one, has the last millisecond before `closed_until`, and all that is in them is of one status.
    Usual {
        /// Which rows there are, and which of these have a peak: a bit each, the shortest row's the lowest.
        has_row: u8,
        has_peak: u8,
        /// The place of the status in an [`Increment`].
        status: u8,
        ms: [u32; 3],
        mj: [i64; 3],
        peak: [f64; 3],
        closed_until: u64,
    },
    /// Any other: a message came late, the clock was set, or a row has several statuses.
    Other(Box<Rows>),
}

impl Default for Packed {
    fn default() -> Self {
        let (ms, mj, peak) = ([0; 3], [0; 3], [0.0; 3]);
        Self::Usual { has_row: 0, has_peak: 0, status: 0, ms, mj, peak, closed_until: 0 }
    }
}

impl Packed {
    pub(super) fn closed_until(&self) -> u64 {
        match self {
            Self::Usual { closed_until, .. } => *closed_until,
            Self::Other(rows) => rows.closed_until,
        }
    }

    pub(super) fn rows(&self) -> Rows {
        match self {
            Self::Usual { has_row, has_peak, status, ms, mj, peak, closed_until } => {
                let mut rows = Rows { rows: [None; 3], closed_until: *closed_until };
                let parts = ms.iter().zip(mj).zip(peak).zip(RowStep::ALL).zip(&mut rows.rows).enumerate();
                for (place, ((((ms, mj), peak), step), row)) in parts {
                    let has = |bits: u8| bits >> place & 1 == 1;
                    if has(*has_row) {
                        let of = |value: i64| [0, 1, 2].map(|place| if place == *status { value } else { 0 });
                        *row = Some(Row {
                            begin: usual_begin(step, *closed_until),
                            increment: Increment { mj: of(*mj), ms: of(i64::from(*ms)) },
                            peak: has(*has_peak).then_some(Watts(*peak)),
                        });
                    }
                }
                rows
            }
            Self::Other(rows) => Rows::clone(rows),
        }
    }

    /// Keeps `rows`; in the room there is where that has been taken already.
    pub(super) fn set(&mut self, rows: Rows) {
        match (usual(&rows), &mut *self) {
            (Some(usual), _) => *self = usual,
            (None, Self::Other(room)) => **room = rows,
            (None, Self::Usual { .. }) => *self = Self::Other(Box::new(rows)),
        }
    }
}

/// The rows as [`Packed::Usual`], if they are.
fn usual(rows: &Rows) -> Option<Packed> {
    let closed_until = rows.closed_until;
    let (mut has_row, mut has_peak, mut ms, mut mj, mut peak) = (0, 0, [0; 3], [0; 3], [0.0; 3]);
    let is_used = |status: usize| {
        let of = |increment: &Increment| [increment.mj, increment.ms].map(|by| by.get(status).copied());
        rows.rows.iter().flatten().any(|row| of(&row.increment) != [Some(0); 2])
    };
    let mut used = (0..3_u8).filter(|status| is_used(usize::from(*status)));
    let status = used.next().unwrap_or(0);
    if used.next().is_some() {
        return None;
    }
    let parts = ms.iter_mut().zip(&mut mj).zip(&mut peak).zip(RowStep::ALL).zip(&rows.rows).enumerate();
    for (place, ((((ms, mj), peak), step), row)) in parts {
        let Some(row) = row else { continue };
        if row.begin != usual_begin(step, closed_until) {
            return None;
        }
        has_row |= 1 << place;
        *ms = u32::try_from(*row.increment.ms.get(usize::from(status))?).ok()?;
        *mj = *row.increment.mj.get(usize::from(status))?;
        if let Some(Watts(watts)) = row.peak {
            has_peak |= 1 << place;
            *peak = watts;
        }
    }
    Some(Packed::Usual { has_row, has_peak, status, ms, mj, peak, closed_until })
}

/// Where the row begins that has the last millisecond before `closed_until`.
fn usual_begin(step: RowStep, closed_until: u64) -> u64 {
    step.begin(closed_until.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_row() -> impl Strategy<Value = Row> {
        let number = || prop_oneof![3 => Just(0), 2 => 0..100_000_i64, 1 => any::<i64>()];
        let begin = prop_oneof![Just(0_u64), Just(60_000), Just(900_000), Just(86_400_000), any::<u64>()];
        let (mj, ms) = ([number(), number(), number()], [number(), number(), number()]);
        (begin, mj, ms, prop::option::of(0.0..1e9_f64)).prop_map(|(begin, mj, ms, peak)| Row {
            begin,
            increment: Increment { mj, ms },
            peak: peak.map(Watts),
        })
    }

    proptest! {
        #[test]
        fn rows_come_out_as_they_went_in(
            all in prop::collection::vec(([any_row(), any_row(), any_row()], 0..8_u8, any::<bool>(), 0..200_000_000_u64), 1..5),
        ) {
            let mut packed = Packed::default();
            for (rows, present, is_aligned, closed_until) in all {
                let mut rows = Rows { rows: rows.map(Some), closed_until };
                for (place, (row, step)) in rows.rows.iter_mut().zip(RowStep::ALL).enumerate() {
                    if present >> place & 1 == 0 {
                        *row = None;
                    } else if let (true, Some(row)) = (is_aligned, row) {
                        row.begin = usual_begin(step, closed_until);
                    }
                }
                packed.set(rows.clone());
                prop_assert_eq!(packed.rows(), rows);
                prop_assert_eq!(packed.closed_until(), closed_until);
            }
        }
    }

    #[test]
    fn what_is_usual_takes_no_room_of_its_own() {
        let row = |step: RowStep, status: usize| {
            let mut increment = Increment::default();
            (increment.mj[status], increment.ms[status]) = (7, 1_000);
            Some(Row { begin: usual_begin(step, 61_000), increment, peak: Some(Watts(7.0)) })
        };
        for status in 0..3 {
            let rows = Rows { rows: RowStep::ALL.map(|step| row(step, status)), closed_until: 61_000 };
            assert!(matches!(usual(&rows), Some(Packed::Usual { .. })), "{status}");
        }
        assert!(size_of::<Packed>() <= 72);
    }
}
