//! Samples in object storage: a service that uploads, drops here what is there and reads it back; the server killed in the
//! middle of an upload, and the service too.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use kwapi_peers::objects::ObjectServer;
use kwapi_peers::{Lab, free_port, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, kwapi, run};
use weir::Weir;

mod weir;

/// Hours of a log that is imported, a row of each of two probes every five seconds.
const HOURS: u64 = 4;
const STEP: u64 = 5;

/// A service that keeps samples for a day, writes them at once, and uploads.
fn site(server: &ObjectServer, endpoint: &str, secret: &str) -> String {
    let ObjectServer { access_key, .. } = server;
    let (bucket, region) = (ObjectServer::BUCKET, ObjectServer::REGION);
    format!(
        "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n[drivers]\ninterval_seconds = 0.5\n\
         [[meter]]\ndriver = 'dummy'\nprobe = 'live'\n[samples]\ndays = 1\nwrite_interval_seconds = 1\n\
         [samples.s3]\nendpoint = '{endpoint}'\nregion = '{region}'\nbucket = '{bucket}'\nprefix = 'kwapi/lyon'\n\
         access_key = '{access_key}'\nsecret_key = '{secret}'\ntimeout_seconds = 30\n"
    )
}

/// Some hours of two days ago, on record in a new state directory; where they begin, in Unix seconds.
fn imported(lab: &Lab) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let start = now - now % 3_600 - 2 * 86_400;
    let mut csv = "at,id,watts\n".to_owned();
    for row in 0..HOURS * 3_600 / STEP {
        for (probe, watts) in [("a", 100 + row * row % 37), ("b", 2_000 + row % 7 * 11)] {
            writeln!(csv, "{},{probe},{watts}.{}", start + row * STEP, row % 10).unwrap();
        }
    }
    std::fs::write(lab.join("log.csv"), csv).unwrap();
    let arguments = "import log.csv --into state --time at --power watts --probe old.{id}";
    let (is_well, output) = run(&arguments.split(' ').collect::<Vec<_>>(), lab.path());
    assert!(is_well, "{output}");
    start
}

/// A bucket, and hours on record that are to go there.
struct Begun {
    lab: Lab,
    server: ObjectServer,
    port: u16,
    /// Where the hours begin, in Unix seconds.
    start: u64,
}

impl Begun {
    /// `None` where there is no such server.
    fn here() -> Option<Self> {
        if !kwapi_peers::need_python("objects") {
            return None;
        }
        let (lab, port) = (Lab::empty(), free_port());
        let server = ObjectServer::start(&lab, port);
        let start = imported(&lab);
        Some(Self { lab, server, port, start })
    }
}

fn metric(service: &Kwapi, name: &str) -> Option<f64> {
    let (_, text) = get(service.status, "/metrics")?;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
    line.split(' ').nth(1)?.parse().ok()
}

/// Waits until a metric has come to a value.
fn reaches(service: &Kwapi, name: &str, least: f64) {
    wait_until(&format!("{name} of {least}: {}", service.process.log()), PATIENCE * 8, || {
        metric(service, name).filter(|value| *value >= least)
    });
}

/// All imported samples of a probe: stamp and watts; and the hours that could not be read, as their causes.
fn samples(service: &Kwapi, probe: &str, start: u64) -> (Vec<(f64, f64)>, Vec<String>) {
    let end = start + HOURS * 3_600;
    let path = format!("/v2/samples?probe={probe}&start={start}&end={end}&limit=100000");
    let (status, body) = get(service.api, &path).unwrap();
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let number = |sample: &Value, key: &str| sample[key].as_f64().unwrap();
    let rows = answer["samples"].as_array().unwrap().iter();
    let rows = rows.map(|sample| (number(sample, "timestamp"), number(sample, "watts"))).collect();
    let causes = answer["unreadable"].as_array().unwrap().iter();
    (rows, causes.map(|file| file["cause"].as_str().unwrap().to_owned()).collect())
}

