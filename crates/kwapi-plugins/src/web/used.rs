//! What probes have used: all that an answer states of it is true at one position in the journal.

use std::sync::Arc;

use kwapi_core::{Period, ProbeId, Timestamp, Totals};
use kwapi_graph::{EnergyFigure, window};
use kwapi_history::journal::Position;
use kwapi_history::{WindowEnergy, WindowsAnswer};

use crate::directory::{Directory, EnergySince};

/// Totals of some probes, and what they used in some periods; nothing where no ledger is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    answer: Option<Arc<WindowsAnswer>>,
    periods: Vec<Period>,
}

impl Used {
    /// Queries `probes` in the stretches of time that graphs of `periods` show at `now`.
    pub(super) fn read(
        directory: &Directory,
        probes: &[ProbeId],
        periods: &[Period],
        now: Timestamp,
    ) -> Self {
        let windows: Vec<(Timestamp, Timestamp)> = periods
            .iter()
            .map(|period| {
                let (start, end) = window(*period, now.seconds());
                (Timestamp::from_seconds(start), Timestamp::from_seconds(end))
            })
            .collect();
        let answer = directory.used(probes, &windows, now).map(Arc::new);
        Self { answer, periods: periods.to_vec() }
    }

    /// The position in the journal that it is true at.
    pub(super) fn position(&self) -> Option<Position> {
        self.answer.as_ref().map(|answer| answer.position)
    }

    /// Whether it shows the same, at whatever position.
    pub(super) fn shows_same(&self, other: &Self) -> bool {
        match (&self.answer, &other.answer) {
            (Some(one), Some(other)) => one.windows == other.windows && one.probes == other.probes,
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// What a probe used in a period; `None` where only its rows show it.
    pub(super) fn figure(&self, probe: &ProbeId, period: Period) -> Option<EnergyFigure> {
        let at = self.periods.iter().position(|listed| *listed == period)?;
        self.answer.as_ref()?.window(at, probe).map(figure)
    }

    /// What probes used together in a period; `None` where only their rows show it.
    pub(super) fn sum<'a>(
        &self,
        probes: impl Iterator<Item = &'a ProbeId>,
        period: Period,
    ) -> Option<EnergyFigure> {
        let at = self.periods.iter().position(|listed| *listed == period)?;
        let answer = self.answer.as_ref()?;
        let (mut sum, mut has_rrd) = (None, false);
        for probe in probes {
            match answer.window(at, probe).unwrap_or_default() {
                WindowEnergy::Unknown => {}
                // A sum that lacks a part is not shown as if it were whole.
                WindowEnergy::Unreadable => return Some(EnergyFigure::Unknown),
                WindowEnergy::Ledger(mj) => sum = Some(sum.unwrap_or(0_i64).saturating_add(mj)),
                WindowEnergy::WithRrd(mj) => {
                    has_rrd = true;
                    sum = Some(sum.unwrap_or(0_i64).saturating_add(mj));
                }
            }
        }
        let of_all = sum.map_or(WindowEnergy::Unknown, |mj| {
            if has_rrd { WindowEnergy::WithRrd(mj) } else { WindowEnergy::Ledger(mj) }
        });
        Some(figure(of_all))
    }

    /// The account of a probe with what it had come to at this position. `live` is the account as it is known of a probe
    /// that was received since the start; the ledger has others too.
    pub(super) fn account(&self, probe: &ProbeId, live: Option<EnergySince>) -> Option<EnergySince> {
        let Some((energy, since)) = self.answer.as_ref().and_then(|answer| answer.total(probe)) else {
            return live;
        };
        let account = live.unwrap_or(EnergySince { since, until: None, totals: Totals::default() });
        Some(EnergySince { totals: Totals { energy, ..account.totals }, ..account })
    }
}

/// Joules as a legend shows them.
fn figure(used: WindowEnergy) -> EnergyFigure {
    let kwh = |mj: i64| mj as f64 / 3.6e9;
    match used {
        WindowEnergy::Unknown | WindowEnergy::Unreadable => EnergyFigure::Unknown,
        WindowEnergy::Ledger(mj) => EnergyFigure::Known(kwh(mj)),
        WindowEnergy::WithRrd(mj) => EnergyFigure::About(kwh(mj)),
    }
}
