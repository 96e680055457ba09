//! `kwapi measure`: a command of known length on a load of known power, its exit status and its signals.

use std::process::{Command, Stdio};
use std::time::Duration;

use kwapi_peers::wait_until;
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, kwapi};

/// 100 W and 50 W, five times a second.
const LOAD: &str = "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\nkwh_price = 0.5\n\
    [status]\nlisten = '127.0.0.1:@STATUS@'\n[drivers]\ninterval_seconds = 0.2\n\
    [[meter]]\ndriver = 'dummy'\nprobe = 'a'\nwatts = 100\naccuracy = '1 %'\n[[meter]]\ndriver = 'dummy'\nprobe = 'b'\nwatts = 50\naccuracy = '2 %'\n\
    [[virtual]]\nprobe = 'both'\nsum = ['a', 'b']\n";

fn measure(service: &Kwapi, arguments: &[&str]) -> Command {
    let mut command = kwapi();
    command.arg("--config").arg(service.file("kwapi.toml")).arg("measure").args(arguments);
    command.current_dir(service.lab.path()).stdin(Stdio::null());
    command
}

/// The report in a file, and what was printed.
fn report(service: &Kwapi, arguments: &[&str], job: &[&str]) -> (Option<i32>, Value, String) {
    let arguments = [&["--json", "--output", "r.json"], arguments, &["--"], job].concat();
    let output = measure(service, &arguments).output().unwrap();
    let stderr =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(service.file("r.json")).unwrap_or_default();
    (output.status.code(), serde_json::from_str(&text).unwrap_or_default(), stderr)
}

#[track_caller]
fn check_load(report: &Value, watts: f64) {
    let seconds = report["seconds"].as_f64().unwrap();
    let joules = report["joules"].as_f64().unwrap();
    assert!((joules / seconds / watts - 1.0).abs() < 0.02, "{watts} W: {report:#}");
    assert!((report["mean_watts"].as_f64().unwrap() / watts - 1.0).abs() < 0.02, "{report:#}");
    assert!(report["unknown_seconds"].as_f64().unwrap() < 0.05 * seconds, "{report:#}");
}

