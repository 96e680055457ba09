use jiff::tz::TimeZone;
use kwapi_core::{ProbeId, Rate, RateEntry, RateUnit, RateValue, Share, Shares, Timestamp, WeekHours, chain};

use super::*;
use crate::directory::{ConfiguredProbes, Directory, Labels};
use crate::scope::{Scope, Selection};

const COLUMNS: &str = "probe,start,measured_joules,estimated_joules,bridged_joules,rrd_joules,measured_seconds,estimated_seconds,bridged_seconds,rrd_seconds,unknown_seconds,absent_seconds,is_interpolated,is_incomplete";

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond().cast_unsigned())
}

/// Owners of `lab.shared`; all others are of the department that begins their ids.
pub(crate) fn config(price: &str, shares: &[(&str, &str)]) -> BillConfig {
    let rate = |name: &str, unit: RateUnit, price: &str| {
        let value = RateValue::Constant(price.parse().unwrap());
        let entry = RateEntry { valid: 0..u64::MAX, hours: WeekHours::default(), value };
        Rate::new(name, unit, vec![entry]).unwrap()
    };
    let share = |(value, share): &(&str, &str)| Share {
        value: (*value).to_owned(),
        share: share.parse().unwrap(),
        valid: 0..u64::MAX,
    };
    let shares = Shares::new(shares.iter().map(share).collect()).unwrap();
    BillConfig {
        zone: TimeZone::get("Asia/Kathmandu").unwrap(),
        currency: "EUR".to_owned(),
        decimals: 2,
        rates: vec![rate("energy", RateUnit::Kwh, price), rate("base", RateUnit::Month, "30")],
        shares: [(ProbeId::new("lab.shared").unwrap(), [("department".to_owned(), shares)].into())].into(),
        calibrated: Vec::new(),
    }
}

fn directory() -> Directory {
    let label = |probe: &ProbeId| {
        let department = probe.as_str().split('.').next().unwrap_or_default().to_owned();
        Labels::from([("department".to_owned(), department)])
    };
    Directory::new(ConfiguredProbes::new(label, []).with_accuracy(|_| Some(0.5)))
}

/// The text of an answer: rows of one status each, of so many joules.
fn answer(rows: &[(&str, &str, i64)], seconds: u64, at: impl Fn(u64) -> String, count: u64) -> String {
    let mut text = COLUMNS.to_owned() + "\n";
    for (probe, status, joules) in rows {
        for number in 0..count {
            let start = at(number);
            let cells = |unit: &str| {
                let kinds = ["measured", "estimated", "bridged", "rrd"];
                let number = |kind: &str| match (kind == *status, unit) {
                    (true, "joules") => format!("{joules}.000"),
                    (true, _) => format!("{seconds}.000"),
                    (false, "joules") => String::new(),
                    (false, _) => "0.000".to_owned(),
                };
                kinds.map(number).join(",")
            };
            let unknown = if *status == "unknown" { seconds } else { 0 };
            let (joules, times) = (cells("joules"), cells("seconds"));
            text += &format!("{probe},{start},{joules},{times},{unknown}.000,0.000,false,false\n");
        }
    }
    text
}

type Rows<'a> = [(&'a str, &'a str, i64)];

/// February 2026, each quarter hour the same; in Kathmandu it begins at a quarter past the hour of UTC.
fn fill(run: &mut BillRun<'_>, rows: &Rows<'_>) {
    let begin = 1_769_883_300_000_u64;
    let shown = |ms: u64| jiff::Timestamp::from_millisecond(ms.cast_signed()).unwrap().to_string();
    let registers: Vec<_> = rows.iter().map(|(probe, ..)| (*probe, "measured", 7_200_000)).collect();
    run.take_registers(answer(&registers, 0, |_| shown(0), 1).as_bytes()).unwrap();
    let quarters = answer(rows, 900, |number| shown(begin + number * 900_000), 28 * 96);
    quarters.as_bytes().chunks(50_000).for_each(|part| run.take_quarters(part).unwrap());
    run.set_position(Some("7:1024".to_owned()));
}

fn february() -> BillMonth {
    BillMonth::new("2026-02", &TimeZone::get("Asia/Kathmandu").unwrap(), at("2026-04-01T00:00:00Z")).unwrap()
}

fn make(config: &BillConfig, rows: &Rows<'_>) -> MadeBill {
    let directory = directory();
    let mut run = BillRun::new(config, &directory, february(), Some("department")).unwrap();
    fill(&mut run, rows);
    run.end().unwrap().0
}

