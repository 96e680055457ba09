//! A bill as one JSON document. Money is text, so that no reader makes a float of it.

use kwapi_core::{Bill, BillCharge, BillChargeKind, BillLine, BillLineKind, BillPeak, BillProbe, BillValue};
use serde_json::{Value, json};

use super::csv::line_name;
use super::facts::BillFacts;

/// The whole bill.
pub(super) fn document(bill: &Bill, facts: &BillFacts) -> Value {
    let values: Vec<Value> = bill.values.iter().map(|value| of_value(value, facts)).collect();
    json!({
        "month": facts.month.name,
        "start": facts.instant(facts.month.begin_ms),
        "end": facts.instant(facts.month.end_ms),
        "zone": facts.zone.iana_name(),
        "by": facts.by,
        "currency": facts.currency,
        "is_calibrated": facts.is_calibrated(),
        "notes": facts.notes(bill, BillFacts::instant),
        "values": values,
        "kwh": thousand(bill.energy_wh),
        "amount": facts.money(bill.amount),
        "co2_kg": bill.co2_grams.map(thousand),
        "accuracy_percent": facts.accuracy_of_sum(bill),
    })
}

fn of_value(value: &BillValue, facts: &BillFacts) -> Value {
    json!({
        "value": value.value,
        "probes": value.probes.iter().map(|of| of_probe(of, facts)).collect::<Vec<_>>(),
        "charges": value.charges.iter().map(|charge| of_charge(charge, facts)).collect::<Vec<_>>(),
        "peak": value.peak.map(|peak| of_peak(peak, facts)),
        "kwh": thousand(value.energy_wh),
        "amount": facts.money(value.amount),
        "co2_kg": value.co2_grams.map(thousand),
    })
}

fn of_probe(of: &BillProbe, facts: &BillFacts) -> Value {
    let [begin, end] = of.register_wh.map(thousand);
    let [measured, estimated, bridged] = of.status_wh.map(thousand);
    let [measured_s, estimated_s, bridged_s] = of.status_ms.map(thousand);
    let unsigned = |ms: u64| thousand(i64::try_from(ms).unwrap_or(i64::MAX));
    json!({
        "probe": of.probe.as_str(),
        "start": facts.instant(of.from_ms),
        "end": facts.instant(of.until_ms),
        "register_begin_kwh": begin,
        "register_end_kwh": end,
        "below_kwh": thousand(of.below_wh),
        "kwh": thousand(of.energy_wh),
        "measured_kwh": measured,
        "estimated_kwh": estimated,
        "bridged_kwh": bridged,
        "measured_seconds": measured_s,
        "estimated_seconds": estimated_s,
        "bridged_seconds": bridged_s,
        "unknown_seconds": unsigned(of.unknown_ms),
        "absent_seconds": unsigned(of.absent_ms),
        "lines": of.lines.iter().map(|line| of_line(line, facts)).collect::<Vec<_>>(),
        "amount": facts.money(of.amount),
        "co2_kg": of.co2_grams.map(thousand),
        "accuracy_percent": facts.accuracy(&of.probe),
    })
}

fn of_line(line: &BillLine, facts: &BillFacts) -> Value {
    let mut value = json!({
        "line": line_name(line.kind),
        "tariff": line.rate,
        "kwh": thousand(line.energy_wh),
        "amount": facts.money(line.amount),
    });
    let more = match line.kind {
        BillLineKind::Energy(price) => json!({ "price": price.map(|price| price.to_string()) }),
        BillLineKind::Bridged { cheapest, dearest } => {
            json!({ "cheapest": facts.money(cheapest), "dearest": facts.money(dearest) })
        }
        BillLineKind::Overhead | BillLineKind::Unpriced => json!({}),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn of_charge(charge: &BillCharge, facts: &BillFacts) -> Value {
    let (line, peak) = match charge.kind {
        BillChargeKind::Month => ("month", None),
        BillChargeKind::Peak(peak) => ("peak", Some(of_peak(peak, facts))),
    };
    json!({
        "line": line,
        "tariff": charge.rate,
        "price": charge.price.to_string(),
        "peak": peak,
        "amount": facts.money(charge.amount),
    })
}

fn of_peak(peak: BillPeak, facts: &BillFacts) -> Value {
    json!({ "start": facts.instant(peak.begin_ms), "watts": peak.watts() })
}

/// A thousandth of a whole number.
pub(super) fn thousand(number: i64) -> f64 {
    number as f64 / 1e3
}
