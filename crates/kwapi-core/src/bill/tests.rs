mod properties;

use super::*;
use crate::{Decimal, RateEntry, RateSeries, WeekHours};

const MJ_OF_KWH: i64 = 3_600_000_000;

fn at(text: &str) -> u64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64
}

fn probe(id: &str) -> ProbeId {
    ProbeId::new(id).unwrap()
}

/// A rate of a price from each of these instants on, in order.
fn rate(name: &str, unit: RateUnit, prices: &[(&str, &str)]) -> Rate {
    let begins: Vec<u64> =
        prices.iter().map(|(from, _)| if from.is_empty() { 0 } else { at(from) }).collect();
    let ends = begins.iter().skip(1).copied().chain([u64::MAX]);
    let entry = |((begin, end), (_, price)): ((u64, u64), &(&str, &str))| RateEntry {
        valid: begin..end,
        hours: WeekHours::default(),
        value: RateValue::Constant(price.parse().unwrap()),
    };
    let entries = begins.iter().copied().zip(ends).zip(prices).map(entry).collect();
    Rate::new(name, unit, entries).unwrap()
}

/// A bill from `begin` on, of so many quarter hours, in cents.
fn terms(begin: &str, quarters: u64, rates: Vec<Rate>) -> BillTerms {
    let begin_ms = at(begin);
    let end_ms = begin_ms + quarters * QUARTER_MS;
    let zone = TimeZone::get("Europe/Paris").unwrap();
    BillTerms { zone, begin_ms, end_ms, month_ms: end_ms - begin_ms, decimals: 2, rates }
}

/// A probe whose quarter hours are `m` (measured), `e`, `b` or `u` (unknown), each known one of `mj`.
fn billed(id: &str, terms: &BillTerms, mj: i64, statuses: &str, shares: &Shares) -> BilledProbe {
    let quarter = |(status, number): (char, u64)| {
        let mut quarter =
            BilledQuarter { begin_ms: terms.begin_ms + number * QUARTER_MS, ..BilledQuarter::default() };
        match "meb".find(status) {
            Some(place) => {
                quarter.known.mj[place] = mj;
                quarter.known.ms[place] = QUARTER_MS as i64;
            }
            None => quarter.unknown_ms = QUARTER_MS,
        }
        quarter
    };
    let quarters = statuses.chars().zip(0..).map(quarter).collect();
    let shares = shares.clone();
    BilledProbe { probe: probe(id), meter: None, register_mj: 0, quarters, shares }
}

fn share(value: &str, share: &str, valid: std::ops::Range<u64>) -> Share {
    Share { value: value.to_owned(), share: share.parse().unwrap(), valid }
}

fn bill(terms: BillTerms, probes: Vec<BilledProbe>) -> Bill {
    let mut maker = BillMaker::new(terms).unwrap();
    probes.into_iter().for_each(|probe| maker.add(probe).unwrap());
    maker.bill()
}

/// A bill as lines: values, probes within, lines within.
fn shown(bill: &Bill) -> String {
    let mut text = String::new();
    for value in &bill.values {
        let name = value.value.as_deref().unwrap_or("(none)");
        text += &format!("{name}: {} Wh {} ct\n", value.energy_wh, value.amount);
        for of in &value.probes {
            let [begin, end] = of.register_wh;
            text += &format!("  {} {begin}-{end} {:?} {} Wh\n", of.probe, of.status_wh, of.energy_wh);
            for line in &of.lines {
                let kind = match line.kind {
                    BillLineKind::Energy(Some(price)) => format!("at {price}"),
                    BillLineKind::Energy(None) => "series".to_owned(),
                    BillLineKind::Bridged { cheapest, dearest } => format!("bridged {cheapest}-{dearest}"),
                    BillLineKind::Overhead => "overhead".to_owned(),
                    BillLineKind::Unpriced => "unpriced".to_owned(),
                };
                text += &format!("    {} {kind}: {} Wh {} ct\n", line.rate, line.energy_wh, line.amount);
            }
        }
        for charge in &value.charges {
            let kind = match charge.kind {
                BillChargeKind::Month => "month".to_owned(),
                BillChargeKind::Peak(peak) => format!("peak {} W", peak.watts()),
            };
            text += &format!("  {} {kind} at {}: {} ct\n", charge.rate, charge.price, charge.amount);
        }
    }
    text
}

