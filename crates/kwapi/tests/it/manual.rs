//! The manual's shell commands, run: against a service whose probes are called as in the manual. What cannot be run on any
//! machine is listed with the reason; a command that is neither fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kwapi_peers::{need, output, wait_until};

use crate::docs::{files, manual};
use crate::harness::{Kwapi, PATIENCE, get};

/// Beginnings of commands that are not run here.
const NOT_RUN: [(&str, &str); 17] = [
    ("ssh ", "there is no other machine"),
    ("apt ", "the package's own test installs it"),
    ("systemctl ", "package/booted.rs has a systemd"),
    ("sudo ", "there is no user kwapi here; restore is tested in upgrade.rs"),
    ("cargo run", "it builds"),
    ("./test", "it is what runs this"),
    ("kwapi run", "it does not end; demonstration.rs runs it"),
    ("kwapi discover", "it queries a network"),
    ("kwapi probe ", "the meters are not here"),
    ("kwapi backup /srv", "run in backup.rs"),
    ("kwapi import pdus.parquet", "run in import.rs, with a file that it makes"),
    ("kwapi import log.csv", "the service must be stopped: run in import.rs"),
    ("kwapi nats-setup", "there is no server here; run in nats.rs"),
    ("gnocchi ", "run in gnocchi.rs"),
    ("probe=\"original_resource_id", "run in gnocchi.rs"),
    ("echo '{\"watts\"", "netcat is not on every machine"),
    ("kwapi energy --url https://controller", "there is no certificate here; without, run in energy.rs"),
];

const CONFIGURATION: &str = "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n\
    [rrd]\nlisten = '127.0.0.1:@WEB@'\nflush_interval_seconds = 1\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
    [[meter]]\nname = 'taurus'\ndriver = 'dummy'\nprobe = 'taurus-{outlet}'\noutlets = 16\n\
    [[meter]]\nname = 'lyon'\ndriver = 'dummy'\nwatts = 90\nprobes = ['lyon.web1', 'lyon.rack3', 'lyon.rack3.a', 'lyon.node007']\n\
    labels = { department = 'physics' }\n";

/// The blocks of shell commands of a page, line by line.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_shell = false;
    for line in page.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            is_shell = language == "sh";
        } else if is_shell && !line.is_empty() && !line.starts_with('#') {
            found.push(line.to_owned());
        }
    }
    found
}

/// What `kwapi import-config` is given in the manual.
fn write_others(folder: &Path) {
    let put = |name: &str, text: &str| {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), text).unwrap();
    };
    put(
        "etc/drivers.conf",
        "[DEFAULT]\nprobes_endpoint = ipc:///run/x\n[m]\nprobes = ['A']\ndriver = Dummy\n",
    );
    put(
        "prometheus.yml",
        "scrape_configs:\n- job_name: b\n  metrics_path: /ipmi\n  static_configs:\n  - targets: [b1]\n",
    );
    put("ipmi_remote.yml", "modules:\n  default:\n    user: u\n    pass: p\n");
    put("snmp.yml", "auths:\n  public_v2:\n    community: public\n    version: 2\n");
    put("telegraf.conf", "[[inputs.ipmi_sensor]]\nservers = ['u:p@lan(b1)']\n");
    put("devices.csv", "Name,Status,Site,Rack,Role,Type\npdu1,Active,S,R,PDU,T\nweb1,Active,S,R,Server,T\n");
    put("cables.csv", "Device A,Termination A,Device B,Termination B,Type\npdu1,Outlet 1,web1,PSU1,Power\n");
    put("job", "#!/bin/sh\nsleep 1\n");
}

#[test]
fn every_shell_command_of_the_manual_runs() {
    if !need(&["bash", "curl", "openssl", "rrdtool", "chmod"]) {
        return;
    }
    let kwapi = Kwapi::start(&["run"], CONFIGURATION);
    write_others(kwapi.lab.path());
    output(Command::new("chmod").arg("+x").arg(kwapi.file("job")));
    kwapi.probe("lyon.node007");
    let rrd = wait_until("the RRD file", PATIENCE, || {
        let known = fs::read_to_string(kwapi.file("state/history/rrd/probes.jsonl")).ok()?;
        known.contains("\"lyon.web1\"").then_some(())?;
        let entries = fs::read_dir(kwapi.file("state/history/rrd")).ok()?.filter_map(Result::ok);
        let is_average = |path: &PathBuf| {
            path.extension().is_some_and(|ending| ending == "rrd")
                && !path.display().to_string().contains("peaks")
        };
        let path = entries.map(|entry| entry.path()).find(is_average)?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    });
    wait_until("energy", PATIENCE, || {
        get(kwapi.api, "/v2/energy?probe=lyon.web1&start=2026-11-01T00:00:00Z&end=now")
            .filter(|(status, _)| *status == 200)
    });
    let readme = manual().join("../../README.md");
    let mut run = 0;
    for page in files(&manual(), "md").into_iter().chain([readme]) {
        for command in commands(&fs::read_to_string(&page).unwrap()) {
            if NOT_RUN.iter().any(|(beginning, _)| command.starts_with(beginning)) {
                continue;
            }
            run_here(&kwapi, &rrd, &command, &page);
            run += 1;
        }
    }
    assert!(run >= 25, "only {run} commands were run");
}

/// Runs one line with addresses and places of this test in the place of the manual's.
fn run_here(kwapi: &Kwapi, rrd: &str, command: &str, page: &Path) {
    let folder = kwapi.lab.path().display();
    let api = format!("127.0.0.1:{}", kwapi.api);
    let here = command
        .replace("127.0.0.1:5000", &api)
        .replace("controller:5000", &api)
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", kwapi.web))
        .replace("history/rrd/e411122b-….rrd", &format!("state/history/rrd/{rrd}"))
        .replace(" history/", " state/history/")
        .replace("import-config /etc/kwapi", "import-config etc")
        .replace("> kwapi.toml", "> imported.toml")
        .replace("/etc/kwapi/", &format!("{folder}/"))
        .replace("curl ", "curl -sSf ");
    let program = Path::new(env!("CARGO_BIN_EXE_kwapi")).parent().unwrap().display().to_string();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("timeout");
    shell.args(["60", "bash", "-eo", "pipefail", "-c", &here]);
    shell
        .current_dir(kwapi.lab.path())
        .env("PATH", path)
        .env("TOKEN", "0123456789abcdef")
        .env_remove("KWAPI_CONFIG");
    let output = shell.output().unwrap();
    assert!(
        output.status.success(),
        "{}: {command}\n{here}\n{}{}",
        page.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
