//! pymodbus is the meters, over TCP and, through socat, on a pseudo-terminal; the faults it lacks are raw bytes.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it talks to")]

use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_port, need, need_python, python_environment};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn pymodbus(script: &str, arguments: &[&str]) -> Option<(Lab, u16, Peer)> {
    if !need_python("python") {
        return None;
    }
    let (lab, port) = (Lab::of("modbus", 0), free_port());
    let mut command = Command::new(python_environment("python"));
    command.arg(lab.join(format!("modbus/{script}"))).arg(port.to_string()).args(arguments);
    let peer = Peer::start(&mut command, lab.join("log"))
        .ready(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some((lab, port, peer))
}

fn one() -> Outlets {
    Outlets::by_position([ProbeId::new("A").ok()])
}

async fn open(keys: &str, outlets: &Outlets, lines: &Arc<Lines>) -> Result<Modbus, DriverError> {
    Modbus::open(&toml::from_str(keys).expect("a configuration"), outlets, lines).await
}

async fn round(meter: &mut Modbus) -> String {
    let mut readings = Readings::default();
    if let Err(error) = meter.read(&mut readings).await {
        return error.to_string();
    }
    let said = readings.drain().map(|(probe, reading)| match reading {
        Ok(reading) => format!("{probe}: {reading}"),
        Err(error) => format!("{probe}: {error}"),
    });
    said.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_meter_on_tcp_says_its_watts_and_what_it_lacks_is_absent() {
    let Some((_lab, port, _peer)) = pymodbus("meter.py", &["321.5"]) else { return };
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm630\"");
    let mut meter = open(&keys, &one(), &Arc::default()).await.expect("open");
    for _ in 0..2 {
        assert_eq!(round(&mut meter).await, "A: 321.5 W");
    }
    let findings = meter.findings();
    assert!(findings.iter().any(|f| f.value == "illegal data address" && !f.is_used), "{findings:?}");
    let wrong = keys.replace("eastron-sdm630", "schneider-iem3155");
    let mut meter = open(&wrong, &one(), &Arc::default()).await.expect("open");
    let said = round(&mut meter).await;
    assert!(
        said.starts_with("refused: ") && said.contains("check that \"Schneider iEM3155\" is the right map"),
        "{said}"
    );
}

/// Two meters on one line, read at once, and a third address where nobody is.
async fn check_line(line: &str) {
    let lines = Arc::new(Lines::default());
    let eastron = format!("{line}\nmap = \"eastron-sdm120\"\nunit = 1");
    let schneider = format!("{line}\nmap = \"schneider-iem3155\"\nunit = 2");
    let mut eastron = open(&eastron, &one(), &lines).await.expect("open");
    let mut schneider = open(&schneider, &one(), &lines).await.expect("open");
    assert!(Arc::ptr_eq(&eastron.line, &schneider.line));
    let expected =
        ("A: 100.25 W, 230.5 V, 0.5 A, 45000000 J".to_owned(), "A: 1500 W, 444441600 J".to_owned());
    for _ in 0..5 {
        assert_eq!(tokio::join!(round(&mut eastron), round(&mut schneider)), expected);
    }
    let mut nobody =
        open(&format!("{line}\nmap = \"eastron-sdm120\"\nunit = 9"), &one(), &lines).await.expect("open");
    let (said, other) = tokio::join!(round(&mut nobody), round(&mut eastron));
    assert!(said.contains("unit 9, registers from 0x0000 (2): timed out after 2s; check"), "{said}");
    assert_eq!(other, expected.0, "a dead meter delays the line and does not break it");
}

#[tokio::test]
async fn meters_behind_a_gateway_share_its_connection() {
    let Some((_lab, port, _peer)) = pymodbus("line.py", &["socket"]) else { return };
    check_line(&format!("host = \"127.0.0.1:{port}\"")).await;
}

#[tokio::test]
async fn meters_on_a_serial_line_share_it() {
    if !need(&["socat"]) {
        return;
    }
    let Some((lab, port, _peer)) = pymodbus("line.py", &["rtu"]) else { return };
    let device = lab.join("line");
    let mut socat = Command::new("socat");
    socat
        .arg(format!("pty,link={},raw,echo=0", device.display()))
        .arg(format!("tcp:127.0.0.1:{port},nodelay"));
    let _socat = Peer::start(&mut socat, lab.join("socat.log")).ready(PATIENCE, || device.exists());
    let line = format!("device = \"{}\"\nbaud = 9600\nparity = \"none\"", device.display());
    check_line(&line).await;

    let lines = Arc::new(Lines::default());
    let meter = open(&format!("{line}\nmap = \"eastron-sdm120\""), &one(), &lines).await.expect("open");
    let other = format!("device = \"{}\"\nbaud = 19200\nmap = \"eastron-sdm120\"", device.display());
    let error = open(&other, &one(), &lines).await.expect_err("another speed").to_string();
    assert!(error.contains("already in use by another meter as") && error.contains("9600 8N1"), "{error}");
    drop(meter);
}

#[tokio::test]
async fn a_plain_converter_is_read_with_rtu_framing() {
    let Some((_lab, port, _peer)) = pymodbus("line.py", &["rtu"]) else { return };
    check_line(&format!("host = \"127.0.0.1:{port}\"\nframing = \"rtu\"")).await;
}

#[tokio::test]
async fn every_phase_is_an_outlet_and_others_are_none() {
    let Some((_lab, port, _peer)) = pymodbus("line.py", &["socket"]) else { return };
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm120\"");
    let mut meter = open(&keys, &Outlets::all("m.{outlet}"), &Arc::default()).await.expect("open");
    assert!(round(&mut meter).await.starts_with("m.total: 100.25 W"));
    let two = Outlets::by_position([ProbeId::new("A").ok(), ProbeId::new("B").ok()]);
    let mut meter = open(&keys, &two, &Arc::default()).await.expect("open");
    let said = round(&mut meter).await;
    assert!(said.contains("A: no such outlet: \"1\"; available: [\"total\"]"), "{said}");
}

