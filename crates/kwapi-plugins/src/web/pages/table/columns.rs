//! Amounts that stand below each other: one unit for all, written in the head, and the same decimals.

use kwapi_graph::number_text;

/// How the amounts of a column are written.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Amounts {
    /// Their unit.
    pub(in super::super) unit: String,
    /// One of the unit, in what amounts are given in.
    size: f64,
    decimals: usize,
}

impl Amounts {
    fn new(unit: &str, size: f64, decimals: usize) -> Self {
        Self { unit: unit.to_owned(), size, decimals }
    }

    /// What a script needs to write amounts the same way: the size of the unit, and decimals.
    pub(super) fn digits(&self) -> String {
        format!("{} {}", self.size, self.decimals)
    }

    /// An amount; a dash where it is not known. One too small for the column is shown as smaller than what it shows,
    /// since it is not nothing.
    pub(in super::super) fn text(&self, amount: Option<f64>) -> String {
        let Some(amount) = amount.map(|amount| amount / self.size) else { return "–".to_owned() };
        let least = 10_f64.powi(-i32::try_from(self.decimals).unwrap_or(0));
        if amount > 0.0 && amount < least / 2.0 {
            return format!("< {}", number_text(least, self.decimals));
        }
        number_text(amount, self.decimals)
    }
}

/// Powers of at most so many watts.
pub(in super::super) fn powers(most: f64) -> Amounts {
    match most {
        most if most < 1e5 => Amounts::new("W", 1.0, 1),
        most if most < 1e8 => Amounts::new("kW", 1e3, 3),
        _ => Amounts::new("MW", 1e6, 3),
    }
}

/// Energies of at most so many kilowatt-hours.
pub(in super::super) fn energies(most: f64) -> Amounts {
    match most {
        most if most < 1.0 => Amounts::new("kWh", 1.0, 4),
        most if most < 100.0 => Amounts::new("kWh", 1.0, 3),
        most if most < 1e6 => Amounts::new("kWh", 1.0, 1),
        _ => Amounts::new("MWh", 1e3, 3),
    }
}

/// Costs of at most so much of a currency.
pub(in super::super) fn money(most: f64, currency: &str) -> Amounts {
    Amounts::new(currency, 1.0, if most < 1.0 { 4 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(column: &Amounts, unit: &str, texts: &[(Option<f64>, &str)]) {
        assert_eq!(column.unit, unit);
        for (amount, text) in texts {
            assert_eq!(column.text(*amount), *text, "{amount:?}");
        }
    }

    #[test]
    fn a_column_has_the_unit_and_the_decimals_of_its_largest() {
        check(&powers(480.0), "W", &[(Some(480.0), "480.0"), (Some(0.0), "0.0"), (None, "–")]);
        check(&powers(2.5e5), "kW", &[(Some(2.5e5), "250.000"), (Some(90.0), "0.090")]);
        check(&powers(2e9), "MW", &[(Some(2e9), "2000.000")]);
        check(&energies(0.02), "kWh", &[(Some(0.02), "0.0200")]);
        check(&energies(31_250.0), "kWh", &[(Some(31_250.0), "31\u{a0}250.0"), (Some(0.36), "0.4")]);
        check(&money(812.4, "€"), "€", &[(Some(812.4), "812.40")]);
    }

    #[test]
    fn what_is_too_small_for_its_column_is_not_called_nothing() {
        check(&energies(31_250.0), "kWh", &[(Some(0.02), "< 0.1"), (Some(0.0), "0.0")]);
        check(&money(1e3, "€"), "€", &[(Some(0.001), "< 0.01")]);
    }
}
