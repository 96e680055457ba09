use super::*;
use crate::directory::ConfiguredProbes;

const HEADER: &str = "probe,start,measured_joules,estimated_joules,bridged_joules,rrd_joules,measured_seconds,estimated_seconds,bridged_seconds,rrd_seconds,unknown_seconds,absent_seconds,is_interpolated,is_incomplete\n";

/// `site` is the facility, with a meter of its own below it; two UPSes and a PDU are IT, a server is below a UPS.
fn directory() -> Directory {
    let labels = |probe: &ProbeId| {
        let pairs: &[(&str, &str)] = match probe.as_str() {
            "site" | "site.chiller" => &[("role", "facility")],
            "it.ups1" | "it.ups2" | "it.ups1.web" => &[("role", "it"), ("metered_at", "ups")],
            "it.pdu" => &[("role", "it"), ("metered_at", "pdu")],
            "roof" => &[("role", "renewable")],
            "web" => &[("role", "frontend")],
            _ => &[],
        };
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Directory::new(ConfiguredProbes::new(labels, [ProbeId::new("all").unwrap()]))
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond().cast_unsigned())
}

/// Rows of a probe: kilowatt-hours, seconds known and unknown.
fn rows(rows: &[(&str, u64, u64, u64)], start: &str) -> String {
    let mut text = HEADER.to_owned();
    for (probe, kwh, known, unknown) in rows {
        let joules = kwh * 3_600_000;
        text += &format!(
            "{probe},{start},{joules}.000,,,,{known}.000,0.000,0.000,0.000,{unknown}.000,0.000,false,false\n"
        );
    }
    text
}

#[test]
fn a_year_has_its_sums_by_role_and_flags_what_is_missing() {
    let directory = directory();
    let zone = TimeZone::get("Europe/Paris").unwrap();
    let mut run = ReportRun::new(&directory, 2026, &zone, at("2026-04-10T12:00:00Z")).unwrap();
    let question = run.energy_question();
    for (name, value) in [
        ("by", "probe"),
        ("step", "month"),
        ("zone", "Europe/Paris"),
        ("start", "2025-12-31T23:00:00Z"),
        ("end", "2026-04-10T12:00:00Z"),
    ] {
        assert!(question.contains(&(name, value.to_owned())), "{question:?}");
    }
    let hour = 3_600;
    let begins =
        ["2025-12-31T23:00:00Z", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"];
    let without_header = |text: String| text.strip_prefix(HEADER).unwrap().to_owned();
    run.take_energy(HEADER.as_bytes()).unwrap();
    // As an answer has it: probe after probe, month after month.
    for (probe, kwh) in [
        ("all", 9_999),
        ("it.pdu", 100),
        ("it.ups1", 600),
        ("it.ups1.web", 50),
        ("it.ups2", 300),
        ("roof", 7),
        ("site", 1_500),
        ("site.chiller", 200),
        ("web", 1),
    ] {
        for (month, start) in begins.into_iter().enumerate() {
            let row = match (probe, month) {
                ("site", 1) => (probe, 0, 0, 28 * 24 * hour),
                ("it.pdu", 2) => (probe, kwh, hour, hour),
                _ => (probe, kwh, hour, 0),
            };
            let text = without_header(rows(&[row], start));
            text.as_bytes().chunks(40).for_each(|part| run.take_energy(part).unwrap());
        }
    }
    let question = run.peak_question().unwrap();
    for (name, value) in [("probe", "site"), ("step", "quarter")] {
        assert!(question.contains(&(name, value.to_owned())), "{question:?}");
    }
    run.take_peak(HEADER.as_bytes()).unwrap();
    for (kwh, day) in [(3, "2026-01-20"), (4, "2026-02-20"), (3, "2026-03-20"), (4, "2026-04-10")] {
        let text = without_header(rows(&[("site", kwh, 900, 0)], &format!("{day}T10:00:00Z")));
        run.take_peak(text.as_bytes()).unwrap();
    }
    let report = run.end().unwrap();
    assert_eq!(report.csv(), include_str!("tests/report.csv"));
    assert_eq!(report.table(), include_str!("tests/report.txt"));
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(
        (&json["pue_category"], &json["delegated_regulation_2024_1364"]["known"]["EIT"]),
        (&1.into(), &4000.0.into())
    );
    assert_eq!(json["delegated_regulation_2024_1364"]["open"][0]["name"], "PDIT");
    assert_eq!(json["months"].as_array().unwrap().len(), 12);
}

#[test]
fn what_cannot_be_in_the_report_is_named() {
    let directory = directory();
    let run = |year: i16| ReportRun::new(&directory, year, &TimeZone::UTC, at("2026-04-10T12:00:00Z"));
    assert_eq!(run(2027).unwrap_err(), "nothing of 2027 is over yet");
    assert_eq!(run(0).unwrap_err(), "0 is not a year that can be reported");
    let mut of_others = run(2026).unwrap();
    of_others.take_energy(rows(&[("web", 1, 1, 0)], "2026-01-01T00:00:00Z").as_bytes()).unwrap();
    assert!(of_others.peak_question().is_none());
    let error = of_others.end().unwrap_err();
    assert!(
        error.starts_with("no probe has the label `role` with the value `it`, `facility` or `renewable`"),
        "{error}"
    );
    let torn = rows(&[("site", 1, 1, 0)], "2026-01-01T00:00:00Z").replace("false,false\n", "false,true\n");
    let error = run(2026).unwrap().take_energy(torn.as_bytes()).unwrap_err();
    assert!(error.contains("files of the ledger cannot be read for site"), "{error}");
}

#[test]
fn the_category_is_that_of_the_probe_metered_farthest_from_the_equipment() {
    for (places, expected) in
        [(&["pdu", "equipment"][..], Some(2)), (&["ups", ""], None), (&["equipment"], Some(3))]
    {
        let all: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
        let metered = move |probe: &ProbeId| {
            let place = probe.as_str().parse::<usize>().ok().and_then(|number| all.get(number)).cloned();
            Labels::from([
                ("role".to_owned(), "it".to_owned()),
                ("metered_at".to_owned(), place.unwrap_or_default()),
            ])
        };
        let directory = Directory::new(ConfiguredProbes::new(metered, []));
        let mut run = ReportRun::new(&directory, 2026, &TimeZone::UTC, at("2026-04-10T12:00:00Z")).unwrap();
        let probes: Vec<String> = (0..places.len()).map(|number| number.to_string()).collect();
        let of_probes: Vec<_> = probes.iter().map(|probe| (probe.as_str(), 1, 3_600, 0)).collect();
        run.take_energy(rows(&of_probes, "2026-01-01T00:00:00Z").as_bytes()).unwrap();
        assert_eq!(run.end().unwrap().category(), expected, "{places:?}");
    }
}
