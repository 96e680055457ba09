//! Accounts on record where there is no journal: what was shown is found again after any end.

use super::*;

#[test]
fn after_a_restart_a_probe_is_served_from_its_first_new_message_on_with_all_its_energy() {
    let directory = tempfile::tempdir().unwrap();
    {
        let bench = Bench::in_directory(directory.path());
        bench.receive("A", 0, 0);
        bench.receive("B", 0, 0);
        bench.receive("A", 1, 100);
        bench.live.maintain(true);
        bench.receive("A", 2, 200); // neither read nor recorded: lost with the process
    }
    let bench = Bench::in_directory(directory.path());
    assert_eq!((bench.list(Listing::Known), bench.live.probe("A")), (String::new(), None));
    bench.receive("A", 3, 300);
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 300 J");
    assert_eq!(bench.live.counts().probes, 2);
}

#[test]
fn what_was_shown_is_on_record_without_any_interval_passing() {
    let directory = tempfile::tempdir().unwrap();
    {
        let bench = Bench::in_directory(directory.path());
        bench.receive("A", 0, 0);
        bench.receive("B", 0, 0);
        bench.receive("A", 1, 100);
        bench.receive("B", 1, 60);
        assert_eq!(bench.list(Listing::Fresh), "A 97 W 100 J, B 97 W 60 J");
        bench.receive("B", 2, 90);
        bench.live.probe("B").unwrap();
    }
    // The publisher was killed too, and its new session has nothing of the old one's energy.
    let bench = Bench::in_directory(directory.path());
    for probe in ["A", "B"] {
        let accounting = Accounting {
            timestamp: Timestamp::from_seconds(201),
            session: Timestamp::from_seconds(200),
            seq: 1,
            totals: Totals { energy: Energy::from_millijoules(1000), ..Totals::default() },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        bench.receive_message(probe, 1.0, Some(accounting));
    }
    assert_eq!(bench.list(Listing::Fresh), "A 1 W 101 J, B 1 W 91 J");
}

#[tokio::test]
async fn what_nobody_reads_is_recorded_every_interval_and_once_more_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::in_directory(directory.path());
    bench.receive("A", 0, 0);
    let bytes = || bench.live.counts().record_bytes;
    let empty = bytes();
    bench.live.maintain(false);
    assert_eq!(bytes(), empty, "it is not time yet");
    bench.pass(5);
    bench.live.maintain(false);
    let first = bytes();
    assert!(first > empty);
    bench.receive("A", 1, 100);
    bench.live.clone().keep(async {}).await;
    assert!(bytes() > first);
    drop(bench);
    let bench = Bench::in_directory(directory.path());
    bench.receive("A", 2, 250);
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 250 J");
}

#[test]
fn a_grown_record_is_compacted_and_still_has_everything() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::in_directory(directory.path());
    for seq in 0..80_000 {
        bench.receive("A", seq, seq);
        bench.live.probe("A").unwrap();
    }
    let grown = bench.live.counts().record_bytes;
    bench.live.maintain(true);
    let compacted = bench.live.counts().record_bytes;
    assert!(grown > 4 << 20 && compacted < 300, "{grown} to {compacted}");
    drop(bench);
    let bench = Bench::in_directory(directory.path());
    bench.receive("A", 80_000, 80_000);
    assert_eq!(bench.list(Listing::Fresh), "A 97 W 80000 J");
}

/// Not a test by itself: what the next one kills.
#[test]
fn child_that_feeds_and_publishes_until_killed() {
    let Some(directory) = std::env::var_os("KWAPI_TEST_CHILD") else { return };
    let bench = Bench::in_directory(std::path::Path::new(&directory));
    for seq in 0.. {
        for probe in ["A", "B", "C"] {
            bench.receive(probe, seq, seq * 10);
        }
        if seq % 7 == 0 {
            println!("published {}\n", bench.list(Listing::Fresh));
        }
        if seq % 50 == 0 {
            bench.live.maintain(false);
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "kill -9 needs a process to kill: this very test program")]
fn a_kill_at_any_moment_takes_back_nothing_that_was_published() {
    for round in 0..5_u64 {
        let lab = kwapi_peers::Lab::empty();
        let directory = lab.join("state");
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "--nocapture",
            "intake::tests::record::child_that_feeds_and_publishes_until_killed",
        ]);
        command.env("KWAPI_TEST_CHILD", &directory);
        let child = kwapi_peers::Peer::start(&mut command, lab.join("log"));
        let published = |log: &str| log.matches("published A").count() as u64;
        let child = child.ready(Duration::from_secs(60), || {
            published(&std::fs::read_to_string(lab.join("log")).unwrap()) > 50 + 37 * round
        });
        child.signal(9);
        child.ended(Duration::from_secs(10));

        let log = std::fs::read_to_string(lab.join("log")).unwrap();
        let complete = log.rsplit_once("\n\n").unwrap().0;
        let last = complete.rsplit_once("published ").unwrap().1;
        let joules = |list: &str| -> Vec<f64> {
            list.split(", ").map(|line| line.split(' ').nth(3).unwrap().parse().unwrap()).collect()
        };
        let bench = Bench::in_directory(&directory);
        // A publisher that restarted as well: all that will ever be known of the old session is on record.
        for probe in ["A", "B", "C"] {
            let far = Timestamp::from_seconds(1_000_000_000);
            let (timestamp, session, totals) = (far, far, Totals::default());
            let quality = Quality::Measured;
            let fresh = Accounting { timestamp, session, seq: 0, totals, curve: None, meter: None, quality };
            bench.receive_message(probe, 1.0, Some(fresh));
        }
        let after = bench.list(Listing::Fresh);
        for (before, after) in joules(last).into_iter().zip(joules(&after)) {
            assert!(after >= before, "published {last}, then {after}");
        }
    }
}
