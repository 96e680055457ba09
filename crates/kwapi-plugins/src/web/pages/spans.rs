//! The energy of a span of time in words: how much, and how sure that is.

use kwapi_graph::EnergyFigure;
use kwapi_history::EnergySpan;

use super::super::words;

/// Its energy, as far as it may be shown as that of the whole span.
pub(super) fn figure(energy: &EnergySpan) -> EnergyFigure {
    let kwh = energy.energy_mj() as f64 / 3.6e9;
    match energy {
        // What may lack rows, or has no time in it, is not shown as if it were all.
        energy if energy.is_incomplete || energy.known_ms() == 0 => EnergyFigure::Unknown,
        energy if energy.rrd_ms > 0 => EnergyFigure::About(kwh),
        _ => EnergyFigure::Known(kwh),
    }
}

/// Which share of its time was measured and how the rest is known.
pub(super) fn shares(energy: &EnergySpan) -> Option<String> {
    let EnergySpan { known, unknown_ms, absent_ms, rrd_ms, .. } = *energy;
    let [measured, estimated, bridged] = known.ms.map(|ms| u64::try_from(ms).unwrap_or(0));
    words::shares(
        measured,
        &[
            (estimated, "estimated"),
            (bridged, "bridged"),
            (rrd_ms, "from RRD rows"),
            (unknown_ms, "unknown"),
            (absent_ms, "before the first or after the last message"),
        ],
    )
}
