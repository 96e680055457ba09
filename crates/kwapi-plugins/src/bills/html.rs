//! A bill as a page of its own, which prints well on A4: for who pays, who need not know Kwapi.

use askama::Template;
use kwapi_core::{Bill, BillChargeKind, BillLine, BillLineKind, BillProbe, BillValue};

use super::changes::BillReason;
use super::closed::{BillSum, KeptBill};
use super::correction::{before_and_now, difference, of_reason, of_values, signed, subject};
use super::facts::{BillFacts, kwh};

/// What stands above all else.
#[derive(Debug)]
pub(crate) struct BillHead {
    /// As `October 2026`.
    pub(crate) month: String,
    /// The label that it is by.
    pub(crate) by: Option<String>,
    pub(crate) begin: String,
    pub(crate) end: String,
    pub(crate) zone: String,
    pub(crate) currency: String,
    pub(crate) notes: Vec<String>,
    /// When and by whom it was closed, and the document's checksum.
    pub(crate) closed: Option<(String, String, String)>,
}

#[derive(Debug, Template)]
#[template(path = "bill.html")]
struct BillPage {
    head: BillHead,
    values: Vec<ValueView>,
    /// Energy, money and CO2 of all.
    total: [String; 3],
    accuracy: Option<String>,
    words: WordsUsed,
}

/// Which words of a bill occur in it, and are explained.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a bill has any of them")]
struct WordsUsed {
    estimated: bool,
    bridged: bool,
    unknown: bool,
    absent: bool,
    below: bool,
    overhead: bool,
    month: bool,
    peak: bool,
    unallocated: bool,
    co2: bool,
}

#[derive(Debug)]
struct ValueView {
    name: String,
    rows: Vec<BillRow>,
    peak: Option<(String, String)>,
    kwh: String,
    amount: String,
    co2: String,
}

/// A row of a value's table.
#[derive(Debug, Default)]
struct BillRow {
    /// How it looks.
    class: &'static str,
    text: String,
    begin: String,
    end: String,
    kwh: String,
    price: String,
    amount: String,
}

