//! A disk that runs full: the service says so, goes on by itself once there is room, and loses nothing that it has shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kwapi_peers::{Lab, Peer, free_port, wait_until};
use serde_json::Value;

use crate::harness::{PATIENCE, get, kwapi};

/// Whether a process may have a file system of its own.
fn may_mount() -> bool {
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
}

/// `kwapi run` whose state directory is a file system of eight megabytes.
fn start(lab: &Lab) -> Service {
    let (api, web, status) = (free_port(), free_port(), free_port());
    let state = lab.join("state");
    fs::create_dir(&state).unwrap();
    let toml = format!(
        "state_directory = '{}'\n[api]\nlisten = '127.0.0.1:{api}'\n[rrd]\nlisten = '127.0.0.1:{web}'\nflush_interval_seconds = 1\n\
         [status]\nlisten = '127.0.0.1:{status}'\n[ledger]\nwrite_interval_seconds = 1\n[samples]\nwrite_interval_seconds = 1\n\
         [[meter]]\ndriver = 'dummy'\nprobe = 'a'\nwatts = 3600\ninterval_seconds = 0.1\n",
        state.display()
    );
    fs::write(lab.join("kwapi.toml"), toml).unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&state);
    command.arg(kwapi().get_program()).args(["run", "--config"]).arg(lab.join("kwapi.toml"));
    let process = Peer::start(&mut command, lab.join("kwapi.log"));
    let inside = PathBuf::from(format!("/proc/{}/root", process.id()));
    let state = inside.join(state.strip_prefix("/").unwrap());
    Service { process, api, web, status, state }
}

impl Service {
    /// The kWh that `/v1/` shows.
    fn kwh(&self) -> Option<f64> {
        let (_, body) = get(self.api, "/v1/probes/a/")?;
        serde_json::from_str::<Value>(&body).ok()?["a"]["kwh"].as_f64()
    }

    fn ready(&self) -> Option<(u16, String)> {
        get(self.status, "/readyz")
    }

    /// The kWh of `/v2/energy` from the begin until now.
    fn of_ledger(&self) -> Option<f64> {
        let (_, body) = get(self.api, "/v2/energy?probe=a")?;
        serde_json::from_str::<Value>(&body).ok()?["energy"][0]["rows"][0]["kwh"].as_f64()
    }
}

/// Fills a file system to its last byte.
fn fill(directory: &Path) -> PathBuf {
    use std::io::Write as _;
    let path = directory.join("fill");
    let mut file = fs::File::create(&path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

#[test]
fn on_a_disk_that_runs_full_it_says_so_goes_on_by_itself_and_loses_nothing() {
    if !may_mount() {
        eprintln!("skipped: no file system of one's own here");
        return;
    }
    let lab = Lab::empty();
    let service = start(&lab);
    wait_until("a reading", PATIENCE, || service.kwh().filter(|kwh| *kwh > 0.002));
    wait_until("readiness", PATIENCE, || service.ready().filter(|(status, _)| *status == 200));
    for _ in 0..2 {
        let filled = fill(&service.state);
        let said =
            wait_until("being told", PATIENCE, || service.ready().filter(|(status, _)| *status == 503));
        assert!(said.1.contains("journal") && said.1.contains("No space left"), "{said:?}");
        // The last total on record stands; present watts go on.
        let stands = service.kwh().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(service.kwh(), Some(stands), "a total that is not on record was shown");
        let (status, page) = get(service.web, "/probe/a/").unwrap();
        assert!(status == 200 && page.contains("3600.0 W") && page.contains("recorded up to"), "{page}");
        fs::remove_file(filled).unwrap();
        wait_until("readiness", PATIENCE, || service.ready().filter(|(status, _)| *status == 200));
        // What came meanwhile is on record as well: 3600 W for more than two seconds.
        wait_until("the energy of the time between", PATIENCE, || {
            service.kwh().filter(|kwh| *kwh > stands + 0.002)
        });
        let shown = service.kwh().unwrap();
        let of_ledger =
            wait_until("the ledger", PATIENCE, || service.of_ledger().filter(|kwh| *kwh >= shown));
        assert!(of_ledger >= shown);
    }
    // Nothing of that time is unknown.
    let (_, body) = get(service.api, "/v2/probes/a/").unwrap();
    let probe: Value = serde_json::from_str(&body).unwrap();
    assert!(probe["time"]["unknown_seconds"].as_f64().unwrap() < 1.0, "{probe}");
    assert_eq!(probe["messages_lost"], 0);
    drop(service.process);
}
