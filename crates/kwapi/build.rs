//! Records in a release build which commit it is built from, where that is known.

#![allow(clippy::disallowed_methods, reason = "it queries git; nothing of it is in the program")]

use std::path::Path;
use std::process::Command;

/// The commit, where there is no repository to query.
const GIVEN: &str = "KWAPI_COMMIT";
/// In a tree made by `git archive` this file has the commit (`export-subst` in .gitattributes).
const EXPORTED: &str = "commit";

fn main() {
    // A development build would be recompiled after each commit.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        println!("cargo:rustc-env=KWAPI_COMMIT= (development)");
        println!("cargo:rerun-if-changed=build.rs");
        return;
    }
    println!(
        "cargo:rustc-env=KWAPI_COMMIT={}",
        commit().map(|commit| format!(" ({commit})")).unwrap_or_default()
    );
    println!("cargo:rerun-if-env-changed={GIVEN}");
    println!("cargo:rerun-if-changed={EXPORTED}");
    // The log of HEAD grows with each commit and each change of branch; a file that is not there would mean: always again.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists());
    println!("cargo:rerun-if-changed={}", log.as_deref().unwrap_or("build.rs"));
}

/// As the builder states it (a container's builder sees no repository); otherwise as `git archive` wrote it into the
/// tree; otherwise that of the repository, if this file is part of it: a tarball may have been unpacked within another.
fn commit() -> Option<String> {
    let is_commit = |text: &str| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let given = std::env::var(GIVEN).ok();
    let exported = || std::fs::read_to_string(EXPORTED).ok();
    let from_git =
        || git(&["ls-files", "--error-unmatch", "build.rs"]).and_then(|_| git(&["rev-parse", "HEAD"]));
    let known = |text: String| Some(text.trim().to_owned()).filter(|text| is_commit(text));
    let commit = given
        .and_then(known)
        .or_else(|| exported().and_then(known))
        .or_else(|| from_git().and_then(known))?;
    commit.get(..7).map(ToOwned::to_owned)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}
