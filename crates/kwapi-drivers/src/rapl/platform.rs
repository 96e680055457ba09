//! Which counter is the whole machine's: that of the platform (`psys`), if it counts, or those of packages and memory.
//!
//! Many processors show a psys that the board never feeds (`MSR_PLATFORM_ENERGY_COUNTER` stands at 0, or creeps). What
//! contains the packages cannot count less than they do.

use kwapi_core::{Energy, MeterCounter, NoReading};

use super::zones::{Total, Zone};
use crate::driver::DriverError;
use crate::parts::Notes;

/// The packages have to have used so much before psys is judged by them.
const JUDGED_FROM: Energy = Energy::from_millijoules(500);
/// psys may be behind its packages by this share, since the counters are not read at one instant.
const BEHIND_SHARE: f64 = 0.1;
/// So many readings in which the packages used next to nothing, and psys is not proven: packages and memory it is.
const UNDECIDED_MAX: u32 = 10;

/// The platform's counter and its parts', compared as long as the session lasts.
#[derive(Debug)]
pub(super) struct Machine {
    psys: Total,
    parts: Total,
    /// What each had advanced when they were last compared.
    compared: (Energy, Energy),
    verdict: Verdict,
}

/// What psys was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Not compared yet, in so many readings.
    Undecided(u32),
    Counts,
    StandsStill,
    NeverProven,
}

impl Machine {
    pub(super) fn new(psys: usize, parts: Vec<usize>) -> Self {
        Self {
            psys: Total::of(vec![psys]),
            parts: Total::of(parts),
            compared: (Energy::ZERO, Energy::ZERO),
            verdict: Verdict::Undecided(0),
        }
    }

    /// The counter of the whole machine; not ready while it is not known which that is.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub(super) fn read(
        &mut self,
        zones: &[Zone],
        notes: &mut Notes,
    ) -> Result<Result<MeterCounter, NoReading>, DriverError> {
        let parts = self.parts.read(zones, notes);
        let psys = self.psys.read(zones, notes);
        self.judge();
        match (self.verdict, psys, parts) {
            (Verdict::Undecided(_), Ok(_), Ok(_)) => {
                Ok(Err(NoReading::NotReady("comparing psys with its packages".to_owned())))
            }
            (Verdict::Counts, psys, _) => psys.map(Ok),
            (Verdict::Undecided(_), Ok(psys), Err(_)) => Ok(Ok(psys)),
            (Verdict::StandsStill | Verdict::NeverProven, _, parts)
            | (Verdict::Undecided(_), Err(_), parts) => parts.map(Ok),
        }
    }

    /// Reads both to compare them.
    pub(super) fn compare(&mut self, zones: &[Zone], notes: &mut Notes) {
        _ = self.read(zones, notes);
    }

    pub(super) fn uses(&self, zones: &[Zone], zone: &Zone) -> bool {
        let total = match self.verdict {
            Verdict::Undecided(_) => return false,
            Verdict::Counts => &self.psys,
            Verdict::StandsStill | Verdict::NeverProven => &self.parts,
        };
        total.zones(zones).any(|used| used.key == zone.key)
    }

    pub(super) fn why(&self) -> &'static str {
        match self.verdict {
            Verdict::Undecided(_) => "comparison with the packages in progress",
            Verdict::Counts => "counts no less than the packages; used as the total",
            Verdict::StandsStill => {
                "counts less than the packages, so it is not wired on this machine; the total is packages plus memory"
            }
            Verdict::NeverProven => "not enough load to verify it; the total is packages plus memory",
        }
    }

    /// Compares what both advanced since they were last compared. Once it has been found standing still, psys is left
    /// out for the session: a total does not change what it counts to and fro.
    fn judge(&mut self) {
        let (psys, parts) = (self.psys.advanced(), self.parts.advanced());
        let (psys_before, parts_before) = self.compared;
        let used = parts.saturating_sub(parts_before);
        if used < JUDGED_FROM {
            if let Verdict::Undecided(readings) = &mut self.verdict {
                *readings += 1;
                if *readings > UNDECIDED_MAX {
                    self.verdict = Verdict::NeverProven;
                }
            }
            return;
        }
        self.compared = (psys, parts);
        let least = used.joules() * (1.0 - BEHIND_SHARE);
        let counts = psys.saturating_sub(psys_before).joules() >= least;
        self.verdict = match (self.verdict, counts) {
            (Verdict::Undecided(_) | Verdict::Counts, true) => Verdict::Counts,
            (Verdict::Undecided(_) | Verdict::Counts, false) => Verdict::StandsStill,
            (left_out @ (Verdict::StandsStill | Verdict::NeverProven), _) => left_out,
        };
    }
}
