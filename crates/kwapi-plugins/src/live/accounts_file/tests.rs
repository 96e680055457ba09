use super::*;

fn records(probes: &[&str]) -> Vec<u8> {
    let mut records = AccountsWriter::default();
    for probe in probes {
        records.account(&ProbeId::new(probe).unwrap(), &Account::default());
    }
    records.bytes().to_vec()
}

/// Opens the directory and returns which probes it has.
fn probes(directory: &Path) -> Vec<String> {
    let mut accounts = Vec::new();
    AccountsFile::open(directory, &mut accounts);
    let mut names: Vec<_> = accounts.iter().map(|(probe, _)| probe.to_string()).collect();
    names.sort();
    names
}

/// A recreated record.
fn begun(directory: &Path) -> AccountsFile {
    let mut store = AccountsFile::open(directory, &mut Vec::new());
    store.compact(&AccountsWriter::file()).unwrap();
    store
}

#[test]
fn appended_records_are_there_again_once_each() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = begun(directory.path());
    store.append(&records(&["A", "B"])).unwrap();
    store.append(&records(&["A"])).unwrap();
    assert_eq!(probes(directory.path()), ["A", "B"]);
}

#[test]
fn what_follows_a_torn_record_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = begun(directory.path());
    store.append(&records(&["A"])).unwrap();
    store.append(&records(&["B"])[..9]).unwrap();
    let mut store = AccountsFile::open(directory.path(), &mut Vec::new());
    assert!(!store.is_unfit(), "a torn tail is what kill -9 leaves");
    store.append(&records(&["C"])).unwrap();
    assert_eq!(probes(directory.path()), ["A", "C"]);
}

#[test]
fn a_damaged_record_is_kept_aside_and_all_others_count() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = begun(directory.path());
    store.append(&records(&["A"])).unwrap();
    store.append(&[7; 100]).unwrap();
    store.append(&records(&["B"])).unwrap();
    assert_eq!(probes(directory.path()), ["A", "B"]);
    assert!(directory.path().join("accounts.damaged").exists());
}

#[test]
fn an_interrupted_compaction_leaves_the_old_record_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = begun(directory.path());
    store.append(&records(&["A"])).unwrap();
    fs::write(directory.path().join("accounts.new"), b"half of it").unwrap();
    assert_eq!(probes(directory.path()), ["A"]);
}

#[test]
fn opening_writes_nothing_so_that_a_full_disk_prevents_no_start() {
    let directory = tempfile::tempdir().unwrap();
    begun(directory.path()).append(&records(&["A"])).unwrap();
    let before = fs::metadata(directory.path().join(NAME)).unwrap().modified().unwrap();
    assert_eq!(probes(directory.path()), ["A"]);
    assert_eq!(fs::metadata(directory.path().join(NAME)).unwrap().modified().unwrap(), before);
    // Nothing can be written below a file: it starts, and reports it when it is to record.
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let mut store = AccountsFile::open(&file.join("below"), &mut Vec::new());
    assert!(store.append(&records(&["B"])).is_err() && store.compact(&AccountsWriter::file()).is_err());
}

#[test]
fn a_record_of_a_version_before_is_rewritten_before_it_is_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), b"kwapi accounts 2\n").unwrap();
    let mut store = AccountsFile::open(directory.path(), &mut Vec::new());
    assert!(store.append(&records(&["A"])).is_err());
    store.compact(&AccountsWriter::file()).unwrap();
    store.append(&records(&["A"])).unwrap();
    assert_eq!(probes(directory.path()), ["A"]);
}
