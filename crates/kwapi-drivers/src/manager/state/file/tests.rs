use kwapi_core::{Limits, MeterCounter, Quality, Sample, Session, Timestamp};

use super::*;

fn id(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

/// An entry as a session makes it: of `probe`, from a register at `path`, if there is one.
pub(in super::super) fn entry(probe: &str, path: Option<&str>) -> SessionEntry {
    use std::time::Duration;
    let second = Duration::from_secs(1);
    let limits = Limits { max_gap: 10 * second, interval: second, max_watts: None };
    let mut session = Session::new(limits, Timestamp::EPOCH, Vec::new());
    let wall = Timestamp::from_seconds(1_800_000_000);
    let counter =
        MeterCounter::new(kwapi_core::Energy::from_watt_hours(7), kwapi_core::Energy::from_watt_hours(1));
    let register = kwapi_core::Register { path: path.map(str::to_owned), ..kwapi_core::Register::default() };
    let sample = Sample {
        at: second,
        timestamp: wall,
        power: None,
        is_counted: false,
        quality: Quality::Measured,
        counter: path.map(|_| counter),
        register: register.into(),
    };
    session.record(&sample, &kwapi_core::Clocks { wall, boottime: second, boot: "boot" });
    session.into_entries(&id(probe), "boot").pop().unwrap()
}

fn kept(probe: &str, path: Option<&str>) -> StateEntry {
    StateEntry { template: None, entry: entry(probe, path) }
}

fn names(found: &StateContents) -> Vec<String> {
    let name = |entry: &SessionEntry| format!("{}@{}", entry.probe, entry.path().unwrap_or("-"));
    let mut names: Vec<_> = found.entries.iter().map(name).collect();
    names.sort();
    names
}

fn written(directory: &Path, entries: &[StateEntry]) {
    let (mut file, _) = StateFile::open(directory).unwrap();
    for entry in entries {
        file.write(entry).unwrap();
    }
    file.sync().unwrap();
}

#[test]
fn what_is_written_is_read_again_and_written_over_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (kept("a", Some("pdu/1")), kept("b", None));
    written(directory.path(), &[a.clone(), b.clone()]);
    written(directory.path(), &[b.clone(), a.clone()]);
    let (_, found) = StateFile::open(directory.path()).unwrap();
    assert_eq!(found.entries, [a.entry, b.entry]);
    assert_eq!((found.damaged, fs::metadata(directory.path().join(NAME)).unwrap().len()), (0, 3 * 1024));
}

#[test]
fn a_damaged_entry_costs_no_other() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), &[kept("a", Some("1")), kept("b", Some("2")), kept("c", Some("3"))]);
    let path = directory.path().join(NAME);
    for byte in [1024, 2 * 1024 + 200, 3 * 1024 + 7] {
        let mut bytes = fs::read(&path).unwrap();
        bytes[byte] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let (_, found) = StateFile::open(directory.path()).unwrap();
        assert_eq!((found.damaged, found.entries.len()), (1, 2), "byte {byte}");
        bytes[byte] ^= 4;
        fs::write(&path, bytes).unwrap();
    }
    let torn = fs::read(&path).unwrap();
    fs::write(&path, &torn[..torn.len() - 900]).unwrap();
    let (mut file, found) = StateFile::open(directory.path()).unwrap();
    assert_eq!((found.damaged, names(&found)), (1, vec!["a@1".to_owned(), "b@2".to_owned()]));
    file.write(&kept("d", Some("4"))).unwrap();
    drop(file);
    let (_, found) = StateFile::open(directory.path()).unwrap();
    assert_eq!((found.damaged, names(&found).len()), (0, 3), "the damaged slot is used again");
}

#[test]
fn a_file_of_another_version_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), "kwapi-drivers state 9\n").unwrap();
    let (_, found) = StateFile::open(directory.path()).unwrap();
    let aside = found.set_aside.expect("its new name");
    assert_eq!(fs::read_to_string(aside).unwrap(), "kwapi-drivers state 9\n");
}

#[test]
fn a_second_manager_is_refused_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let first = StateFile::open(directory.path()).unwrap();
    assert!(matches!(StateFile::open(directory.path()), Err(StateError::Locked(_))));
    drop(first);
    StateFile::open(directory.path()).unwrap();
}

#[test]
fn who_begins_a_curve_deletes_what_else_is_kept_of_its_probe_and_of_its_register() {
    let directory = tempfile::tempdir().unwrap();
    let entries = [kept("x", Some("1")), kept("x", Some("2")), kept("y", Some("1")), kept("z", Some("3"))];
    written(directory.path(), &entries);
    let (mut file, _) = StateFile::open(directory.path()).unwrap();
    let deleted = file.keep_alone(&StateKey { probe: id("x"), path: "1".to_owned() }).unwrap();
    assert_eq!(deleted.len(), 2);
    file.retain(|probe, _| probe.as_str() != "z").unwrap();
    drop(file);
    assert_eq!(names(&StateFile::open(directory.path()).unwrap().1), ["x@1"]);
}

#[test]
fn the_longest_names_fit_a_slot() {
    let directory = tempfile::tempdir().unwrap();
    let longest = kept(&"p".repeat(kwapi_core::PROBE_ID_BYTES_MAX), Some(&"x".repeat(240)));
    written(directory.path(), std::slice::from_ref(&longest));
    assert_eq!(StateFile::open(directory.path()).unwrap().1.entries, [longest.entry]);
}

/// The file as version 1 wrote it: it is read for ever.
#[test]
fn a_line_of_version_1_is_read() {
    let json = r#"{"entry":{"probe":"rack1.7","newest":1800000000000000,"boot":"b","boottime":{"secs":90,"nanos":0},"wall":1800000000000000,"watts_max":61.5,"register":{"path":"snmp/1","serial":"S1","is_in_host":false,"value":25200000,"resolution":3600000,"is_believed":true,"anchor_uj":[0,0,0,3600000000]},"curve":1799999000000000,"run":3,"total_uj":12345678}}"#;
    let line = format!("{:08x} {json}", crc32fast::hash(json.as_bytes()));
    let kept = decode(line.as_bytes()).ok().flatten().expect("an entry");
    assert_eq!((kept.entry.run, kept.entry.path()), (3, Some("snmp/1")));
    assert_eq!(kept.entry.total_uj, 12_345_678);
}
