//! A disk that runs full, or takes nothing at all: the service reports that, shows what it has, continues by itself
//! where it can, and loses nothing that it has shown.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kwapi_peers::{Lab, Peer, free_port, wait_until};
use serde_json::Value;

use crate::harness::{PATIENCE, get, kwapi};

/// So many that what they measure fills a page of the disk in a moment: a journal of few continues for long in the one
/// it has.
const PROBES: usize = 100;
/// The signal that requests a process to end.
const SIGTERM: i32 = 15;
/// Of each.
const WATTS: f64 = 3_600.0;

/// Whether a process may have a file system of its own here.
pub(crate) fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]);
    command.output().is_ok_and(|output| output.status.success())
}

struct Service {
    process: Peer,
    api: u16,
    web: u16,
    status: u16,
    /// Its state directory, as this process finds it.
    state: PathBuf,
    log: PathBuf,
}

/// A file system of its own for the state directory, of a few megabytes.
const SMALL: &str = "mount -t tmpfs -o size=24m none \"$1\"";

/// `kwapi run` after `prepared`: shell commands that see the state directory as `$1`, in a name space of their own.
fn start(lab: &Lab, prepared: &str) -> Service {
    let (api, web, status) = (free_port(), free_port(), free_port());
    let state = lab.join("state");
    fs::create_dir_all(&state).unwrap();
    let toml = format!(
        "state_directory = '{}'\n[api]\nlisten = '127.0.0.1:{api}'\n[rrd]\nlisten = '127.0.0.1:{web}'\nflush_interval_seconds = 1\n\
         [status]\nlisten = '127.0.0.1:{status}'\n[ledger]\nwrite_interval_seconds = 1\n[samples]\nwrite_interval_seconds = 1\n\
         [[meter]]\ndriver = 'dummy'\noutlets = {PROBES}\nprobe = 'hall.{{outlet}}'\nwatts = {WATTS}\ninterval_seconds = 0.1\n",
        state.display()
    );
    fs::write(lab.join("kwapi.toml"), toml).unwrap();
    let mut command = within(lab, prepared);
    command.args(["run", "--config"]).arg(lab.join("kwapi.toml"));
    let log = lab.join("kwapi.log");
    let process = Peer::start(&mut command, log.clone());
    let inside = PathBuf::from(format!("/proc/{}/root", process.id()));
    let state = inside.join(state.strip_prefix("/").unwrap());
    Service { process, api, web, status, state, log }
}

