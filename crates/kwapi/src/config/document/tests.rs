use std::fs;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Api {
    #[serde(default)]
    listen: String,
    #[serde(default)]
    workers: u8,
}

/// Writes the files of one configuration, reads `[api]` of the first and shows it or the error, without the folder.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let read =
        Document::read(&folder.path().join(files[0].0)).and_then(|document| document.section::<Api>("api"));
    let shown = match read {
        Ok(api) => format!("{} {}", api.listen, api.workers),
        Err(error) => error.to_string().replace(&format!("{}/", folder.path().display()), ""),
    };
    assert_eq!(shown, expected);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
    check(
        &[("k.toml", "\n[api]\nworkers = 2\nlitsen = \"x\"\n")],
        "k.toml:4: unknown key `litsen`; did you mean `listen`?",
    );
    check(&[("k.toml", "[api]\nzzz = 1\n")], "k.toml:2: unknown key `zzz`; valid keys: listen, workers");
}

#[test]
fn a_wrong_type_reports_key_and_line() {
    check(
        &[("k.toml", "[api]\nworkers = 300\n")],
        "k.toml:2: `workers`: invalid value: integer `300`, expected u8",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_not_repeated_since_it_may_be_a_secret() {
    check(&[("k.toml", "[api]\nlisten = 20251123\n")], "k.toml:2: `listen`: expected a string, not integer");
}

#[test]
fn what_is_no_toml_names_where() {
    check(
        &[("k.toml", "[api]\nlisten = \n")],
        "k.toml:2: string values must be quoted, expected literal string",
    );
}

#[test]
fn an_error_in_an_included_file_names_that_file() {
    check(
        &[("k.toml", "include = [\"api*.toml\"]\n"), ("api1.toml", "[api]\nwrokers = 1")],
        "api1.toml:2: unknown key `wrokers`; did you mean `workers`?",
    );
    check(
        &[("k.toml", "include = [\"none.toml\"]\n")],
        "none.toml: cannot be read: No such file or directory (os error 2)",
    );
}

#[test]
fn includes_are_joined_and_a_key_given_twice_is_refused() {
    check(
        &[("k.toml", "include = [\"b.toml\"]\n[api]\nlisten = \"x\"\n"), ("b.toml", "[api]\nworkers = 3")],
        "x 3",
    );
    check(
        &[("k.toml", "include = [\"b.toml\"]\n[api]\nworkers = 1\n"), ("b.toml", "[api]\nworkers = 3")],
        "k.toml:3: `workers` is set in two files",
    );
}
