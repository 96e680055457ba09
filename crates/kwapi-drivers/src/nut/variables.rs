//! The variables of a UPS or PDU, and what they say of power.
//!
//! Source: NUT 2.8, `docs/net-protocol.txt` (LIST VAR) and `docs/nut-names.txt`.

use std::collections::BTreeMap;

use kwapi_core::{Amperes, NoReading, Quality, Reading, Volts};

use crate::value::{self, PowerUnit};

/// Where the power of a whole device may be, in the order tried.
const TOTALS: &[&str] = &["ups.realpower", "input.realpower", "output.realpower", "outlet.realpower"];

/// A device's variables by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables(BTreeMap<String, String>);

/// Reads `VAR <ups> <name> "<value>"`; `None` for any other line.
pub fn parse_variable(line: &str) -> Option<(&str, String)> {
    let (_, rest) = line.strip_prefix("VAR ")?.split_once(' ')?;
    let (name, quoted) = rest.split_once(' ')?;
    let quoted = quoted.trim().strip_prefix('"')?.strip_suffix('"')?;
    // A backslash keeps the quote or backslash after it.
    let mut value = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        value.push(if character == '\\' { characters.next()? } else { character });
    }
    Some((name, value))
}

/// Where the power of one outlet is, found once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A variable in watts; its neighbours have this beginning.
    Watts { variable: String, beginning: String },
    /// The load's share of the nominal power: an estimate.
    Load { beginning: String },
}

impl Source {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Watts { variable, .. } => variable.clone(),
            Self::Load { beginning } => format!("{beginning}ups.load × {beginning}ups.realpower.nominal"),
        }
    }
}

impl Variables {
    pub(super) fn insert(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The keys of the outlets that say watts: `3`, and `2.3` for outlet 3 of the second device of a daisy chain.
    pub(super) fn outlets(&self) -> Vec<String> {
        let keys = self.0.keys().filter_map(|name| {
            let (chained, rest) = match name.strip_prefix("device.") {
                Some(rest) => rest.split_once('.').map(|(device, rest)| (format!("{device}."), rest))?,
                None => (String::new(), name.as_str()),
            };
            let outlet = rest.strip_prefix("outlet.")?.strip_suffix(".realpower")?;
            outlet.parse::<u32>().ok().map(|_| format!("{chained}{outlet}"))
        });
        keys.collect()
    }

    /// What its owner calls an outlet.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        let beginning = beginning(key);
        let name = |property| self.0.get(&format!("{beginning}{property}")).map(String::as_str);
        name("name").or_else(|| name("desc"))
    }

    /// Where the power of `key` is: an outlet, `total`, or `2.total` in a daisy chain.
    pub(super) fn source(&self, key: &str) -> Option<Source> {
        let Some(chained) = key.strip_suffix("total") else {
            let beginning = beginning(key);
            let variable = format!("{beginning}realpower");
            return self.0.contains_key(&variable).then_some(Source::Watts { variable, beginning });
        };
        let device = if chained.is_empty() { String::new() } else { format!("device.{chained}") };
        let watts = TOTALS.iter().find(|name| self.number(&format!("{device}{name}")).is_some());
        if let Some(name) = watts {
            let group = if name.starts_with("input") { "input." } else { "output." };
            return Some(Source::Watts {
                variable: format!("{device}{name}"),
                beginning: format!("{device}{group}"),
            });
        }
        let has = |name: &str| self.number(&format!("{device}{name}")).is_some();
        (has("ups.load") && has("ups.realpower.nominal")).then_some(Source::Load { beginning: device })
    }

    /// What the variables say of one source.
    ///
    /// # Errors
    /// When it has no number now, or one that makes no sense.
    pub(super) fn read(&self, source: &Source) -> Result<Reading, NoReading> {
        let missing = |name: &str| NoReading::NotAvailable(format!("{name} has no number now"));
        match source {
            Source::Watts { variable, beginning } => {
                let watts = self.number(variable).ok_or_else(|| missing(variable))?;
                Ok(Reading {
                    power: Some(value::power(watts, PowerUnit::W)?),
                    voltage: self.number(&format!("{beginning}voltage")).map(Volts),
                    current: self.number(&format!("{beginning}current")).map(Amperes),
                    ..Reading::default()
                })
            }
            Source::Load { beginning } => {
                let number = |name: &str| {
                    let name = format!("{beginning}{name}");
                    self.number(&name).ok_or_else(|| missing(&name))
                };
                let watts = number("ups.load")? / 100.0 * number("ups.realpower.nominal")?;
                let power = value::power(watts, PowerUnit::W)?;
                Ok(Reading { power: Some(power), quality: Quality::Estimated, ..Reading::default() })
            }
        }
    }
}

