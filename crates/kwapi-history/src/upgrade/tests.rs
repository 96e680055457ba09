//! State directories of this version, of older and of later ones.

use std::io::Write as _;

use kwapi_core::chain;
use kwapi_peers::Lab;

use super::*;
use crate::{back_up, restore};

/// A state directory with records, which contain `what`, of a version that records itself or not.
fn state(lab: &Lab, what: &str, version: Option<&str>) -> PathBuf {
    let state = lab.join("state");
    for (folder, name) in [
        ("history/journal", "0000000000000000.journal"),
        ("history/journal", "0000000000000001.journal"),
        ("history/ledger/step=day/date=2026-11", "part-1.parquet"),
        ("history", "accounts"),
    ] {
        fs::create_dir_all(state.join(folder)).unwrap();
        fs::write(state.join(folder).join(name), format!("{what} of {name}")).unwrap();
    }
    record(&state, version).unwrap();
    state
}

fn taken(state: &Path) -> Result<StateTaken, StateError> {
    take(state, Timestamp::EPOCH, |_| Position::default())
}

fn accounts(state: &Path) -> String {
    fs::read_to_string(state.join("history/accounts")).unwrap()
}

#[test]
fn a_new_directory_names_which_version_wrote_it_and_keeps_no_copy() {
    let lab = Lab::empty();
    let outcome = taken(&lab.join("state")).unwrap();
    assert!(outcome.from.is_none() && outcome.copy.is_none() && outcome.trouble.is_none(), "{outcome:?}");
    assert_eq!(fs::read_to_string(lab.join("state/version")).unwrap(), format!("{PROGRAM}\n"));
    let again = taken(&lab.join("state")).unwrap();
    assert!(again.from.is_none() && again.trouble.is_none(), "{again:?}");
}

#[test]
fn one_of_an_older_version_is_kept_as_it_was_and_comes_back_by_a_restore() {
    for version in [None, Some("0.1.7"), Some("gibberish")] {
        let lab = Lab::empty();
        let state = state(&lab, "old", version);
        let outcome = taken(&state).unwrap();
        assert_eq!(outcome.from.as_deref(), version.filter(|name| *name != "gibberish").or(Some("0.1.0")));
        let copy = outcome.copy.unwrap();
        assert_eq!(copy, state.join(format!("before-{PROGRAM}")));
        assert_eq!(written(&state).as_deref(), Some(PROGRAM));

        // What this version does then reaches no file of the copy.
        fs::write(state.join("history/accounts"), "new").unwrap();
        let newest = state.join("history/journal/0000000000000001.journal");
        fs::OpenOptions::new().append(true).open(newest).unwrap().write_all(b"new").unwrap();
        fs::remove_file(state.join("history/journal/0000000000000000.journal")).unwrap();
        fs::remove_dir_all(state.join("history/ledger")).unwrap();

        restore(&copy, &state, true).unwrap();
        assert_eq!(accounts(&state), "old of accounts");
        for segment in ["0000000000000000.journal", "0000000000000001.journal"] {
            let text = fs::read_to_string(state.join("history/journal").join(segment)).unwrap();
            assert_eq!(text, format!("old of {segment}"));
        }
        assert!(state.join("history/ledger/step=day/date=2026-11/part-1.parquet").is_file());
        let expected = version.filter(|name| *name != "gibberish");
        assert_eq!(written(&state).as_deref(), expected, "they are the old version's again");
    }
}

#[test]
fn closed_files_take_no_space_a_second_time() {
    use std::os::unix::fs::MetadataExt as _;
    let lab = Lab::empty();
    let state = state(&lab, "old", None);
    let copy = taken(&state).unwrap().copy.unwrap();
    let links = |name: &str| fs::metadata(copy.join("history").join(name)).unwrap().nlink();
    assert_eq!(links("journal/0000000000000000.journal"), 2);
    assert_eq!(links("ledger/step=day/date=2026-11/part-1.parquet"), 2);
    assert_eq!(links("journal/0000000000000001.journal"), 1, "it is appended to");
    assert_eq!(links("accounts"), 1);
}

#[test]
fn only_the_newest_copy_is_kept() {
    let lab = Lab::empty();
    let state = state(&lab, "old", None);
    let first = taken(&state).unwrap().copy.unwrap();
    let former = state.join("before-0.1.5");
    fs::rename(&first, &former).unwrap();
    // A folder of the operator's, whatever its name.
    fs::create_dir(state.join("before-2026.11")).unwrap();
    record(&state, Some("0.1.5")).unwrap();
    let second = taken(&state).unwrap().copy.unwrap();
    assert!(second.is_dir() && !former.exists());
    assert!(state.join("before-2026.11").is_dir());
    // Killed between the copy and the note: done again.
    record(&state, None).unwrap();
    assert_eq!(taken(&state).unwrap().copy, Some(second));
}

#[test]
fn one_of_a_later_version_is_refused_by_name_and_untouched() {
    let lab = Lab::empty();
    let state = state(&lab, "later", Some("9.3.1"));
    let refused = |state: &Path| chain(&taken(state).unwrap_err());
    let message = refused(&state);
    for part in ["was written by kwapi 9.3.1", PROGRAM, "install kwapi 9.3.1 or later"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("restore"), "there is nothing to go back to: {message}");
    let copy = state.join("before-9.3.1");
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join(LIST), "{}").unwrap();
    let message = refused(&state);
    assert!(message.contains(&format!("kwapi restore {} --replace", copy.display())), "{message}");
    assert_eq!(written(&state).as_deref(), Some("9.3.1"));
    assert_eq!(accounts(&state), "later of accounts");
    assert!(!state.join("kwapi.lock").exists());
}

#[test]
fn a_patch_of_this_version_changes_no_files_either_way() {
    let lab = Lab::empty();
    let patch = format!("{}.{}.99", series(PROGRAM).unwrap().0, series(PROGRAM).unwrap().1);
    let state = state(&lab, "same", Some(&patch));
    let outcome = taken(&state).unwrap();
    assert!(outcome.from.is_none() && outcome.copy.is_none(), "{outcome:?}");
    assert_eq!(written(&state).as_deref(), Some(PROGRAM));
}

#[test]
fn a_backup_of_a_later_version_is_refused_and_one_of_this_version_stays_its() {
    let lab = Lab::empty();
    let state = state(&lab, "new", Some("9.3.1"));
    back_up(&state, &lab.join("later"), Timestamp::EPOCH, |_| Position::default()).unwrap();
    let message = restore(&lab.join("later"), &lab.join("other"), false).unwrap_err().to_string();
    assert!(message.contains("was made by kwapi 9.3.1"), "{message}");
    assert!(!lab.join("other").exists());
    record(&state, Some(PROGRAM)).unwrap();
    back_up(&state, &lab.join("own"), Timestamp::EPOCH, |_| Position::default()).unwrap();
    restore(&lab.join("own"), &lab.join("other"), false).unwrap();
    assert_eq!(written(&lab.join("other")).as_deref(), Some(PROGRAM));
}