#[track_caller]
fn check(terms: BillTerms, probes: Vec<BilledProbe>, expected: &str) {
    let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let bill = shown(&bill(terms, probes));
    assert_eq!(trimmed(&bill), trimmed(expected.trim()), "\n{bill}");
}

const NOON: &str = "2026-10-14T12:00:00+02:00";

#[test]
fn a_stretch_over_a_change_of_price_is_spread_evenly_and_has_its_bounds() {
    let rates = vec![rate("energy", RateUnit::Kwh, &[("", "0.20"), (NOON, "0.30")])];
    let terms = terms("2026-10-14T11:00:00+02:00", 8, rates);
    let of = billed("a", &terms, MJ_OF_KWH, "mmbbbeue", &Shares::whole("physics"));
    check(
        terms,
        vec![of],
        "physics: 7000 Wh 170 ct
        a 0-7000 [2000, 2000, 3000] 7000 Wh
        energy at 0.2: 2000 Wh 40 ct
        energy at 0.3: 2000 Wh 60 ct
        energy bridged 60-90: 3000 Wh 70 ct",
    );
}

#[test]
fn a_probe_that_moves_is_read_when_it_moves() {
    let rates = vec![rate("energy", RateUnit::Kwh, &[("", "0.50")])];
    let terms = terms("2026-10-14T11:00:00+02:00", 8, rates);
    let noon = at(NOON);
    let shares = Shares::new(vec![share("a", "1", 0..noon), share("b", "1", noon..u64::MAX)]).unwrap();
    // 0.4 Wh a quarter hour: readings are rounded down, and nothing is lost between them.
    let mut of = billed("p", &terms, 1_440_000, "mmmmmmmm", &shares);
    of.register_mj = 1_000_800_000;
    check(
        terms,
        vec![of],
        "a: 1 Wh 0 ct
        p 278-279 [1, 0, 0] 1 Wh
        energy at 0.5: 1 Wh 0 ct
        b: 2 Wh 0 ct
        p 279-281 [2, 0, 0] 2 Wh
        energy at 0.5: 2 Wh 0 ct",
    );
}

#[test]
fn who_comes_back_has_a_line_for_each_time() {
    let terms = terms("2026-10-14T11:00:00+02:00", 8, Vec::new());
    let hour = |hour: u64| terms.begin_ms + hour * 1_800_000;
    let shares = vec![
        share("a", "1", 0..hour(1)),
        share("b", "1", hour(1)..hour(2)),
        share("a", "0.5", hour(2)..hour(3)),
        share("a", "0.25", hour(3)..u64::MAX),
    ];
    let of = billed("p", &terms, MJ_OF_KWH, "mmmmmmmm", &Shares::new(shares).unwrap());
    check(
        terms,
        vec![of],
        "a: 3500 Wh 0 ct
        p 0-2000 [2000, 0, 0] 2000 Wh
        p 4000-8000 [1500, 0, 0] 1500 Wh
        b: 2000 Wh 0 ct
        p 2000-4000 [2000, 0, 0] 2000 Wh
        (none): 2500 Wh 0 ct
        p 4000-8000 [2500, 0, 0] 2500 Wh",
    );
}

