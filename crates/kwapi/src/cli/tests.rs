//! Every command that the manual shows is one that we understand.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::*;

/// The words of a command, as a shell takes them apart; up to what is the shell's own.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#' | '>' | '|' | ';' | '&') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// What stands for a value of the reader's.
fn filled_in(word: String) -> String {
    match word.as_str() {
        "N" | "S" | "I" => "1".to_owned(),
        "SHELL" => "bash".to_owned(),
        _ => word,
    }
}

/// Commands in blocks, each a line of its own, and between the words of a sentence.
fn commands(page: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    let mut is_fenced = false;
    for line in page.lines() {
        let content = line.trim();
        if content.starts_with("```") {
            is_fenced = content.len() > 3;
        } else if is_fenced || line.starts_with("    ") {
            let command = content.strip_prefix("sudo -u kwapi ").unwrap_or(content);
            found.extend(command.starts_with("kwapi ").then(|| (true, command.to_owned())));
        } else {
            let inline = line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("kwapi "));
            found.extend(inline.map(|code| (false, code.to_owned())));
        }
    }
    found
}

#[test]
fn every_command_of_the_manual_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages: Vec<PathBuf> = vec![root.join("README.md"), root.join("docs/benchmarks.md")];
    for folder in ["docs/manual", "docs/manual/drivers"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    let mut understood = 0;
    for page in pages {
        for (is_whole, command) in commands(&std::fs::read_to_string(&page).unwrap()) {
            // A drawing of the processes, or an example of what is printed.
            if command.contains("  ") && !command.contains('#') || command.contains('…') {
                continue;
            }
            understood += 1;
            let Err(error) = Cli::try_parse_from(words(&command).into_iter().map(filled_in)) else {
                continue;
            };
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A sentence may name a command, or an option, without all that it takes.
            let is_named = !is_whole
                && (error.kind() == ErrorKind::MissingRequiredArgument
                    || error.to_string().contains("a value is required"));
            assert!(is_help || is_named, "{}: {command}\n{error}", page.display());
        }
    }
    assert!(understood > 150, "only {understood} commands found");
}

#[test]
fn a_command_is_taken_apart_as_by_a_shell() {
    let line = "kwapi energy --probes 'a-[1-2]' --start \"2026-11-26 14:00\" x'y z' > file # remark";
    let expected = ["kwapi", "energy", "--probes", "a-[1-2]", "--start", "2026-11-26 14:00", "xy z"];
    assert_eq!(words(line), expected);
    assert_eq!(words("kwapi drivers | head"), ["kwapi", "drivers"]);
}
