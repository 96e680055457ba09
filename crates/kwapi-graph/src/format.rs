//! Numbers as people read them.

/// Power: watts with one decimal, and kilowatts from 100 kW on.
pub fn watts_text(watts: f64) -> String {
    match watts {
        watts if watts < 1e5 => format!("{} W", number_text(watts, 1)),
        watts if watts < 1e8 => format!("{} kW", number_text(watts / 1e3, 1)),
        watts if watts < 1e12 => format!("{} MW", number_text(watts / 1e6, 1)),
        watts => format!("{watts:.1e} W"),
    }
}

/// Powers that stand beside each other, in the unit of the largest: what is not known is a dash.
pub fn watts_texts<const COUNT: usize>(powers: [Option<f64>; COUNT]) -> [String; COUNT] {
    let most = powers.into_iter().flatten().fold(0.0, f64::max);
    let (size, unit) = match most {
        most if most < 1e5 => return powers.map(|watts| watts.map_or_else(dash, watts_text)),
        most if most < 1e8 => (1e3, "kW"),
        most if most < 1e12 => (1e6, "MW"),
        _ => return powers.map(|watts| watts.map_or_else(dash, watts_text)),
    };
    powers.map(|watts| {
        let Some(value) = watts.map(|watts| watts / size) else { return dash() };
        // A little beside much is not nothing.
        let decimals = if value > 0.0 && value < 1.0 { 3 } else { 1 };
        format!("{} {unit}", number_text(value, decimals))
    })
}

fn dash() -> String {
    "–".to_owned()
}

/// Energy in kilowatt-hours, with as many decimals as are meaningful.
pub fn energy_text(kwh: f64) -> String {
    match kwh {
        kwh if kwh < 1.0 => format!("{kwh:.4} kWh"),
        kwh if kwh < 100.0 => format!("{kwh:.3} kWh"),
        kwh if kwh < 1e6 => format!("{} kWh", number_text(kwh, 1)),
        kwh if kwh < 1e12 => format!("{} MWh", number_text(kwh / 1e3, 1)),
        kwh => format!("{kwh:.2e} kWh"),
    }
}

/// An amount of money: two decimals, or four of an amount too small for two.
pub fn cost_text(amount: f64, currency: &str) -> String {
    let text = match amount.abs() {
        size if size >= 1e12 => format!("{amount:.2e}"),
        size if size >= 0.1 || size == 0.0 => number_text(amount, 2),
        _ => format!("{amount:.4}"),
    };
    format!("{text} {currency}")
}

/// A number with so many decimals, its digits in groups of three from 10 000 on.
pub fn number_text(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        // A gap no line breaks at, as ISO 80000-1 groups digits; four digits stay together.
        if index > 0 && digits.len() > 4 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}
