//! Files that go to object storage: what is there, what is here, and what is read.

use std::ops::Range;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::query::{EnergyRequest, EnergyStep, Query};
use crate::tree::tests::gate;

/// A bucket.
#[derive(Debug, Default)]
struct Shelf(Mutex<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    objects: BTreeMap<String, Vec<u8>>,
    is_away: bool,
}

impl ObjectReader for Shelf {
    fn read(&self, key: &str, range: Range<u64>) -> io::Result<Bytes> {
        let shelves = self.0.lock();
        if shelves.is_away {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody answers"));
        }
        let object = shelves.objects.get(key).ok_or(io::ErrorKind::NotFound)?;
        Ok(object[range.start as usize..range.end as usize].to_vec().into())
    }
}

impl Shelf {
    /// Puts all there that is to be there; false where the process was killed meanwhile.
    fn fill(&self, samples: &Samples, wall: Timestamp) -> bool {
        loop {
            let upload = match samples.next_upload(wall) {
                Ok(Some(upload)) => upload,
                Ok(None) => return true,
                Err(_) => return false,
            };
            let bytes = std::fs::read(&upload.path).unwrap();
            assert_eq!(bytes.len() as u64, upload.bytes);
            let mut shelves = self.0.lock();
            let there = shelves.objects.entry(upload.key.clone()).or_insert_with(|| bytes.clone());
            assert!(*there == bytes, "{} would be overwritten with something else", upload.key);
            drop(shelves);
            if samples.upload_stored(&upload, "ab").is_err() {
                return false;
            }
        }
    }

    /// The rows of all objects but those that are in `lab` as well, and of the files there.
    fn rows_with(&self, lab: &Lab) -> Rows {
        let scratch = Lab::empty();
        let mut rows = rows_in_files(lab);
        for (key, bytes) in &self.0.lock().objects {
            if !lab.join("samples").join(key).exists() {
                let path = scratch.join("object.parquet");
                std::fs::write(&path, bytes).unwrap();
                rows.extend(rows_of(&path));
            }
        }
        sorted(rows)
    }
}

fn open_with(journal: &Journal, shelf: &Arc<Shelf>, gate: Option<Gate>) -> Samples {
    // All may go as soon as it may go at all.
    let config = SamplesConfig { kept: Duration::ZERO, ..SamplesConfig::default() };
    Samples::open_through(config, journal, gate)
        .unwrap()
        .with_objects(Arc::clone(shelf) as Arc<dyn ObjectReader>)
}

/// A day later: every hour of the worlds here is over.
fn much_later() -> Timestamp {
    wall(86_400)
}

/// Takes all that is in the journal and makes it settle: a message of another day, so that both places have the rest.
fn settle(samples: &Samples, journal: &Journal) {
    let mut later = World::default();
    for n in 0..2 {
        later.receive("lyon.later", (86_400 + n) * 1_000, n, 1.0, false);
    }
    for record in later.records {
        append(journal, &[record]);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    for _ in 0..8 {
        samples.merge_one(much_later());
    }
}

/// Rows of the world alone.
fn of_world(rows: Rows) -> Rows {
    rows.into_iter().filter(|(probe, _)| probe.as_str() != "lyon.later").collect()
}

fn kept_and_uploaded(lab: &Lab, world: &World, shelf: &Arc<Shelf>) -> (Journal, Samples) {
    let journal = journal(lab);
    let samples = open_with(&journal, shelf, None);
    for records in world.records.chunks(200) {
        append(&journal, records);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
    }
    settle(&samples, &journal);
    assert!(shelf.fill(&samples, much_later()));
    (journal, samples)
}

#[test]
fn what_is_uploaded_may_go_and_is_read_from_there() {
    let (lab, world, shelf) = (Lab::empty(), World::of_some_hours(), Arc::new(Shelf::default()));
    let (journal, samples) = kept_and_uploaded(&lab, &world, &shelf);
    let (counters, of_world) = (samples.counters(), parts(&lab).len() as u64 - 2);
    assert_eq!(
        (counters.uploads, counters.not_uploaded, counters.hours_removed),
        (of_world, 2, 0),
        "{counters:?}"
    );
    samples.retain(wall(400 * 86_400));
    assert_eq!((samples.counters().hours_removed, parts(&lab).len()), (3, 2));
    assert_same(&rows(&samples, &world), &world.truth(), "from the objects");
    drop(samples);
    let again = open_with(&journal, &shelf, None);
    again.catch_up(wall(0));
    assert_same(&rows(&again, &world), &world.truth(), "after a restart");
    assert!(again.counters().object_reads > 0);
    let probe = ProbeId::new("lyon.b").unwrap();
    let truth = world.truth();
    let mut wanted = truth.iter().filter(|(id, sample)| *id == probe && sample.at >= wall(HOUR - 60));
    let page = again.page(&probe, wall(HOUR - 60), wall(HOUR + 60), 3).unwrap();
    assert_eq!((page.samples.len(), page.next), (3, wanted.nth(3).map(|(_, sample)| sample.at)));
}

#[test]
fn what_is_not_uploaded_stays_whatever_the_limits_are() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let (journal, shelf) = (journal(&lab), Arc::new(Shelf::default()));
    let mut samples = open_with(&journal, &shelf, None);
    samples.config.bytes_max = 1;
    append(&journal, &world.records);
    samples.catch_up(wall(0));
    samples.write(wall(0)).unwrap();
    samples.retain(wall(400 * 86_400));
    assert_eq!((samples.counters().hours_removed, samples.counters().files), (0, 3));
    // An hour that is not over, or may be rewritten by the next start, does not go.
    assert_eq!(samples.next_upload(much_later()).unwrap(), None);
    settle(&samples, &journal);
    let upload = samples.next_upload(much_later()).unwrap().unwrap();
    assert!(upload.key.starts_with("date=2026-09-04/hour=00/part-"), "{}", upload.key);
    samples.upload_failed("the bucket is full");
    samples.retain(wall(400 * 86_400));
    assert_eq!(samples.counters().hours_removed, 0);
    let trouble = samples.upload_trouble().unwrap();
    assert_eq!(trouble, "samples cannot be uploaded to object storage: the bucket is full");
    assert_eq!(samples.next_upload(much_later()).unwrap().as_ref(), Some(&upload), "it is tried again");
    samples.upload_stored(&upload, "ab").unwrap();
    assert_eq!(samples.upload_trouble(), None);
    samples.retain(wall(400 * 86_400));
    assert_eq!((samples.counters().hours_removed, samples.counters().files), (1, 4), "the others stay");
}

