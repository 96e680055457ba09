//! Tests that cannot run where they are: reported, counted, and under `CI=true` a failure unless they are listed.

use std::fs::OpenOptions;
use std::io::Write as _;

/// The tests that may be skipped in CI, each with its reason.
const MAY_BE_SKIPPED: &str = include_str!("../may-be-skipped");

/// Reports that the test of this thread cannot run, and why. `./test` shows it in its summary.
///
/// # Panics
/// Under `CI=true`, unless the test is listed in `may-be-skipped`.
pub fn skip(why: &str) {
    let test = this_test();
    let is_ci = std::env::var("CI").as_deref() == Ok("true");
    assert!(!is_ci || reason(MAY_BE_SKIPPED, &test).is_some(), "{test} cannot run: {why}");
    let line = format!("{test}: {why}\n");
    eprint!("SKIPPED {line}");
    let Some(list) = std::env::var_os("KWAPI_SKIPPED") else { return };
    let written = OpenOptions::new().create(true).append(true).open(&list);
    let written = written.and_then(|mut file| file.write_all(line.as_bytes()));
    assert!(written.is_ok(), "{}: {written:?}", list.display());
}

/// The test that runs, as the runner calls it: its crate (or `crate::binary`), and its name.
fn this_test() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_stem().unwrap_or_default().to_string_lossy();
    // cargo adds a hash: kwapi_drivers-0123456789abcdef.
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    format!("{} {}", program.replace('_', "-"), std::thread::current().name().unwrap_or("?"))
}

/// Why a test may be skipped, if it may.
fn reason<'a>(list: &'a str, test: &str) -> Option<&'a str> {
    let entries = list.lines().filter(|line| !line.starts_with('#'));
    let split = |line: &'a str| {
        // The crate, the test's name, and what remains.
        let (owner, rest) = line.split_once(' ')?;
        let (name, reason) = rest.split_once(' ')?;
        Some((format!("{owner} {name}"), reason.trim()))
    };
    let mut reasons = entries.filter_map(split).filter(|(listed, _)| listed == test);
    reasons.next().map(|(_, reason)| reason).filter(|reason| !reason.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_known_by_its_crate_and_name() {
        assert_eq!(this_test(), "kwapi-peers skip::tests::a_test_is_known_by_its_crate_and_name");
    }

    #[test]
    fn a_test_may_be_skipped_only_by_its_whole_name_and_with_a_reason() {
        let list = "# all of them\nkwapi-drivers nut::a  no upsd on this system\nkwapi-drivers nut::b\n";
        assert_eq!(reason(list, "kwapi-drivers nut::a"), Some("no upsd on this system"));
        for none in
            ["kwapi-drivers nut::b", "kwapi-drivers nut", "kwapi-drivers", "# all", "kwapi-drivers nut::"]
        {
            assert_eq!(reason(list, none), None, "{none}");
        }
    }

    #[test]
    fn each_test_that_may_be_skipped_has_its_reason() {
        for line in MAY_BE_SKIPPED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let test = [words.next(), words.next()].map(Option::unwrap_or_default).join(" ");
            assert!(reason(MAY_BE_SKIPPED, &test).is_some(), "{line:?}");
        }
    }
}