/// The files of a date's hours that are here.
fn files_here(service: &Kwapi, start: u64) -> usize {
    let hours = (0..HOURS).map(|hour| {
        let at = hour_folder(start + hour * 3_600);
        std::fs::read_dir(service.file("state/history/samples").join(at)).map_or(0, Iterator::count)
    });
    hours.sum()
}

/// `date=2026-11-26/hour=17`.
fn hour_folder(second: u64) -> String {
    let at = jiff::Timestamp::from_second(second.cast_signed()).unwrap();
    at.strftime("date=%Y-%m-%d/hour=%H").to_string()
}

/// Rows that are to be there: those of the log.
fn assert_whole(rows: &[(f64, f64)], what: &str) {
    // The first row of a log of watts shows where it begins, and has no time behind it.
    let wanted = HOURS * 3_600 / STEP;
    assert!((wanted - 1..=wanted).contains(&(rows.len() as u64)), "{what}: {} of {wanted}", rows.len());
    assert!(rows.windows(2).all(|pair| pair[1].0 - pair[0].0 == STEP as f64), "{what}: once each");
}

#[test]
fn a_service_uploads_drops_and_reads_back_and_others_read_the_bucket() {
    if !kwapi_peers::need_python("ledger") {
        return;
    }
    let Some(Begun { lab, server, start, .. }) = Begun::here() else { return };
    let service = Kwapi::start_in(lab, &["run"], &site(&server, &server.endpoint(), &server.secret_key));
    service.probe("live");
    reaches(&service, "kwapi_samples_uploads_total", HOURS as f64);
    reaches(&service, "kwapi_samples_hours_removed_total", HOURS as f64);
    assert_eq!(files_here(&service, start), 0, "dropped here");
    let objects = server.objects();
    for (hour, (key, _)) in objects.iter().enumerate() {
        let folder = hour_folder(start + hour as u64 * 3_600);
        assert!(key.starts_with(&format!("kwapi/lyon/{folder}/part-")), "{key}");
    }
    assert_eq!(objects.len() as u64, HOURS, "{objects:?}");
    let (rows, unreadable) = samples(&service, "old.a", start);
    assert_eq!(unreadable, Vec::<String>::new());
    assert_whole(&rows, "read back");
    others_read_it(&service, &server, rows.iter().map(|(_, watts)| watts).sum(), rows.len());
    // An answer between two instants within minutes is exact from there, and states that where the bucket is unreachable.
    let query = format!("/v2/energy?probe=old.b&start={}&end={}", start + 3_661, start + 7_017);
    let energy = |path: &str| -> Value {
        let (status, body) = get(service.api, path).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    };
    let exact = energy(&query);
    assert_eq!(exact["energy"][0]["rows"][0]["is_interpolated"], false, "{exact}");
    assert_eq!(exact["without_samples"], Value::Array(vec![]), "{exact}");
    drop(server);
    let (_, unreadable) = samples(&service, "old.a", start);
    assert!(unreadable.is_empty(), "what was read last is kept: {unreadable:?}");
}