/// A bill of something.
pub(super) fn february_bill() -> MadeBill {
    make(&config("0.2", &SHARES), &ROWS)
}

fn signer(at_text: &str) -> BillSigner<'static> {
    BillSigner { name: "ada on desk", at: at(at_text), version: "1.2.3" }
}

const ROWS: [(&str, &str, i64); 4] = [
    ("art.kiln", "measured", 90_000),
    ("lab.<b>&amp;", "bridged", 45_000),
    ("lab.lost", "unknown", 0),
    ("lab.shared", "estimated", 123_457),
];
const SHARES: [(&str, &str); 2] = [("lab", "0.5"), ("art", "0.3")];

/// Closes February.
pub(crate) fn close(state: &std::path::Path, rows: &Rows<'_>) {
    let made = make(&config("0.2", &SHARES), rows);
    ClosedBills::new(state).keep(made, Vec::new(), signer("2026-03-02T08:00:00Z"), None).unwrap();
}

/// A store with February closed and then corrected: a probe's time was not unknown, the price and the shares were wrong.
fn corrected(state: &std::path::Path) -> ClosedBills {
    let closed = ClosedBills::new(state);
    close(state, &ROWS);
    let kept = closed.of("2026-02", Some("department")).unwrap();
    let mut rows = ROWS;
    rows[2] = ("lab.lost", "measured", 10_000);
    let (config, directory) = (config("0.25", &[("lab", "0.4"), ("art", "0.5")]), directory());
    let mut run = BillRun::correcting(&config, &directory, kept.last().unwrap().made()).unwrap();
    fill(&mut run, &rows);
    let (made, changes) = run.end().unwrap();
    closed.keep(made, changes, signer("2026-03-09T08:00:00Z"), None).unwrap();
    closed
}

#[test]
fn documents_of_the_first_version_are_read_and_print_the_same_bytes() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("bills/2026-02");
    std::fs::create_dir_all(&folder).unwrap();
    // Written by the first version.
    std::fs::write(folder.join("1.json"), include_bytes!("tests/closed-1.json")).unwrap();
    std::fs::write(folder.join("2.json"), include_bytes!("tests/correction-1.json")).unwrap();
    let kept = ClosedBills::new(state.path()).of_month("2026-02").unwrap();
    let [bill, correction] = kept.as_slice() else { panic!("{}", kept.len()) };
    assert_eq!(bill.text(BillFormat::Table), include_str!("tests/closed-1.txt"));
    assert_eq!(bill.text(BillFormat::Csv), include_str!("tests/closed-1.csv"));
    assert_eq!(correction.text(BillFormat::Table), include_str!("tests/correction-1.txt"));
    assert_eq!(correction.text(BillFormat::Csv), include_str!("tests/correction-1.csv"));
}

#[test]
fn a_bill_made_now_is_written_as_the_first_version_wrote_it() {
    let state = tempfile::tempdir().unwrap();
    corrected(state.path());
    for (name, expected) in
        [("1.json", include_str!("tests/closed-1.json")), ("2.json", include_str!("tests/correction-1.json"))]
    {
        let written = std::fs::read_to_string(state.path().join("bills/2026-02").join(name)).unwrap();
        assert!(written == expected, "{name} differs");
    }
}

#[test]
fn a_correction_gives_the_reason_and_adds_up() {
    let state = tempfile::tempdir().unwrap();
    let kept = corrected(state.path()).of("2026-02", Some("department")).unwrap();
    let [bill, correction] = kept.as_slice() else { panic!("{}", kept.len()) };
    let (before, now) = (&bill.made().bill, &correction.made().bill);
    let of = |reason: changes::BillReason| {
        let changes = correction.document.changes.iter().filter(move |change| change.reason == reason);
        changes.fold((0, 0), |sum, change| (sum.0 + change.energy_wh, sum.1 + change.amount))
    };
    let [readings, prices, owners] = changes::BillReason::ALL.map(of);
    // 2 688 quarter hours of 10 kJ.
    assert_eq!(readings, (7_466, 149), "7.466 kWh at 0.20");
    assert_eq!((prices.0, owners.0), (0, 0));
    let sum = [readings, prices, owners].iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!((before.energy_wh + sum.0, before.amount + sum.1), (now.energy_wh, now.amount));
    // Made again of what is now, it is the same bill.
    let mut rows = ROWS;
    rows[2] = ("lab.lost", "measured", 10_000);
    assert_eq!(&make(&config("0.25", &[("lab", "0.4"), ("art", "0.5")]), &rows).bill, now);
}

