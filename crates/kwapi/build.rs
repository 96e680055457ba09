//! Tells a release build which commit it is built from, where there is a repository to ask.

#![allow(clippy::disallowed_methods, reason = "it asks git; nothing of it is in the program")]

use std::path::Path;
use std::process::Command;

fn main() {
    // A development build would be compiled anew after each commit.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        println!("cargo:rustc-env=KWAPI_COMMIT= (development)");
        println!("cargo:rerun-if-changed=build.rs");
        return;
    }
    let commit = git(&["rev-parse", "--short=7", "HEAD"]);
    println!(
        "cargo:rustc-env=KWAPI_COMMIT={}",
        commit.map(|commit| format!(" ({commit})")).unwrap_or_default()
    );
    // The log of HEAD grows with each commit and each change of branch; a file that is not there would mean: always again.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists());
    println!("cargo:rerun-if-changed={}", log.as_deref().unwrap_or("build.rs"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}