/// A gateway that answers everything with the same bytes.
async fn gateway(answer: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 12];
            while stream.read_exact(&mut request).await.is_ok() {
                let transaction = request[..2].to_vec();
                let answer = if answer.is_empty() { vec![] } else { [&transaction[..], answer].concat() };
                if answer.is_empty() || stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    });
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm630\"");
    let mut meter = open(&keys, &one(), &Arc::default()).await.expect("open");
    round(&mut meter).await.replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn each_fault_of_a_gateway_says_what_it_is() {
    let asked = "127.0.0.1:PORT: unit 1, registers from 0x0034";
    for (answer, expected) in [
        (&[0, 0, 0, 3, 1, 0x84, 6][..], format!("busy: {asked}: exception 6, device busy")),
        (
            &[0, 0, 0, 3, 1, 0x84, 11],
            format!("link lost: {asked}: exception 11, gateway target device failed to respond"),
        ),
        (
            &[0, 0, 0, 7, 1, 4, 4, 0x7f, 0xc0, 0, 0],
            "A: not ready: registers 0x0034, 0x0048 have no value".into(),
        ),
        (
            &[0, 0, 0, 5, 1, 4, 2, 0, 0],
            format!("link lost: {asked} (2): unexpected response: unit 1, [04, 02, 00, 00]"),
        ),
        (b"TTP/1.1 400", format!("link lost: {asked} (2): not Modbus TCP: ")),
        (&[], format!("link lost: {asked} (2): early eof")),
    ] {
        let said = gateway(answer).await;
        assert!(said.starts_with(&expected), "{said}\nnot {expected}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_asked() {
    for (keys, expected) in [
        ("map = \"eastron-sdm630\"", "set host"),
        ("map = \"eastron-sdm630\"\nhost = \"a\"\ndevice = \"/b\"", "mutually exclusive"),
        ("map = \"sdm\"\nhost = \"a\"", "available: [\"abb-b23\""),
        (
            "map = \"eastron-sdm630\"\nhost = \"a\"\nunit = 250",
            "`unit`: must be 1 to 247, or 0 or 255 for the meter",
        ),
        (
            "map = \"eastron-sdm630\"\nhost = \"a\"\nunit = 255\nframing = \"rtu\"",
            "`unit`: must be 1 to 247, not 255",
        ),
        ("map = \"eastron-sdm630\"\ndevice = \"/dev/null\"\nunit = 0", "`unit`: must be 1 to 247, not 0"),
        ("map = \"eastron-sdm630\"\ndevice = \"/dev/null\"\nstop_bits = 3", "`stop_bits`: must be 1 or 2"),
    ] {
        let error = open(keys, &one(), &Arc::default()).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A meter that answers each request for registers by a rule: the words, an exception, or nothing. With what it was
/// asked for.
struct Scripted {
    port: u16,
    asked: Arc<parking_lot::Mutex<Vec<(u8, u16, u16)>>>,
}

#[derive(Clone, Copy)]
enum Says {
    Zeros,
    Exception(u8),
    Nothing,
}

impl Scripted {
    async fn start(rule: impl Fn(u16, u16, usize) -> Says + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = [0; 12];
            while stream.read_exact(&mut request).await.is_ok() {
                let [t1, t2, _, _, _, _, unit, function, at1, at2, _, count] = request;
                let at = u16::from_be_bytes([at1, at2]);
                let nth = log.lock().iter().filter(|(_, known, _)| *known == at).count();
                log.lock().push((unit, at, u16::from(count)));
                let pdu = match rule(at, u16::from(count), nth) {
                    Says::Zeros => [&[function, 2 * count][..], &vec![0; usize::from(2 * count)]].concat(),
                    Says::Exception(code) => vec![function | 0x80, code],
                    Says::Nothing => continue,
                };
                let length = u8::try_from(pdu.len() + 1).expect("short");
                let frame = [&[t1, t2, 0, 0, 0, length, unit][..], &pdu].concat();
                if stream.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
        Self { port, asked }
    }

    async fn open(&self, map: &str) -> Modbus {
        let keys = format!("host = \"127.0.0.1:{}\"\nmap = \"{map}\"\nunit = 255", self.port);
        open(&keys, &one(), &Arc::default()).await.expect("open")
    }

    /// The registers asked for since the last call.
    fn asked(&self) -> Vec<u16> {
        self.asked
            .lock()
            .drain(..)
            .map(|(unit, at, _)| {
                assert_eq!(unit, 255);
                at
            })
            .collect()
    }
}

/// Lets a while go by, without waiting.
async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_register_that_was_refused_is_asked_for_again() {
    let starting = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let still = Arc::clone(&starting);
    let is_starting = move || still.load(std::sync::atomic::Ordering::SeqCst);
    let rule =
        move |at: u16, _, _| if at == 0x48 && is_starting() { Says::Exception(2) } else { Says::Zeros };
    let device = Scripted::start(rule).await;
    let mut meter = device.open("eastron-sdm630").await;
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(device.asked(), [0x34, 0x48, 0x34], "not with every round");
    let refused = meter.findings().into_iter().find(|finding| !finding.is_used).expect("a refusal");
    assert_eq!(
        (refused.value.as_str(), refused.why.as_str()),
        ("illegal data address", "requested again every 60 s")
    );
    starting.store(false, std::sync::atomic::Ordering::SeqCst);
    pass(REFUSAL_PAUSE).await;
    assert_eq!(round(&mut meter).await, "A: 0 W, 0 J");
    assert!(meter.findings().iter().all(|finding| finding.is_used));
}

#[tokio::test]
async fn one_bad_register_costs_itself_alone() {
    // Volts, amperes and watts of a phase are neighbours on this meter, which lacks the amperes.
    let device = Scripted::start(|at, count, _| match (at, count) {
        (0x0000, 18) | (0x0006, _) => Says::Exception(2),
        (0x0048, _) => Says::Exception(4),
        _ => Says::Zeros,
    })
    .await;
    let keys = format!("host = \"127.0.0.1:{}\"\nmap = \"eastron-sdm630\"\nunit = 255", device.port);
    let mut meter = open(&keys, &Outlets::all("m.{outlet}"), &Arc::default()).await.expect("open");
    for _ in 0..2 {
        let expected = "m.L1: 0 W, 0 V\nm.L2: 0 W, 0 V, 0 A\nm.L3: 0 W, 0 V, 0 A\nm.total: 0 W";
        assert_eq!(round(&mut meter).await, expected);
    }
}

#[tokio::test]
async fn a_register_that_is_never_answered_costs_itself_alone() {
    let device = Scripted::start(|at, _, _| if at == 0x48 { Says::Nothing } else { Says::Zeros }).await;
    let mut meter = device.open("eastron-sdm630").await;
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(round(&mut meter).await, "A: 0 W");
    assert_eq!(device.asked(), [0x34, 0x48, 0x34]);
}

/// A device of `SunSpec` whose chain begins at 40000, as its registers.
async fn sunspec_port(chain: &'static [u16]) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 12];
        while stream.read_exact(&mut request).await.is_ok() {
            let [t1, t2, _, _, _, _, unit, function, at1, at2, _, count] = request;
            let first = usize::from(u16::from_be_bytes([at1, at2])).checked_sub(40_000);
            let words = first.and_then(|first| chain.get(first..first + usize::from(count)));
            let pdu = match words {
                Some(words) => {
                    let bytes = words.iter().flat_map(|word| word.to_be_bytes());
                    [function, 2 * count].into_iter().chain(bytes).collect()
                }
                None => vec![function | 0x80, 2],
            };
            let length = u8::try_from(pdu.len() + 1).expect("short");
            let frame = [&[t1, t2, 0, 0, 0, length, unit][..], &pdu].concat();
            if stream.write_all(&frame).await.is_err() {
                return;
            }
        }
    });
    port
}

async fn sunspec(chain: &'static [u16]) -> String {
    let port = sunspec_port(chain).await;
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"sunspec-meter\"");
    let said = match open(&keys, &one(), &Arc::default()).await {
        Ok(mut meter) => round(&mut meter).await,
        Err(error) => error.to_string(),
    };
    said.replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn a_sunspec_meter_is_found_in_its_chain() {
    static METER: [u16; 69] = {
        let mut chain = [0; 69];
        let mut set =
            [(0, 0x5375), (1, 0x6e53), (2, 1), (3, 4), (8, 203), (9, 57), (26, 64), (30, 1)].as_slice();
        while let [(at, word), rest @ ..] = set {
            chain[*at] = *word;
            set = rest;
        }
        chain[55] = 9;
        chain[67] = 0xffff;
        chain
    };
    static ENDLESS: [u16; 400] = {
        let mut chain = [0; 400];
        (chain[0], chain[1]) = (0x5375, 0x6e53);
        chain
    };
    assert_eq!(sunspec(&METER).await, "A: 640 W, 32400 J");
    let none = "refused: 127.0.0.1:PORT: unit 1 has SunSpec models [1], but none of [201, 202, 203, 204]";
    assert_eq!(sunspec(&[0x5375, 0x6e53, 1, 0, 0xffff, 0]).await, none);
    // A chain that goes on for ever ends.
    assert!(sunspec(&ENDLESS).await.contains("but none of"));
    let other = "refused: 127.0.0.1:PORT: unit 1 does not support SunSpec; no marker at [40000, 0, 50000]";
    assert_eq!(sunspec(&[1, 2, 3]).await, other);
}

#[tokio::test]
async fn the_counter_of_a_sunspec_meter_is_known_by_its_serial_number() {
    // The mark, the common model of 66 registers with a serial number in it, the meter, the end.
    static METER: [u16; 140] = {
        let mut chain = [0; 140];
        let mut set = [
            (0, 0x5375),
            (1, 0x6e53),
            (2, 1),
            (3, 66),
            (52, 0x4b57),
            (53, 0x2d37),
            (54, 0x3100),
            (70, 203),
            (71, 57),
            (88, 64),
            (92, 1),
            (117, 9),
            (129, 0xffff),
        ]
        .as_slice();
        while let [(at, word), rest @ ..] = set {
            chain[*at] = *word;
            set = rest;
        }
        chain
    };
    let port = sunspec_port(&METER).await;
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"sunspec-meter\"");
    let mut meter = open(&keys, &one(), &Arc::default()).await.expect("a meter");
    let mut readings = Readings::default();
    meter.read(&mut readings).await.expect("an answer");
    let (_, reading) = readings.drain().next().expect("an outlet");
    let register = reading.expect("a reading").register.expect("a counter");
    assert_eq!((register.serial.as_deref(), register.path.as_deref()), (Some("KW-71"), Some("total")));
}

#[tokio::test]
async fn a_meter_that_starts_again_is_busy_and_not_refused() {
    let device = Scripted::start(|_, _, nth| if nth == 0 { Says::Zeros } else { Says::Exception(2) }).await;
    let mut meter = device.open("eastron-sdm630").await;
    assert_eq!(round(&mut meter).await, "A: 0 W, 0 J");
    for _ in 0..2 {
        let said = round(&mut meter).await;
        assert!(said.starts_with("busy: ") && said.ends_with("exception 2, illegal data address"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_is_given_up_and_the_next_is_read_on_a_new_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        // The first connection says a header that promises 250 bytes, and one of them each second.
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 12];
        stream.read_exact(&mut request).await.expect("a request");
        let [t1, t2, ..] = request;
        stream.write_all(&[t1, t2, 0, 0, 0, 251, 1]).await.expect("a header");
        while stream.write_all(&[4]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm120\"");
    let lines = Arc::default();
    let mut meter = open(&keys, &one(), &lines).await.expect("a connection");
    for _ in 0..2 {
        let said = tokio::time::timeout(Duration::from_secs(5), round(&mut meter)).await.expect("a bound");
        assert!(said.starts_with("link lost: ") && said.contains("timed out after 2s"), "{said}");
    }
}