#[test]
fn a_note_writes_instants_as_what_stands_around_it() {
    let mut open = february_bill();
    open.facts.month = BillMonth::new("2026-02", &open.facts.zone, at("2026-02-10T00:07:00Z")).unwrap();
    let columns = "the month is not over; billed until 2026-02-10T05:45:00+05:45";
    assert!(open.text(BillFormat::Table).contains(columns), "{}", open.text(BillFormat::Table));
    assert!(open.text(BillFormat::Json).contains(columns));
    let words = "The month is not over; billed until 10 February 2026, 05:45 +0545.";
    let print = open.text(BillFormat::Html);
    assert!(print.contains(words) && !print.contains("2026-02-10T"), "{print}");
}

#[test]
fn what_cannot_be_closed_or_compared_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let closed = ClosedBills::new(state.path());
    let (of_euros, directory) = (config("0.2", &SHARES), directory());
    let made = make(&of_euros, &ROWS);
    let zone = &of_euros.zone;
    let half = BillMonth::new("2026-02", zone, at("2026-02-10T00:00:00Z")).unwrap();
    let mut open = made.clone();
    open.facts.month = half;
    let error = closed.keep(open, Vec::new(), signer("2026-02-10T00:00:00Z"), None).unwrap_err();
    assert_eq!(error, "2026-02 is not over; only a whole month can be closed");
    let of_crowns = BillConfig { currency: "SEK".to_owned(), ..of_euros.clone() };
    let error = BillRun::correcting(&of_crowns, &directory, &made).unwrap_err();
    assert!(
        error.starts_with("`currency` was \"EUR\" when the month was closed and is \"SEK\" now"),
        "{error}"
    );
    let elsewhere = BillConfig { zone: TimeZone::get("Asia/Kolkata").unwrap(), ..of_euros };
    let error = BillRun::correcting(&elsewhere, &directory, &made).unwrap_err();
    assert!(error.starts_with("`zone` was \"Asia/Kathmandu\""), "{error}");
    // A document in the middle that is taken away is missed.
    let closed = corrected(state.path());
    let folder = state.path().join("bills/2026-02");
    std::fs::rename(folder.join("2.json"), folder.join("1.json")).unwrap();
    let error = closed.of_month("2026-02").unwrap_err();
    assert!(error.contains("a document of 2026-02 before ") && error.contains("is missing"), "{error}");
    std::fs::write(folder.join("1.json"), "{}").unwrap();
    let error = closed.of_month("2026-02").unwrap_err();
    assert!(error.ends_with("1.json is corrupt; restore it from a backup"), "{error}");
    let error = kwapi_history::Documents::new(state.path()).read("2026-02").unwrap_err();
    assert_eq!(chain(&error), error.to_string());
}