/// `kwapi` after `prepared`.
pub(crate) fn within(lab: &Lab, prepared: &str) -> Command {
    let script = format!("{prepared} && shift && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]).arg(lab.join("state"));
    command.arg(kwapi().get_program());
    command
}

impl Service {
    /// The kWh that `/v1/` shows of the first probe.
    fn kwh(&self) -> Option<f64> {
        let (_, body) = get(self.api, "/v1/probes/hall.1/")?;
        serde_json::from_str::<Value>(&body).ok()?["hall.1"]["kwh"].as_f64()
    }

    fn ready(&self) -> Option<(u16, String)> {
        get(self.status, "/readyz")
    }

    /// What `kwapi status` prints.
    fn troubles(&self) -> String {
        let reply = kwapi().args(["status", "--address"]).arg(format!("127.0.0.1:{}", self.status)).output();
        String::from_utf8(reply.unwrap().stdout).unwrap()
    }

    /// The joules of `/v2/energy` from the begin until now.
    fn joules(&self) -> Option<f64> {
        let (_, body) = get(self.api, "/v2/energy?probe=hall.1&start=2026-01-01T00:00:00Z")?;
        serde_json::from_str::<Value>(&body).ok()?["energy"][0]["rows"][0]["joules"].as_f64()
    }
}

/// What takes all the room that there is, and what becomes free.
struct Filler {
    path: PathBuf,
    file: File,
}

impl Filler {
    fn in_directory(directory: &Path) -> Self {
        let path = directory.join("filler");
        Self { file: File::create(&path).unwrap(), path }
    }

    fn fill(&mut self) {
        for size in [1 << 20, 1 << 12, 1] {
            while self.file.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.path);
    }
}

#[test]
fn on_a_disk_that_runs_full_it_reports_it_continues_by_itself_and_loses_nothing() {
    if !may_mount() {
        eprintln!("skipped: no file system of one's own here");
        return;
    }
    let lab = Lab::empty();
    let service = start(&lab, SMALL);
    wait_until("readings", PATIENCE, || service.kwh().filter(|kwh| *kwh > 0.002));
    wait_until("readiness", PATIENCE, || service.ready().filter(|(status, _)| *status == 200));
    for _ in 0..2 {
        let mut filler = Filler::in_directory(&service.state);
        wait_until("a report of it", PATIENCE, || {
            filler.fill();
            let (status, reply) = service.ready()?;
            (status == 503 && reply.contains("cannot write the journal") && reply.contains("No space left"))
                .then(|| assert!(!reply.contains("External"), "{reply}"))
        });
        let status =
            kwapi().args(["status", "--address"]).arg(format!("127.0.0.1:{}", service.status)).output();
        let status = String::from_utf8(status.unwrap().stdout).unwrap();
        let is_reported =
            |line: &str| line.starts_with("trouble: journal: ") && line.contains("No space left");
        assert!(status.lines().any(is_reported), "{status}");
        // The last total on record stands while present watts continue.
        let before = service.kwh().unwrap();
        wait_until("a present that has moved on", PATIENCE, || {
            filler.fill();
            let (status, page) = get(service.web, "/probe/hall.1/")?;
            (status == 200 && page.contains("3600.0 W") && page.contains("recorded up to")).then_some(())
        });
        assert!(service.kwh().unwrap() - before < 0.002, "{before} {:?}", service.kwh());
        drop(filler);
        wait_until("readiness", PATIENCE, || service.ready().filter(|(status, _)| *status == 200));
        let shown =
            wait_until("energy continues", PATIENCE, || service.kwh().filter(|kwh| *kwh > before + 0.002));
        wait_until("the ledger", PATIENCE, || service.joules().filter(|joules| *joules >= shown * 3.6e6));
    }
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(log.contains("cannot write the journal") && log.contains("No space left"), "{log}");
    // Nothing of that time is unknown, and no message is missing.
    let (_, body) = get(service.api, "/v2/probes/hall.1/").unwrap();
    let probe: Value = serde_json::from_str(&body).unwrap();
    assert!(probe["time"]["unknown_seconds"].as_f64().unwrap() < 1.0, "{probe}");
    assert_eq!(probe["messages_lost"], 0, "{probe}");
    drop(service.process);
}

/// A directory or a file that takes nothing, whoever writes.
fn read_only(what: &str) -> String {
    format!("mount --bind {what} {what} && mount -o remount,ro,bind {what}")
}

/// What `kwapi check` prints in the same place.
fn check(lab: &Lab, prepared: &str) -> String {
    let mut command = within(lab, prepared);
    let output = command.args(["check", "--config"]).arg(lab.join("kwapi.toml")).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_state_directory_or_a_file_that_is_read_only_is_reported_and_the_rest_continues() {
    if !may_mount() {
        eprintln!("skipped: no file system of one's own here");
        return;
    }
    let lab = Lab::empty();
    let before = start(&lab, "true");
    wait_until("records", PATIENCE, || before.joules().filter(|joules| *joules > 7_200.0));
    wait_until("readiness", PATIENCE, || before.ready().filter(|(status, _)| *status == 200));
    let folder = lab.join("state/history/rrd");
    let file = wait_until("an RRD file", PATIENCE, || {
        let names = fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.path());
        names.into_iter().find(|path| path.to_string_lossy().ends_with(".rrd"))
    });
    before.process.stop(SIGTERM, PATIENCE);

    // The whole directory: it starts, reports it everywhere, and shows what there was and what is measured.
    let all = read_only("\"$1\"");
    let reply = check(&lab, &all);
    assert!(reply.contains("not writable by this user (Read-only file system"), "{reply}");
    let service = start(&lab, &all);
    let (_, waiting) = wait_until("a report of it", PATIENCE, || {
        service.ready().filter(|(status, body)| *status == 503 && body.contains("cannot write the journal"))
    });
    assert!(waiting.contains("Read-only file system") && waiting.contains("history_directory"), "{waiting}");
    let troubles = service.troubles();
    assert!(
        troubles.contains("trouble: journal: ") && troubles.contains("Read-only file system"),
        "{troubles}"
    );
    wait_until("the page", PATIENCE, || {
        let (status, page) = get(service.web, "/probe/hall.1/")?;
        (status == 200 && page.contains("3600.0 W") && page.contains("kw-line")).then_some(())
    });
    assert!(service.joules().unwrap() > 7_200.0, "what was on record is shown");
    drop(service.process);

    // One RRD file: the others are written, and so are journal and ledger.
    let one = read_only(&format!("'{}'", file.display()));
    let reply = check(&lab, &one);
    assert!(
        reply.contains("its history is not updated") && reply.contains("Read-only file system"),
        "{reply}"
    );
    let service = start(&lab, &one);
    let (_, waiting) = wait_until("a report of the file", PATIENCE, || {
        service.ready().filter(|(status, body)| *status == 503 && body.contains("cannot write RRD files"))
    });
    assert!(
        waiting.contains(&file.display().to_string()) && waiting.contains("Read-only file system"),
        "{waiting}"
    );
    assert!(!waiting.contains("journal") && !waiting.contains("ledger"), "{waiting}");
    let shown = service.joules().unwrap();
    wait_until("energy continues", PATIENCE, || service.joules().filter(|joules| *joules > shown + 3_600.0));
    drop(service.process);
    // And as soon as it may be written, all is as it should be.
    let service = start(&lab, "true");
    wait_until("readiness", PATIENCE, || service.ready().filter(|(status, _)| *status == 200));
}
