use std::sync::Arc;

use kwapi_core::{Amperes, Decision, SegmentKind, Totals, Volts, Watts};
use kwapi_history::journal::{Credited, Journal, JournalConfig, Taken};
use kwapi_history::{Samples, SamplesConfig};

use super::super::router;
use super::super::tests::{Answer, Stand, request};
use super::*;

/// What the stand's clock shows, less an hour.
const START: u64 = 1_795_390_000;

/// A stand with an hour of samples of `A`, of one that has gone (`gone`) and of `riga.x`, each 10 s.
pub(in super::super) struct Site {
    _lab: kwapi_peers::Lab,
    stand: Stand,
    pub(in super::super) api: Api,
}

impl Site {
    pub(in super::super) fn new() -> Self {
        let (lab, stand) = (kwapi_peers::Lab::empty(), Stand::new());
        let now = Timestamp::from_seconds(START);
        let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), now).unwrap();
        let mut records = Vec::new();
        for n in 0..360 {
            for probe in ["A", "gone", "riga.x"] {
                let energy = Energy::from_millijoules(n * 1_500);
                let decision = Decision::Begin { kind: SegmentKind::First, begin: now, base: Energy::ZERO };
                records.push(Credited {
                    probe: ProbeId::new(probe).unwrap(),
                    at: Timestamp::from_micros((START + n * 10) * 1_000_000 + n),
                    power: Watts(n as f64 / 2.0),
                    voltage: (n == 0).then_some(Volts(230.5)),
                    current: (n == 0).then_some(Amperes(0.25)),
                    accounting: None,
                    taken: Some(Taken { decision, register: Totals { energy, ..Totals::default() } }),
                });
            }
        }
        journal.append(&Arc::new(records), now).unwrap();
        let samples = Samples::open(SamplesConfig::default(), &journal).unwrap();
        samples.catch_up(now);
        samples.write(now).unwrap();
        let api = stand.api.clone().with_samples(Some(Arc::new(samples)));
        Self { _lab: lab, stand, api }
    }

    async fn request(&self, query: &str) -> Answer {
        let path = format!("/v2/samples?{query}");
        request(router(self.api.clone(), None, None), "GET", &path, &[]).await
    }
}

#[tokio::test]
async fn a_probes_samples_are_reported_as_json_and_as_csv() {
    let site = Site::new();
    let end = START + 11;
    let answer = site.request(&format!("probe=A&start={START}&end={end}")).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (
            200,
            "{\"next\":null,\"probe\":\"A\",\"unreadable\":[],\"samples\":[\
             {\"timestamp\":1795390000.000000,\"watts\":0,\"volts\":230.5,\"amperes\":0.25,\"meter_joules\":null,\
             \"quality\":\"measured\",\"joules\":0},\
             {\"timestamp\":1795390010.000001,\"watts\":0.5,\"volts\":null,\"amperes\":null,\"meter_joules\":null,\
             \"quality\":\"measured\",\"joules\":1.5}]}\n"
        )
    );
    assert_eq!(answer.header("content-type"), "application/json");
    let answer = site.request(&format!("probe=A&start={START}&end={end}&format=csv")).await;
    assert_eq!(
        answer.body,
        "timestamp,watts,volts,amperes,meter_joules,quality,joules\n\
         1795390000.000000,0,230.5,0.25,,measured,0\n1795390010.000001,0.5,,,,measured,1.5\n"
    );
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let path = format!("/v2/samples?probe=A&start={START}&end={end}");
    let by_header =
        request(router(site.api.clone(), None, None), "GET", &path, &[("accept", "text/csv")]).await;
    assert_eq!(by_header.body, answer.body);
}

#[tokio::test]
async fn pages_follow_each_other_and_have_each_sample_once() {
    let site = Site::new();
    let whole = site.request("probe=A&start=2026-11-22T23:00:00Z&end=now&format=csv").await;
    assert_eq!((whole.body.lines().count(), whole.header("link")), (361, ""));
    let mut query = "probe=A&start=2026-11-23T00:00:00+01:00&format=csv&limit=100".to_owned();
    let mut text = String::new();
    for n in 0.. {
        let page = site.request(&query).await;
        let (head, rows) = page.body.split_once('\n').unwrap();
        assert!(head.starts_with("timestamp,") && n < 4, "{}", page.body);
        text.push_str(rows);
        let link = page.header("link");
        let Some(next) = link.strip_prefix("</v2/samples?") else { break };
        query = next.split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(text, whole.body.split_once('\n').unwrap().1);
    let json = site.request("probe=A&start=2026-11-22T23:00:00Z&limit=2").await.body;
    assert!(json.starts_with("{\"next\":\"/v2/samples?probe=A&start=1795390020.000002&end="), "{json}");
}

#[tokio::test]
async fn another_s_probe_and_none_at_all_are_the_same() {
    let site = Site::new();
    let a = Scope::of_patterns(&[kwapi_core::Pattern::new("A").unwrap()]);
    let limited = router(site.api.clone().limited_to(a), None, None);
    for (probe, status) in [("riga.x", 404), ("riga.y", 404), ("A", 200)] {
        let path = format!("/v2/samples?probe={probe}&start={START}");
        let answer = request(limited.clone(), "GET", &path, &[]).await;
        assert_eq!(answer.status, status, "{probe}");
        assert!(status == 200 || answer.body.contains(&format!("There is no probe \\\"{probe}\\\".")));
    }
    // One that is silent has its samples all the same, also of a time without any.
    assert!(site.request(&format!("probe=gone&start={START}")).await.body.contains("\"watts\":1.5"));
    let later = START + 7_200;
    let none = site.request(&format!("probe=A&start={later}&end={}", later + 60)).await;
    assert!(none.body.ends_with("\"samples\":[]}\n") && none.status == 200, "{}", none.body);
    assert_eq!(site.request(&format!("probe=nobody&start={START}")).await.status, 404);
}

#[tokio::test]
async fn what_makes_no_sense_is_reported() {
    let site = Site::new();
    for (query, message) in [
        ("start=0", "probe is missing."),
        ("probe=A", "start is missing."),
        ("probe=A&probe=B&start=0", "Samples are of one probe: write probe once."),
        ("probe=A&start=10&end=10", "The end must be after the start."),
        ("probe=A&start=0&limit=0", "limit=\\\"0\\\": must be 1 to 100000"),
        ("probe=A&start=0&format=xml", "format=\\\"xml\\\": must be json or csv"),
        ("probe=A&start=1969-12-31T00:00:00Z", "start=\\\"1969-12-31T00:00:00Z\\\": is before 1970"),
        ("probe=A&start=0&end=soon", "end=\\\"soon\\\": is not an instant; write for example"),
        ("probe=&start=0", "probe=\\\"\\\": a probe id must not be empty"),
    ] {
        let answer = site.request(query).await;
        assert!(answer.status == 400 && answer.body.contains(message), "{query}: {}", answer.body);
    }
    let without =
        request(router(site.stand.api.clone(), None, None), "GET", "/v2/samples?probe=A&start=0", &[]);
    assert_eq!(without.await.status, 501);
}
