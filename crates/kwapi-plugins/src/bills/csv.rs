//! A bill for programs, as lines: `line` states what each is. Amounts of `energy`, `bridged`, `overhead`, `month` and
//! `peak` add up to the subtotals, and these to the total.

use csv::Writer;
use kwapi_core::{Bill, BillCharge, BillChargeKind, BillLine, BillLineKind, BillProbe, BillValue};

use super::facts::{BillFacts, kwh, seconds};
use super::month::QUARTER_MS;

/// The columns after the first, which is the label.
const COLUMNS: [&str; 25] = [
    "probe",
    "line",
    "tariff",
    "from",
    "until",
    "kwh",
    "price",
    "amount",
    "currency",
    "cheapest",
    "dearest",
    "register_begin_kwh",
    "register_end_kwh",
    "below_kwh",
    "measured_kwh",
    "estimated_kwh",
    "bridged_kwh",
    "measured_seconds",
    "estimated_seconds",
    "bridged_seconds",
    "unknown_seconds",
    "absent_seconds",
    "peak_watts",
    "peak_begin",
    "co2_grams",
];

/// A line: its cells by their columns.
type Cells = Vec<(&'static str, String)>;

/// The whole bill.
pub(super) fn text(bill: &Bill, facts: &BillFacts) -> String {
    let mut lines: Vec<(String, Cells)> = Vec::new();
    for value in &bill.values {
        let name = value.value.clone().unwrap_or_default();
        for of in &value.probes {
            lines.push((name.clone(), of_probe(of, facts)));
            lines.extend(of.lines.iter().map(|line| (name.clone(), of_line(of, line, facts))));
        }
        lines.extend(value.charges.iter().map(|charge| (name.clone(), of_charge(charge, facts))));
        lines.push((name, of_value(value, facts)));
    }
    let total = vec![
        ("line", "total".to_owned()),
        ("kwh", kwh(bill.energy_wh)),
        ("amount", facts.money(bill.amount)),
        ("co2_grams", optional(bill.co2_grams)),
    ];
    lines.push((String::new(), total));
    let header = COLUMNS.map(str::to_owned).to_vec();
    let first = facts.by.clone().unwrap_or_else(|| "total".to_owned());
    let mut rows = vec![[vec![first], header].concat()];
    for (name, mut cells) in lines {
        cells.push(("currency", facts.currency.clone()));
        let mut row = vec![name];
        for column in COLUMNS {
            let cell = cells.iter().find(|(name, _)| *name == column);
            row.push(cell.map(|(_, cell)| cell.clone()).unwrap_or_default());
        }
        rows.push(row);
    }
    written(&rows)
}

fn of_probe(of: &BillProbe, facts: &BillFacts) -> Cells {
    let [begin, end] = of.register_wh.map(kwh);
    let [measured, estimated, bridged] = of.status_wh.map(kwh);
    let [measured_s, estimated_s, bridged_s] = of.status_ms.map(seconds);
    vec![
        ("probe", of.probe.to_string()),
        ("line", "probe".to_owned()),
        ("from", facts.instant(of.from_ms)),
        ("until", facts.instant(of.until_ms)),
        ("kwh", kwh(of.energy_wh)),
        ("amount", facts.money(of.amount)),
        ("register_begin_kwh", begin),
        ("register_end_kwh", end),
        ("below_kwh", kwh(of.below_wh)),
        ("measured_kwh", measured),
        ("estimated_kwh", estimated),
        ("bridged_kwh", bridged),
        ("measured_seconds", measured_s),
        ("estimated_seconds", estimated_s),
        ("bridged_seconds", bridged_s),
        ("unknown_seconds", seconds(of.unknown_ms)),
        ("absent_seconds", seconds(of.absent_ms)),
        ("co2_grams", optional(of.co2_grams)),
    ]
}

fn of_line(of: &BillProbe, line: &BillLine, facts: &BillFacts) -> Cells {
    let mut cells = vec![
        ("probe", of.probe.to_string()),
        ("line", line_name(line.kind).to_owned()),
        ("tariff", line.rate.clone()),
        ("from", facts.instant(of.from_ms)),
        ("until", facts.instant(of.until_ms)),
        ("kwh", kwh(line.energy_wh)),
        ("amount", facts.money(line.amount)),
    ];
    match line.kind {
        BillLineKind::Energy(price) => {
            cells.extend(price.map(|price| ("price", price.to_string())));
        }
        BillLineKind::Bridged { cheapest, dearest } => {
            cells.extend([("cheapest", facts.money(cheapest)), ("dearest", facts.money(dearest))]);
        }
        BillLineKind::Overhead | BillLineKind::Unpriced => {}
    }
    cells
}

/// What a line is called in CSV and JSON.
pub(super) fn line_name(kind: BillLineKind) -> &'static str {
    match kind {
        BillLineKind::Energy(_) => "energy",
        BillLineKind::Bridged { .. } => "bridged",
        BillLineKind::Overhead => "overhead",
        BillLineKind::Unpriced => "unpriced",
    }
}

fn of_charge(charge: &BillCharge, facts: &BillFacts) -> Cells {
    let mut cells = vec![
        ("tariff", charge.rate.clone()),
        ("price", charge.price.to_string()),
        ("amount", facts.money(charge.amount)),
    ];
    match charge.kind {
        BillChargeKind::Month => cells.push(("line", "month".to_owned())),
        BillChargeKind::Peak(peak) => cells.extend([
            ("line", "peak".to_owned()),
            ("peak_watts", peak.watts().to_string()),
            ("peak_begin", facts.instant(peak.begin_ms)),
        ]),
    }
    cells
}

fn of_value(value: &BillValue, facts: &BillFacts) -> Cells {
    let mut cells = vec![
        ("line", "subtotal".to_owned()),
        ("kwh", kwh(value.energy_wh)),
        ("amount", facts.money(value.amount)),
        ("co2_grams", optional(value.co2_grams)),
    ];
    if let Some(peak) = value.peak {
        cells.push(("peak_watts", peak.watts().to_string()));
        cells.push(("peak_begin", facts.instant(peak.begin_ms)));
    }
    cells
}

/// Each value's quarter hours, stamped at their end.
pub(super) fn profile(bill: &Bill, facts: &BillFacts) -> String {
    let first = facts.by.as_deref().unwrap_or("total");
    let header = [first, "end", "joules", "kwh", "status"].map(str::to_owned).to_vec();
    let mut rows = vec![header];
    for value in &bill.values {
        for (quarter, number) in value.quarters.iter().zip(1_u64..) {
            let end = facts.month.begin_ms.saturating_add(QUARTER_MS.saturating_mul(number));
            rows.push(vec![
                value.value.clone().unwrap_or_default(),
                facts.instant(end),
                seconds(quarter.mj),
                (quarter.mj as f64 / 3.6e9).to_string(),
                quarter.status.name().to_owned(),
            ]);
        }
    }
    written(&rows)
}

pub(super) fn optional(number: Option<i64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

pub(super) fn written(rows: &[Vec<String>]) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    // A buffer in memory takes all.
    rows.iter().for_each(|row| _ = writer.write_record(row));
    writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
