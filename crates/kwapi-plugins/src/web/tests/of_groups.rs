//! The summary of very many probes, which is that of their groups.

use kwapi_core::{Decision, SegmentKind};
use kwapi_history::journal::{Credited, Taken};
use kwapi_peers::Lab;

use super::marks::groups_of;
use super::ranges::{directory_with, with_logins};
use super::tenants;
use super::*;

/// 2026-11-23 09:50:00 UTC.
const BEGIN: u64 = NOW - 600;

/// A probe of so many watts from [`BEGIN`] on, received every ten seconds.
fn records(name: &str, watts: u64) -> Vec<Credited> {
    let session = Timestamp::from_seconds(BEGIN);
    let record = |seq: u64| {
        let at = Timestamp::from_seconds(BEGIN + seq * 10);
        let (energy, measured_ms) = (Energy::from_millijoules(seq * watts * 10_000), seq * 10_000);
        let totals = Totals { energy, measured_ms, ..Totals::default() };
        let accounting = Accounting {
            timestamp: at,
            session,
            seq,
            totals,
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let decision = match seq {
            0 => Decision::Begin { kind: SegmentKind::First, begin: session, base: Energy::ZERO },
            _ => Decision::Continue,
        };
        Credited {
            probe: ProbeId::new(name).unwrap(),
            at,
            power: Watts(watts as f64),
            voltage: None,
            current: None,
            accounting: Some(accounting),
            taken: Some(Taken { decision, register: totals }),
        }
    };
    (0..=60).map(record).collect()
}

/// Removes the RRD files of all probes.
fn remove_files(lab: &Lab) {
    let mut removed = 0;
    let mut folders = vec![lab.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rrd") {
                std::fs::remove_file(path).unwrap();
                removed += 1;
            }
        }
    }
    assert!(removed > 1_000, "{removed}");
}

#[tokio::test]
async fn the_summary_of_very_many_probes_is_that_of_their_groups() {
    let labs = [Lab::empty(), Lab::empty()];
    // Eleven racks of a hundred, one of them behind a meter of its own, and a few elsewhere.
    let mut names: Vec<String> =
        (0..1_100).map(|number| format!("lyon.r{}.m{number}", number / 100)).collect();
    names.extend(["paris.a".to_owned(), "paris.b".to_owned()]);
    let mut probes: Vec<Vec<Credited>> = names.iter().map(|name| records(name, 100)).collect();
    probes.push(records("lyon.r3", 12_000));
    let groups = groups_of(&labs[1], &probes);
    let without = directory_with(&labs[0], probes, Directory::default());
    let with = without.clone().with_groups(Some(groups));
    let logins = || Some(tenants::logins(&WallClock::new(|| Timestamp::from_seconds(NOW))));
    let sites = || [with_logins(without.clone(), logins()), with_logins(with.clone(), logins())];
    let summary = async |site: &Router, who: &str, period: &str| {
        let answer = tenants::get_as(site, who, &format!("/graph/{period}/?format=svg")).await;
        let svg = String::from_utf8(answer.into_body().to_vec()).unwrap();
        let label = svg.split("aria-label=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        (label, svg.matches("kw-edge").count())
    };
    let [by_probes, by_groups] = sites();
    for who in ["operator", "lyon", "paris"] {
        for period in ["hour", "day"] {
            let (expected, bands) = summary(&by_probes, who, period).await;
            assert!(expected.contains("last "), "{expected}");
            assert_eq!(summary(&by_groups, who, period).await, (expected, bands), "{who} {period}");
        }
    }
    // Nobody's files are read for it but those of the groups.
    remove_files(&labs[0]);
    let [by_probes, by_groups] = sites();
    let (label, _) = summary(&by_groups, "lyon", "hour").await;
    assert!(label.contains("maximum 112.0 kW"), "{label}");
    assert!(!summary(&by_probes, "lyon", "hour").await.0.contains("maximum"));
}
