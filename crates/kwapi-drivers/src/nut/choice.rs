//! Which variables give the power of an outlet or a whole device: the best of them that nothing contradicts.

use super::contradiction::against;
use super::estimate::estimated;
use super::source::{NutChoice, NutSource, PHASES, Rating};
use super::variables::{Variables, beginning};

/// Where the power of a whole device may be, in the order tried; each also as the sum of its phases.
const SIDES: [&str; 3] = ["ups", "input", "output"];

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
                .find(|name| variables.volts(name).is_some_and(|volts| volts > 0.0));
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

#[cfg(test)]
mod tests;
