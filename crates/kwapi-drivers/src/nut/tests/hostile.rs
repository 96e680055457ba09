//! Servers that never end an answer, let it trickle, send more than there can be, or put into it what no terminal
//! should see.

use super::*;
use crate::registry;

#[tokio::test]
async fn an_answer_without_end_ends_the_session() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let line = format!("VAR u outlet.{}.desc \"{}\"\n", 1, "x".repeat(1_000));
        while stream.write_all(line.as_bytes()).await.is_ok() {}
    });
    let mut meter = open(port, "ups = \"u\"", &one()).await.expect("open");
    let outcome = round(&mut meter).await;
    assert!(outcome.starts_with("link lost: ") && outcome.ends_with("too many variables"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_ends_within_its_bound() {
    for line in ["VAR u outlet.1.desc \"x\"\n", "x"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while stream.write_all(line.as_bytes()).await.is_ok() {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                });
            }
        });
        let mut meter = open(port, "ups = \"u\"", &one()).await.expect("open");
        let outcome =
            tokio::time::timeout(Duration::from_secs(12), round(&mut meter)).await.expect("a bound");
        assert!(outcome.starts_with("link lost: ") && outcome.contains(" after "), "{outcome}");
        let outcome =
            tokio::time::timeout(Duration::from_secs(12), devices(&format!("127.0.0.1:{port}"))).await;
        assert!(outcome.expect("a bound").is_err());
    }
}

/// A server that answers each request with what `answer` makes of it.
async fn serving(answer: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 200];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                let request = String::from_utf8_lossy(&buffer[..length]).trim().to_owned();
                if stream.write_all(answer(&request).as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    port
}

/// An answer with a variable for each of `outlets`.
fn outlets_of(outlets: std::ops::Range<usize>) -> String {
    let lines: String = outlets.map(|outlet| format!("VAR u outlet.{outlet}.realpower \"5\"\n")).collect();
    format!("BEGIN LIST VAR u\n{lines}END LIST VAR u\n")
}

#[tokio::test]
async fn ten_thousand_outlets_where_a_few_were_end_the_session_by_name_and_fewer_are_read() {
    for (outlets, expected) in [(10_001, "too many variables"), (9_000, "p.8999: 5 W")] {
        let port = serving(move |_| outlets_of(0..outlets)).await;
        let mut meter = open(port, "ups = \"u\"", &Outlets::all("p.{outlet}")).await.expect("open");
        let outcome = round(&mut meter).await;
        assert!(outcome.contains(expected), "{}", outcome.chars().take(300).collect::<String>());
    }
}

#[tokio::test]
async fn no_name_value_or_error_puts_control_characters_into_a_line() {
    let variables = "BEGIN LIST VAR u\nVAR u outlet.1.desc \"a\u{1b}[2J\"\nVAR u outlet.1.realpower \"1\u{1b}\"\n\
        VAR u outlet.2.desc \"b\u{9b}31m\"\nVAR u outlet.2.realpower \"6\"\nEND LIST VAR u\n";
    for answer in [
        variables,
        "ERR \u{1b}]0;x\u{7}\n",
        "ERR UNKNOWN-UPS \u{1b}[2J\n",
        "BEGIN LIST VAR u\n\u{1b}[2J\n",
        "VAR u x \"\u{1b}\n",
    ] {
        let port = serving(move |_| answer.to_owned()).await;
        let keys = format!("host = '127.0.0.1:{port}'\nups = 'u'").parse().expect("TOML");
        let driver = registry::find("nut").expect("a driver").configure(keys).expect("keys");
        let connector = driver.connector(&registry::SharedPool::default());
        let mut session = connector.open(&Outlets::all("p.{label}")).await.expect("a connection");
        let mut readings = Readings::default();
        let failed = session.read(&mut readings).await.err().map(|error| error.to_string());
        let mut outcome: Vec<String> = failed.into_iter().collect();
        outcome.extend(readings.drain().map(|(probe, reading)| match reading {
            Ok(reading) => format!("{probe}: {reading}"),
            Err(error) => format!("{probe}: {error}"),
        }));
        let findings = session.findings().into_iter();
        outcome.extend(findings.map(|finding| format!("{} {} {}", finding.what, finding.value, finding.why)));
        assert!(!outcome.is_empty());
        assert!(outcome.iter().all(|line| !line.contains(char::is_control)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_list_of_devices_without_end_or_with_names_that_cannot_be_queried_is_cut() {
    let many: String = (0..200_000).map(|number| format!("UPS u{number} \"x\"\n")).collect();
    let port = serving(move |_| many.clone()).await;
    let names = devices(&format!("127.0.0.1:{port}")).await.expect("a list");
    assert!((1_000..100_000).contains(&names.len()), "{}", names.len());
    let port = serving(|_| "UPS a\u{1b}[2J \"x\"\nUPS b \"x\"\nEND LIST UPS\n".to_owned()).await;
    assert_eq!(devices(&format!("127.0.0.1:{port}")).await.expect("a list"), ["b"]);
}
