//! Files that are spoiled, cut, foreign, empty or gone.

use super::*;

fn written(lab: &Lab, world: &World) -> Journal {
    let journal = journal(lab);
    let samples = open(&journal);
    for records in world.records.chunks(300) {
        append(&journal, records);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    journal
}

#[test]
fn a_spoiled_place_is_made_again_from_the_one_before() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = written(&lab, &world);
    std::fs::write(lab.join(PLACE), b"kwapi samples 1\nbut no place").unwrap();
    let again = open(&journal);
    assert_eq!(again.counters().places_damaged, 1);
    again.catch_up(wall(0));
    assert_same(&rows(&again, &world), &world.truth(), "opened again");
}

#[test]
fn with_no_place_at_all_the_journals_own_is_good_enough() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = written(&lab, &world);
    std::fs::remove_file(lab.join(PLACE)).unwrap();
    std::fs::write(lab.join(PLACE_BEFORE), b"").unwrap();
    let again = open(&journal);
    again.catch_up(wall(0));
    assert_same(&rows(&again, &world), &world.truth(), "opened again");
}

#[test]
fn a_journal_that_was_lost_continues_after_what_the_samples_have() {
    for has_places in [true, false] {
        let (lab, world) = (Lab::empty(), World::of_some_hours());
        {
            let journal = journal(&lab);
            append(&journal, &world.records[..700]);
            let samples = open(&journal);
            samples.catch_up(wall(0));
            samples.write(wall(0)).unwrap();
        }
        std::fs::remove_dir_all(lab.join("journal")).unwrap();
        if !has_places {
            _ = std::fs::remove_file(lab.join(PLACE));
            _ = std::fs::remove_file(lab.join(PLACE_BEFORE));
        }
        let known = Samples::position_in(lab.path());
        let journal = journal_with(&lab, JournalConfig { known, ..JournalConfig::default() });
        append(&journal, &world.records[700..]);
        let samples = open(&journal);
        samples.catch_up(wall(0));
        assert_same(&rows(&samples, &world), &world.truth(), &format!("places: {has_places}"));
    }
}

#[test]
fn files_that_cannot_be_read_are_named_and_the_others_answer() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = written(&lab, &world);
    let samples = open(&journal);
    let all = parts(&lab);
    let (whole, probe) = (std::fs::read(&all[0]).unwrap(), ProbeId::new("lyon.a").unwrap());
    let page = || samples.page(&probe, wall(0), wall(3 * HOUR), 10_000).unwrap();
    let before = page().samples.len();
    for spoiled in [&b""[..], b"PAR1", b"PAR1 no, it is not PAR1", &whole[..whole.len() - 9], &whole[..50]] {
        std::fs::write(&all[0], spoiled).unwrap();
        let page = page();
        let named =
            page.unreadable.iter().filter(|file| file.cause.contains(all[0].to_str().unwrap())).count();
        assert_eq!((named, page.unreadable.len()), (1, 1), "{:?}", page.unreadable);
        assert!(!page.samples.is_empty() && page.samples.len() < before);
        // Such a file is left alone, and merging continues with the others.
        assert!((0..10).all(|_| samples.merge_one(wall(9 * HOUR))));
        assert_eq!(std::fs::read(&all[0]).unwrap(), spoiled);
    }
    std::fs::remove_file(&all[0]).unwrap();
    assert_eq!(page().unreadable.len(), 1, "gone");
}

#[test]
fn the_others_of_an_hour_are_merged_without_those_that_are_damaged_or_gone() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let samples = open(&journal);
    let mut later = World::default();
    later.receive("lyon.later", 5 * HOUR * 1_000, 0, 1.0, false); // All before it is settled.
    for records in world.records.chunks(40).chain([&later.records[..]]) {
        append(&journal, records);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    let (mut all, probe) = (parts(&lab), ProbeId::new("lyon.a").unwrap());
    all.sort();
    let folder = all[0].parent().unwrap();
    let of_hour = all.iter().filter(|part| part.starts_with(folder)).count();
    assert!(of_hour > 4, "{all:?}");
    std::fs::write(&all[1], b"PAR1 no, it is not PAR1").unwrap();
    std::fs::remove_file(&all[2]).unwrap();
    let page = || samples.page(&probe, wall(0), wall(3 * HOUR), 10_000).unwrap();
    let before = page();
    assert!((0..20).all(|_| samples.merge_one(wall(2 * HOUR + 1_200))));
    assert_eq!(list(folder).len(), 2, "the damaged one, and the others as one");
    assert_eq!(std::fs::read(&all[1]).unwrap(), b"PAR1 no, it is not PAR1");
    assert_eq!(samples.counters().files_damaged, 2, "reported once each");
    let after = page();
    assert_eq!((after.samples, after.unreadable.len()), (before.samples, 2));
}

#[test]
fn a_strangers_file_in_the_tree_is_left_alone() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = written(&lab, &world);
    let folder = parts(&lab)[0].parent().unwrap().to_owned();
    std::fs::write(folder.join("notes.txt"), b"mine").unwrap();
    std::fs::create_dir(lab.join("samples/date=no-date")).unwrap();
    std::fs::create_dir(folder.parent().unwrap().join("hour=99")).unwrap();
    let again = open(&journal);
    again.catch_up(wall(0));
    assert_same(&rows(&again, &world), &world.truth(), "opened again");
    assert_eq!(std::fs::read(folder.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn bytes_that_are_no_file_of_samples_are_reported_and_never_end_the_process() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    _ = written(&lab, &world);
    let path = parts(&lab)[0].clone();
    let bytes = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let wanted = crate::columns::Wanted::All;
        table::decode(file, wanted, &(0..u64::MAX), table::SampleColumns::All, |_, _| {})
    };
    assert!(read(&bytes).is_ok());
    for at in (0..bytes.len()).step_by(61) {
        let error = read(&bytes[..at]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "cut at {at}");
        let mut spoiled = bytes.clone();
        spoiled[at] ^= 0x55;
        _ = read(&spoiled); // Reported or not, it returns.
    }
}
