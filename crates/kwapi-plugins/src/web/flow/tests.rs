use proptest::prelude::*;

use super::*;

/// Probes in order of their ids, with their watts; `None`: silent.
fn probes(all: &[(&str, Option<f64>)]) -> Vec<FlowProbe> {
    let of = |(id, watts): &(&str, Option<f64>)| FlowProbe {
        probe: ProbeId::new(id).unwrap(),
        watts: *watts,
        is_present: true,
        energy: None,
    };
    let mut probes: Vec<FlowProbe> = all.iter().map(of).collect();
    probes.sort_by(|one, other| one.probe.cmp(&other.probe));
    probes
}

/// A branch as text: name, watts, and in brackets what is below it.
fn shown(tree: &FlowTree<'_>, branch: &FlowBranch) -> String {
    let name = match branch.kind {
        FlowBranchKind::Place(at) => tree.places[at].path.to_owned(),
        FlowBranchKind::Others { count, are_probes } => {
            format!("{count}{}", if are_probes { "p" } else { "o" })
        }
        FlowBranchKind::Rest => "rest".to_owned(),
        FlowBranchKind::Unknown(count) => format!("{count}?"),
    };
    let watts = branch.power.map_or_else(|| "?".to_owned(), |watts| format!("{watts}"));
    let below: Vec<String> = branch.children.iter().map(|child| shown(tree, child)).collect();
    if below.is_empty() { format!("{name}={watts}") } else { format!("{name}={watts}[{}]", below.join(" ")) }
}

#[track_caller]
fn check(all: &[(&str, Option<f64>)], root: Option<&str>, expected: &str) {
    let probes = probes(all);
    let tree = FlowTree::new(&probes, root, |group| !group.starts_with("closed"));
    assert_eq!(shown(&tree, &tree.picture(FlowMeasure::Power)), expected);
}

#[test]
fn a_meter_is_the_whole_of_what_is_below_it_and_has_a_rest() {
    let hall = [
        ("hall.rack", Some(100.0)),
        ("hall.rack.a", Some(60.0)),
        ("hall.rack.b", Some(30.0)),
        ("hall.c", Some(50.0)),
    ];
    check(&hall, None, "=150[hall=150[hall.rack=100[hall.rack.a=60 hall.rack.b=30 rest=10] hall.c=50]]");
    check(&hall, Some("hall.rack"), "hall.rack=100[hall.rack.a=60 hall.rack.b=30 rest=10]");
    check(&hall, Some("none"), "none=?");
}

#[test]
fn those_below_a_silent_meter_stand_for_it() {
    let rack = [("r", None), ("r.a", Some(60.0)), ("r.b", None)];
    check(&rack, None, "=60[r=60[r.a=60 r.b=?]]");
    // What is silent below a meter that is not is somewhere in its rest.
    check(
        &[("r", Some(100.0)), ("r.a", Some(60.0)), ("r.b", None)],
        None,
        "=100[r=100[r.a=60 rest=40 r.b=?]]",
    );
}

#[test]
fn what_a_meter_measured_above_silent_ones_is_a_rest() {
    check(&[("r", Some(100.0)), ("r.a", None)], None, "=100[r=100[rest=100 r.a=?]]");
}

#[test]
fn less_than_nothing_is_no_rest() {
    let rack = [("r", Some(50.0)), ("r.a", Some(60.0)), ("r.b", Some(30.0))];
    check(&rack, None, "=50[r=50[r.a=60 r.b=30]]");
    let probes = probes(&rack);
    let tree = FlowTree::new(&probes, Some("r"), |_| true);
    assert_eq!(tree.rest(0, FlowMeasure::Power), Some(-40.0));
    assert_eq!(tree.parts(0, FlowMeasure::Power).len(), 2);
}

