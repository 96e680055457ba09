//! The configurations in the manual and in the READMEs are ones that `kwapi check` accepts.

use std::path::{Path, PathBuf};

use kwapi_peers::Lab;

use crate::harness::kwapi;

pub(crate) fn manual() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual")
}

/// Every file below `directory` whose name ends so, in order of their names.
pub(crate) fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Writes `toml` where the secrets and inventories it names are, runs `kwapi check` and returns what it printed.
fn check(origin: &str, toml: &str) -> String {
    let lab = Lab::empty();
    for (_, after) in toml.match_indices("{ file = \"").map(|(at, start)| toml.split_at(at + start.len())) {
        let name = after.split('"').next().unwrap();
        assert!(!name.contains('/'), "{origin}: a secret of an example lies beside it: {name}");
        // Long enough for the bus, short enough for IPMI.
        std::fs::write(lab.join(name), "0123456789abcdefghij\n").unwrap();
    }
    std::fs::copy(manual().join("examples/meters.csv"), lab.join("meters.csv")).unwrap();
    let file = lab.join("kwapi.toml");
    std::fs::write(&file, toml).unwrap();
    let output = kwapi()
        .args(["check", "--no-files", "--config"])
        .arg(&file)
        .env("BMC_PASSWORD", "0123456789")
        .env_remove("KWAPI_CONFIG")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{origin}:\n{toml}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The fenced blocks of TOML in a page, without what they are indented by.
fn blocks(page: &str) -> impl Iterator<Item = String> {
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| {
        let indent = block.len() - block.trim_start_matches(' ').len();
        let lines = block.lines().map(|line| line.get(indent..).unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n") + "\n"
    })
}

#[test]
fn every_example_of_the_manual_is_accepted() {
    let examples = files(&manual().join("examples"), "toml");
    assert!(examples.len() >= 5, "the examples have moved");
    for example in examples {
        let text = check(&example.display().to_string(), &std::fs::read_to_string(&example).unwrap());
        assert!(!text.contains("warning"), "{text}");
    }
}

#[test]
fn the_complete_example_stands_for_the_meters_and_probes_that_the_manual_states() {
    let toml = std::fs::read_to_string(manual().join("examples/complete.toml")).unwrap();
    let text = check("complete.toml", &toml);
    for line in
        ["node007-bmc  (ipmi, every 5 s)", "lyon.gpu2", "lyon.total = lyon.web1 + lyon.db1", "204 meters"]
    {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

/// A block that begins with a table is a configuration of its own. Others are a register map, or keys of a driver's meter,
/// with a blank line between two.
#[test]
fn every_configuration_in_a_page_of_the_manual_is_accepted() {
    let mut checked = 0;
    let root = manual().join("../..");
    let others = files(&root.join("packaging"), "md").into_iter().chain([root.join("README.md")]);
    for page in files(&manual(), "md").into_iter().chain(others) {
        let text = std::fs::read_to_string(&page).unwrap();
        let origin = page.display().to_string();
        let is_unmarked = |line: &&str| line.starts_with("    [");
        assert_eq!(
            text.lines().find(is_unmarked),
            None,
            "{origin}: not in a block of TOML, and so not tried"
        );
        for block in blocks(&text) {
            let first = block.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
            if first.starts_with('[') {
                check(&origin, &block);
            } else if block.contains("\n[outlets") {
                let lab = Lab::empty();
                std::fs::write(lab.join("map.toml"), &block).unwrap();
                let maps = lab.path().display();
                check(
                    &origin,
                    &format!(
                        "[[meter]]\ndriver = 'modbus'\nhost = 'h'\nmap = 'map'\nmaps = '{maps}'\nprobe = 'p'\n"
                    ),
                );
            } else {
                let driver = page.file_stem().unwrap().to_string_lossy();
                assert_eq!(driver, "mqtt", "{origin}: keys of which driver?\n{block}");
                for keys in block.split("\n\n") {
                    let probe = if keys.contains("probe = ") { "" } else { "probe = '{outlet}'\n" };
                    check(
                        &origin,
                        &format!("[[meter]]\ndriver = 'mqtt'\nbroker = 'mqtt://b'\n{keys}\n{probe}"),
                    );
                }
            }
            checked += 1;
        }
    }
    assert!(checked >= 50, "only {checked} configurations found");
}

#[test]
fn every_driver_has_a_page() {
    let output = kwapi().args(["drivers", "--list"]).output().unwrap();
    let drivers = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(drivers.lines().count() >= 14, "{drivers}");
    for driver in drivers.lines().filter_map(|line| line.split_whitespace().next()) {
        let page = manual().join(format!("drivers/{driver}.md"));
        assert!(page.is_file(), "{}", page.display());
    }
}
