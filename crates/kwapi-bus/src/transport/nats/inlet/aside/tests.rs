use super::*;
use crate::transport::nats::link::NatsSide;

fn prints(all: &[&str]) -> KeyPrints {
    all.iter().map(|print| (*print).to_owned()).collect()
}

fn aside(keys: &[&str], file: Option<PathBuf>) -> Aside {
    let aside = Aside::new(prints(keys), file, Arc::new(Link::new("nats://a/power", NatsSide::Subscribe)));
    aside.meet("monday".to_owned());
    aside
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + second)
}

/// From where to where it is read again, and by which keys measurements have been taken.
fn stretch(recall: Option<Recall>) -> Option<(u64, u64, Vec<String>)> {
    recall.map(|recall| (recall.from, recall.until, recall.taken.iter().cloned().collect()))
}

#[test]
fn what_no_key_verified_is_read_again_once_another_is_accepted_and_nothing_is_under_way() {
    let aside = aside(&["paris"], None);
    aside.note_verified("paris");
    aside.note(7, at(0));
    aside.note(9, at(5));
    let link = aside.link.snapshot(0);
    assert_eq!((link.aside, link.aside_since), (2, Some(at(0))));
    assert_eq!(aside.recall(10), None, "with the same keys");
    aside.accept(prints(&["paris", "lyon"]));
    assert!(aside.is_due() && !aside.is_ready() && !aside.may_take_keys());
    aside.note(12, at(6));
    assert_eq!(aside.recall(12), None, "something is under way");
    aside.drained();
    assert!(!aside.is_ready() && aside.may_take_keys() && aside.is_ready());
    assert_eq!(stretch(aside.recall(12)), Some((7, 12, vec!["paris".to_owned()])));
    assert_eq!(aside.link.snapshot(0).aside, 0);
    assert_eq!(aside.limits(12).taken.as_deref(), Some(&prints(&["paris"])));
    assert_eq!(aside.limits(13).taken, None);
    aside.settled(12);
    assert!(aside.limits(7).taken.is_some());
    aside.settled(13);
    assert_eq!((aside.limits(7).taken, aside.recall(20)), (None, None));
}

#[test]
fn keys_that_verify_nothing_new_change_at_once_and_read_nothing_again() {
    let aside = aside(&["paris", "lyon"], None);
    aside.accept(prints(&["paris", "lyon", "nancy"]));
    assert!(aside.may_take_keys(), "nothing was set aside");
    aside.note(7, at(0));
    aside.note_verified("lyon");
    for keys in [&["paris", "lyon", "nancy"][..], &["lyon", "nancy"], &["lyon"]] {
        aside.accept(prints(keys));
        assert!(aside.may_take_keys() && aside.recall(9).is_none(), "{keys:?} have been tried");
    }
    aside.accept(prints(&["lyon", "paris"]));
    assert!(aside.is_due(), "what came of paris meanwhile");
}

#[test]
fn what_is_noted_survives_a_restart_and_another_stream_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("centre.aside");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    {
        let aside = aside(&["paris", "lion"], Some(file.clone()));
        runtime.block_on(aside.write()).unwrap();
        assert!(!file.exists(), "nothing is set aside");
        aside.note(7, at(0));
        aside.note_verified("paris");
        runtime.block_on(aside.write()).unwrap();
    }
    let again = aside(&["paris", "lion"], Some(file.clone()));
    assert_eq!((again.recall(9), again.link.snapshot(0).aside), (None, 1));
    let right = aside(&["paris", "lyon"], Some(file.clone()));
    let recall = right.recall(9);
    assert_eq!(stretch(recall.clone()), Some((7, 9, vec!["paris".to_owned()])));
    right.note(8, at(9));
    runtime.block_on(right.write()).unwrap();
    let killed = aside(&["paris", "lyon"], Some(file.clone()));
    assert_eq!(killed.recall(50), recall, "it goes on with the same stretch");
    killed.meet("tuesday".to_owned());
    assert_eq!((killed.recall(50), killed.limits(7).taken, killed.link.snapshot(0).aside), (None, None, 0));
    std::fs::write(&file, b"{").unwrap();
    assert_eq!(aside(&["lyon"], Some(file)).recall(9), None);
}

#[test]
fn keys_that_come_while_it_is_read_again_wait_for_the_end() {
    let aside = aside(&["paris"], None);
    aside.note(7, at(0));
    aside.accept(prints(&["paris", "lyon"]));
    aside.drained();
    assert!(aside.may_take_keys() && aside.recall(20).is_some());
    aside.note(8, at(1));
    aside.accept(prints(&["paris", "lyon", "nancy"]));
    assert!(!aside.is_due() && !aside.may_take_keys());
    aside.settled(21);
    assert!(aside.is_due());
    aside.drained();
    assert!(aside.may_take_keys());
    assert_eq!(stretch(aside.recall(30)), Some((8, 30, vec![])));
}

