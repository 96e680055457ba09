//! The best estimate of a whole device that reports no watts: a load of a rating, volt-amperes, volts and amperes.

use super::contradiction::{LOAD_MIN, VOLT_AMPERES_MIN, of_estimate, volt_amperes};
use super::source::{NutChoice, NutSource, PHASES, Rating};
use super::variables::Variables;

/// Where the volt-amperes of the phases may be that a device feeds, in the order tried.
const PHASE_SIDES: [&str; 2] = ["ups", "output"];
/// The least rating of a whole device, in watts or volt-amperes: many drivers cut 600 W to 88 (its low byte).
const NOMINAL_MIN: f64 = 100.0;

/// Adds the best estimate to `choice`, or what is missing for there to be one.
pub(super) fn estimated(
    variables: &Variables,
    device: &str,
    rating: &Rating,
    mut choice: NutChoice,
) -> NutChoice {
    let load_name = format!("{device}ups.load");
    let load = variables.number(&load_name);
    let by_watts = load.and_then(|_| of_watts(variables, device, rating));
    if let Some((load, NutSource::Load { .. })) = load.zip(by_watts.as_ref())
        && load < LOAD_MIN
        && has_current(variables, device)
    {
        choice.why.push(format!("{load_name} is {load} despite a measured current"));
    } else if let Some(source) = by_watts {
        match of_estimate(variables, device, &source) {
            Some(why) => choice.why.push(why),
            None => return choice.with(source),
        }
    }
    let reported = above(variables, device, "output.powerfactor", 0.0).filter(|(_, factor)| *factor <= 1.0);
    let reported = reported.map(|(_, factor)| factor);
    let factor = rating.power_factor.or(reported);
    let by_factor = || load.and_then(|_| of_volt_amperes(variables, device, factor));
    let assumed = factor.unwrap_or(1.0);
    // What goes in last: the filters of an idle UPS take amperes, and hardly a watt.
    let sources = [
        PHASE_SIDES.iter().find_map(|side| phases(variables, device, side, assumed)),
        current(variables, device, "output"),
        power(variables, device, assumed),
        by_factor(),
        idle(variables, device, load),
        phases(variables, device, "input", assumed),
        current(variables, device, "input"),
    ];
    for source in sources.into_iter().flatten() {
        match of_estimate(variables, device, &source) {
            Some(why) if choice.why.contains(&why) => {}
            Some(why) => choice.why.push(why),
            None => return choice.with(source),
        }
    }
    if load.is_some() {
        let advice =
            "ups.load needs nominal_watts to give watts, or power_factor where the VA rating is reported";
        choice.why.push(advice.to_owned());
    }
    if let Some((current, amperes)) = number(variables, device, "input.current").filter(|(_, it)| *it < 0.0) {
        choice.why.push(format!("{current} is {amperes}: it feeds back"));
    }
    // Amperes alone: the operator may have configured the voltage.
    match above(variables, device, "output.current", 0.0) {
        Some((current, _)) if load.is_none() => choice.with(NutSource::Current { voltage: None, current }),
        Some(_) | None => choice,
    }
}

fn number(variables: &Variables, device: &str, name: &str) -> Option<(String, f64)> {
    let name = format!("{device}{name}");
    variables.number(&name).map(|number| (name, number))
}

fn above(variables: &Variables, device: &str, name: &str, least: f64) -> Option<(String, f64)> {
    number(variables, device, name).filter(|(_, number)| *number > least)
}

fn has_current(variables: &Variables, device: &str) -> bool {
    let sides = ["output.", "input."].map(|side| volt_amperes(variables, &format!("{device}{side}")));
    sides.into_iter().flatten().find(|product| *product > 0.0).is_some_and(|it| it >= VOLT_AMPERES_MIN)
}

