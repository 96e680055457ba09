//! Where the power of an outlet or a whole device is, and what is read there.
//!
//! Many NUT drivers map a variable that the device never fills: `ups.realpower` stands at 0 beside a load of 24 %, or at
//! the rating. A source is held against its neighbours each round, and does not win against what contradicts it.
//!
//! Source: NUT 2.8, `docs/nut-names.txt`; the public dumps of networkupstools/nut-ddl.

use kwapi_core::{Amperes, NoReading, Quality, Reading, Volts};

use super::variables::Variables;
use crate::value::{self, PowerUnit};

/// The phases of a device.
pub(super) const PHASES: [&str; 3] = ["L1", "L2", "L3"];

/// What the operator configures for a device that reports no watts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rating {
    /// Full load, in watts.
    pub(super) nominal_watts: Option<f64>,
    /// Watts a volt-ampere.
    pub(super) power_factor: Option<f64>,
}

/// Where the power of one outlet or device is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NutSource {
    /// Variables in watts that are added; their neighbours' names begin like this.
    Watts { variables: Vec<String>, beginning: String },
    /// Volts, if reported, and amperes: the driver manager derives the watts.
    Current { voltage: Option<String>, current: String },
    /// Volt-amperes by this factor: the products of each of `terms`, added.
    Apparent { terms: Vec<Vec<String>>, factor: f64 },
    /// The load's share of full load, in watts, which may come from a rating in volt-amperes.
    Load { variable: String, full: f64, of: String, is_of_volt_amperes: bool },
}

/// What was chosen for an outlet, and what was passed over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NutChoice {
    pub(super) source: Option<NutSource>,
    /// Why better sources are not used, or what is missing for there to be one.
    pub(super) why: Vec<String>,
}

impl NutSource {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Watts { variables, .. } => variables.join(" + "),
            Self::Current { voltage: Some(voltage), current } => format!("{voltage} × {current}"),
            Self::Current { voltage: None, current } => current.clone(),
            Self::Apparent { terms, factor } => {
                let terms: Vec<String> = terms.iter().map(|term| term.join(" × ")).collect();
                match terms.as_slice() {
                    [only] => format!("{only} × {factor}"),
                    _ => format!("({}) × {factor}", terms.join(" + ")),
                }
            }
            Self::Load { variable, of, .. } => format!("{variable} × {of}"),
        }
    }

    /// How good it is; less is better. Sources of one rank don't take turns.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Watts { .. } => 0,
            Self::Load { is_of_volt_amperes: false, .. } => 1,
            Self::Apparent { terms, .. } if terms.len() > 1 => 2,
            Self::Current { voltage: Some(_), .. } => 3,
            Self::Apparent { .. } => 4,
            Self::Load { is_of_volt_amperes: true, .. } => 5,
            Self::Current { voltage: None, .. } => 6,
        }
    }

    /// What `variables` hold of it.
    ///
    /// # Errors
    /// When it has no number now, or one that makes no sense.
    pub(super) fn read(&self, variables: &Variables) -> Result<Reading, NoReading> {
        let number = |name: &String| {
            variables.number(name).ok_or_else(|| NoReading::NotAvailable(format!("{name} has no value")))
        };
        let estimate = |watts: f64| {
            let power = Some(value::power(watts, PowerUnit::W)?);
            Ok(Reading { power, quality: Quality::Estimated, ..Reading::default() })
        };
        match self {
            Self::Watts { variables: summed, beginning } => {
                let watts = summed.iter().map(number).sum::<Result<f64, NoReading>>()?;
                Ok(Reading {
                    power: Some(value::power(watts, PowerUnit::W)?),
                    voltage: variables.volts(&format!("{beginning}voltage")).map(Volts),
                    current: variables.number(&format!("{beginning}current")).map(Amperes),
                    ..Reading::default()
                })
            }
            Self::Current { voltage, current } => Ok(Reading {
                voltage: voltage.as_ref().map(number).transpose()?.map(Volts),
                current: Some(Amperes(number(current)?)),
                ..Reading::default()
            }),
            Self::Apparent { terms, factor } => {
                let product =
                    |term: &Vec<String>| term.iter().map(number).product::<Result<f64, NoReading>>();
                estimate(terms.iter().map(product).sum::<Result<f64, NoReading>>()? * factor)
            }
            Self::Load { variable, full, .. } => estimate(number(variable)? * full / 100.0),
        }
    }
}

impl NutChoice {
    pub(super) fn with(mut self, source: NutSource) -> Self {
        self.source = Some(source);
        self
    }
}
