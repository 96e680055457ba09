//! Reload while measurements flow.

use std::fmt::Write;

use kwapi_peers::{Lab, Peer, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, kwapi};

/// A driver manager whose measurements `kwapi tail` follows.
struct Watched {
    drivers: Kwapi,
    tail: Peer,
}

const MAIN: &str = "include = ['meters/*.toml']\n[bus]\nkey = { id = 'k', secret = { file = 'secret' } }\n[drivers]\n\
    publish = ['ipc://@DIR@/bus']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n";

fn meter(name: &str, watts: u32) -> String {
    format!(
        "[[meter]]\nname = '{name}'\ndriver = 'dummy'\nwatts = {watts}\nprobe = '{name}'\ninterval_seconds = 0.1\n"
    )
}

impl Watched {
    fn start() -> Self {
        let lab = Lab::empty();
        std::fs::create_dir(lab.join("meters")).unwrap();
        std::fs::write(lab.join("meters/a.toml"), meter("kept", 1) + &meter("changed", 2)).unwrap();
        std::fs::write(lab.join("secret"), "0123456789abcdef").unwrap();
        let drivers = Kwapi::start_in(lab, &["drivers"], MAIN);
        let mut command = kwapi();
        command.args(["tail", "--json", "--config"]).arg(drivers.file("kwapi.toml"));
        let tail = Peer::start(&mut command, drivers.file("tail.log"));
        let watched = Self { drivers, tail };
        wait_until("measurements", PATIENCE, || (watched.of("kept").len() > 3).then_some(()));
        watched
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.drivers.file(name), text).unwrap();
    }

    /// Session, sequence number and watts of what came from a probe so far.
    fn of(&self, probe: &str) -> Vec<(u64, u64, f64)> {
        let log = self.tail.log();
        let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|it| it["probe_id"] == probe)
            .filter_map(|it| Some((it["session"].as_u64()?, it["seq"].as_u64()?, it["w"].as_f64()?)))
            .collect()
    }

    fn wait_for_watts(&self, probe: &str, watts: f64) {
        wait_until(&format!("{probe} at {watts} W\n{}", self.drivers.process.log()), PATIENCE, || {
            self.of(probe).last().is_some_and(|last| last.2 == watts).then_some(())
        });
    }

    fn wait_for_log(&self, text: &str, times: usize) {
        wait_until(&format!("{text}\n{}", self.drivers.process.log()), PATIENCE, || {
            (self.drivers.process.log().matches(text).count() >= times).then_some(())
        });
    }

    /// The unchanged meter has missed no beat.
    fn assert_kept(&self) {
        let heard = self.of("kept").len();
        wait_until("more of the kept meter", PATIENCE, || (self.of("kept").len() > heard + 5).then_some(()));
        let mut holes = String::new();
        for pair in self.of("kept").windows(2) {
            if pair[1].0 != pair[0].0 || pair[1].1 != pair[0].1 + 1 {
                writeln!(holes, "{pair:?}").unwrap();
            }
        }
        assert_eq!(holes, "", "{}", self.drivers.process.log());
    }
}

#[test]
fn a_changed_file_restarts_the_meters_that_changed_and_no_other() {
    let watched = Watched::start();
    let session = watched.of("changed").last().unwrap().0;
    watched.write("meters/a.toml", &(meter("kept", 1) + &meter("changed", 3)));
    watched.wait_for_watts("changed", 3.0);
    assert!(watched.of("changed").last().unwrap().0 > session, "another meter is another session");
    watched.write("meters/b.toml", &meter("new", 4));
    watched.wait_for_watts("new", 4.0);
    std::fs::remove_file(watched.drivers.file("meters/b.toml")).unwrap();
    watched.wait_for_log("configuration reloaded", 3);
    let heard = watched.of("new").len();
    watched.assert_kept();
    assert!(watched.of("new").len() <= heard + 1, "a meter that is gone says no more");
}

#[test]
fn a_broken_file_changes_nothing_and_says_why_and_a_mended_one_is_taken_up() {
    let watched = Watched::start();
    watched.write(
        "meters/a.toml",
        &(meter("kept", 1) + &meter("changed", 3) + "[[meter]]\ndriver = 'dumy'\nprobe = 'x'\n"),
    );
    watched.wait_for_log("configuration not reloaded, nothing has changed: ", 1);
    watched.wait_for_log("meters/a.toml:14: there is no driver `dumy`; did you mean `dummy`?", 1);
    assert!(watched.of("changed").iter().all(|it| it.2 == 2.0), "nothing has changed");
    watched.assert_kept();
    // A file that only the broken configuration names is watched too.
    watched.write(
        "kwapi.toml",
        &std::fs::read_to_string(watched.drivers.file("kwapi.toml"))
            .unwrap()
            .replace("'meters/*.toml'", "'other.toml'"),
    );
    watched.wait_for_log("other.toml: cannot be read", 1);
    watched.write("other.toml", &(meter("kept", 1) + &meter("changed", 5)));
    watched.wait_for_watts("changed", 5.0);
    watched.assert_kept();
}

#[test]
fn a_secrets_file_is_watched_and_sighup_reloads_at_once() {
    let watched = Watched::start();
    watched.write("secret", "fedcba9876543210");
    watched.wait_for_log("changed, but taken up by a restart only: bus", 1);
    watched.drivers.process.signal(libc::SIGHUP);
    watched.wait_for_log("configuration reloaded", 2);
    watched.assert_kept();
    assert!(!watched.drivers.process.log().contains("fedcba"), "a secret is not logged");
}
