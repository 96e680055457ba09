use kwapi_core::Decision;
use kwapi_history::journal::{Credited, Journal, JournalConfig, Position, Taken};
use kwapi_history::{History, HistoryConfig};

use super::*;
use crate::intake::Append;

/// A history of the probe a/b, a hundred seconds long.
fn recorded(scratch: &kwapi_peers::Lab) -> Arc<History> {
    let start = Timestamp::from_seconds(NOW);
    let (journal, _) = Journal::open(scratch.path(), JournalConfig::default(), start).unwrap();
    let history = History::open(HistoryConfig::default(), &journal).unwrap();
    let mut records = Vec::new();
    for second in 0..100 {
        let at = Timestamp::from_seconds(NOW + 1 + second);
        let accounting = Accounting {
            timestamp: at,
            session: start,
            seq: second,
            totals: Totals::default(),
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let measurement = Measurement {
            probe: ProbeId::new("a/b").unwrap(),
            power: Watts(80.0 + second as f64),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        };
        let taken = Taken { decision: Decision::Continue, register: Totals::default() };
        records.push(Credited::of(&measurement, at, taken));
    }
    journal.append(&Arc::new(records), start).unwrap();
    history.catch_up();
    Arc::new(history)
}

/// The pages over it, of which nothing was received since the start.
fn pages(scratch: &kwapi_peers::Lab) -> Router {
    pages_with(scratch, Live::default())
}

fn pages_with(scratch: &kwapi_peers::Lab, live: Live) -> Router {
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW + 100));
    router(Directory::default().with_live(live).with_history(recorded(scratch)), settings(), clock, None)
}

/// What is live where the probe a/b was received as the clock was at NOW + 100.
fn live() -> Live {
    let wall = WallClock::new(|| Timestamp::from_seconds(NOW + 100));
    Live::open(
        LiveConfig::default(),
        Vec::new(),
        wall,
        MonotonicClock::new(|| Duration::from_secs(NOW + 100)),
    )
}

fn receive_ab(intake: &mut Intake, seq: u64, second: u64, power: f64, quality: Quality) {
    let probe = ProbeId::new("a/b").unwrap();
    let at = NOW + second;
    receive(intake, &probe, seq, at, at, (Watts(power), quality), Totals::default());
}

#[tokio::test]
async fn the_store_s_measurements_reach_the_page_the_graph_and_the_file() {
    let scratch = kwapi_peers::Lab::empty();
    let site = pages(&scratch);
    let list = page(&site, "/last/minute/").await;
    assert!(list.contains("1 of 1 probe reporting") && list.contains("<b>179.0 W</b>"), "{list}");
    for period in ["minute", "hour"] {
        let svg = page(&site, &format!("/graph/{period}/a%2Fb/?format=svg")).await;
        assert!(svg.contains("kw-line"), "{period}: {svg}");
    }
    let file = get(&site, "/rrd/a%2Fb/").await.into_body();
    assert_eq!((file.len(), &file[..4]), (9_752, &b"RRD\0"[..]));
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_an_answer_of_its_own() {
    let scratch = kwapi_peers::Lab::empty();
    let history = recorded(&scratch);
    assert!(history.flush_all());
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW + 100));
    let site = router(Directory::default().with_history(history), settings(), clock, None);
    for entry in std::fs::read_dir(scratch.join("rrd")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rrd") {
            std::fs::write(path, [0; 200]).unwrap();
        }
    }
    for path in ["/graph/hour/a%2Fb/?format=svg", "/graph/hour/a%2Fb/", "/rrd/a%2Fb/"] {
        let answer = get(&site, path).await;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert_eq!(answer.status(), 503, "{path}: {text}");
        assert!(
            text.starts_with("cannot read the history of a/b: ") && text.contains("not an RRD"),
            "{text}"
        );
    }
    let shown = page(&site, "/probe/a%2Fb/").await;
    assert!(shown.contains("is unreadable; see the log") && !shown.contains("No data yet"), "{shown}");
}

/// How often the list and the probe's page show that its present value is estimated.
async fn check_estimated(quality: Quality, expected: usize) {
    let scratch = kwapi_peers::Lab::empty();
    let live = live();
    receive_ab(&mut Intake::new(live.clone(), None), 0, 99, 179.0, quality);
    let site = pages_with(&scratch, live);
    for path in ["/last/minute/", "/probe/a%2Fb/"] {
        let shown = page(&site, path).await;
        assert_eq!(shown.matches(">estimated</span>").count(), expected, "{path}: {shown}");
    }
}

#[tokio::test]
async fn an_estimated_value_is_marked_and_a_measured_one_is_not() {
    check_estimated(Quality::Estimated, 1).await;
    check_estimated(Quality::Measured, 0).await;
}

#[tokio::test]
async fn the_present_is_what_the_account_reports_also_after_a_clock_was_set_back() {
    let scratch = kwapi_peers::Lab::empty();
    let live = live();
    receive_ab(&mut Intake::new(live.clone(), None), 0, 60, 42.0, Quality::Measured);
    let site = pages_with(&scratch, live);
    let shown = page(&site, "/last/minute/").await;
    assert!(shown.contains("<b>42.0 W</b>") && !shown.contains("<b>179.0 W</b>"), "{shown}");
}

#[tokio::test]
async fn a_page_of_a_young_probe_shows_no_energy_from_before_it() {
    let scratch = kwapi_peers::Lab::empty();
    let site = pages(&scratch);
    for period in Period::ALL {
        let shown = page(&site, &format!("/last/{period}/")).await;
        // 80 to 179 W, a second each: 12 950 J. The summary and the probe.
        assert_eq!(shown.matches("<dd>0.0036 kWh</dd>").count(), 2, "{period}: {shown}");
    }
}

#[tokio::test]
async fn a_total_behind_the_present_watts_shows_what_it_reaches_to() {
    let scratch = kwapi_peers::Lab::empty();
    let (live, until) = (live(), Timestamp::from_seconds(NOW + 31));
    let mut has_room = true;
    let full = || std::io::ErrorKind::StorageFull.into();
    let append: Append =
        Box::new(move |_, _| std::mem::take(&mut has_room).then(Position::default).ok_or_else(full));
    let mut intake = Intake::new(live.clone(), Some(append));
    receive_ab(&mut intake, 0, 31, 40.0, Quality::Measured);
    receive_ab(&mut intake, 1, 60, 42.0, Quality::Measured);
    let site = pages_with(&scratch, live);
    let shown = page(&site, "/probe/a%2Fb/").await;
    let expected = format!("recorded up to {}", super::super::words::instant(until, until, &TimeZone::UTC));
    assert!(shown.contains(&expected) && shown.contains("42.0 W"), "{expected} in {shown}");
}