/// The load's share of a rating in watts, the operator's or the device's.
fn of_watts(variables: &Variables, device: &str, rating: &Rating) -> Option<NutSource> {
    let nominal = ["ups.realpower.nominal", "output.realpower.nominal"];
    let stated = || nominal.iter().find_map(|name| above(variables, device, name, NOMINAL_MIN));
    let (full, of) = rating
        .nominal_watts
        .map(|full| (full, format!("{full} W")))
        .or_else(|| stated().map(|(name, full)| (full, name)))?;
    let variable = format!("{device}ups.load");
    Some(NutSource::Load { variable, full, of, is_of_volt_amperes: false })
}

/// The load's share of a rating in volt-amperes, by a power factor that the operator or the device gives.
fn of_volt_amperes(variables: &Variables, device: &str, factor: Option<f64>) -> Option<NutSource> {
    let nominal = ["ups.power.nominal", "output.power.nominal"];
    let (name, full) = nominal.iter().find_map(|name| above(variables, device, name, NOMINAL_MIN))?;
    let factor = factor?;
    let (variable, of) = (format!("{device}ups.load"), format!("{name} × {factor}"));
    Some(NutSource::Load { variable, full: full * factor, of, is_of_volt_amperes: true })
}

/// The volt-amperes of three phases: as they are reported, or volts times amperes of each.
fn phases(variables: &Variables, device: &str, side: &str, factor: f64) -> Option<NutSource> {
    let reported = |phase: String| Some(vec![format!("{phase}.power")]);
    let multiplied = |phase: String| {
        let voltages = [format!("{phase}-N.voltage"), format!("{phase}.voltage")];
        let voltage = voltages.into_iter().find(|name| variables.volts(name).is_some_and(|it| it > 0.0))?;
        Some(vec![voltage, format!("{phase}.current")])
    };
    let ways: [&dyn Fn(String) -> Option<Vec<String>>; 2] = [&reported, &multiplied];
    let product =
        |term: &Vec<String>| term.iter().map(|name| variables.number(name)).product::<Option<f64>>();
    ways.iter().find_map(|way| {
        let terms = PHASES.iter().map(|phase| way(format!("{device}{side}.{phase}")));
        let terms = terms.collect::<Option<Vec<_>>>()?;
        let sum = terms.iter().map(product).sum::<Option<f64>>()?;
        (sum > 0.0).then_some(NutSource::Apparent { terms, factor })
    })
}

/// Volts and amperes of a side. An output that reports its amperes and a voltage that it can't have is taken at its
/// nominal one.
fn current(variables: &Variables, device: &str, side: &str) -> Option<NutSource> {
    let (current, _) = above(variables, device, &format!("{side}.current"), 0.0)?;
    let nominal = || {
        let nominal = above(variables, device, "output.voltage.nominal", 90.0);
        nominal.filter(|(_, volts)| side == "output" && *volts < 500.0)
    };
    let reported = format!("{device}{side}.voltage");
    let reported = variables.volts(&reported).filter(|volts| *volts > 0.0).map(|volts| (reported, volts));
    let (voltage, _) = reported.or_else(nominal)?;
    Some(NutSource::Current { voltage: Some(voltage), current })
}

fn power(variables: &Variables, device: &str, factor: f64) -> Option<NutSource> {
    let (name, _) = above(variables, device, "ups.power", 0.0)?;
    Some(NutSource::Apparent { terms: vec![vec![name]], factor })
}

/// A device that reports 0 A or 0 VA, and does not report that it has a load.
fn idle(variables: &Variables, device: &str, load: Option<f64>) -> Option<NutSource> {
    if load.is_some_and(|load| load > 0.0) {
        return None;
    }
    let is_zero = |name| number(variables, device, name).filter(|(_, number)| *number == 0.0);
    let voltage = number(variables, device, "output.voltage").map(|(name, _)| name);
    let by_current = is_zero("output.current").zip(voltage);
    let by_current =
        by_current.map(|((current, _), voltage)| NutSource::Current { voltage: Some(voltage), current });
    by_current.or_else(|| {
        let (name, _) = is_zero("ups.power")?;
        Some(NutSource::Apparent { terms: vec![vec![name]], factor: 1.0 })
    })
}