#[test]
fn thirds_add_up_to_the_watt_hour_and_to_the_cent() {
    let rates = vec![rate("energy", RateUnit::Kwh, &[("", "0.10")])];
    let terms = terms("2026-10-14T11:00:00+02:00", 1, rates);
    let third = |value| share(value, "0.333", 0..u64::MAX);
    let shares = Shares::new(vec![third("a"), third("b"), third("c")]).unwrap();
    let of = billed("p", &terms, MJ_OF_KWH, "m", &shares);
    check(
        terms,
        vec![of],
        "a: 333 Wh 4 ct
        p 0-1000 [333, 0, 0] 333 Wh
        energy at 0.1: 333 Wh 4 ct
        b: 333 Wh 3 ct
        p 0-1000 [333, 0, 0] 333 Wh
        energy at 0.1: 333 Wh 3 ct
        c: 333 Wh 3 ct
        p 0-1000 [333, 0, 0] 333 Wh
        energy at 0.1: 333 Wh 3 ct
        (none): 1 Wh 0 ct
        p 0-1000 [1, 0, 0] 1 Wh
        energy at 0.1: 1 Wh 0 ct",
    );
}

#[test]
fn a_meter_above_others_is_billed_for_what_is_not_theirs() {
    let rates = vec![rate("energy", RateUnit::Kwh, &[("", "1")])];
    let terms = terms("2026-10-14T11:00:00+02:00", 4, rates);
    let rack = billed("rack", &terms, 10 * MJ_OF_KWH, "mmmm", &Shares::whole("room"));
    let web = billed("rack.web", &terms, 3 * MJ_OF_KWH, "mmmm", &Shares::whole("physics"));
    let web = BilledProbe { meter: Some(probe("rack")), ..web };
    check(
        terms.clone(),
        vec![rack.clone(), web.clone()],
        "physics: 12000 Wh 1200 ct
        rack.web 0-12000 [12000, 0, 0] 12000 Wh
        energy at 1: 12000 Wh 1200 ct
        room: 28000 Wh 2800 ct
        rack 0-40000 [28000, 0, 0] 28000 Wh
        energy at 1: 28000 Wh 2800 ct",
    );
    let mut maker = BillMaker::new(terms.clone()).unwrap();
    assert_eq!(maker.add(web.clone()), Err(BillError::NoMeter(probe("rack.web"))));
    maker.add(rack.clone()).unwrap();
    assert_eq!(maker.add(rack.clone()), Err(BillError::Twice(probe("rack"))));
    let short = BilledProbe { quarters: web.quarters[1..].to_vec(), ..web };
    assert_eq!(maker.add(short), Err(BillError::Quarters(probe("rack.web"))));
    let of_rack = &maker.bill().values[0];
    assert_eq!((of_rack.energy_wh, of_rack.probes[0].below_wh), (40_000, 0), "what was refused left nothing");
}

#[test]
fn overhead_and_co2_follow_their_own_rates() {
    let rates = vec![
        rate("energy", RateUnit::Kwh, &[("", "0.20")]),
        rate("pue", RateUnit::Pue, &[("", "1.5"), (NOON, "1.25")]),
        rate("co2", RateUnit::Co2, &[("", "50")]),
    ];
    let terms = terms("2026-10-14T11:45:00+02:00", 2, rates);
    let of = billed("p", &terms, MJ_OF_KWH, "mm", &Shares::whole("a"));
    let bill = bill(terms, vec![of]);
    assert_eq!(
        shown(&bill),
        "a: 2000 Wh 55 ct\n  p 0-2000 [2000, 0, 0] 2000 Wh\n    energy at 0.2: 2000 Wh 40 ct\n    energy overhead: 750 Wh 15 ct\n"
    );
    assert_eq!(bill.co2_grams, Some(138), "50 g/kWh of 2.75 kWh, rounded");
}

#[test]
fn co2_that_is_not_known_is_not_reported_as_less() {
    let rates = vec![rate("co2", RateUnit::Co2, &[(NOON, "50")])];
    let terms = terms("2026-10-14T11:45:00+02:00", 2, rates);
    let of = billed("p", &terms, MJ_OF_KWH, "mm", &Shares::whole("a"));
    assert_eq!(bill(terms, vec![of]).co2_grams, None);
}

