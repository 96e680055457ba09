//! `kwapi man` and `kwapi completions`: what a package puts beside the program, made from what the program understands.

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs, ManArgs};

/// Prints the manual page, or writes the page of each command to a directory, which is created where it is missing.
///
/// # Errors
/// When it cannot be written, as one line.
pub(crate) fn pages(arguments: &ManArgs) -> Result<(), String> {
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        return clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .and_then(|()| print(&page))
            .map_err(|error| format!("cannot print the manual page: {error}"));
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| format!("cannot write manual pages to {}: {error}", directory.display()))
}

/// Prints completions for a shell.
///
/// # Errors
/// When they cannot be printed, as one line.
pub(crate) fn completions(arguments: &CompletionsArgs) -> Result<(), String> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "kwapi", &mut script);
    print(&script).map_err(|error| format!("cannot print the completions: {error}"))
}

/// Prints to who may have read enough already (`kwapi man | head`).
fn print(bytes: &[u8]) -> std::io::Result<()> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
