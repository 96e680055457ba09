//! What contradicts a source: a device that feeds a load does not draw nothing, nothing draws more watts than
//! volt-amperes, and a load of 255 % is a placeholder.
//!
//! Source: the public dumps of networkupstools/nut-ddl, some with their owner's remark that a value is wrong.

use super::source::{NutSource, PHASES};
use super::variables::Variables;

/// From here on a load, in percent, is one: below, a UPS may mean itself.
pub(super) const LOAD_MIN: f64 = 5.0;
/// Beyond this a load, in percent, is a placeholder, and so may be what stands beside it.
pub(super) const LOAD_MAX: f64 = 200.0;
/// From here on volt-amperes are a load: below, an idle current sensor may report as much.
pub(super) const VOLT_AMPERES_MIN: f64 = 50.0;
/// Watts beyond this many times volts times amperes are no measurement: three phases at the line voltage and one
/// phase's amperes come to less. Volt-amperes that a device reports differ no more from them.
const WATTS_A_VOLT_AMPERE_MAX: f64 = 3.5;
/// Watts below this share of as many volt-amperes as a machine takes are scaled wrongly: no load has such a power factor.
const POWER_FACTOR_MIN: f64 = 0.1;
/// As many volt-amperes as a machine takes.
const MACHINE_VOLT_AMPERES: f64 = 100.0;

/// Why `source` of `key` is not right now, if something beside it shows that.
pub(super) fn contradiction(variables: &Variables, key: &str, source: &NutSource) -> Option<String> {
    let device = match key.strip_suffix("total") {
        Some("") => Some(String::new()),
        Some(chained) => Some(format!("device.{chained}")),
        None => None,
    };
    if let NutSource::Watts { variables: summed, beginning } = source {
        let watts = summed.iter().map(|name| variables.number(name)).sum::<Option<f64>>()?;
        return against(variables, device.as_deref(), &source.name(), watts, beginning);
    }
    of_estimate(variables, &device?, source)
}

/// The same of an estimate for a whole device.
pub(super) fn of_estimate(variables: &Variables, device: &str, source: &NutSource) -> Option<String> {
    let load = variables.number(&format!("{device}ups.load"));
    if let Some(load) = load.filter(|load| !(0.0..=LOAD_MAX).contains(load)) {
        // Volts and amperes are measured by other parts; the rest comes from the same sum.
        let is_of_load = matches!(source, NutSource::Load { .. } | NutSource::Apparent { .. });
        return is_of_load.then(|| format!("{device}ups.load is {load} %, a placeholder for no value"));
    }
    let number = |name: &String| variables.number(name);
    let product = match source {
        NutSource::Watts { .. } | NutSource::Load { .. } | NutSource::Current { voltage: None, .. } => {
            return None;
        }
        NutSource::Current { voltage: Some(voltage), current } => number(voltage)? * number(current)?,
        NutSource::Apparent { terms, .. } => {
            let product = |term: &Vec<String>| term.iter().map(number).product::<Option<f64>>();
            terms.iter().map(product).sum::<Option<f64>>()?
        }
    };
    if product == 0.0 {
        let load = load.filter(|load| *load >= LOAD_MIN)?;
        return Some(format!("{} is 0 at a load of {load} %", source.name()));
    }
    let power = variables.number(&format!("{device}ups.power")).filter(|power| *power >= VOLT_AMPERES_MIN)?;
    let is_far = product > power * WATTS_A_VOLT_AMPERE_MAX || product * WATTS_A_VOLT_AMPERE_MAX < power;
    let is_current = matches!(source, NutSource::Current { .. });
    (is_current && is_far).then(|| format!("{} is {product:.0} VA, {device}ups.power {power}", source.name()))
}

/// Volts times amperes of the side that begins so, of three phases or as the device reports them.
pub(super) fn volt_amperes(variables: &Variables, beginning: &str) -> Option<f64> {
    let phase = |phase: &&str| {
        let volts = |property: &str| variables.volts(&format!("{beginning}{phase}{property}"));
        let volts = volts("-N.voltage").or_else(|| volts(".voltage"))?;
        Some(volts * variables.number(&format!("{beginning}{phase}.current"))?)
    };
    let phases = PHASES.iter().map(phase).sum::<Option<f64>>().filter(|sum| *sum > 0.0);
    phases.or_else(|| {
        let volts = variables.volts(&format!("{beginning}voltage"))?;
        Some(volts * variables.number(&format!("{beginning}current"))?)
    })
}

/// What contradicts `watts` of a source. Without a `device` the source is an outlet's.
pub(super) fn against(
    variables: &Variables,
    device: Option<&str>,
    name: &str,
    watts: f64,
    beginning: &str,
) -> Option<String> {
    let outlet = || {
        let current = variables.number(&format!("{beginning}current"))?;
        Some(variables.volts("input.voltage").filter(|_| device.is_none())? * current)
    };
    let beside = volt_amperes(variables, beginning).or_else(outlet).filter(|product| *product > 0.0);
    if watts == 0.0 {
        let output = device.and_then(|device| volt_amperes(variables, &format!("{device}output.")));
        if let Some(product) =
            [beside, output].into_iter().flatten().find(|product| *product >= VOLT_AMPERES_MIN)
        {
            return Some(format!("{name} is 0 at {product:.0} VA"));
        }
        return at_load(variables, device?, name);
    }
    let product = beside?;
    if device.is_some() && product >= MACHINE_VOLT_AMPERES && watts < product * POWER_FACTOR_MIN {
        return Some(format!("{name} is {watts} W at {product:.0} VA; probably scaled wrongly"));
    }
    let most = product * WATTS_A_VOLT_AMPERE_MAX + VOLT_AMPERES_MIN;
    (watts > most).then(|| format!("{name} is {watts} W at {product:.0} VA; probably the rated power"))
}

/// What a whole device that reports 0 W reports of its load.
fn at_load(variables: &Variables, device: &str, name: &str) -> Option<String> {
    // On battery nothing comes in.
    let on_battery =
        variables.text(&format!("{device}ups.status")).is_some_and(|status| status.contains("OB"));
    if on_battery && name.contains("input.") {
        return None;
    }
    let load = variables.number(&format!("{device}ups.load"));
    let power = variables.number(&format!("{device}ups.power")).filter(|power| *power >= VOLT_AMPERES_MIN);
    match (load.filter(|load| (LOAD_MIN..=LOAD_MAX).contains(load)), power) {
        (Some(load), _) => Some(format!("{name} is 0 at a load of {load} %")),
        (None, Some(power)) => Some(format!("{name} is 0 at {power} VA")),
        (None, None) => None,
    }
}