#[test]
fn a_key_that_was_removed_and_is_accepted_again_has_what_came_between() {
    let aside = aside(&["paris", "lyon"], None);
    ["paris", "lyon"].iter().for_each(|key| aside.note_verified(key));
    // With nothing set aside before…
    aside.accept(prints(&["paris"]));
    assert!(aside.limits(6).taken.is_none() && aside.may_take_keys());
    aside.note(7, at(0));
    aside.accept(prints(&["paris", "lyon"]));
    aside.drained();
    assert!(aside.may_take_keys());
    assert_eq!(stretch(aside.recall(9)), Some((7, 9, vec!["paris".to_owned()])));
    aside.settled(10);
    aside.note_verified("lyon");
    // …and with a forged message: what lyon had verified up to 14 is known, what came after is not.
    aside.note(11, at(1));
    assert!(aside.limits(14).taken.is_none());
    aside.accept(prints(&["paris"]));
    assert!(aside.may_take_keys());
    aside.note(15, at(2));
    aside.accept(prints(&["paris", "lyon"]));
    aside.drained();
    assert!(aside.may_take_keys());
    assert!(aside.recall(20).is_some_and(|recall| (recall.from, recall.until) == (11, 20)));
    assert_eq!(aside.limits(14).taken.as_deref(), Some(&prints(&["lyon", "paris"])));
    assert_eq!(aside.limits(15).taken.as_deref(), Some(&prints(&["paris"])));
    aside.settled(21);
    aside.note(22, at(3));
    aside.accept(prints(&["lyon", "paris"]));
    assert!(aside.may_take_keys(), "tried by now");
}

#[test]
fn what_cannot_be_read_again_yet_is_left_to_its_key_and_nobody_else_waits() {
    let aside = aside(&["paris"], None);
    aside.note_verified("paris");
    aside.note(7, at(0));
    aside.accept(prints(&["paris", "lyon"]));
    aside.drained();
    assert!(aside.may_take_keys());
    assert_eq!(aside.wanted(None), Some(7));
    aside.withhold(None, "it may not be deleted".to_owned());
    let problem = || aside.link.snapshot(0).aside_problem;
    assert_eq!(problem().as_deref(), Some("it may not be deleted"));
    assert_eq!(aside.limits(12).withheld.as_deref(), Some(&prints(&["lyon"])));
    aside.note(12, at(6));
    // The same keys, as at a reload of something else.
    aside.accept(prints(&["paris", "lyon"]));
    assert!(!aside.is_due() && aside.is_withholding() && aside.is_ready());
    aside.try_again();
    assert!(aside.is_due());
    aside.drained();
    assert!(!aside.is_due() && aside.is_ready(), "no other keys are waited for");
    assert_eq!(aside.wanted(None), Some(7));
    assert_eq!(stretch(aside.recall(20)), Some((7, 20, vec!["paris".to_owned()])));
    assert_eq!((aside.limits(21), problem(), aside.is_withholding()), (KeyLimits::default(), None, false));
    assert_eq!(aside.wanted(Some("7-20")), None, "it is being read");
    assert_eq!(aside.wanted(Some("3-20")), Some(7), "the consumer is set back for something else");
}

#[test]
fn a_stretch_that_an_earlier_process_could_not_read_is_noted_as_before_it() {
    let aside = aside(&["paris"], None);
    aside.note_verified("paris");
    aside.note(7, at(0));
    aside.accept(prints(&["paris", "lyon"]));
    aside.drained();
    assert!(aside.may_take_keys() && aside.recall(9).is_some());
    aside.withhold(Some("7-9"), String::new());
    assert!(!aside.is_withholding() && aside.limits(9).taken.is_some(), "it is being read");
    aside.withhold(None, String::new());
    assert_eq!(aside.limits(9).withheld.as_deref(), Some(&prints(&["lyon"])));
    aside.note(12, at(6));
    let link = aside.link.snapshot(0);
    assert_eq!((link.aside, link.aside_since), (1, Some(at(6))));
    assert_eq!(stretch(aside.recall(30)), Some((7, 30, vec!["paris".to_owned()])));
}

#[test]
fn another_stream_of_the_name_withholds_nothing() {
    let aside = aside(&["paris"], None);
    aside.note(7, at(0));
    aside.accept(prints(&["paris", "lyon"]));
    aside.drained();
    assert!(aside.may_take_keys());
    aside.withhold(None, "it may not be deleted".to_owned());
    aside.meet("tuesday".to_owned());
    assert_eq!((aside.limits(1), aside.link.snapshot(0).aside_problem), (KeyLimits::default(), None));
    assert_eq!(aside.wanted(None), None);
}
