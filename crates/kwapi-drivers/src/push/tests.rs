use proptest::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::*;
use crate::testing::by_key;

#[track_caller]
fn check(line: &str, expected: &str) {
    let actual = match parse_line(line.as_bytes()) {
        Ok((outlet, reading)) => format!("{outlet}: {reading}"),
        Err(error) => error,
    };
    assert_eq!(actual, expected, "for {line}");
}

#[test]
fn a_line_yields_what_it_states_and_nothing_more() {
    check(r#"{"watts": 61.5}"#, "1: 61.5 W");
    check(r#"{"outlet":"7","amperes":0.5,"volts":230,"estimated":true}"#, "7: 230 V, 0.5 A (estimated)");
    check(r#"{"joules_total": 120000.5}"#, "1: 120000.5 J");
    check(r#"{"watts": -0.2}"#, "1: 0 W");
    check(r#"{"watts": -90, "joules_total": 5000}"#, "1: 0 W, 5000 J");
}

#[test]
fn a_wrong_line_is_reported_with_what_is_wrong() {
    check("{}", "one of `watts`, `amperes` and `joules_total` is required");
    check(r#"{"watts":-1}"#, "`watts` must not be negative without an import counter in `joules_total`");
    check(r#"{"watts":3e9}"#, "`watts` must not be 3000000000");
    check(r#"{"watts":1,"timestamp":-5}"#, "`timestamp` must be in Unix seconds, not -5");
    check(r#"{"joules_total":-5}"#, "`joules_total` must not be -5");
    check(r#"{"watts":"12"}"#, "invalid type: string \"12\", expected f64 at line 1 column 13");
    check("watts=1", "expected value at line 1 column 1");
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        _ = parse_line(&noise);
    }
}

async fn open(listen: &str) -> Result<Push, DriverError> {
    let config = PushConfig { listen: listen.to_owned() };
    Push::open(&config, &by_key([("1", "1"), ("2", "2")]), &Arc::default()).await
}

/// Reads until `count` readings have come.
async fn read(meter: &mut Push, count: usize) -> Vec<String> {
    let mut readings = Readings::default();
    while readings.len() < count {
        meter.read(&mut readings).await.unwrap();
    }
    readings.drain().map(|(probe, reading)| format!("{probe}: {}", reading.unwrap())).collect()
}

#[tokio::test]
async fn a_wrong_line_is_answered_and_costs_nobody_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}/s", directory.path().display());
    let mut meter = open(&listen).await.unwrap();
    let mut sender = BufReader::new(UnixStream::connect(directory.path().join("s")).await.unwrap());
    let lines = "{\"watts\":1}\n{\"outlet\":\"9\",\"watts\":1}\n\n{\"outlet\":\"2\",\"watts\":3}\n";
    sender.write_all(lines.as_bytes()).await.unwrap();
    assert_eq!(read(&mut meter, 2).await, ["1: 1 W", "2: 3 W"]);
    let mut answer = String::new();
    sender.read_line(&mut answer).await.unwrap();
    assert_eq!(answer, "{\"error\":\"no outlet \\\"9\\\" configured\"}\n");
    assert_eq!(meter.findings()[0].why, "2 readings received so far");
}

#[tokio::test]
async fn a_line_without_end_is_cut_off_and_others_continue() {
    let directory = tempfile::tempdir().unwrap();
    let mut meter = open(&format!("unix:{}/s", directory.path().display())).await.unwrap();
    let path = directory.path().join("s");
    let mut endless = BufReader::new(UnixStream::connect(&path).await.unwrap());
    endless.write_all(&[b' '; 4_096]).await.unwrap();
    let mut answer = String::new();
    endless.read_line(&mut answer).await.unwrap();
    assert_eq!(answer, "{\"error\":\"line longer than 4096 bytes\"}\n");
    let mut sender = UnixStream::connect(&path).await.unwrap();
    sender.write_all(b"{\"watts\":5}").await.unwrap();
    drop(sender);
    assert_eq!(read(&mut meter, 1).await, ["1: 5 W"]);
}

#[tokio::test]
async fn a_socket_left_by_a_dead_process_is_taken_over_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listen = format!("unix:{}", path.display());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let meter = open(&listen).await.unwrap();
    assert!(matches!(open(&listen).await, Err(DriverError::Link(_))), "in use");
    drop(meter);
    tokio::task::yield_now().await;
    assert!(!path.exists(), "the socket is removed with its meter");
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for listen in ["0.0.0.0:0", "192.0.2.1:1", "boiler", "unix:/nowhere/at/all/s"] {
        let error = open(listen).await.unwrap_err();
        assert!(matches!(error, DriverError::Refused(_)), "{listen}: {error}");
    }
    open("127.0.0.1:0").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_speaking_is_no_fault() {
    let mut meter = open("127.0.0.1:0").await.unwrap();
    let mut readings = Readings::default();
    meter.read(&mut readings).await.unwrap();
    assert!(readings.is_empty());
}

#[test]
fn a_place_nobody_may_listen_at_is_reported_before_anything_starts() {
    for (listen, expected) in [
        ("unix:boiler.sock", "use an absolute path"),
        ("0.0.0.0:4711", "is not a loopback address"),
        ("boiler", "must be unix:/path or 127.0.0.1:port"),
    ] {
        let message = Push::check(&PushConfig { listen: listen.to_owned() }).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    for listen in ["unix:/run/kwapi/boiler.sock", "127.0.0.1:4711", "[::1]:4711"] {
        assert_eq!(Push::check(&PushConfig { listen: listen.to_owned() }), Ok(()));
    }
}