#[test]
fn hours_that_cannot_be_read_from_there_are_named() {
    let (lab, world, shelf) = (Lab::empty(), World::of_some_hours(), Arc::new(Shelf::default()));
    let (journal, samples) = kept_and_uploaded(&lab, &world, &shelf);
    samples.retain(wall(400 * 86_400));
    let probe = ProbeId::new("lyon.a").unwrap();
    let page = |samples: &Samples| samples.page(&probe, wall(0), wall(2 * 86_400), 10_000).unwrap();
    let named = |page: &SamplesPage, cause: &str| {
        assert!(page.unreadable.iter().all(|file| file.cause.contains(cause)), "{:?}", page.unreadable);
        let hours = page.unreadable.iter().map(|file| file.hour.since(wall(0)).as_secs() / HOUR);
        hours.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    shelf.0.lock().is_away = true;
    assert_eq!(named(&page(&samples), "nobody answers"), [0, 1, 2]);
    drop(samples);
    let without = open(&journal);
    without.catch_up(wall(0));
    assert_eq!(named(&page(&without), "object storage, which is not configured"), [0, 1, 2]);
    drop(without);
    shelf.0.lock().is_away = false;
    let first = shelf.0.lock().objects.pop_first().unwrap();
    let again = open_with(&journal, &shelf, None);
    again.catch_up(wall(0));
    let lacking = page(&again);
    assert_eq!(named(&lacking, &first.0), [0]);
    assert!(lacking.samples.len() > 100, "the others are read");
    let cut = first.1[..first.1.len() / 2].to_vec();
    shelf
        .0
        .lock()
        .objects
        .insert(first.0.clone(), [cut.clone(), vec![0; first.1.len() - cut.len()]].concat());
    assert_eq!(named(&page(&again), &first.0), [0], "damaged there");
}

#[test]
fn energy_within_a_minute_is_exact_from_objects_and_names_the_hour_without() {
    let (lab, world, shelf) = (Lab::empty(), World::of_some_hours(), Arc::new(Shelf::default()));
    let (journal, samples) = kept_and_uploaded(&lab, &world, &shelf);
    let samples = Arc::new(samples);
    let ledger = Arc::new(crate::Ledger::open(crate::LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(wall(0));
    let query = Query::new(ledger, None).with_samples(Some(Arc::clone(&samples)));
    let request = EnergyRequest {
        probes: vec![ProbeId::new("lyon.b").unwrap()],
        start: wall(HOUR + 607),
        end: wall(HOUR + 641),
        step: EnergyStep::Whole,
        now: wall(86_400),
        is_to_now: false,
    };
    let here = query.energy(&request).unwrap();
    assert_eq!((here.without_samples.len(), here.probes[0].spans[0].is_interpolated), (0, false));
    samples.retain(wall(400 * 86_400));
    assert_eq!(query.energy(&request).unwrap(), here, "from objects");
    shelf.0.lock().is_away = true;
    // What was read last is kept; another hour is not.
    let request = EnergyRequest { start: wall(2 * HOUR + 607), end: wall(2 * HOUR + 641), ..request };
    let away = query.energy(&request).unwrap();
    assert_eq!((away.without_samples, away.probes[0].spans[0].is_interpolated), (vec![wall(2 * HOUR)], true));
}

#[test]
fn late_samples_are_further_objects_and_none_is_overwritten() {
    let (lab, mut world, shelf) = (Lab::empty(), World::of_some_hours(), Arc::new(Shelf::default()));
    let (journal, samples) = kept_and_uploaded(&lab, &world, &shelf);
    let before = shelf.0.lock().objects.clone();
    for round in 0..3 {
        let mut late = World::default();
        for n in 0..40 {
            late.receive(&format!("late.{round}"), HOUR * 1_000 + n * 7_000, n, 3.0, false);
        }
        append(&journal, &late.records);
        samples.catch_up(wall(0));
        samples.write(wall(0)).unwrap();
        world.records.extend(late.records);
        world.accounts.extend(late.accounts);
    }
    settle(&samples, &journal);
    assert!(shelf.fill(&samples, much_later()));
    let after = shelf.0.lock().objects.clone();
    assert!(before.iter().all(|(key, bytes)| after.get(key) == Some(bytes)));
    assert_eq!(
        after.len(),
        before.len() + 1,
        "what came late was merged, with nothing that is there: {:?}",
        after.keys()
    );
    samples.retain(wall(400 * 86_400));
    assert_same(&rows(&samples, &world), &world.truth(), "read back");
    assert_same(&of_world(shelf.rows_with(&lab)), &world.truth(), "as others read it");
}

#[test]
fn a_damaged_file_is_not_uploaded_and_the_others_are() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let (journal, shelf) = (journal(&lab), Arc::new(Shelf::default()));
    let samples = open_with(&journal, &shelf, None);
    append(&journal, &world.records);
    samples.catch_up(wall(0));
    samples.write(wall(0)).unwrap();
    let all = parts(&lab);
    let spoiled = all.iter().find(|path| path.to_str().unwrap().contains("hour=01")).unwrap();
    std::fs::write(spoiled, b"PAR1, but no more").unwrap();
    settle(&samples, &journal);
    assert!(shelf.fill(&samples, much_later()));
    assert_eq!(shelf.0.lock().objects.len(), 2);
    assert!(samples.upload_trouble().unwrap().contains("hour=01"), "{:?}", samples.upload_trouble());
    samples.retain(wall(400 * 86_400));
    assert!(spoiled.exists());
}

#[test]
fn a_lost_record_of_uploads_is_made_again_from_a_list() {
    let (lab, world, shelf) = (Lab::empty(), World::of_some_hours(), Arc::new(Shelf::default()));
    let (journal, samples) = kept_and_uploaded(&lab, &world, &shelf);
    samples.retain(wall(400 * 86_400));
    drop(samples);
    std::fs::remove_dir_all(lab.join("samples-uploaded")).unwrap();
    let again = open_with(&journal, &shelf, None);
    again.catch_up(wall(0));
    assert!(again.needs_listing());
    let mut objects: Vec<(String, u64)> =
        shelf.0.lock().objects.iter().map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
    objects.push(("date=2026-09-04/hour=00/notes.txt".to_owned(), 5));
    again.begin_listing().unwrap();
    again.list_objects(&objects).unwrap();
    again.end_listing().unwrap();
    assert!(!again.needs_listing());
    assert_same(&rows(&again, &world), &world.truth(), "listed");
}

/// Kills a process at every third step on the disk, from the `first` on: while it writes, merges, uploads and removes.
fn kill_from(first: i64) {
    let world = World::of_some_hours();
    let mut steps = first;
    loop {
        let (lab, shelf) = (Lab::empty(), Arc::new(Shelf::default()));
        let journal = journal(&lab);
        let is_whole = {
            let samples = open_with(&journal, &shelf, Some(gate(steps).0));
            live(&samples, &journal, &world, &shelf, false)
        };
        let appended = journal.replay(Position::default(), |_| {}).unwrap().records as usize;
        append(&journal, &world.records[appended.min(world.records.len())..]);
        let again = open_with(&journal, &shelf, None);
        assert!(live(&again, &journal, &world, &shelf, true), "after {steps} steps");
        let what = format!("killed after {steps} steps");
        assert_same(&rows(&again, &world), &world.truth(), &what);
        assert_same(&of_world(shelf.rows_with(&lab)), &world.truth(), &format!("as others read it, {what}"));
        if is_whole {
            break;
        }
        steps += 3;
    }
    assert!(steps > 100, "too easy: {steps} steps on the disk");
}

/// Takes all of a world in batches, writing, merging, uploading and removing after each; returns whether it came to the
/// end.
fn live(samples: &Samples, journal: &Journal, world: &World, shelf: &Shelf, is_appended: bool) -> bool {
    for records in world.records.chunks(250) {
        if !is_appended {
            append(journal, records);
        }
        samples.catch_up(wall(0));
        if samples.write(wall(0)).is_err() {
            return false;
        }
        let is_merged = (0..3).all(|_| samples.merge_one(much_later()));
        if !is_merged || !shelf.fill(samples, much_later()) {
            return false;
        }
        samples.retain(wall(400 * 86_400));
    }
    true
}

#[test]
fn killed_at_any_third_step_no_sample_is_lost_or_there_twice() {
    kill_from(0);
}

#[test]
fn killed_at_any_step_after_a_third_no_sample_is_lost_or_there_twice() {
    kill_from(1);
}

#[test]
fn killed_at_any_step_before_a_third_no_sample_is_lost_or_there_twice() {
    kill_from(2);
}
