use super::*;

fn row(number: u32, label: &str) -> ListedRow {
    let label = (!label.is_empty()).then(|| label.to_owned());
    ListedRow { index: vec![number], label, is_reported: true }
}

fn chosen(kind: ProfileKind, usefulness: Usefulness, rows: Vec<ListedRow>) -> Chosen {
    let section = Arc::new(Section { index_length: 1, ..Section::default() });
    Chosen { profile: "p".to_owned(), kind, section, usefulness, rows }
}

fn outlets(rows: Vec<ListedRow>) -> Chosen {
    chosen(ProfileKind::Outlet, Usefulness::Watts, rows)
}

fn known_outlets(now: Instant) -> Known {
    Known::after(None, outlets(vec![row(1, "a")]), now)
}

/// Names the rows as a template would, and gives the names.
fn names(known: &mut Known) -> Vec<String> {
    let probe = |(index, row): (&Vec<u32>, &KnownRow)| {
        let name = row.label.clone().unwrap_or_else(|| index[0].to_string());
        ProbeId::new(name).ok()
    };
    let probes: Vec<_> = known.rows().map(probe).collect();
    known.name(probes);
    known.rows().filter_map(|(_, row)| Some(row.probe.as_ref()?.to_string())).collect()
}

fn gone(known: &Known) -> Vec<String> {
    known.gone().map(|(probe, why)| format!("{probe}: {why}")).collect()
}

#[test]
fn rows_that_vanish_are_kept_and_those_that_come_are_added() {
    let now = Instant::now();
    let known = Known::after(None, outlets(vec![row(1, "a"), row(2, "b")]), now);
    let later = now + Duration::from_secs(20);
    let mut known = Known::after(Some(known), outlets(vec![row(2, ""), row(3, "c")]), later);
    assert_eq!(names(&mut known), ["a", "b", "c"]);
    let seen: Vec<_> = known.rows().map(|(_, row)| (row.is_listed, row.seen_at)).collect();
    assert_eq!(seen, [(false, Some(now)), (true, Some(later)), (true, Some(later))]);
}

#[test]
fn a_new_name_is_a_new_probe_and_the_old_one_is_gone_until_it_is_back() {
    let now = Instant::now();
    let mut known = Known::after(None, outlets(vec![row(1, "a"), row(2, "b")]), now);
    names(&mut known);
    let mut known = Known::after(Some(known), outlets(vec![row(1, "x"), row(2, "b")]), now);
    assert_eq!(names(&mut known), ["x", "b"]);
    assert_eq!(gone(&known), ["a: 1 of the device is now probe x"]);
    let mut known = Known::after(Some(known), outlets(vec![row(1, "a"), row(2, "b")]), now);
    assert_eq!(names(&mut known), ["a", "b"]);
    assert_eq!(gone(&known), ["x: 1 of the device is now probe a"]);
}

#[test]
fn what_a_device_was_read_by_stays_unless_it_has_something_better() {
    let now = Instant::now();
    let inlet = |usefulness| chosen(ProfileKind::Inlet, usefulness, vec![row(1, "inlet")]);
    // A PDU that has just started has its inlet before its outlets.
    assert_eq!(
        Known::after(Some(known_outlets(now)), inlet(Usefulness::Watts), now).kind(),
        ProfileKind::Outlet
    );
    // One that reports nothing of its outlets for an hour is read by what it has.
    assert_eq!(
        Known::after(Some(known_outlets(now)), inlet(Usefulness::Watts), now + KEPT).kind(),
        ProfileKind::Inlet
    );
    let amperes = chosen(ProfileKind::Outlet, Usefulness::Amperes, vec![row(1, "a")]);
    let mut known = Known::after(None, amperes, now);
    names(&mut known);
    let mut known = Known::after(Some(known), inlet(Usefulness::Watts), now);
    assert_eq!((known.kind(), names(&mut known)), (ProfileKind::Inlet, vec!["inlet".to_owned()]));
    assert_eq!(gone(&known), ["a: the device is now read by its inlets"]);
    // New firmware has the outlets in another table.
    let other = Chosen { profile: "q".to_owned(), ..outlets(vec![row(1, "a")]) };
    assert_eq!(Known::after(Some(known_outlets(now)), other, now).profile, "q");
    // And back, once the outlets are measured as well: they are finer.
    assert_eq!(Known::after(Some(known), outlets(vec![row(1, "a")]), now).kind(), ProfileKind::Outlet);
}

#[test]
fn an_agent_that_lists_other_rows_each_time_fills_no_memory() {
    let now = Instant::now();
    let mut known = None;
    for round in 0..4_u32 {
        let rows = (0..2_000).map(|number| row(round * 2_000 + number, "")).collect();
        known = Some(Known::after(known, outlets(rows), now));
    }
    assert_eq!(known.unwrap().rows().count(), 2_000);
}

#[test]
fn a_row_without_a_probe_is_reported_once() {
    let mut known = Known::after(None, outlets(vec![row(1, "a"), row(2, "b")]), Instant::now());
    let probe = ProbeId::new("a").ok();
    assert_eq!(known.name(vec![probe.clone(), None]), [("2".to_owned(), Some("b".to_owned()))]);
    assert!(known.name(vec![probe.clone(), None]).is_empty());
    known.name(vec![probe.clone(), ProbeId::new("b").ok()]);
    assert_eq!(known.name(vec![probe, None]).len(), 1);
}
