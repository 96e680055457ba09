//! Which variables tell the power of an outlet or a whole device, the best of them that nothing contradicts.
//!
//! Many NUT drivers map a variable that the device never fills: `ups.realpower` stands at 0 beside a load of 24 %, or at
//! the rating. A source is held against its neighbours each round, and does not win against what contradicts it.
//!
//! Source: NUT 2.8, `docs/nut-names.txt`; the public dumps of networkupstools/nut-ddl.

use kwapi_core::{Amperes, NoReading, Quality, Reading, Volts};

use super::variables::{Variables, beginning};
use crate::value::{self, PowerUnit};

/// Where the power of a whole device may be, in the order tried; each also as the sum of its phases.
const SIDES: [&str; 3] = ["ups", "input", "output"];
/// The phases of a device.
const PHASES: [&str; 3] = ["L1", "L2", "L3"];
/// From here on a load, in percent, is one: below, a UPS may mean itself.
const LOAD_MIN: f64 = 5.0;
/// From here on volt-amperes are a load: below, an idle current sensor may say as much.
const VOLT_AMPERES_MIN: f64 = 50.0;
/// Watts beyond this many times volts times amperes are no measurement: three phases at the line voltage and one
/// phase's amperes come to less.
const WATTS_A_VOLT_AMPERE_MAX: f64 = 3.5;

/// What the operator knows of a device that says no watts.
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
    /// Volts, if told, and amperes: the driver manager derives the watts.
    Current { voltage: Option<String>, current: String },
    /// Volt-amperes by this factor.
    Apparent { variable: String, factor: f64 },
    /// The load's share of full load, in watts.
    Load { variable: String, full: f64, of: String },
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
            Self::Apparent { variable, factor } => format!("{variable} × {factor}"),
            Self::Load { variable, of, .. } => format!("{variable} × {of}"),
        }
    }

    /// How good it is; less is better. Sources of one rank don't take turns.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Watts { .. } => 0,
            Self::Load { .. } => 1,
            Self::Current { .. } => 2,
            Self::Apparent { .. } => 3,
        }
    }

    /// What `variables` say of it.
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
                    voltage: variables.number(&format!("{beginning}voltage")).map(Volts),
                    current: variables.number(&format!("{beginning}current")).map(Amperes),
                    ..Reading::default()
                })
            }
            Self::Current { voltage, current } => Ok(Reading {
                voltage: voltage.as_ref().map(number).transpose()?.map(Volts),
                current: Some(Amperes(number(current)?)),
                ..Reading::default()
            }),
            Self::Apparent { variable, factor } => estimate(number(variable)? * factor),
            Self::Load { variable, full, .. } => estimate(number(variable)? / 100.0 * full),
        }
    }
}

/// Where the power of `key` is: an outlet, a group (`group.1`), `total`, or `2.total` in a daisy chain.
pub(super) fn choose(variables: &Variables, key: &str, rating: &Rating) -> NutChoice {
    match key.strip_suffix("total") {
        Some(chained) => {
            let device = if chained.is_empty() { String::new() } else { format!("device.{chained}") };
            whole(variables, &device, rating)
        }
        None => outlet(variables, key),
    }
}

/// Whether `source` is still right: nothing beside it says that it is not filled.
pub(super) fn contradiction(variables: &Variables, key: &str, source: &NutSource) -> Option<String> {
    let NutSource::Watts { variables: summed, beginning } = source else { return None };
    let watts = summed.iter().map(|name| variables.number(name)).sum::<Option<f64>>()?;
    let device = match key.strip_suffix("total") {
        Some("") => Some(String::new()),
        Some(chained) => Some(format!("device.{chained}")),
        None => None,
    };
    against(variables, device.as_deref(), &source.name(), watts, beginning)
}

fn outlet(variables: &Variables, key: &str) -> NutChoice {
    let beginning = beginning(key);
    let mut choice = NutChoice::default();
    let watts = format!("{beginning}realpower");
    if let Some(number) = variables.number(&watts) {
        match against(variables, None, &watts, number, &beginning) {
            Some(why) => choice.why.push(why),
            None => return choice.with(NutSource::Watts { variables: vec![watts], beginning }),
        }
    }
    let current = format!("{beginning}current");
    if variables.number(&current).is_some() {
        let voltage =
            [format!("{beginning}voltage"), "output.voltage".to_owned(), "input.voltage".to_owned()]
                .into_iter()
                .find(|name| variables.number(name).is_some_and(|volts| volts > 0.0));
        return choice.with(NutSource::Current { voltage, current });
    }
    // It is there, and has no number just now.
    if choice.why.is_empty() && variables.contains(&watts) {
        return choice.with(NutSource::Watts { variables: vec![watts], beginning });
    }
    choice
}

