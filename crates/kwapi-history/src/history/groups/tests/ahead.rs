//! Files of groups that are rewound, since a clock was ahead.

use super::*;

/// An hour.
const AHEAD: u64 = 3_600;
/// From this turn on the clock is ahead…
const LEAPS: u64 = 300;
/// …until this one.
const IS_SET: u64 = 500;

/// A process that takes the seconds `from..until` and is killed; or, `kill_when_rewound`, right after it has rewound
/// files. Returns where it ended.
fn live(lab: &Lab, seconds: std::ops::Range<u64>, kill_when_rewound: bool) -> u64 {
    let world = [("lyon.a", 60.0), ("lyon.rack.b", 40.0)];
    let journal = journal(lab);
    let recent = world.iter().map(|(name, _)| probe(name)).filter(|_| seconds.start > 1).collect();
    let groups = open(&journal, &GroupsConfig { recent, ..config(&[]) });
    for second in seconds.clone() {
        let stamp = if (LEAPS..IS_SET).contains(&second) { second + AHEAD } else { second };
        append(&journal, each_second(stamp..stamp + 1, &world));
        groups.history.catch_up();
        groups.history.tick(Duration::from_secs(10_000 + second), Timestamp::from_seconds(START + stamp));
        if kill_when_rewound && groups.counters().files.files_rewound > 0 {
            return second + 1;
        }
    }
    seconds.end
}

/// What was read and not written yet, two minutes of it, is in the journal alone.
#[test]
fn a_kill_right_after_files_were_rewound_loses_no_second() {
    let (lab, whole) = (Lab::empty(), Lab::empty());
    let killed = live(&lab, 1..1_350, true);
    assert!(killed < 1_300, "nothing was rewound");
    live(&lab, killed..1_350, false);
    live(&whole, 1..1_350, false);
    let [again, at_one_go] = [&lab, &whole].map(|lab| {
        let groups = open(&journal(lab), &config(&[]));
        for group in ["lyon", "lyon.rack"] {
            let rows = course_of(&groups, group, 1_349);
            let watts = if group == "lyon" { 100.0 } else { 40.0 };
            let known = (1_060..1_345).all(|second| row(&rows, 1_349, second) == (Some(watts), Some(1.0)));
            assert!(known, "killed at {killed}: {group}: {rows:?}");
        }
        files(&groups)
    });
    assert!(again == at_one_go, "the files are others");
}

/// The time that was ahead is not written again by a process that begins after that.
#[test]
fn a_kill_after_files_were_rewound_does_not_restore_the_future() {
    let lab = Lab::empty();
    let killed = live(&lab, 1..1_350, true);
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    groups.history.catch_up();
    groups.history.flush_all();
    groups.history.tick(Duration::ZERO, Timestamp::from_seconds(START + killed));
    assert_eq!((groups.trouble(), groups.counters().files.files_ahead), (None, 0));
}
