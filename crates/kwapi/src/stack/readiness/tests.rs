use super::*;

#[test]
fn a_directory_must_fail_twice_and_is_well_again_at_once() {
    let lab = tempfile::tempdir().unwrap();
    let (directory, elsewhere) = (lab.path().join("state"), lab.path().join("elsewhere"));
    fs::create_dir(&directory).unwrap();
    let writable = Writable::new(directory.clone());
    let begin = Instant::now();
    let check = |looks: u32| writable.check(begin + LOOK_INTERVAL * looks);
    assert_eq!(check(0), Ok(()));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing is left behind");

    fs::rename(&directory, &elsewhere).unwrap();
    assert_eq!(check(0), Ok(()), "it was looked at just now");
    assert_eq!(check(1), Ok(()), "once is not enough");
    let problem = check(2).unwrap_err();
    assert!(problem.contains("cannot write to ") && problem.contains("state: No such file"), "{problem}");

    fs::rename(&elsewhere, &directory).unwrap();
    assert_eq!(check(3), Ok(()));
}

#[test]
fn a_directory_that_never_worked_is_not_ready() {
    let lab = tempfile::tempdir().unwrap();
    assert!(Writable::new(lab.path().join("none")).check(Instant::now()).is_err());
}