#[test]
fn what_has_no_price_is_reported() {
    let rates = vec![rate("energy", RateUnit::Kwh, &[(NOON, "-0.02")])];
    let terms = terms("2026-10-14T11:30:00+02:00", 4, rates);
    let of = billed("p", &terms, MJ_OF_KWH, "mbmb", &Shares::whole("a"));
    check(
        terms,
        vec![of],
        "a: 4000 Wh -4 ct
        p 0-4000 [2000, 0, 2000] 4000 Wh
        energy at -0.02: 1000 Wh -2 ct
        energy bridged -2--2: 1000 Wh -2 ct
        energy unpriced: 2000 Wh 0 ct",
    );
}

#[test]
fn a_peak_is_that_of_the_summed_quarter_hours_and_a_month_is_shared_by_energy() {
    let rates =
        vec![rate("base", RateUnit::Month, &[("", "10")]), rate("peak", RateUnit::PeakKw, &[("", "2.5")])];
    let terms = terms("2026-10-14T11:00:00+02:00", 4, rates);
    let whole = Shares::whole("a");
    let one = billed("p", &terms, MJ_OF_KWH, "uumm", &whole);
    let two = billed("q", &terms, MJ_OF_KWH, "mmmu", &whole);
    let other = billed("r", &terms, MJ_OF_KWH, "muuu", &Shares::default());
    check(
        terms.clone(),
        vec![one.clone(), two.clone(), other],
        "a: 5000 Wh 2833 ct
        p 0-2000 [2000, 0, 0] 2000 Wh
        q 0-3000 [3000, 0, 0] 3000 Wh
        base month at 10: 833 ct
        peak peak 8000 W at 2.5: 2000 ct
        (none): 1000 Wh 1167 ct
        r 0-1000 [1000, 0, 0] 1000 Wh
        base month at 10: 167 ct
        peak peak 4000 W at 2.5: 1000 ct",
    );
    let quarters = bill(terms, vec![one, two]).values[0].quarters.clone();
    let statuses: Vec<&str> = quarters.iter().map(|quarter| quarter.status.name()).collect();
    assert_eq!(statuses, ["unknown", "unknown", "measured", "unknown"]);
}

#[test]
fn a_part_of_a_month_has_a_part_of_its_price() {
    let rates = vec![rate("base", RateUnit::Month, &[("", "10"), ("2026-10-14T11:30:00+02:00", "20")])];
    let terms = BillTerms { month_ms: 8 * QUARTER_MS, ..terms("2026-10-14T11:00:00+02:00", 4, rates) };
    let of = billed("p", &terms, 0, "mmmm", &Shares::whole("a"));
    check(
        terms,
        vec![of],
        "a: 0 Wh 750 ct\np 0-0 [0, 0, 0] 0 Wh\nbase month at 10: 250 ct\nbase month at 20: 500 ct",
    );
}

#[test]
fn terms_that_make_no_bill_are_refused() {
    let of = |begin_ms, end_ms| BillTerms { begin_ms, end_ms, ..terms(NOON, 1, Vec::new()) };
    let noon = at(NOON);
    for (terms, expected) in [
        (of(noon, noon), BillError::NotQuarters),
        (of(noon + 1, noon + 1 + QUARTER_MS), BillError::NotQuarters),
        (of(noon, noon + QUARTER_MS / 2), BillError::NotQuarters),
        (of(noon, noon + 400 * 86_400_000), BillError::TooLong),
        (BillTerms { decimals: 5, ..of(noon, noon + QUARTER_MS) }, BillError::Decimals),
        (
            BillTerms {
                rates: vec![rate("a", RateUnit::Pue, &[("", "1")]), rate("b", RateUnit::Pue, &[("", "2")])],
                ..of(noon, noon + QUARTER_MS)
            },
            BillError::TwoFactors,
        ),
    ] {
        assert_eq!(BillMaker::new(terms).err(), Some(expected));
    }
}
