//! The variables of a UPS or PDU by name, and the outlets they belong to.
//!
//! Source: NUT 2.8, `docs/net-protocol.txt` (LIST VAR) and `docs/nut-names.txt`.

use std::collections::BTreeMap;

/// Low voltage ends here (IEC 60038); what a UPS feeds has no more.
const VOLTS_MAX: f64 = 1_000.0;

/// A device's variables by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Variables(BTreeMap<String, String>);

/// Reads `VAR <ups> <name> "<value>"`; `None` for any other line.
pub(crate) fn parse_variable(line: &str) -> Option<(&str, String)> {
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

impl Variables {
    pub(super) fn insert(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the device has a battery or a load of its own.
    pub(super) fn are_of_a_ups(&self) -> bool {
        self.0.keys().any(|name| name.starts_with("battery.") || name == "ups.load")
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Volts, as far as they can be: some drivers scale them wrongly (41 216 V).
    pub(super) fn volts(&self, name: &str) -> Option<f64> {
        self.number(name).filter(|volts| (0.0..=VOLTS_MAX).contains(volts))
    }

    /// The keys of the outlets that have `property`: `3`, and `2.3` for outlet 3 of the second device of a daisy chain;
    /// `group.1` for a bank of outlets.
    pub(super) fn outlets(&self, property: &str) -> Vec<String> {
        let keys = self.0.keys().filter_map(|name| {
            let (chained, rest) = match name.strip_prefix("device.") {
                Some(rest) => rest.split_once('.').map(|(device, rest)| (format!("{device}."), rest))?,
                None => (String::new(), name.as_str()),
            };
            let outlet = rest.strip_prefix("outlet.")?.strip_suffix(property)?.strip_suffix('.')?;
            let number = outlet.strip_prefix("group.").unwrap_or(outlet);
            number.parse::<u32>().ok().map(|_| format!("{chained}{outlet}"))
        });
        keys.collect()
    }

    /// What its owner calls an outlet.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        let beginning = beginning(key);
        let name = |property| self.text(&format!("{beginning}{property}"));
        name("name").or_else(|| name("desc"))
    }

    /// The beginning of the variables of the group that is the whole device, which some PDUs list beside their banks.
    pub(super) fn group_called_total(&self, device: &str) -> Option<String> {
        let groups = self.0.iter().filter_map(|(name, value)| {
            let number = name.strip_prefix(device)?.strip_prefix("outlet.group.")?.strip_suffix(".name")?;
            value.trim().eq_ignore_ascii_case("total").then_some(number)
        });
        groups.map(|number| format!("{device}outlet.group.{number}.")).next()
    }
}

/// `outlet.3.`, or `device.2.outlet.3.` for `2.3`, `outlet.group.1.` for `group.1`.
pub(super) fn beginning(key: &str) -> String {
    let key = key.strip_prefix("outlet.").unwrap_or(key);
    match key.split_once('.') {
        Some((device, outlet)) if device != "group" => format!("device.{device}.outlet.{outlet}."),
        Some(_) | None => format!("outlet.{key}."),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            _ = (variables.outlets("realpower"), variables.label(&key), variables.group_called_total(&key));
        }
    }
}