/// Each line that `scope` shows of a document: value, kind, probe and amount.
#[track_caller]
fn shows(kept: &KeptBill, scope: &Scope, expected: &[&str]) {
    let csv = kept.within(scope).text(BillFormat::Csv);
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let [line, probe, amount] = ["line", "probe", "amount"].map(place);
    let wanted = rows.filter(|row| !matches!(row[line], "energy" | "bridged"));
    let shown: Vec<String> = wanted
        .map(|row| {
            [row[0], row[line], row[probe], row[amount]]
                .join(" ")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_scope_shows_lines_of_its_probes_and_owners_and_their_sums() {
    let state = tempfile::tempdir().unwrap();
    let kept = corrected(state.path()).of("2026-02", Some("department")).unwrap();
    let [bill, correction] = kept.as_slice() else { panic!("{}", kept.len()) };
    let labelled = |value: &str| {
        let labels = Labels::from([("department".to_owned(), value.to_owned())]);
        Scope::Any([Selection::new(&[], labels, directory())].into())
    };
    // By the label of the bill: whose it is follows from the bill, shares included.
    shows(
        bill,
        &labelled("art"),
        &[
            "art probe art.kiln 13.44",
            "art probe lab.shared 5.53",
            "art month 14.74",
            "art subtotal 33.71",
            "total 33.71",
        ],
    );
    shows(bill, &labelled("nobody"), &["total 0.00"]);
    // By a probe: all that is billed of it, and no charge that is of others too.
    let of_probe = Scope::of_patterns(&[kwapi_core::Pattern::new("lab.shared").unwrap()]);
    shows(
        bill,
        &of_probe,
        &[
            "art probe lab.shared 5.53",
            "art subtotal 5.53",
            "lab probe lab.shared 9.22",
            "lab subtotal 9.22",
            "probe lab.shared 3.69",
            "month 2.87",
            "subtotal 6.56",
            "total 21.31",
        ],
    );
    let partial = bill.within(&of_probe);
    assert!(partial.text(BillFormat::Table).contains("Note: charges by the month and the peak of parts"));
    assert!(!partial.text(BillFormat::Json).contains("7:1024"));
    assert!(bill.within(&Scope::All).text(BillFormat::Json).contains("7:1024"));
    assert_eq!(
        partial.text(BillFormat::Profile).lines().count(),
        1 + 28 * 96,
        "only that of the part it sees whole"
    );
    shows(
        correction,
        &labelled("art"),
        &[
            "art change -0.54",
            "art change art.kiln 3.36",
            "art change lab.shared 1.39",
            "art change 2.76",
            "art change lab.shared 4.60",
            "art subtotal 11.57",
            "difference 11.57",
            "before 33.71",
            "now 45.28",
        ],
    );
}

#[test]
fn a_page_stands_by_itself_and_no_name_becomes_markup() {
    let state = tempfile::tempdir().unwrap();
    let kept = corrected(state.path()).of("2026-02", Some("department")).unwrap();
    for kept in &kept {
        let page = kept.text(BillFormat::Html);
        assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("http"), "{page}");
        assert!(page.contains("February 2026") && page.contains("Asia/Kathmandu"), "{page}");
    }
    let page = kept[0].text(BillFormat::Html);
    assert!(page.contains("Allocation of cost, not calibrated metering."), "{page}");
    assert!(page.contains("accuracy of the meter ± 0.5 %"), "{page}");
    assert!(page.contains("lab.&#60;b&#62;&#38;amp;"), "{page}");
    for word in ["Bridged", "Estimated", "Unknown", "Price of the month", "(unallocated)"] {
        assert!(page.contains(&format!("<dt>{word}</dt>")), "{word}");
    }
    assert!(!page.contains("<dt>Overhead</dt>") && !page.contains("<dt>Highest quarter hour</dt>"));
}

#[test]
fn readings_are_signed_once_each_by_a_key_that_is_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = tempfile::tempdir().unwrap();
    let key = BillKey::open(state.path()).unwrap();
    let mode = std::fs::metadata(state.path().join("bill-key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let rows =
        [("art.kiln", "measured", 90_000), ("lab.a|b", "measured", 9), ("lab.shared", "measured", 123_457)];
    let made = make(&config("0.2", &SHARES), &rows);
    let closed = ClosedBills::new(state.path());
    let kept = closed.keep(made, Vec::new(), signer("2026-03-02T08:00:00Z"), Some(&key)).unwrap();
    let public = kept.public_key().unwrap().to_owned();
    let again = BillKey::open(state.path()).unwrap();
    let made = kept.made().clone();
    let other = closed.keep(made, Vec::new(), signer("2026-03-03T08:00:00Z"), Some(&again)).unwrap();
    assert_eq!(other.public_key(), Some(&*public), "the key stays");
    let text = kept.text(BillFormat::Ocmf);
    // Three own lab.shared, and it is read once.
    assert_eq!(text.lines().count(), 3, "{text}");
    let point = kwapi_core::hex::decode(&public).unwrap().split_off(26);
    let verifies = |payload: &str, signature: &[u8]| {
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, &point);
        key.verify(payload.as_bytes(), signature).is_ok()
    };
    for line in text.lines() {
        let [start, payload, signature] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
        let signature: serde_json::Value = serde_json::from_str(signature).unwrap();
        let signature = kwapi_core::hex::decode(signature["SD"].as_str().unwrap()).unwrap();
        assert!(start == "OCMF" && verifies(payload, &signature), "{line}");
        assert!(!verifies(&payload.replacen("2.000", "3.000", 1), &signature), "{line}");
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
        assert_eq!(payload["RD"][0]["TM"], "2026-02-01T00:00:00,000+0545 I");
    }
    assert!(text.contains("\"MS\":\"lab.a\\u007cb\""), "{text}");
    let of_probe = Scope::of_patterns(&[kwapi_core::Pattern::new("art.*").unwrap()]);
    assert_eq!(kept.within(&of_probe).text(BillFormat::Ocmf).lines().count(), 1);
    std::fs::write(state.path().join("bill-key.pem"), "no key").unwrap();
    let error = BillKey::open(state.path()).unwrap_err();
    assert!(error.contains("bill-key.pem: "), "{error}");
}
