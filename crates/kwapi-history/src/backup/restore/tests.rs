//! A restore that is killed at each step on the disk.

use std::cell::Cell;
use std::collections::BTreeMap;

use kwapi_core::Timestamp;
use kwapi_peers::Lab;

use super::super::back_up;
use super::*;
use crate::journal::Position;

/// A state directory whose records contain `what`, with those of an import and, if `has_api`, of an API alone.
fn records(state: &Path, what: &str, has_api: bool) {
    for (folder, name) in [
        ("history/journal", "0000000000000001.journal"),
        ("history", "accounts"),
        ("import", "log.json"),
        ("bills/2026-10", "1.json"),
    ] {
        fs::create_dir_all(state.join(folder)).unwrap();
        fs::write(state.join(folder).join(name), format!("{what} of {name}")).unwrap();
    }
    if has_api {
        fs::create_dir_all(state.join("api")).unwrap();
        fs::write(state.join("api/accounts.log"), what).unwrap();
    }
}

/// All files that are records, and their contents.
fn files(state: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<PathBuf> = [HISTORY, IMPORT, BILLS, API].map(|name| state.join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("kwapi.lock") {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                files.insert(path.strip_prefix(state).unwrap().to_owned(), text);
            }
        }
    }
    files
}

/// A step that may be taken so many times.
fn steps(most: usize) -> impl Fn() -> io::Result<()> {
    let left = Cell::new(most);
    move || {
        let more = left.get().checked_sub(1).ok_or_else(|| io::Error::other("killed"))?;
        left.set(more);
        Ok(())
    }
}

#[test]
fn killed_at_any_step_it_leaves_the_old_records_or_the_new() {
    for has_old in [true, false] {
        let lab = Lab::empty();
        let (backed_up, backup) = (lab.join("backed-up"), lab.join("backup"));
        records(&backed_up, "new", false);
        back_up(&backed_up, &backup, Timestamp::EPOCH, |_| Position::default()).unwrap();
        let new = files(&backed_up);
        let (mut were_old, mut were_new) = (0, 0);
        for most in 0.. {
            let state = lab.join(format!("state-{has_old}-{most}"));
            if has_old {
                records(&state, "old", true);
            }
            let old = files(&state);
            let is_whole = restore_by(&backup, &state, true, &steps(most)).is_ok();
            // The next process may be killed as well, on its way through the rest.
            for again in 0..3 {
                _ = finish(&state, &steps(again));
            }
            finish_restore(&state).unwrap();
            assert!(!is_restore_unfinished(&state), "killed after {most} steps");
            let left = files(&state);
            assert!(left == old || left == new, "killed after {most} steps: {left:?}");
            assert!(!is_whole || left == new);
            if left == new {
                were_new += 1;
                let kept = state.join("history.before-1/accounts");
                assert_eq!(kept.exists(), has_old, "killed after {most} steps");
            } else {
                were_old += 1;
            }
            restore(&backup, &state, true).unwrap();
            assert_eq!(files(&state), new, "done again after {most} steps");
            if is_whole {
                break;
            }
        }
        assert!(were_old > 8 && were_new > 3, "{were_old} {were_new}");
    }
}

#[test]
fn a_note_that_is_none_of_ours_is_refused_and_moves_nothing() {
    let lab = Lab::empty();
    records(&lab.join("state"), "old", true);
    let (state, old) = (lab.join("state"), files(&lab.join("state")));
    for note in [
        "",
        "{}",
        r#"{"format":"kwapi-restore 9","moves":[]}"#,
        r#"{"format":"kwapi-restore 1","moves":[{"name":"../state","before":"x","has_new":false}]}"#,
        r#"{"format":"kwapi-restore 1","moves":[{"name":"history","before":"../x","has_new":false}]}"#,
        r#"{"format":"kwapi-restore 1","moves":[{"name":"history","before":"/tmp/x","has_new":false}]}"#,
    ] {
        fs::write(state.join(NOTE), note).unwrap();
        let error = finish_restore(&state).unwrap_err();
        assert!(error.to_string().contains(NOTE), "{error}");
        assert_eq!(files(&state), old);
    }
}

#[test]
fn a_backup_without_bills_takes_none_away_and_bills_alone_are_not_replaced_unasked() {
    let lab = Lab::empty();
    let (backed_up, backup, state) = (lab.join("backed-up"), lab.join("backup"), lab.join("state"));
    records(&backed_up, "new", false);
    fs::remove_dir_all(backed_up.join(BILLS)).unwrap();
    back_up(&backed_up, &backup, Timestamp::EPOCH, |_| Position::default()).unwrap();
    records(&state, "old", false);
    restore(&backup, &state, true).unwrap();
    let bill = state.join("bills/2026-10/1.json");
    assert_eq!(fs::read_to_string(&bill).unwrap(), "old of 1.json");
    for name in [HISTORY, IMPORT] {
        fs::remove_dir_all(state.join(name)).unwrap();
    }
    let refused = restore(&backup, &state, false).unwrap_err();
    assert!(matches!(refused, BackupError::Exists(_)), "{refused}");
}
