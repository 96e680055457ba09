//! Sums that are kept and seldom looked at, in two thirds of the room: a manager may have a hundred thousand of them.

use std::time::Duration;

use super::super::status::Sums;

/// [`Sums`], to the microjoule and the nanosecond up to 7.9e28 µJ and 584 years; beyond that they stand still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PackedSums {
    /// Measured, estimated, bridged: the lower 64 bits of microjoules, and the upper 32.
    low_uj: [u64; 3],
    high_uj: [u32; 3],
    /// Measured, estimated, bridged, unknown, in nanoseconds.
    time_ns: [u64; 4],
}

impl PackedSums {
    pub(super) fn of(sums: &Sums) -> Self {
        const MOST_UJ: u128 = (1 << 96) - 1;
        let energy = [sums.measured_uj, sums.estimated_uj, sums.bridged_uj].map(|uj| uj.min(MOST_UJ));
        let time = [sums.measured, sums.estimated, sums.bridged, sums.unknown];
        Self {
            low_uj: energy.map(|uj| u64::try_from(uj & u128::from(u64::MAX)).unwrap_or(u64::MAX)),
            high_uj: energy.map(|uj| u32::try_from(uj >> 64).unwrap_or(u32::MAX)),
            time_ns: time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    pub(super) fn sums(&self) -> Sums {
        let [measured, estimated, bridged] = self.low_uj.map(u128::from);
        let [measured_high, estimated_high, bridged_high] = self.high_uj.map(|high| u128::from(high) << 64);
        let [measured_ns, estimated_ns, bridged_ns, unknown_ns] = self.time_ns.map(Duration::from_nanos);
        Sums {
            measured_uj: measured | measured_high,
            estimated_uj: estimated | estimated_high,
            bridged_uj: bridged | bridged_high,
            measured: measured_ns,
            estimated: estimated_ns,
            bridged: bridged_ns,
            unknown: unknown_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_century_of_a_gigawatt_comes_out_as_it_went_in() {
        let century = Duration::from_secs(100 * 365 * 86_400);
        let sums = Sums {
            measured_uj: 3_155_760_000_000_000_000_000_001,
            estimated_uj: 1 << 64,
            bridged_uj: u128::from(u64::MAX),
            measured: century + Duration::from_nanos(1),
            estimated: Duration::from_nanos(999),
            bridged: Duration::ZERO,
            unknown: century,
        };
        assert_eq!(PackedSums::of(&sums).sums(), sums);
        assert_eq!(PackedSums::default().sums(), Sums::default());
    }

    #[test]
    fn what_does_not_fit_stands_at_the_most_there_is() {
        let sums = Sums { bridged_uj: u128::MAX, unknown: Duration::MAX, ..Sums::default() };
        let packed = PackedSums::of(&sums).sums();
        assert_eq!((packed.bridged_uj, packed.unknown), ((1 << 96) - 1, Duration::from_nanos(u64::MAX)));
    }
}
