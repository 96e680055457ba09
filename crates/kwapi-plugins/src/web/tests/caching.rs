use super::super::graphs::{Form, Graphs, Subject};
use super::super::overview::Seen;
use super::*;
use kwapi_graph::{Size, Theme};

const PNG: Form = Form::Png(Size::PROBE, Theme::Light, 1);

fn graphs(bytes_max: usize) -> (Graphs, ProbeId, Arc<AtomicU64>) {
    let fixture = Fixture::of(&["A", "B"]);
    let now = Arc::clone(&fixture.now);
    let settings = Settings { cache_bytes_max: bytes_max, ..settings() };
    (
        Graphs::new(Directory::default().with_history(Arc::new(fixture)), settings),
        ProbeId::new("A").unwrap(),
        now,
    )
}

#[test]
fn a_graph_is_drawn_again_only_when_its_archive_has_a_new_row() {
    let (graphs, probe, now) = graphs(1 << 20);
    let drawn_after = |seconds: u64| {
        now.store(NOW + seconds, Ordering::Relaxed);
        graphs
            .one(
                &Subject::Probe(probe.clone()),
                Period::Hour,
                PNG,
                None,
                None,
                Timestamp::from_seconds(NOW + seconds),
            )
            .unwrap()
            .unwrap();
        graphs.effort().0
    };
    assert_eq!([0, 1, 9, 10, 19, 20].map(drawn_after), [1, 1, 1, 2, 2, 3]);
}

#[test]
fn a_row_that_is_written_late_is_still_drawn() {
    let (graphs, probe, now) = graphs(1 << 20);
    let at = Timestamp::from_seconds(NOW + 10);
    now.store(NOW + 9, Ordering::Relaxed); // The newest measurement belongs to the row before.
    let before =
        graphs.one(&Subject::Probe(probe.clone()), Period::Hour, PNG, None, None, at).unwrap().unwrap();
    now.store(NOW + 10, Ordering::Relaxed);
    let after =
        graphs.one(&Subject::Probe(probe.clone()), Period::Hour, PNG, None, None, at).unwrap().unwrap();
    assert_ne!(before.bytes, after.bytes);
}

#[test]
fn the_cache_stays_within_its_bytes() {
    let (graphs, probe, now) = graphs(100_000);
    for minute in 0..30 {
        let at = NOW + 60 * minute;
        now.store(at, Ordering::Relaxed);
        for period in Period::ALL {
            for scale in 1..=2 {
                let form = Form::Png(Size::PROBE, Theme::Light, scale);
                graphs
                    .one(
                        &Subject::Probe(probe.clone()),
                        period,
                        form,
                        None,
                        None,
                        Timestamp::from_seconds(at),
                    )
                    .unwrap()
                    .unwrap();
                assert!(graphs.effort().1 <= 100_000, "{:?}", graphs.effort());
            }
        }
    }
    assert!(graphs.effort().1 > 20_000, "it does keep something");
}

#[test]
fn the_sum_of_all_probes_is_added_up_once_a_row() {
    let (graphs, _, now) = graphs(1 << 20);
    let all: Arc<[ProbeId]> = ["A", "B"].map(|name| ProbeId::new(name).unwrap()).into();
    let everything = Seen {
        parts: Arc::clone(&all),
        all,
        above: [].into(),
        group: None,
        is_everything: true,
        scope: Scope::All,
        login: None,
    };
    let sum = |seconds: u64| {
        now.store(NOW + seconds, Ordering::Relaxed);
        graphs.sum(&everything, Period::Day, Timestamp::from_seconds(NOW + seconds)).stacked
    };
    assert!(Arc::ptr_eq(&sum(0), &sum(14)));
    assert_eq!(sum(0).probes, 2);
}

#[test]
fn a_sum_of_what_somebody_sees_is_kept_for_who_sees_the_same_and_for_nobody_else() {
    let (graphs, _, _) = graphs(1 << 20);
    let seen = |names: &[&str]| {
        let all: Arc<[ProbeId]> = names.iter().map(|name| ProbeId::new(name).unwrap()).collect();
        Seen {
            parts: Arc::clone(&all),
            all,
            above: [].into(),
            group: None,
            is_everything: false,
            scope: Scope::All,
            login: None,
        }
    };
    let sum = |names: &[&str]| graphs.sum(&seen(names), Period::Day, Timestamp::from_seconds(NOW)).stacked;
    let (a, b) = (sum(&["A"]), sum(&["B"]));
    assert!(a.bands[0].name == "A" && b.bands[0].name == "B" && a.probes == 1);
    assert!(Arc::ptr_eq(&a, &sum(&["A"])) && Arc::ptr_eq(&b, &sum(&["B"])));
    assert_eq!(sum(&["A", "B"]).probes, 2);
    let summary = |names: &[&str]| {
        let seen = seen(names);
        let sum = graphs.sum(&seen, Period::Day, Timestamp::from_seconds(NOW));
        graphs.summary(&sum, &seen, Period::Day, PNG).unwrap().bytes
    };
    assert_ne!(summary(&["A"]), summary(&["B"]));
    assert_eq!(summary(&["A"]), summary(&["A"]));
    for number in 0..200 {
        sum(&["A", "B", &format!("C{number}")]);
    }
    assert_eq!(graphs.own_sums_kept(), 24, "the oldest give way");
}