#[test]
fn small_ones_are_taken_together_and_many_unknown_ones_are_counted() {
    let named: Vec<String> = (0..300).map(|n| format!("r.n{n}")).collect();
    let mut all: Vec<(&str, Option<f64>)> = named.iter().map(|name| (name.as_str(), Some(1.0))).collect();
    all.extend([("r.large", Some(100.0)), ("r.x", None), ("r.y", None), ("r.z", None), ("q", Some(4.0))]);
    check(&all, None, "=404[r=400[r.large=100 300p=300 3?=?] q=4]");
}

/// How many places a picture shows.
fn count(branch: &FlowBranch) -> usize {
    1 + branch.children.iter().map(count).sum::<usize>()
}

#[test]
fn a_hundred_thousand_probes_are_a_picture_of_some_hundred_places() {
    // Ten sites of ten halls of ten racks of a hundred: none is large, and all are.
    let names: Vec<String> = (0..100_000)
        .map(|n| format!("s{}.h{}.r{}.n{}", n / 10_000, n / 1_000 % 10, n / 100 % 10, n % 100))
        .collect();
    let all: Vec<(&str, Option<f64>)> = names.iter().map(|name| (name.as_str(), Some(1.0))).collect();
    let probes = probes(&all);
    let tree = FlowTree::new(&probes, None, |_| true);
    let picture = tree.picture(FlowMeasure::Power);
    assert_eq!((picture.power, tree.places[0].ends), (Some(100_000.0), 100_000));
    // Each site, and its halls together.
    assert_eq!(count(&picture), 1 + 10 * 2);
    let hall = FlowTree::new(&probes, Some("s3.h4"), |_| true);
    assert_eq!(count(&hall.picture(FlowMeasure::Power)), 1 + 10 * 2);
}

#[test]
fn a_group_that_is_not_open_has_no_place() {
    let all = [("closed.a.x", Some(5.0)), ("closed.m", Some(9.0)), ("closed.m.y", Some(4.0))];
    // But a meter that may be seen has what is below it.
    check(&all, None, "=14[closed.m=9[closed.m.y=4 rest=5] closed.a.x=5]");
}

#[test]
fn a_path_may_have_any_depth() {
    check(&[("a.b.c.d.e.f.g", Some(1.0))], None, "=1[a=1[a.b=1[a.b.c=1[a.b.c.d=1[a.b.c.d.e=1]]]]]");
    check(&[("a.b.c.d.e.f.g", Some(1.0))], Some("a.b.c.d.e"), "a.b.c.d.e=1[a.b.c.d.e.f=1[a.b.c.d.e.f.g=1]]");
}

proptest! {
    #[test]
    fn each_watt_counts_once(all in prop::collection::btree_map("[ab](\\.[abc]){0,3}", prop::option::of(0_u32..1_000), 1..30)) {
        let listed: Vec<(&str, Option<f64>)> =
            all.iter().map(|(id, watts)| (id.as_str(), watts.map(f64::from))).collect();
        let probes = probes(&listed);
        let tree = FlowTree::new(&probes, None, |_| true);
        // Without the tree: those that no meter above them has measured.
        let is_covered = |id: &str| groups_of(&ProbeId::new(id).unwrap()).any(|group| matches!(all.get(group), Some(Some(_))));
        let expected: f64 = listed.iter().filter(|(id, _)| !is_covered(id)).filter_map(|(_, watts)| *watts).sum();
        prop_assert_eq!(tree.total(0, FlowMeasure::Power).unwrap_or_default(), expected);
        let mut open = vec![tree.picture(FlowMeasure::Power)];
        while let Some(branch) = open.pop() {
            let FlowBranchKind::Place(at) = branch.kind else { continue };
            let below: f64 = branch.children.iter().filter_map(|child| child.power).sum();
            let excess = tree.rest(at, FlowMeasure::Power).unwrap_or_default().min(0.0);
            if !branch.children.is_empty() {
                prop_assert_eq!(below + excess, branch.power.unwrap_or_default());
            }
            open.extend(branch.children);
        }
    }
}
