//! What is shown while a backlog is read: the present, beside the totals recorded by then.

use super::*;

/// An hour after the first message of [`message`].
const LATER: u64 = 3_600;

impl Bench {
    /// A stored message: it counts as received when it was measured, `ago` seconds before now.
    fn read_stored(&self, probe: &str, seq: u64, joules: u64, ago: u64) {
        let mut batch = self.batch(probe, seq, joules);
        for received in &mut batch.measurements {
            received.received_at = received.received_at.saturating_sub(Duration::from_secs(ago));
        }
        self.intake.lock().take(batch, Box::new(|| ()));
    }

    /// What is published of the second `seq`.
    fn receive_live(&self, probe: &str, seq: u64, watts: f64, session: u64) {
        let accounting = Accounting { session: Timestamp::from_seconds(session), ..message(seq, seq) };
        self.live.show_live(&self.batch_of(probe, watts, Some(accounting)));
    }

    /// Present watts and their second, recorded joules and theirs, and whether it is silent and in `/v1/`.
    #[track_caller]
    fn check(&self, probe: &str, (watts, at): (f64, u64), (joules, until): (f64, u64), is_in_v1: bool) {
        let (_, view) = self.live.probe(probe).unwrap();
        assert_eq!((view.present.power.0, view.present.timestamp.seconds()), (watts, 100 + at));
        assert_eq!((view.totals.energy.joules(), view.timestamp.seconds()), (joules, until));
        assert_eq!((view.is_silent, view.is_recorded), (false, is_in_v1));
    }
}

fn journalling() -> Bench {
    let append: Append = Box::new(|_, _| Ok(Position::default()));
    Bench::with_append(LiveConfig::default(), Some(append))
}

#[test]
fn live_watts_show_beside_totals_of_the_past_until_the_backlog_is_read() {
    let bench = journalling();
    bench.pass(2 * LATER);
    bench.read_stored("A", 0, 0, LATER);
    bench.receive_live("A", LATER, 55.0, 100);
    bench.check("A", (55.0, LATER), (0.0, 100), false);
    bench.read_stored("A", 1, 100, LATER - 1);
    bench.check("A", (55.0, LATER), (100.0, 101), false);
    bench.pass(1);
    bench.receive_live("A", LATER + 1, 56.0, 100);
    bench.check("A", (56.0, LATER + 1), (100.0, 101), false);
    assert_eq!(bench.live.counts().late + bench.live.counts().duplicate, 0);
    // Nearly there: `/v1/` has what is of now.
    bench.read_stored("A", LATER, 300_000, 1);
    bench.check("A", (56.0, LATER + 1), (300_000.0, 100 + LATER), true);
    bench.read_stored("A", LATER + 1, 300_097, 0);
    bench.check("A", (97.0, LATER + 1), (300_097.0, 101 + LATER), true);
}

#[test]
fn a_probe_that_was_never_recorded_shows_watts_and_no_energy() {
    let bench = journalling();
    bench.receive_live("A", LATER, 55.0, 100);
    bench.check("A", (55.0, LATER), (0.0, 0), false);
    let directory = crate::directory::Directory::default().with_live(bench.live.clone());
    let now = directory.now(&ProbeId::new("A").unwrap()).unwrap();
    assert_eq!((now.power.0, now.is_silent, now.account), (55.0, false, None));
}

#[test]
fn what_is_known_or_older_than_what_is_shown_or_of_an_earlier_session_is_not_shown() {
    let bench = journalling();
    bench.receive("A", 50, 100);
    let generation = bench.live.generation();
    for known in [49, 50] {
        bench.receive_live("A", known, 1.0, 100);
    }
    assert_eq!(bench.live.generation(), generation, "nobody is woken for it");
    bench.check("A", (97.0, 50), (0.0, 150), true);
    bench.receive_live("A", 60, 60.0, 130);
    for (second, session) in [(60, 130), (59, 130), (61, 129)] {
        bench.receive_live("A", second, 1.0, session);
    }
    bench.check("A", (60.0, 60), (0.0, 150), true);
    bench.receive_live("A", 61, 61.0, 140);
    bench.check("A", (61.0, 61), (0.0, 150), true);
}

#[test]
fn the_interval_is_that_of_what_is_published() {
    let bench = journalling();
    bench.pass(2 * LATER);
    bench.read_stored("A", 0, 0, 2 * LATER);
    for second in 0..5 {
        bench.pass(1);
        bench.receive_live("A", LATER + second, 5.0, 100);
    }
    let (_, view) = bench.live.probe("A").unwrap();
    assert_eq!(view.interval, Duration::from_secs(1));
}
