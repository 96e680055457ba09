use kwapi_core::Pattern;
use proptest::prelude::*;

use super::*;
use crate::directory::ConfiguredProbes;

fn probe(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

/// Groups of `name=watts` or, of a silent one, `name`, as `group watts share probes/reporting rest`.
#[track_caller]
fn check(probes: &str, scope: &Scope, expected: &[&str]) {
    let mut power = HashMap::new();
    let mut all = Vec::new();
    for text in probes.split_whitespace() {
        let (name, watts) = text.split_once('=').map_or((text, None), |(name, watts)| (name, Some(watts)));
        all.push(probe(name));
        power.extend(watts.map(|watts| (probe(name), watts.parse().unwrap())));
    }
    all.sort_unstable();
    let directory = Directory::new(ConfiguredProbes::new(|_| BTreeMap::new(), [probe("lyon.sum")]));
    let members = GroupMembers::new(&all, &directory, scope);
    let groups = members.now(|_| true, 100, &power, Timestamp::from_micros(7_900_000));
    let number = |number: Option<f64>| number.map_or("-".to_owned(), |number| number.to_string());
    let lines: Vec<String> = groups
        .iter()
        .map(|now| {
            assert_eq!((now.timestamp, members.has(&now.group)), (7, true));
            let alone = members.now(|name| name == now.group, 1, &power, Timestamp::from_seconds(7));
            assert_eq!(alone, std::slice::from_ref(now));
            let (watts, rest) = (number(now.watts), number(now.rest_watts));
            format!("{} {watts} {} {}/{} {rest}", now.group, now.known_share, now.probes, now.reporting)
        })
        .collect();
    assert_eq!(lines, expected, "{probes}");
}

#[test]
fn a_group_is_the_sum_of_its_members_that_are_not_silent_and_reports_the_share_known() {
    check("lyon.a=10 lyon.b=20 lyon.c paris=7", &Scope::All, &["lyon 30 0.6666666666666666 3/2 -"]);
    check("lyon.a lyon.b", &Scope::All, &["lyon - 0 2/0 -"]);
    check("a b=2", &Scope::All, &[]);
}

#[test]
fn a_meter_counts_in_place_of_those_below_it_and_its_rest_is_reported() {
    let racks = "lyon.r3=100 lyon.r3.a=30 lyon.r3.b=40 lyon.r4.a=5";
    check(racks, &Scope::All, &["lyon 105 1 4/4 -", "lyon.r3 100 1 3/3 30", "lyon.r4 5 1 1/1 -"]);
    // What is below a meter that is silent stands for it; what is silent below one that reports is in it.
    let silent = "lyon.r3 lyon.r3.a=30 lyon.r3.b";
    check(silent, &Scope::All, &["lyon 30 0.5 3/1 -", "lyon.r3 30 0.5 3/1 -"]);
    let rest = "lyon.r3=100 lyon.r3.a=30 lyon.r3.b";
    check(rest, &Scope::All, &["lyon 100 1 3/2 -", "lyon.r3 100 1 3/2 70"]);
    // A meter between: each watt once, and the rest is beyond what is measured directly below.
    let nested = "a=100 a.b=60 a.b.c=50 a.d=30";
    check(nested, &Scope::All, &["a 100 1 4/4 10", "a.b 60 1 2/2 10"]);
    let between_silent = "a=100 a.b a.b.c=50 a.d=30";
    check(between_silent, &Scope::All, &["a 100 1 4/3 20", "a.b 50 1 2/1 -"]);
}

#[test]
fn more_below_than_the_meter_reports_is_a_negative_rest_and_shows_as_one() {
    check("r=10 r.a=12", &Scope::All, &["r 10 1 2/2 -2"]);
}

#[test]
fn sums_of_others_are_members_of_no_group() {
    check("lyon.a=10 lyon.sum=10", &Scope::All, &["lyon 10 1 1/1 -"]);
    check("lyon.sum=10", &Scope::All, &[]);
}

#[test]
fn a_group_is_readable_only_by_who_may_see_all_of_it() {
    let scope = |pattern: &str| Scope::of_patterns(&[Pattern::new(pattern).unwrap()]);
    let all = "lyon=50 lyon.r3.a=10 lyon.r4.a=20 lyon.r4.b=5";
    check(all, &scope("lyon.r3.*"), &["lyon.r3 10 1 1/1 -"]);
    check(all, &scope("lyon.r4.a"), &[]);
    // The meter of a group is a member of it.
    check(all, &scope("lyon.*"), &["lyon.r3 10 1 1/1 -", "lyon.r4 25 1 2/2 -"]);
    check(all, &Scope::nothing(), &[]);
}

#[test]
fn names_that_begin_alike_are_no_members() {
    check(
        "lyon-b.x=1 lyon.a=2 lyon1.y=3 lyon=9",
        &Scope::All,
        &["lyon 9 1 2/2 7", "lyon-b 1 1 1/1 -", "lyon1 3 1 1/1 -"],
    );
    let scope = Scope::of_patterns(&[Pattern::new("lyon.*").unwrap()]);
    check("lyon-b.x=1 lyon.a=2 lyon1.y=3", &scope, &["lyon 2 1 1/1 -"]);
    check("lyon!.x=1 lyon.a.b=2 lyon.a=3 lyon.c-d=4", &scope, &["lyon 7 1 3/3 -", "lyon.a 3 1 2/2 1"]);
}

#[test]
fn the_first_of_very_many_groups_are_reported_without_keeping_the_rest() {
    let names: Vec<String> = (0..300).rev().map(|n| format!("g{n:03}.sub.a")).collect();
    let mut all: Vec<ProbeId> = names.iter().map(|name| probe(name)).collect();
    all.sort_unstable();
    let power = all.iter().map(|probe| (probe.clone(), 1.0)).collect();
    let members = GroupMembers::new(&all, &Directory::default(), &Scope::All);
    let first = members.now(|name| name > "g100", 4, &power, Timestamp::EPOCH);
    let names: Vec<&str> = first.iter().map(|group| group.group.as_str()).collect();
    assert_eq!(names, ["g100.sub", "g101", "g101.sub", "g102"]);
    assert!(first.iter().all(|group| group.watts == Some(1.0)));
}

proptest! {
    /// A group is its top members and the groups directly below it, whatever is silent: watts once, and no probe forgotten.
    #[test]
    fn every_watt_is_in_a_group_once(
        paths in prop::collection::btree_map(prop::collection::vec(0..3_u8, 1..5), prop::option::of(1..100_u32), 1..40),
    ) {
        let name = |path: &[u8]| path.iter().map(|step| format!("n{step}")).collect::<Vec<_>>().join(".");
        let all: Vec<ProbeId> = {
            let mut all: Vec<_> = paths.keys().map(|path| probe(&name(path))).collect();
            all.sort_unstable();
            all
        };
        let power: HashMap<ProbeId, f64> = paths
            .iter()
            .filter_map(|(path, watts)| Some((probe(&name(path)), f64::from((*watts)?))))
            .collect();
        let members = GroupMembers::new(&all, &Directory::default(), &Scope::All);
        for group in members.now(|_| true, 100, &power, Timestamp::EPOCH) {
            // By the rule itself: from the top, a meter that reports counts as it reports, and otherwise what is below
            // it.
            fn sum(at: &str, power: &HashMap<ProbeId, f64>, all: &[ProbeId]) -> f64 {
                if let Some(watts) = power.get(at) {
                    return *watts;
                }
                let depth = at.matches('.').count() + 1;
                let below: std::collections::BTreeSet<String> = all
                    .iter()
                    .filter(|probe| probe.is_within(at) && probe.as_str() != at)
                    .map(|probe| probe.as_str().split('.').take(depth + 1).collect::<Vec<_>>().join("."))
                    .collect();
                below.iter().map(|below| sum(below, power, all)).sum()
            }
            prop_assert!((group.watts.unwrap_or(0.0) - sum(&group.group, &power, &all)).abs() < 1e-9, "{}", group.group);
            prop_assert!((0.0..=1.0).contains(&group.known_share));
            prop_assert_eq!(group.known_share > 0.0, group.watts.is_some());
        }
    }
}
