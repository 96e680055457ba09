//! A bill for people: energy and money in two columns.

use kwapi_core::{Bill, BillChargeKind, BillLineKind, BillProbe};

use super::facts::{BillFacts, kwh};

/// Text, and what stands in the two columns.
pub(super) type TableRow = (String, Option<String>, Option<String>);

/// The whole bill.
pub(super) fn text(bill: &Bill, facts: &BillFacts, closed: Option<&str>) -> String {
    let (begin, end) = (facts.instant(facts.month.begin_ms), facts.instant(facts.month.end_ms));
    let zone = facts.zone.iana_name().unwrap_or("local time");
    let by = facts.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    let mut text = format!("Bill of {}{by}, {begin} to {end} ({zone})\n", facts.month.name);
    text.extend(closed.map(|closed| format!("{closed}\n")));
    for note in facts.notes(bill, BillFacts::instant) {
        text += &format!("Note: {note}.\n");
    }
    let mut rows: Vec<TableRow> = vec![(String::new(), Some("kWh".to_owned()), Some(facts.currency.clone()))];
    for value in &bill.values {
        rows.push((facts.name(value.value.as_deref()).to_owned(), None, None));
        for of in &value.probes {
            add_probe(&mut rows, of, facts);
        }
        for charge in &value.charges {
            let details = match charge.kind {
                BillChargeKind::Month => format!("part of {} for the month", charge.price),
                BillChargeKind::Peak(peak) => {
                    let at = facts.instant(peak.begin_ms);
                    format!("{} kW from {at} at {}", kwh(peak.watts()), charge.price)
                }
            };
            rows.push((format!("  {}: {details}", charge.rate), None, Some(facts.money(charge.amount))));
        }
        if let Some(peak) = value.peak {
            let at = facts.instant(peak.begin_ms);
            rows.push((format!("  peak quarter hour: {} kW from {at}", kwh(peak.watts())), None, None));
        }
        let co2 = co2(value.co2_grams);
        rows.push((format!("  subtotal{co2}"), Some(kwh(value.energy_wh)), Some(facts.money(value.amount))));
        rows.push(TableRow::default());
    }
    let accuracy =
        facts.accuracy_of_sum(bill).map_or_else(String::new, |percent| format!(", ± {percent:.2} %"));
    rows.push((
        format!("Total{}{accuracy}", co2(bill.co2_grams)),
        Some(kwh(bill.energy_wh)),
        Some(facts.money(bill.amount)),
    ));
    text + &aligned(&rows)
}

fn add_probe(rows: &mut Vec<TableRow>, of: &BillProbe, facts: &BillFacts) {
    let is_part = of.from_ms > facts.month.begin_ms || of.until_ms < facts.month.end_ms;
    let part = if is_part {
        format!(", {} to {}", facts.instant(of.from_ms), facts.instant(of.until_ms))
    } else {
        String::new()
    };
    let [begin, end] = of.register_wh.map(kwh);
    let below = if of.below_wh == 0 { String::new() } else { format!(", {} kWh below it", kwh(of.below_wh)) };
    rows.push((
        format!("  {}{part}: register {begin} to {end}{below}", of.probe),
        Some(kwh(of.energy_wh)),
        Some(facts.money(of.amount)),
    ));
    let mut details: Vec<String> = Vec::new();
    for (name, wh) in ["measured", "estimated", "bridged"].iter().zip(of.status_wh) {
        if wh != 0 {
            details.push(format!("{name} {} kWh", kwh(wh)));
        }
    }
    for (name, ms) in [("unknown", of.unknown_ms), ("absent", of.absent_ms)] {
        if ms > 0 {
            details.push(format!("{name} {:.2} h", ms as f64 / 3.6e6));
        }
    }
    if let Some(percent) = facts.accuracy(&of.probe) {
        details.push(format!("meter ± {percent} %"));
    }
    if !details.is_empty() {
        rows.push((format!("    {}", details.join(", ")), None, None));
    }
    for line in &of.lines {
        let details = match line.kind {
            BillLineKind::Energy(Some(price)) => format!("at {price}"),
            BillLineKind::Energy(None) => "by its series".to_owned(),
            BillLineKind::Bridged { cheapest, dearest } => {
                format!("bridged, could be {} to {}", facts.money(cheapest), facts.money(dearest))
            }
            BillLineKind::Overhead => "overhead".to_owned(),
            BillLineKind::Unpriced => "has no price".to_owned(),
        };
        rows.push((
            format!("    {}: {details}", line.rate),
            Some(kwh(line.energy_wh)),
            Some(facts.money(line.amount)),
        ));
    }
}

fn co2(grams: Option<i64>) -> String {
    grams.map_or_else(String::new, |grams| format!(", CO2 {} kg", kwh(grams)))
}

pub(super) fn aligned(rows: &[TableRow]) -> String {
    let length = |cell: &Option<String>| cell.as_ref().map_or(0, |cell| cell.chars().count());
    let text = rows.iter().map(|(text, ..)| text.chars().count()).max().unwrap_or(0);
    let energy = rows.iter().map(|(_, energy, _)| length(energy)).max().unwrap_or(0);
    let amount = rows.iter().map(|(.., amount)| length(amount)).max().unwrap_or(0);
    let mut all = String::new();
    for (cell, of_energy, of_amount) in rows {
        let (of_energy, of_amount) =
            (of_energy.as_deref().unwrap_or_default(), of_amount.as_deref().unwrap_or_default());
        let line = format!("{cell:<text$}  {of_energy:>energy$}  {of_amount:>amount$}");
        all += line.trim_end();
        all += "\n";
    }
    all
}