#[test]
fn of_a_stopped_service_the_bucket_reports_what_it_reported_before_or_the_hours_are_named() {
    let Some(Begun { lab, server, start, .. }) = Begun::here() else { return };
    let service = Kwapi::start_in(lab, &["run"], &site(&server, &server.endpoint(), &server.secret_key));
    service.probe("live");
    reaches(&service, "kwapi_samples_uploads_total", HOURS as f64);
    reaches(&service, "kwapi_samples_hours_removed_total", HOURS as f64);
    let (from, to) = (start + 3_661, start + 7_017);
    let (_, running) = get(service.api, &format!("/v2/energy?probe=old.b&start={from}&end={to}")).unwrap();
    let row = |text: &str| -> (Value, Value) {
        let answer: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let row = &answer["energy"][0]["rows"][0];
        assert!(row["joules"].as_f64().unwrap() > 1e6, "{answer}");
        (
            Value::Array(vec![row["joules"].clone(), row["is_interpolated"].clone()]),
            answer["without_samples"].clone(),
        )
    };
    let running = row(&running);
    assert_eq!((&running.0[1], &running.1), (&Value::Bool(false), &Value::Array(vec![])));
    let Kwapi { process, lab, .. } = service;
    process.stop(15, PATIENCE);
    let (from, to) = (from.to_string(), to.to_string());
    let arguments = ["--config", "kwapi.toml", "energy", "--state-directory", "state", "--probes", "old.b"];
    let arguments =
        [&arguments[..], &["--zone", "UTC", "--format", "json", "--start", &from, "--end", &to]].concat();
    let energy = || {
        let output = kwapi().args(&arguments).current_dir(lab.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        row(std::str::from_utf8(&output.stdout).unwrap())
    };
    assert_eq!(energy(), running);
    // Nobody keeps what was read last: without the server it is derived from rows, and which hours are missing.
    drop(server);
    let (total, missing) = energy();
    assert_eq!(total[1], Value::Bool(true));
    let hour = jiff::Timestamp::from_second((start + 3_600).cast_signed()).unwrap().to_string();
    assert!(missing.as_array().unwrap().contains(&Value::from(hour)), "{missing}");
}

/// The bucket by programs of others: pandas and `DuckDB` from its objects, polars over the network.
fn others_read_it(service: &Kwapi, server: &ObjectServer, watts: f64, rows: usize) {
    const READ: &str = r#"
import sys, duckdb, pandas, polars
folder, url, key, secret, region, bucket = sys.argv[1:]
options = {"aws_endpoint_url": url, "aws_access_key_id": key, "aws_secret_access_key": secret, "aws_region": region,
           "aws_allow_http": "true", "aws_virtual_hosted_style_request": "false"}
frame = pandas.read_parquet(folder)
of = frame[frame["probe"] == "old.a"]
print("pandas", len(of), f'{of["power_w"].sum():.3f}')
of = duckdb.sql(f"select count(*), sum(power_w) from read_parquet('{folder}/*/*/*.parquet', hive_partitioning = true) where probe = 'old.a'").fetchall()[0]
print("duckdb", of[0], f"{of[1]:.3f}")
of = polars.scan_parquet(f"s3://{bucket}/kwapi/lyon/*/*/*.parquet", storage_options=options).filter(polars.col("probe") == "old.a")
of = of.select(polars.len(), polars.col("power_w").sum()).collect().row(0)
print("polars", of[0], f"{of[1]:.3f}")
"#;
    let folder = service.file("bucket");
    server.download(&folder);
    let mut command = Command::new(kwapi_peers::python_environment("ledger"));
    command.args(["-c", READ]).arg(folder.join("kwapi/lyon")).arg(server.endpoint());
    command.args([&server.access_key, &server.secret_key, ObjectServer::REGION, ObjectServer::BUCKET]);
    let text = kwapi_peers::output(&mut command);
    let wanted = |name: &str| format!("{name} {rows} {watts:.3}");
    assert_eq!(text.lines().collect::<Vec<_>>(), [wanted("pandas"), wanted("duckdb"), wanted("polars")]);
}

#[test]
fn a_server_killed_in_the_middle_of_an_upload_costs_no_sample() {
    let Some(Begun { lab, server, port, start }) = Begun::here() else { return };
    let weir = Weir::before(port, 1_500);
    let service = Kwapi::start_in(lab, &["run"], &site(&server, &weir.endpoint(), &server.secret_key));
    service.probe("live");
    weir.wait();
    server.process.signal(9);
    drop(server);
    weir.open();
    reaches(&service, "kwapi_samples_upload_failures_total", 1.0);
    let output = wait_until("a trouble", PATIENCE, || {
        let (_, body) = get(service.status, "/troubles")?;
        body.contains("samples cannot be uploaded to object storage").then_some(body)
    });
    assert!(output.contains(&weir.endpoint()), "{output}");
    assert_eq!(metric(&service, "kwapi_samples_uploads_total"), Some(0.0));
    assert_eq!(
        metric(&service, "kwapi_samples_hours_removed_total"),
        Some(0.0),
        "older than a day, and kept"
    );
    assert!(metric(&service, "kwapi_samples_files_not_uploaded").unwrap() >= HOURS as f64);
    assert_eq!(files_here(&service, start) as u64, HOURS);
    assert_eq!(get(service.status, "/readyz").unwrap().0, 200);
    // It comes back, empty, and is reached only once it has its user: requests before that would change the user's key.
    let port = free_port();
    let server = ObjectServer::start(&service.lab, port);
    assert_eq!(metric(&service, "kwapi_samples_uploads_total"), Some(0.0));
    weir.turn_to(port);
    reaches(&service, "kwapi_samples_hours_removed_total", HOURS as f64);
    assert_eq!(server.objects().len() as u64, HOURS);
    let (rows, unreadable) = samples(&service, "old.b", start);
    assert_eq!(unreadable, Vec::<String>::new());
    assert_whole(&rows, "resumed");
    let (_, troubles) = get(service.status, "/troubles").unwrap();
    assert_eq!(troubles, "[]");
}

#[test]
fn a_service_killed_in_the_middle_of_an_upload_begins_it_again() {
    let Some(Begun { lab, server, port, start }) = Begun::here() else { return };
    let weir = Weir::before(port, 1_500);
    let toml = site(&server, &weir.endpoint(), &server.secret_key);
    let service = Kwapi::start_in(lab, &["run"], &toml);
    weir.wait();
    service.process.signal(9);
    let Kwapi { process, lab, .. } = service;
    process.ended(PATIENCE);
    weir.open();
    let begun = |lab: &Lab| {
        let days = std::fs::read_dir(lab.join("state/history/samples-uploaded")).unwrap().flatten();
        days.map(|day| std::fs::read_to_string(day.path()).unwrap()).collect::<String>()
    };
    assert!(begun(&lab).contains("begun ") && !begun(&lab).contains("stored "), "{}", begun(&lab));
    let service = Kwapi::start_in(lab, &["run"], &toml);
    service.probe("live");
    reaches(&service, "kwapi_samples_hours_removed_total", HOURS as f64);
    assert_eq!(server.objects().len() as u64, HOURS);
    let (rows, unreadable) = samples(&service, "old.a", start);
    assert_eq!(unreadable, Vec::<String>::new());
    assert_whole(&rows, "begun again");
}

#[test]
fn wrong_keys_and_a_wrong_bucket_are_reported_and_nothing_is_dropped() {
    let Some(Begun { lab, server, start, .. }) = Begun::here() else { return };
    let toml = site(&server, &server.endpoint(), "wrong");
    let reports = |service: &Kwapi, words: &str| {
        wait_until(words, PATIENCE * 2, || {
            let (_, body) = get(service.status, "/troubles")?;
            body.contains(words).then_some(())
        });
    };
    let service = Kwapi::start_in(lab, &["run"], &toml);
    service.probe("live");
    reports(&service, "check access_key and secret_key");
    assert!(service.process.log().contains("they are kept on this disk"), "{}", service.process.log());
    let status = run(&["status", "--address", &format!("127.0.0.1:{}", service.status)], Path::new("/")).1;
    assert!(status.contains("samples cannot be uploaded to object storage"), "{status}");
    service.process.signal(15);
    let Kwapi { process, lab, .. } = service;
    process.ended(PATIENCE);
    let toml = toml.replace("'wrong'", &format!("'{}'", server.secret_key));
    let toml = toml.replace("bucket = 'energy'", "bucket = 'nobodys'");
    let service = Kwapi::start_in(lab, &["run"], &toml);
    service.probe("live");
    reports(&service, "there is no bucket \\\"nobodys\\\"; create it");
    assert!(files_here(&service, start) > 0);
    server.client(
        "s3.create_bucket(Bucket='nobodys', CreateBucketConfiguration={'LocationConstraint': 'eu-west-3'})",
        &[],
    );
    reaches(&service, "kwapi_samples_hours_removed_total", HOURS as f64);
}
