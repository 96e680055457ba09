use std::path::Path;

use super::file::tests::entry;
use super::*;

fn id(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

fn keep(probe: &str, path: &str, alone: bool) -> Keep {
    Keep { entry: entry(probe, Some(path)), sync: true, alone }
}

async fn opened(directory: &Path) -> ManagerState {
    let state = ManagerState::start(directory.to_owned());
    state.ready().await;
    state
}

#[tokio::test(start_paused = true)]
async fn what_is_synced_is_there_for_the_next_manager_even_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let state = opened(directory.path()).await;
    state.keep(None, vec![keep("a", "1", true), keep("b", "2", true)]).await;
    assert!(state.has(&id("a")) && state.has(&id("b")));
    drop(state);
    let next = opened(directory.path()).await;
    assert_eq!(next.past(&id("a")), [entry("a", Some("1"))]);
    assert!(next.past(&id("a")).is_empty(), "it is the session's now");
    assert!(next.newest() >= Timestamp::from_seconds(1_800_000_000));
}

#[tokio::test(start_paused = true)]
async fn a_renamed_probe_takes_the_register_and_what_is_not_configured_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let state = opened(directory.path()).await;
    state.configure([id("x"), id("gone"), id("kept")].into(), ["rack.{outlet}".to_owned()].into());
    let all = vec![keep("x", "1", true), keep("gone", "2", true), keep("kept", "3", true)];
    state.keep(None, all).await;
    state.keep(Some("rack.{outlet}"), vec![keep("rack.7", "4", true)]).await;
    drop(state);
    let next = opened(directory.path()).await;
    next.configure([id("y"), id("kept")].into(), ["rack.{outlet}".to_owned()].into());
    next.keep(None, vec![keep("y", "1", true)]).await;
    for (probe, count) in [("x", 0), ("gone", 0), ("kept", 1), ("rack.7", 1)] {
        assert_eq!(next.past(&id(probe)).len(), count, "{probe}");
    }
    drop(next);
    let last = opened(directory.path()).await;
    assert_eq!((last.past(&id("y")).len(), last.past(&id("x")).len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_used_is_reported_and_nothing_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let state = opened(&file.join("below")).await;
    state.keep(None, vec![keep("a", "1", true)]).await;
    assert!(!state.has(&id("a")));
    assert!(state.trouble().unwrap().contains("cannot be used"), "{:?}", state.trouble());
}

#[tokio::test(start_paused = true)]
async fn two_managers_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = opened(directory.path()).await;
    let second = opened(directory.path()).await;
    assert!(second.trouble().unwrap().contains("in use by another driver manager"));
    second.keep(None, vec![keep("a", "1", true)]).await;
    assert!(!second.has(&id("a")));
    first.keep(None, vec![keep("a", "1", true)]).await;
    assert!(first.has(&id("a")));
}

#[tokio::test(start_paused = true)]
async fn what_ended_sessions_leave_is_there_at_once_and_on_disk_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let state = opened(directory.path()).await;
    state.leave(None, vec![entry("a", Some("1"))]);
    assert_eq!(state.past(&id("a")).len(), 1);
    state.finish().await;
    drop(state);
    assert_eq!(opened(directory.path()).await.past(&id("a")).len(), 1);
}
