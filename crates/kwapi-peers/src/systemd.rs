//! A Debian system with a systemd of its own as the first process, in namespaces: `boot` beside this crate's manifest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::{Peer, output, wait_until};

const BOOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/boot");
/// What `boot` prints when all is prepared.
const PREPARED: &str = "systemd begins";
/// What a start may take on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(90);
/// Where the commands inside are found.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A running system, ended with all that runs in it when the test lets go of it.
#[derive(Debug)]
pub struct Booted {
    /// Ended before its control group is removed.
    first: Option<Peer>,
    root: PathBuf,
    group: String,
    /// Its first process, as this system numbers it.
    leader: u32,
}

impl Booted {
    /// Starts the system in `root`; what `boot` prints goes to `log`.
    ///
    /// # Errors
    /// Why namespaces or a control group cannot be had here.
    ///
    /// # Panics
    /// When they can, and systemd does not come up all the same.
    pub fn boot(root: &Path, log: PathBuf) -> Result<Self, String> {
        static BOOTED: AtomicU32 = AtomicU32::new(0);
        let number = BOOTED.fetch_add(1, Ordering::Relaxed);
        let group = format!("kwapi-test-{}-{number}", std::process::id());
        let first = Peer::start(Command::new(BOOT).arg(root).arg(&group), log);
        let mut booted = Self { first: Some(first), root: root.to_owned(), group, leader: 0 };
        let prepared = wait_until("namespaces", START_LIMIT, || booted.is_prepared());
        prepared?;
        booted.leader = wait_until("systemd's process", START_LIMIT, || booted.find_leader());
        wait_until("the end of its start", START_LIMIT, || {
            let state = booted.command("systemctl").arg("is-system-running").output().ok()?;
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            // Degraded: a unit of Debian's that this machine has nothing for.
            ["running", "degraded"].contains(&state.as_str()).then_some(())
        });
        Ok(booted)
    }

    fn is_prepared(&mut self) -> Option<Result<(), String>> {
        let first = self.first.as_mut()?;
        let has_ended = first.has_ended();
        let log = first.log();
        if log.lines().any(|line| line == PREPARED) {
            assert!(!has_ended, "systemd ended:\n{log}");
            return Some(Ok(()));
        }
        has_ended.then(|| Err(log.lines().last().unwrap_or("no reason given").to_owned()))
    }

    /// `unshare`'s child.
    fn find_leader(&self) -> Option<u32> {
        let parent = self.first.as_ref()?.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// A command of root's inside, with nothing of this process's environment.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.leader.to_string()]);
        // env, and not this process's search path, finds it there.
        command.args(["/usr/bin/env", "-i", &format!("PATH={PATH}"), "DEBIAN_FRONTEND=noninteractive"]);
        command.arg(program);
        command
    }

    /// What a command of root's prints inside.
    ///
    /// # Panics
    /// With what it printed, when it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        output(self.command(program).args(arguments))
    }

    /// What an address of its loopback answers; nothing while it answers with an error, or not at all.
    #[must_use]
    pub fn get(&self, address: &str) -> Option<String> {
        let mut curl = Command::new("nsenter");
        curl.args(["--net", "--target", &self.leader.to_string()]);
        let answer = curl.args(["curl", "--silent", "--fail", "--location", address]).output().ok()?;
        answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        drop(self.first.take());
        let cleaned = Command::new(BOOT).arg("--clean").arg(&self.root).arg(&self.group).output();
        if !cleaned.as_ref().is_ok_and(|done| done.status.success()) {
            eprintln!("control group {} stays: {cleaned:?}", self.group);
        }
    }
}
