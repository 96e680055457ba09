use super::*;

fn records(probes: &[&str]) -> Vec<u8> {
    let mut records = Vec::new();
    for probe in probes {
        record::encode(&mut records, &ProbeId::new(probe).unwrap(), &Account::default());
    }
    records
}

/// Opens the directory and says which probes it has.
fn probes(directory: &Path) -> Vec<String> {
    let mut accounts = Vec::new();
    Store::open(directory, &mut accounts).unwrap();
    let mut names: Vec<_> = accounts.iter().map(|(probe, _)| probe.to_string()).collect();
    names.sort();
    names
}

#[test]
fn appended_records_are_there_again_once_each() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), &mut Vec::new()).unwrap();
    store.append(&records(&["A", "B"])).unwrap();
    store.append(&records(&["A"])).unwrap();
    assert_eq!(probes(directory.path()), ["A", "B"]);
}

#[test]
fn nothing_is_appended_after_a_torn_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), &mut Vec::new()).unwrap();
    store.append(&records(&["A"])).unwrap();
    store.append(&records(&["B"])[..9]).unwrap();
    let mut store = Store::open(directory.path(), &mut Vec::new()).unwrap();
    store.append(&records(&["C"])).unwrap();
    assert_eq!(probes(directory.path()), ["A", "C"]);
    assert!(!directory.path().join(NAME_DAMAGED).exists(), "a torn tail is what kill -9 leaves");
}

#[test]
fn a_damaged_record_is_set_aside_and_its_beginning_used() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), &mut Vec::new()).unwrap();
    store.append(&records(&["A"])).unwrap();
    store.append(&[7; 100]).unwrap();
    assert_eq!(probes(directory.path()), ["A"]);
    assert!(directory.path().join(NAME_DAMAGED).exists());
}

#[test]
fn an_interrupted_compaction_leaves_the_old_record_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path(), &mut Vec::new()).unwrap();
    store.append(&records(&["A"])).unwrap();
    fs::write(directory.path().join(NAME_NEW), b"half of it").unwrap();
    assert_eq!(probes(directory.path()), ["A"]);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(&file.join("below"), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("below"), "{error}");
}