#[derive(Debug, Template)]
#[template(path = "correction.html")]
struct CorrectionPage {
    head: BillHead,
    number: usize,
    /// Each with what differs for it: whose, of what, energy and money.
    reasons: Vec<(&'static str, Vec<[String; 4]>)>,
    values: Vec<[String; 3]>,
    difference: [String; 2],
    before_and_now: Vec<[String; 3]>,
}

/// The page of a bill.
pub(super) fn bill(bill: &Bill, facts: &BillFacts, kept: Option<&KeptBill>) -> String {
    let mut words = WordsUsed { co2: bill.co2_grams.is_some(), ..WordsUsed::default() };
    let values = bill.values.iter().map(|value| view(value, facts, &mut words)).collect();
    let page = BillPage {
        head: head(facts, Some(bill), kept),
        values,
        total: [kwh(bill.energy_wh), facts.money(bill.amount), co2(bill.co2_grams)],
        accuracy: facts.accuracy_of_sum(bill).map(|percent| format!("{percent:.2}")),
        words,
    };
    rendered(&page)
}

/// The page of a correction.
pub(super) fn correction(kept: &KeptBill) -> String {
    let document = &kept.document;
    let facts = &document.made.facts;
    let energy = |sum: BillSum| {
        if sum.energy_wh == 0 { String::new() } else { signed(sum.energy_wh, kwh(sum.energy_wh)) }
    };
    let money = |sum: BillSum| signed(sum.amount, facts.money(sum.amount));
    let of_one = |reason: BillReason| {
        let rows: Vec<[String; 4]> = of_reason(document, reason)
            .map(|change| {
                let sum = BillSum { energy_wh: change.energy_wh, amount: change.amount };
                [facts.name(change.value.as_deref()).to_owned(), subject(change), energy(sum), money(sum)]
            })
            .collect();
        (reason.sentence(), rows)
    };
    let all = difference(document);
    let page = CorrectionPage {
        head: head(facts, None, Some(kept)),
        number: document.number,
        reasons: BillReason::ALL.map(of_one).into_iter().filter(|(_, rows)| !rows.is_empty()).collect(),
        values: of_values(document)
            .into_iter()
            .map(|((_, value), sum)| [facts.name(value).to_owned(), energy(sum), money(sum)])
            .collect(),
        difference: [energy(all), money(all)],
        before_and_now: before_and_now(document)
            .map(|(name, sum)| [name.to_owned(), kwh(sum.energy_wh), facts.money(sum.amount)])
            .into(),
    };
    rendered(&page)
}

/// What stands above all else; notes are of the `bill`.
pub(super) fn head(facts: &BillFacts, bill: Option<&Bill>, kept: Option<&KeptBill>) -> BillHead {
    let notes = bill.map(|bill| facts.notes(bill, BillFacts::instant_in_words)).unwrap_or_default();
    let closed = kept.map(|kept| (kept.made_in_words(), kept.document.made_by.clone(), kept.sha256.clone()));
    BillHead {
        month: facts.written(facts.month.begin_ms, "%B %Y"),
        by: facts.by.clone(),
        begin: facts.instant_in_words(facts.month.begin_ms),
        end: facts.instant_in_words(facts.month.end_ms),
        zone: facts.zone.iana_name().unwrap_or("local time").to_owned(),
        currency: facts.currency.clone(),
        notes: notes.iter().map(|note| sentence(note)).collect(),
        closed,
    }
}

fn view(value: &BillValue, facts: &BillFacts, words: &mut WordsUsed) -> ValueView {
    let mut rows = Vec::new();
    words.unallocated |= value.value.is_none() && facts.by.is_some();
    for of in &value.probes {
        add_probe(&mut rows, of, facts, words);
    }
    for charge in &value.charges {
        let text = match charge.kind {
            BillChargeKind::Month => {
                words.month = true;
                format!("{}: share of the price of the month", charge.rate)
            }
            BillChargeKind::Peak(peak) => {
                words.peak = true;
                let at = facts.instant_in_words(peak.begin_ms);
                format!("{}: highest quarter hour {} kW, {at}", charge.rate, kwh(peak.watts()))
            }
        };
        let (price, amount) = (charge.price.to_string(), facts.money(charge.amount));
        rows.push(BillRow { class: "charge", text, price, amount, ..BillRow::default() });
    }
    ValueView {
        name: facts.name(value.value.as_deref()).to_owned(),
        rows,
        peak: value.peak.map(|peak| (kwh(peak.watts()), facts.instant_in_words(peak.begin_ms))),
        kwh: kwh(value.energy_wh),
        amount: facts.money(value.amount),
        co2: co2(value.co2_grams),
    }
}

fn add_probe(rows: &mut Vec<BillRow>, of: &BillProbe, facts: &BillFacts, words: &mut WordsUsed) {
    let [begin, end] = of.register_wh.map(kwh);
    let (text, used) = (of.probe.to_string(), kwh(of.energy_wh));
    let amount = if of.lines.len() > 1 { String::new() } else { facts.money(of.amount) };
    rows.push(BillRow { class: "probe", text, begin, end, kwh: used, amount, ..BillRow::default() });
    let text = details(of, facts, words);
    if !text.is_empty() {
        rows.push(BillRow { class: "detail", text, ..BillRow::default() });
    }
    for line in &of.lines {
        let (text, price) = line_words(line, facts, words);
        let amount = if of.lines.len() > 1 { facts.money(line.amount) } else { String::new() };
        let kwh = kwh(line.energy_wh);
        rows.push(BillRow { class: "line", text, kwh, price, amount, ..BillRow::default() });
    }
    if of.lines.len() > 1 {
        let (text, amount) = (format!("{}, together", of.probe), facts.money(of.amount));
        rows.push(BillRow { class: "sum", text, amount, ..BillRow::default() });
    }
}

/// What must be known of a probe's energy, as one line.
fn details(of: &BillProbe, facts: &BillFacts, words: &mut WordsUsed) -> String {
    let mut details = Vec::new();
    if of.from_ms > facts.month.begin_ms || of.until_ms < facts.month.end_ms {
        let [from, until] = [of.from_ms, of.until_ms].map(|at| facts.instant_in_words(at));
        details.push(format!("from {from} to {until}"));
    }
    if of.below_wh != 0 {
        words.below = true;
        details.push(format!("{} kWh of it are of meters below it, and billed there", kwh(of.below_wh)));
    }
    let [begin, end] = of.register_wh;
    let counted = end.saturating_sub(begin).saturating_sub(of.below_wh);
    if counted != of.energy_wh {
        details.push(format!("its share of {} kWh", kwh(counted)));
    }
    let [measured, estimated, bridged] = of.status_wh;
    words.estimated |= estimated != 0;
    words.bridged |= bridged != 0;
    if estimated != 0 || bridged != 0 {
        let all = [("measured", measured), ("estimated", estimated), ("bridged", bridged)];
        let known = all.into_iter().filter(|(_, wh)| *wh != 0);
        details.extend(known.map(|(name, wh)| format!("{name} {} kWh", kwh(wh))));
    }
    words.unknown |= of.unknown_ms > 0;
    words.absent |= of.absent_ms > 0;
    for (name, ms) in [("unknown", of.unknown_ms), ("absent", of.absent_ms)] {
        if ms > 0 {
            details.push(format!("{name} {:.2} h", ms as f64 / 3.6e6));
        }
    }
    details.extend(facts.accuracy(&of.probe).map(|percent| format!("accuracy of the meter ± {percent} %")));
    details.join("; ")
}

/// What a line is for, and its price.
fn line_words(line: &BillLine, facts: &BillFacts, words: &mut WordsUsed) -> (String, String) {
    let (more, price) = match line.kind {
        BillLineKind::Energy(Some(price)) => ("", price.to_string()),
        BillLineKind::Energy(None) => ("", "by quarter hour".to_owned()),
        BillLineKind::Bridged { cheapest, dearest } => {
            (", bridged", format!("{} to {}", facts.money(cheapest), facts.money(dearest)))
        }
        BillLineKind::Overhead => {
            words.overhead = true;
            (", overhead", String::new())
        }
        BillLineKind::Unpriced => (", without a price", String::new()),
    };
    (format!("{}{more}", line.rate), price)
}

/// Grams as kilograms; nothing where some of it is not known.
fn co2(grams: Option<i64>) -> String {
    grams.map(kwh).unwrap_or_default()
}

/// With a capital and a full stop.
fn sentence(note: &str) -> String {
    let mut text = note.to_owned();
    text.get_mut(..1).map(str::make_ascii_uppercase).unwrap_or_default();
    text + "."
}

fn rendered(page: &impl Template) -> String {
    // Texts into memory: there is no error to be had.
    page.render().unwrap_or_default()
}