fn whole(variables: &Variables, device: &str, rating: &Rating) -> NutChoice {
    let mut choice = NutChoice::default();
    let total = variables.group_called_total(device).map(|group| vec![format!("{group}realpower")]);
    let sides = SIDES.iter().flat_map(|side| {
        let phases = PHASES.iter().map(|phase| format!("{device}{side}.{phase}.realpower"));
        [vec![format!("{device}{side}.realpower")], phases.collect()]
    });
    let all = sides.chain([vec![format!("{device}outlet.realpower")]]).chain(total);
    for summed in all {
        let Some(watts) = summed.iter().map(|name| variables.number(name)).sum::<Option<f64>>() else {
            continue;
        };
        let side = if summed.iter().any(|name| name.contains("input.")) { "input." } else { "output." };
        let beginning = format!("{device}{side}");
        let source = NutSource::Watts { variables: summed, beginning: beginning.clone() };
        match against(variables, Some(device), &source.name(), watts, &beginning) {
            Some(why) => choice.why.push(why),
            None => return choice.with(source),
        }
    }
    estimated(variables, device, rating, choice)
}

/// The best estimate of a device that says no watts.
fn estimated(variables: &Variables, device: &str, rating: &Rating, mut choice: NutChoice) -> NutChoice {
    let above = |name: &str, least: f64| {
        let name = format!("{device}{name}");
        variables.number(&name).filter(|number| *number > least).map(|number| (name, number))
    };
    let volt_amperes = SIDES.iter().skip(1).rev().find_map(|side| {
        let (voltage, volts) = above(&format!("{side}.voltage"), 0.0)?;
        let (current, amperes) = above(&format!("{side}.current"), 0.0)?;
        Some((NutSource::Current { voltage: Some(voltage), current }, volts * amperes))
    });
    let load = variables.number(&format!("{device}ups.load"));
    let is_empty = load.is_some_and(|load| load < LOAD_MIN);
    let has_current = volt_amperes.as_ref().is_some_and(|(_, product)| *product >= VOLT_AMPERES_MIN);
    let watts = || {
        let nominal = ["ups.realpower.nominal", "output.realpower.nominal"];
        let stated = || nominal.iter().find_map(|name| above(name, 1.0)).map(|(name, full)| (full, name));
        rating.nominal_watts.map(|full| (full, format!("{full} W"))).or_else(stated)
    };
    let apparent = || {
        let nominal = ["ups.power.nominal", "output.power.nominal"];
        let (name, full) = nominal.iter().find_map(|name| above(name, 10.0))?;
        let factor = rating.power_factor?;
        Some((full * factor, format!("{name} × {factor}")))
    };
    if let Some(share) = load {
        let variable = format!("{device}ups.load");
        if is_empty && has_current {
            choice.why.push(format!("{variable} is {share} despite a measured current"));
        } else if let Some((full, of)) = watts() {
            return choice.with(NutSource::Load { variable, full, of });
        }
    }
    if let Some((source, _)) = volt_amperes {
        return choice.with(source);
    }
    let factor = rating.power_factor.unwrap_or(1.0);
    if let Some((variable, _)) = above("ups.power", 0.0) {
        return choice.with(NutSource::Apparent { variable, factor });
    }
    if load.is_some() {
        if let Some((full, of)) = apparent() {
            return choice.with(NutSource::Load { variable: format!("{device}ups.load"), full, of });
        }
        choice.why.push(
            "ups.load needs nominal_watts to give watts, or power_factor where the VA rating is reported"
                .to_owned(),
        );
    }
    choice
}

impl NutChoice {
    fn with(mut self, source: NutSource) -> Self {
        self.source = Some(source);
        self
    }
}

/// What contradicts `watts` of a source: a device that feeds a load does not draw nothing, and nothing draws more watts
/// than volt-amperes. Without a `device` the source is an outlet's.
fn against(
    variables: &Variables,
    device: Option<&str>,
    name: &str,
    watts: f64,
    beginning: &str,
) -> Option<String> {
    let product = |beginning: &str| {
        let volts = variables.number(&format!("{beginning}voltage"));
        let volts =
            volts.or_else(|| device.is_none().then(|| variables.number("input.voltage")).flatten())?;
        Some(volts * variables.number(&format!("{beginning}current"))?)
    };
    let beside = product(beginning).filter(|product| *product > 0.0);
    if watts == 0.0 {
        let output = device.and_then(|device| product(&format!("{device}output.")));
        if let Some(product) =
            [beside, output].into_iter().flatten().find(|product| *product >= VOLT_AMPERES_MIN)
        {
            return Some(format!("{name} is 0 at {product:.0} VA"));
        }
        let device = device?;
        // On battery nothing comes in.
        let on_battery =
            variables.text(&format!("{device}ups.status")).is_some_and(|status| status.contains("OB"));
        if on_battery && name.contains("input.") {
            return None;
        }
        let load = variables.number(&format!("{device}ups.load")).filter(|load| *load >= LOAD_MIN);
        let power =
            variables.number(&format!("{device}ups.power")).filter(|power| *power >= VOLT_AMPERES_MIN);
        return match (load, power) {
            (Some(load), _) => Some(format!("{name} is 0 at a load of {load} %")),
            (None, Some(power)) => Some(format!("{name} is 0 at {power} VA")),
            (None, None) => None,
        };
    }
    let product = beside?;
    let most = product * WATTS_A_VOLT_AMPERE_MAX + VOLT_AMPERES_MIN;
    (watts > most).then(|| format!("{name} is {watts} W at {product:.0} VA; probably the rated power"))
}

#[cfg(test)]
mod tests;