/// `outlet.3.`, or `device.2.outlet.3.` for `2.3`.
fn beginning(key: &str) -> String {
    let key = key.strip_prefix("outlet.").unwrap_or(key);
    match key.split_once('.') {
        Some((device, outlet)) => format!("device.{device}.outlet.{outlet}."),
        None => format!("outlet.{key}."),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads `name=value` pairs as variables and says what `key` draws.
    #[track_caller]
    fn check(variables: &[&str], key: &str, expected: &str) {
        let mut read = Variables::default();
        for pair in variables {
            let (name, value) = pair.split_once('=').expect("a pair");
            let line = format!("VAR pdu1 {name} \"{value}\"");
            let (name, value) = parse_variable(&line).expect("a variable");
            read.insert(name, value);
        }
        let actual = match read.source(key) {
            None => "no source".to_owned(),
            Some(source) => match read.read(&source) {
                Ok(reading) => format!("{}: {reading}", source.name()),
                Err(error) => error.to_string(),
            },
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn the_whole_device_is_read_from_the_first_that_has_a_number() {
        check(
            &["ups.realpower=245", "output.voltage=230.0", "input.voltage=229"],
            "total",
            "ups.realpower: 245 W, 230 V",
        );
        check(&["input.realpower=250", "input.current=1.2"], "total", "input.realpower: 250 W, 1.2 A");
        check(&["ups.realpower=", "output.realpower=99"], "total", "output.realpower: 99 W");
        check(&["battery.charge=100"], "total", "no source");
    }

    #[test]
    fn a_load_share_is_an_estimate_and_the_last_resort() {
        let load = ["ups.load=25", "ups.realpower.nominal=800"];
        check(&load, "total", "ups.load × ups.realpower.nominal: 200 W (estimated)");
        check(&["ups.load=25"], "total", "no source");
        check(&[load[0], load[1], "ups.realpower=190"], "total", "ups.realpower: 190 W");
    }

    #[test]
    fn outlets_are_read_alone_and_down_a_daisy_chain() {
        let variables = [
            "outlet.1.realpower=101",
            "outlet.1.current=0.5",
            "device.2.outlet.3.realpower=7",
            "device.2.ups.realpower=70",
            "outlet.2.realpower=-1",
        ];
        check(&variables, "1", "outlet.1.realpower: 101 W, 0.5 A");
        check(&variables, "outlet.1", "outlet.1.realpower: 101 W, 0.5 A");
        check(&variables, "2.3", "device.2.outlet.3.realpower: 7 W");
        check(&variables, "2.total", "device.2.ups.realpower: 70 W");
        check(&variables, "2", "implausible: -1 W; is the current transformer or the wiring reversed?");
        check(&variables, "9", "no source");
    }

    #[test]
    fn a_quoted_value_is_unquoted() {
        assert_eq!(parse_variable(r#"VAR u x "a \"b\" \\""#), Some(("x", r#"a "b" \"#.to_owned())));
        for line in ["VAR u x", "VAR u x y", "VAR u x \"", "BEGIN LIST VAR u", "", "VAR u x \"\\\""] {
            assert_eq!(parse_variable(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in ".{0,100}", key in ".{0,20}") {
            _ = parse_variable(&noise);
            _ = parse_variable(&format!("VAR {noise}"));
            let mut variables = Variables::default();
            variables.insert(&format!("outlet.{key}.realpower"), noise.clone());
            variables.insert(&noise, key.clone());
            _ = (variables.outlets(), variables.label(&key));
            if let Some(source) = variables.source(&key) {
                _ = variables.read(&source);
            }
        }
    }
}