#[test]
fn a_command_gets_its_energy_and_its_exit_status_stands() {
    let service = Kwapi::start(&["run"], LOAD);
    service.probe("both");
    let (code, all, output) = report(&service, &[], &["sh", "-c", "sleep 2; echo out; exit 7"]);
    assert_eq!((code, output.contains("out")), (Some(7), true), "{output}");
    // The sum of both is none of its parts' beside.
    check_load(&all, 150.0);
    assert!(all["seconds"].as_f64().unwrap() >= 2.0 && all["exit_status"] == 7, "{all:#}");
    assert!((all["peak_watts"].as_f64().unwrap() - 150.0).abs() < 1.0, "{all:#}");
    assert_eq!(all["probes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "b"]);
    let (joules, cost) = (all["joules"].as_f64().unwrap(), all["cost"].as_f64().unwrap());
    assert!((cost - joules / 3.6e6 * 0.5).abs() < 1e-9, "{all:#}");
    let accuracy = all["accuracy_percent"].as_f64().unwrap();
    assert!((accuracy - (100.0_f64.powi(2) + 100.0_f64.powi(2)).sqrt() / 150.0).abs() < 0.02, "{accuracy}");
    assert_eq!(all["eehpcwg"]["level"], 0, "two seconds are no core phase");
    // Ledger and samples have it to the instant, as anybody may query them.
    for probe in ["a", "b"] {
        let path = format!(
            "/v2/energy?probe={probe}&start={:.6}&end={:.6}",
            all["start"].as_f64().unwrap(),
            all["end"].as_f64().unwrap()
        );
        let (status, answer) = get(service.api, &path).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let (row, used) = (&answer["energy"][0]["rows"][0], &all["probes"][probe]);
        assert_eq!((status, &used["energy_of"]), (200, &"ledger".into()), "{answer:#} {used:#}");
        assert!(
            (row["joules"].as_f64().unwrap() - used["joules"].as_f64().unwrap()).abs() < 0.05,
            "{row:#} {used:#}"
        );
    }
    let (_, sum, _) = report(&service, &["--probes", "both"], &["sleep", "1"]);
    check_load(&sum, 150.0);
    let (_, range, _) = report(&service, &["--probes", "[a,b]"], &["sleep", "1"]);
    check_load(&range, 150.0);
    let (_, one, _) = report(&service, &["--probes", "b"], &["sleep", "1"]);
    check_load(&one, 50.0);

    let text = measure(&service, &["--probes", "a", "--", "sleep", "1"]).output().unwrap();
    let text = String::from_utf8_lossy(&text.stderr).into_owned();
    for expected in
        ["Energy of `sleep 1` on 1 probe:", "J    energy", "W    mean power", "EEHPCWG", "no level met"]
    {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }

    let (code, _, output) = report(&service, &[], &["no-such-program"]);
    assert_eq!(code, Some(127), "{output}");
    let (code, _, output) = report(&service, &["--probes", "nobody"], &["touch", "started"]);
    assert!(
        code == Some(125) && output.contains("no reading") && !service.file("started").exists(),
        "{output}"
    );

    // Between two marks, as a batch system's prolog and epilog set them.
    assert!(measure(&service, &["--begin", "mark"]).status().unwrap().success());
    std::thread::sleep(Duration::from_secs(2));
    let arguments = ["--end", "mark", "--json", "--output", "marked.json"];
    assert!(measure(&service, &arguments).status().unwrap().success());
    let marked: Value =
        serde_json::from_str(&std::fs::read_to_string(service.file("marked.json")).unwrap()).unwrap();
    check_load(&marked, 150.0);
    assert!(marked["exit_status"].is_null() && marked["seconds"].as_f64().unwrap() >= 2.0, "{marked:#}");
    slurm(&service);
}

/// The prolog and the epilog as Slurm runs them.
fn slurm(service: &Kwapi) {
    let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/slurm");
    let conf = format!(
        "KWAPI_URL=http://127.0.0.1:{}\nKWAPI_PROBE=%n\nKWAPI_MARKS=marks\nKWAPI_REPORTS=reports\n",
        service.api
    );
    std::fs::write(service.file("jobs.conf"), conf).unwrap();
    let script = |name: &str| {
        let mut command = Command::new(scripts.join(name));
        command.env("KWAPI_JOBS_CONF", "./jobs.conf").env("KWAPI", env!("CARGO_BIN_EXE_kwapi"));
        command.env("SLURMD_NODENAME", "a").env("SLURM_JOB_ID", "42").current_dir(service.lab.path());
        assert!(command.status().unwrap().success(), "{name}");
    };
    script("prolog.sh");
    std::thread::sleep(Duration::from_secs(1));
    script("epilog.sh");
    let report = std::fs::read_to_string(service.file("reports/42.a.json")).unwrap();
    check_load(&serde_json::from_str(&report).unwrap(), 100.0);
    assert!(!service.file("marks/42").exists());
}

#[test]
fn signals_reach_the_command_and_the_report_is_still_printed() {
    let service = Kwapi::start(&["run"], LOAD);
    service.probe("a");
    for (signal, name, expected) in
        [(libc::SIGINT, "INT", 130), (libc::SIGTERM, "TERM", 143), (libc::SIGUSR1, "USR1", 3)]
    {
        let (ready, file) = (service.file("ready"), service.file("report.json"));
        _ = std::fs::remove_file(&ready);
        let job = if name == "USR1" {
            "trap 'exit 3' USR1; touch ready; while :; do sleep 0.1; done"
        } else {
            "touch ready; exec sleep 60"
        };
        let arguments = ["--probes", "a", "--json", "--output", "report.json", "--", "sh", "-c", job];
        let mut child = measure(&service, &arguments).spawn().unwrap();
        wait_until("the command", PATIENCE, || ready.exists().then_some(()));
        std::thread::sleep(Duration::from_secs(1));
        let pid = i32::try_from(child.id()).unwrap();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
        assert!(sent.success() && signal > 0);
        assert_eq!(child.wait().unwrap().code(), Some(expected), "{name}");
        let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        check_load(&report, 100.0);
    }
}

#[test]
fn where_no_service_runs_the_configured_meters_are_read() {
    let service = Kwapi::start(&["run"], LOAD);
    service.probe("a");
    service.process.signal(15);
    wait_until("the end of the service", PATIENCE, || {
        get(service.api, "/v1/probes/").is_none().then_some(())
    });
    let (code, all, output) = report(&service, &["--probes", "a", "--probes", "b"], &["sleep", "2"]);
    assert!(code == Some(0) && output.contains("reading the configured meters"), "{output}");
    check_load(&all, 150.0);
}
