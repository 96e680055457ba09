//! A correction of a closed bill: what differs, and why.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::changes::{BillChange, BillReason};
use super::closed::{BillDocument, BillSum, KeptBill};
use super::csv::written;
use super::facts::kwh;
use super::json::thousand;
use super::table::{TableRow, aligned};

/// What differs for one value.
pub(super) type ValueSums<'a> = BTreeMap<(bool, Option<&'a str>), BillSum>;

const NOTHING: BillSum = BillSum { energy_wh: 0, amount: 0 };

/// What a change is of: a probe, or a charge.
pub(super) fn subject(change: &BillChange) -> String {
    let of_probe = change.probe.as_ref().map(ToString::to_string);
    of_probe.or_else(|| change.charge.clone()).unwrap_or_default()
}

/// The changes for one reason; their order is that of the values.
pub(super) fn of_reason(document: &BillDocument, reason: BillReason) -> impl Iterator<Item = &BillChange> {
    document.changes.iter().filter(move |change| change.reason == reason)
}

/// The difference of each value, in the order of a bill.
pub(super) fn of_values(document: &BillDocument) -> ValueSums<'_> {
    let mut sums = ValueSums::new();
    for change in &document.changes {
        let key = (change.value.is_none(), change.value.as_deref());
        let sum = sums.entry(key).or_insert(NOTHING);
        *sum = plus(*sum, change);
    }
    sums
}

/// All that differs.
pub(super) fn difference(document: &BillDocument) -> BillSum {
    document.changes.iter().fold(NOTHING, plus)
}

fn plus(sum: BillSum, change: &BillChange) -> BillSum {
    BillSum {
        energy_wh: sum.energy_wh.saturating_add(change.energy_wh),
        amount: sum.amount.saturating_add(change.amount),
    }
}

/// What it was before, and what it is now.
pub(super) fn before_and_now(document: &BillDocument) -> [(&'static str, BillSum); 2] {
    let bill = &document.made.bill;
    let now = BillSum { energy_wh: bill.energy_wh, amount: bill.amount };
    [("before", document.before.unwrap_or(NOTHING)), ("now", now)]
}

/// A difference with its sign.
pub(super) fn signed(number: i64, written: String) -> String {
    if number > 0 { format!("+{written}") } else { written }
}

/// A table for people.
pub(super) fn table(kept: &KeptBill) -> String {
    let KeptBill { document, .. } = kept;
    let facts = &document.made.facts;
    let by = facts.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    let zone = facts.zone.iana_name().unwrap_or("local time");
    let text = format!(
        "Correction {} of the bill of {}{by} ({zone})\n{}\n",
        document.number,
        facts.month.name(),
        kept.made_line()
    );
    let mut rows: Vec<TableRow> = vec![(String::new(), Some("kWh".to_owned()), Some(facts.currency.clone()))];
    let of_sum = |name: String, sum: BillSum| -> TableRow {
        let energy = (sum.energy_wh != 0).then(|| signed(sum.energy_wh, kwh(sum.energy_wh)));
        (name, energy, Some(signed(sum.amount, facts.money(sum.amount))))
    };
    for reason in BillReason::ALL {
        let mut changes = of_reason(document, reason).peekable();
        if changes.peek().is_some() {
            rows.push((reason.sentence().to_owned(), None, None));
        }
        for change in changes {
            let name = facts.name(change.value.as_deref());
            let sum = BillSum { energy_wh: change.energy_wh, amount: change.amount };
            rows.push(of_sum(format!("  {name}: {}", subject(change)), sum));
        }
    }
    rows.push(TableRow::default());
    for ((_, value), sum) in of_values(document) {
        rows.push(of_sum(facts.name(value).to_owned(), sum));
    }
    rows.push(of_sum("Difference".to_owned(), difference(document)));
    for (name, sum) in before_and_now(document) {
        rows.push((format!("Total {name}"), Some(kwh(sum.energy_wh)), Some(facts.money(sum.amount))));
    }
    text + &aligned(&rows)
}

/// Lines for programs: `change` lines add up to the `subtotal` lines, these to the `difference`.
pub(super) fn csv(document: &BillDocument) -> String {
    let facts = &document.made.facts;
    let first = facts.by.clone().unwrap_or_else(|| "total".to_owned());
    let header = [&first, "line", "reason", "probe", "tariff", "kwh", "amount", "currency"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut add = |value: Option<&str>, line: &str, change: Option<&BillChange>, sum: BillSum| {
        let text = |text: Option<String>| text.unwrap_or_default();
        rows.push(vec![
            value.unwrap_or_default().to_owned(),
            line.to_owned(),
            text(change.map(|change| change.reason.name().to_owned())),
            text(change.and_then(|change| change.probe.as_ref()).map(ToString::to_string)),
            text(change.and_then(|change| change.charge.clone())),
            kwh(sum.energy_wh),
            facts.money(sum.amount),
            facts.currency.clone(),
        ]);
    };
    for change in &document.changes {
        let sum = BillSum { energy_wh: change.energy_wh, amount: change.amount };
        add(change.value.as_deref(), "change", Some(change), sum);
    }
    for ((_, value), sum) in of_values(document) {
        add(value, "subtotal", None, sum);
    }
    add(None, "difference", None, difference(document));
    for (name, sum) in before_and_now(document) {
        add(None, name, None, sum);
    }
    written(&rows)
}

/// One JSON document. Money is text.
pub(super) fn json(kept: &KeptBill) -> Value {
    let KeptBill { document, .. } = kept;
    let facts = &document.made.facts;
    let of_sum = |sum: BillSum| json!({ "kwh": thousand(sum.energy_wh), "amount": facts.money(sum.amount) });
    let of_change = |change: &BillChange| {
        json!({
            "reason": change.reason.name(),
            "value": change.value,
            "probe": change.probe,
            "tariff": change.charge,
            "kwh": thousand(change.energy_wh),
            "amount": facts.money(change.amount),
        })
    };
    let of_value = |((_, value), sum): ((bool, Option<&str>), BillSum)| json!({ "value": value, "kwh": thousand(sum.energy_wh), "amount": facts.money(sum.amount) });
    let [(_, before), (_, now)] = before_and_now(document);
    json!({
        "month": facts.month.name(),
        "start": facts.instant(facts.month.begin_ms),
        "end": facts.instant(facts.month.end_ms),
        "zone": facts.zone.iana_name(),
        "by": facts.by,
        "currency": facts.currency,
        "correction": document.number,
        "changes": document.changes.iter().map(of_change).collect::<Vec<_>>(),
        "values": of_values(document).into_iter().map(of_value).collect::<Vec<_>>(),
        "difference": of_sum(difference(document)),
        "before": of_sum(before),
        "now": of_sum(now),
        "document": document_json(kept),
    })
}

/// What is reported of a document: who made it and when, and its checksum.
pub(super) fn document_json(kept: &KeptBill) -> Value {
    json!({
        "made": kept.made_instant(),
        "by": kept.document.made_by,
        "position": kept.document.made.position,
        "sha256": kept.sha256,
        "public_key": kept.public_key(),
    })
}
