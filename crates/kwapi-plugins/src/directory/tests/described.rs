//! A publisher's description of its probe, beside what is configured.

use kwapi_core::{Accounting, Description, Gaps, Pattern, ProbeId, Shares};

use super::*;
use crate::descriptions::Descriptions;
use crate::scope::{Scope, Selection};

fn probe(id: &str) -> ProbeId {
    ProbeId::new(id).unwrap()
}

fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A directory at [`NOW`] that received of two probes, `age` seconds ago, that they are physics' and may be silent for
/// `max_gap` seconds. Of `own`, the configuration states that it is biology's.
fn described(age: u64, max_gap: u64) -> Directory {
    let wall = WallClock::new(|| Timestamp::from_seconds(NOW));
    let clock = MonotonicClock::new(|| Duration::from_secs(NOW));
    let gaps = Gaps::new(Duration::from_secs(60));
    let config = LiveConfig { gaps: gaps.clone(), ..LiveConfig::default() };
    let live = Live::open(config, Vec::new(), wall, clock);
    let descriptions = Descriptions::in_memory(gaps);
    let description = Description {
        driver: "snmp".to_owned(),
        interval: Some(Duration::from_secs(1)),
        max_gap: Duration::from_secs(max_gap),
        accuracy_percent: Some(2.0),
        labels: labels(&[("owner", "physics"), ("rack", "r1"), ("department", "physics")]),
    };
    let of = |id| Received {
        measurement: Measurement {
            probe: probe(id),
            power: Watts(80.0),
            voltage: None,
            current: None,
            accounting: Some(Accounting {
                timestamp: Timestamp::from_seconds(NOW - age),
                session: Timestamp::from_seconds(1),
                seq: 0,
                totals: Totals::default(),
                curve: None,
                meter: None,
                quality: Quality::Measured,
            }),
        },
        key: None,
        arrived: Timestamp::from_seconds(NOW - age),
        received_at: Duration::from_secs(NOW - age),
        description: Some(Ok(Box::new(description.clone()))),
    };
    let batch = Batch { measurements: vec![of("own"), of("other")] };
    let mut intake = Intake::new(live.clone(), None).with_descriptions(descriptions.clone());
    intake.take(batch, Box::new(|| ()));
    let configured = ConfiguredProbes::new(
        |probe| if probe.as_str() == "own" { labels(&[("owner", "biology")]) } else { Labels::new() },
        [],
    )
    .with_accuracy(|probe| (probe.as_str() == "own").then_some(0.5))
    .with_shares(|probe, name| probe.as_str() == "own" && name == "department");
    Directory::new(configured).with_live(live).with_descriptions(Some(descriptions))
}

#[test]
fn what_is_configured_counts_before_what_is_reported() {
    let directory = described(10, 60);
    assert_eq!(directory.labels(&probe("own")), labels(&[("owner", "biology"), ("rack", "r1")]));
    let published = labels(&[("owner", "physics"), ("rack", "r1"), ("department", "physics")]);
    assert_eq!(directory.labels(&probe("other")), published);
    assert_eq!(directory.labels(&probe("unheard")), Labels::new());
    assert_eq!(directory.accuracy(&probe("own")), Some((0.5, AccuracySource::Configuration)));
    assert_eq!(directory.accuracy(&probe("other")), Some((2.0, AccuracySource::Publisher)));
    assert!(directory.has_labels(&probe("other"), &labels(&[("rack", "r1")])));
}

#[test]
fn a_probe_is_silent_after_the_time_that_its_publisher_reports() {
    for (max_gap, expected) in [(60, true), (99, true), (100, false), (700, false)] {
        let directory = described(100, max_gap);
        check(&directory, "own", Some((80.0, 100, expected, true)));
    }
}

#[test]
fn what_a_site_reports_of_its_probe_lets_nobody_see_it_and_nobody_pay_for_it() {
    let directory = described(10, 60);
    let of = |owner| {
        let wanted = labels(&[("owner", owner)]);
        Scope::Any([Selection::new(&[Pattern::All], wanted, directory.clone())].into())
    };
    assert!(!of("physics").allows(&probe("own")) && !of("physics").allows(&probe("other")));
    assert!(of("biology").allows(&probe("own")), "this one is configured");
    let bill = crate::bills::BillConfig {
        zone: jiff::tz::TimeZone::UTC,
        currency: "EUR".to_owned(),
        decimals: 2,
        rates: Vec::new(),
        shares: crate::bills::SharesOf::new(),
        calibrated: Vec::new(),
    };
    assert_eq!(bill.owners(&directory, &probe("other"), "owner"), Shares::default());
    assert_eq!(bill.owners(&directory, &probe("own"), "owner"), Shares::whole("biology".to_owned()));
}
