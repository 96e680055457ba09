//! The contents of a bill. Energy is in whole watt-hours, money in whole units of the currency's last decimal.

use serde::{Deserialize, Serialize};

use crate::{Decimal, ProbeId};

/// A bill: what each value of a label has used, and what that costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// In order of their names; what is allocated to none comes last.
    pub values: Vec<BillValue>,
    /// All energy, in watt-hours: the sum of the values'.
    pub energy_wh: i64,
    /// All money: the sum of the values'.
    pub amount: i64,
    /// All CO2 in grams; `None` where some of it is not known.
    pub co2_grams: Option<i64>,
}

/// The part of one value of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BillValue {
    /// The value; `None`: what is allocated to none.
    pub value: Option<String>,
    /// What it has of each probe, in order of their ids.
    pub probes: Vec<BillProbe>,
    /// What is charged by the month and by its highest quarter hour.
    pub charges: Vec<BillCharge>,
    /// Its highest quarter hour, of all its probes together.
    pub peak: Option<BillPeak>,
    /// Its energy in watt-hours: the sum of its probes'.
    pub energy_wh: i64,
    /// Its money: the sum of its probes' lines and of its charges.
    pub amount: i64,
    /// Its CO2 in grams; `None` where some of it is not known.
    pub co2_grams: Option<i64>,
    /// Its energy by the quarter hour, from the begin of the bill on.
    #[serde(with = "super::runs")]
    pub quarters: Vec<BillQuarterSum>,
}

/// What a value has of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BillProbe {
    /// Whose energy; of a meter above others, what is not of those.
    pub probe: ProbeId,
    /// From when the value has it, within the bill, in Unix milliseconds…
    pub from_ms: u64,
    /// …until when.
    pub until_ms: u64,
    /// Its register (energy since the ledger has it) at that begin and end, in watt-hours, rounded down.
    pub register_wh: [i64; 2],
    /// How much of it is that of probes below it and billed as theirs, in watt-hours.
    pub below_wh: i64,
    /// Energy in watt-hours. Of a probe with one owner it is the difference of the register, less what is below.
    pub energy_wh: i64,
    /// The same by status: measured, estimated, bridged.
    pub status_wh: [i64; 3],
    /// Time by status, in milliseconds.
    pub status_ms: [i64; 3],
    /// Time of which nothing is known, in milliseconds.
    pub unknown_ms: u64,
    /// Time before it was first received and after it was last, in milliseconds.
    pub absent_ms: u64,
    /// What it costs, by rate; of each rate the lines' energy is that of the probe, besides overhead.
    pub lines: Vec<BillLine>,
    /// The sum of its lines.
    pub amount: i64,
    /// CO2 in grams; `None` where there is no rate for some of it.
    pub co2_grams: Option<i64>,
}

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillLineKind {
    /// Energy that was measured or estimated, at a price for a kilowatt-hour; `None`: at those of a series.
    Energy(Option<Decimal>),
    /// Bridged energy: how much is known, but not when. It is spread evenly over its stretch.
    Bridged {
        /// What it costs at the lowest price of each stretch.
        cheapest: i64,
        /// What it costs at the highest.
        dearest: i64,
    },
    /// What the site uses besides (PUE).
    Overhead,
    /// Energy for which the rate has no price.
    Unpriced,
}

/// A line: energy, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillLine {
    /// Name of the rate.
    pub rate: String,
    /// What it is for.
    pub kind: BillLineKind,
    /// Energy in watt-hours.
    pub energy_wh: i64,
    /// Money.
    pub amount: i64,
}

/// What a charge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillChargeKind {
    /// The month: the part, in proportion to energy, of what the whole bill is charged.
    Month,
    /// The highest quarter hour in which the price applies.
    Peak(BillPeak),
}

/// What is charged besides energy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillCharge {
    /// Name of the rate.
    pub rate: String,
    /// What it is for.
    pub kind: BillChargeKind,
    /// The price: of a month, or of a kilowatt.
    pub price: Decimal,
    /// Money.
    pub amount: i64,
}

/// The highest quarter hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillPeak {
    /// Its begin, in Unix milliseconds; of several the first.
    pub begin_ms: u64,
    /// Its energy in millijoules.
    pub mj: i64,
}

impl BillPeak {
    /// Its mean power in watts, rounded down.
    pub fn watts(&self) -> i64 {
        self.mj / 900_000
    }
}

/// How sure the energy of a quarter hour is: as sure as the least sure part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarterStatus {
    /// No probe was there.
    #[default]
    Absent,
    /// Measured.
    Measured,
    /// Some of it is estimated.
    Estimated,
    /// Some of it is bridged.
    Bridged,
    /// Of some of it nothing is known.
    Unknown,
}

impl QuarterStatus {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Bridged => "bridged",
            Self::Unknown => "unknown",
        }
    }
}

/// A quarter hour of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BillQuarterSum {
    /// Energy in millijoules.
    pub mj: i64,
    /// How sure that is.
    pub status: QuarterStatus,
}
