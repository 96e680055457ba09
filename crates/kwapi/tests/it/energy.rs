//! `kwapi energy` and `/v2/energy`, through the whole configuration: a running service, one behind tokens, one that was
//! stopped or killed.

use kwapi_peers::wait_until;
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, kwapi};

/// The hash of the token `physics-token`.
const PHYSICS: &str = "60527ae8cf728a305487ae87bedf0b1ce4613ece6caa621df5b06ff282e9fe90";

fn site() -> String {
    let mut toml = format!(
        "state_directory = '@DIR@/state'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
         [api]\nlisten = '127.0.0.1:@API@'\n[[api.auth.token]]\nname = 'physics'\nsha256 = '{PHYSICS}'\nprobes = ['rack.*']\n"
    );
    for (probe, watts) in [("rack.n1", 40), ("rack.n2", 60), ("other", 10)] {
        toml += &format!(
            "[[meter]]\ndriver = 'dummy'\nprobe = '{probe}'\nwatts = {watts}\ninterval_seconds = 0.2\nlabels = {{ owner = '{probe}' }}\n"
        );
    }
    toml
}

/// Runs `kwapi energy` in the service's directory: whether it succeeded, what it printed, and what it complained of.
fn energy(service: &Kwapi, arguments: &[&str]) -> (bool, String, String) {
    let mut command = kwapi();
    command.arg("energy").args(arguments).arg("--config").arg(service.file("kwapi.toml"));
    command.env_remove("KWAPI_TOKEN").env_remove("OS_TOKEN").env("TZ", "Europe/Paris");
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn json(service: &Kwapi, arguments: &[&str]) -> Value {
    let (is_well, printed, complaint) = energy(service, &[arguments, &["--format", "json"]].concat());
    assert!(is_well, "{complaint}");
    serde_json::from_str(&printed).unwrap()
}

/// Waits until each of the three probes has used some energy.
fn wait_for_energy(service: &Kwapi) {
    service.process_log_on_panic(|| {
        wait_until("energy of three probes", PATIENCE, || {
            let (is_well, printed, _) = energy(service, &["--format", "json"]);
            let answer: Value = serde_json::from_str(&printed).ok().filter(|_| is_well)?;
            let all = answer["energy"].as_array()?;
            let used =
                all.iter().filter(|of| of["rows"][0]["joules"].as_f64().is_some_and(|joules| joules > 30.0));
            (used.count() == 3).then_some(())
        });
    });
}

impl Kwapi {
    fn process_log_on_panic(&self, work: impl FnOnce()) {
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            eprintln!("{}", self.process.log());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_running_service_answers_people_and_programs() {
    let service = Kwapi::start(&["run"], &site());
    wait_for_energy(&service);
    let (_, table, _) = energy(&service, &["--probes", "rack.n[1-2]", "--by", "total"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("TOTAL  FROM") && lines[1].starts_with("total  20"), "{table}");
    assert!(
        lines.len() == 2 && lines[1].contains(" J  ") && lines[1].contains("+0"),
        "in the zone of TZ: {table}"
    );
    let (_, csv, _) = energy(&service, &["--by", "owner", "--format", "csv", "--zone", "UTC"]);
    let names: Vec<&str> = csv.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["owner", "other", "rack.n1", "rack.n2"]);
    let of_label = json(&service, &["--label", "owner:other"]);
    assert_eq!(of_label["energy"][0]["probe"], "other");
    let group = json(&service, &["--group", "rack"]);
    assert_eq!((&group["energy"][0]["group"], &group["energy"][0]["probes"]), (&"rack".into(), &2.into()));
    for (arguments, complaint) in [
        (&["--probes", "rack.n[3-9]"][..], "no probe matches"),
        (&["--group", "paris"], "There is no group \"paris\"."),
        (&["--start", "2026-10-25 02:30"], "happens twice in Europe/Paris"),
        (&["--zone", "Mars/Olympus"], "there is no time zone \"Mars/Olympus\""),
        (&["--end", "2199-01-01"], "is in the future"),
        (&["--start", "2026-01-02", "--end", "2026-01-01"], "The end must be after the start"),
        (&["--start", "2026-03-29 02:30", "--end", "2026-03-30"], "does not exist in Europe/Paris"),
        (&["--start", "1969-12-31T00:00:00Z"], "is before 1970"),
        (&["--start", "soon"], "is not an instant"),
        (&["--start", "-1h", "--end", "-2h"], "The end must be after the start"),
        (&["--address", "127.0.0.1:1"], "cannot connect to http://127.0.0.1:1"),
    ] {
        let (is_well, printed, stderr) = energy(&service, arguments);
        assert!(!is_well && stderr.contains(complaint), "{arguments:?}: {printed} {stderr}");
    }
    // Before anything was measured there is no energy, which is not 0 J.
    let early = ["--start", "2020-01-01T00:00:00Z", "--end", "2020-01-01T01:00:00Z"];
    for by in [&["--probes", "other"][..], &["--by", "total"]] {
        let row = &json(&service, &[&early[..], by].concat())["energy"][0]["rows"][0];
        assert!(row["joules"].is_null() && row["mean_watts"].is_null(), "{row}");
        let hours = if by[0] == "--by" { 3.0 } else { 1.0 };
        assert_eq!(
            (row["absent_seconds"].as_f64(), row["unknown_seconds"].as_f64()),
            (Some(hours * 3_600.0), Some(0.0))
        );
    }
    let (_, table, _) = energy(&service, &[&early[..], &["--probes", "other"]].concat());
    assert!(table.contains(" - ") && table.contains("0.0 %"), "{table}");
}

#[test]
fn an_api_behind_tokens_shows_each_what_is_theirs() {
    let service = Kwapi::start(&["run"], &site());
    wait_for_energy(&service);
    let url = format!("http://127.0.0.1:{}/v1/", service.api);
    let (is_well, _, complaint) = energy(&service, &["--url", &url]);
    assert!(!is_well && complaint.contains("requires a token"), "{complaint}");
    std::fs::write(service.file("token"), "physics-token\n").unwrap();
    let token = service.file("token").display().to_string();
    let answer = json(&service, &["--url", &url, "--token-file", &token]);
    let probes: Vec<&str> =
        answer["energy"].as_array().unwrap().iter().map(|of| of["probe"].as_str().unwrap()).collect();
    assert_eq!((probes, answer["position"].is_null()), (vec!["rack.n1", "rack.n2"], true));
    let (is_well, _, complaint) =
        energy(&service, &["--url", &url, "--token-file", &token, "--group", "other"]);
    assert!(!is_well && complaint.contains("There is no group \"other\"."), "{complaint}");
    assert_eq!(get(service.api, "/v2/energy").unwrap().0, 401);
}

#[test]
fn files_of_a_stopped_or_killed_service_report_what_it_reported() {
    for signal in [15, 9] {
        let service = Kwapi::start(&["run"], &site());
        wait_for_energy(&service);
        let answer = json(&service, &["--zone", "UTC"]);
        let (start, end) =
            (answer["start"].as_str().unwrap(), answer["energy"][0]["until"].as_str().unwrap());
        let until_then = ["--start", start, "--end", end, "--zone", "UTC"];
        let of_service = json(&service, &until_then);
        let state = service.file("state").display().to_string();
        let (is_well, _, complaint) = energy(&service, &["--state-directory", &state]);
        assert!(!is_well && complaint.contains("is in use by another kwapi"), "{complaint}");
        service.process.signal(signal);
        let Kwapi { process, lab, api, web, status } = service;
        process.ended(PATIENCE);
        let stopped = Stopped { lab, api, web, status };
        let of_files = stopped.json(&until_then);
        // The row in progress had an end of its own then, so that what lies within it was computed in another proportion.
        let names = |answer: &Value| -> Vec<String> {
            answer["energy"].as_array().unwrap().iter().map(|of| of["probe"].to_string()).collect()
        };
        assert_eq!(names(&of_files), names(&of_service));
        let whole = stopped.json(&["--zone", "UTC"]);
        for (before, after) in
            of_service["energy"].as_array().unwrap().iter().zip(whole["energy"].as_array().unwrap())
        {
            let joules = |of: &Value| of["rows"][0]["joules"].as_f64().unwrap();
            assert!(joules(after) >= joules(before), "{before} {after}");
            assert!(after["until"].as_str() >= before["until"].as_str(), "{before} {after}");
        }
    }
}

/// The directory of a service that runs no more.
struct Stopped {
    lab: kwapi_peers::Lab,
    api: u16,
    web: u16,
    status: u16,
}

impl Stopped {
    fn json(&self, arguments: &[&str]) -> Value {
        assert!(
            [self.api, self.web, self.status].into_iter().all(|port| get(port, "/").is_none()),
            "it runs"
        );
        let mut command = kwapi();
        command
            .arg("energy")
            .args(arguments)
            .args(["--format", "json", "--config"])
            .arg(self.lab.join("kwapi.toml"));
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
