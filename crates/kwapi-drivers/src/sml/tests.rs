//! Meters that answer on request, on a pseudo-terminal and behind a converter.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::thread;

use kwapi_core::ProbeId;
use kwapi_peers::wait_until;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;

use super::request::{Speed, speed};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// The data of a meter, with its block check.
fn data() -> Vec<u8> {
    let block = "0.0.0(00112233)\r\n1.8.1(000100.0*kWh)\r\n1.8.2(000020.5*kWh)\r\n!\r\n\u{3}";
    let check = block.bytes().fold(0, |check, byte| check ^ byte);
    [b"\x02".as_slice(), block.as_bytes(), &[check]].concat()
}

/// As a meter sends it: seven bits and even parity.
fn even(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| if byte.count_ones().is_multiple_of(2) { *byte } else { byte | 0x80 }).collect()
}

/// Reads to the end of a line, without parity.
fn line(meter: &mut impl Read) -> String {
    let (mut line, mut byte) = (String::new(), [0]);
    while !line.ends_with('\n') {
        meter.read_exact(&mut byte).unwrap();
        assert!(byte[0].count_ones().is_multiple_of(2), "even parity");
        line.push(char::from(byte[0] & 0x7f));
    }
    line
}

async fn read(keys: &str) -> Result<String, DriverError> {
    let config: SmlConfig = toml::from_str(keys).unwrap();
    let outlets = Outlets::by_position([ProbeId::new("p").ok()]);
    let mut meter = Sml::open(&config, &outlets, &Arc::default()).await?;
    let mut readings = Readings::default();
    while readings.is_empty() {
        meter.read(&mut readings).await?;
    }
    let (_, reading) = readings.drain().next().unwrap();
    Ok(reading.map_or_else(|error| error.to_string(), |reading| reading.to_string()))
}

#[test]
fn the_fifth_character_shows_how_fast_a_meter_continues() {
    let check = |identification: &str, expected: Option<(u32, bool)>| {
        let found = speed(identification).map(|Speed { baud, is_acknowledged, .. }| (baud, is_acknowledged));
        assert_eq!(found, expected, "{identification}");
    };
    check("/LGZ0ZMD", Some((300, true)));
    check("/ISK5ME162", Some((9_600, true)));
    check("/ABC6X", Some((19_200, true)));
    check("/ABCEX", Some((9_600, false)));
    check("/ABC9X", None);
    check("/AB", None);
}

#[tokio::test]
async fn a_meter_is_queried_at_300_bits_a_second_and_answers_as_fast_as_it_reports() {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let computers_end: OwnedFd = File::options().read(true).write(true).open(&path).unwrap().into();
    let mut settings = tcgetattr(&computers_end).unwrap();
    settings.make_raw();
    rustix::termios::tcsetattr(&computers_end, rustix::termios::OptionalActions::Now, &settings).unwrap();
    let meter = thread::spawn(move || {
        let mut meter = File::from(master);
        let baud = || tcgetattr(&computers_end).unwrap().output_speed();
        assert_eq!(line(&mut meter), "/?!\r\n");
        assert_eq!(baud(), 300);
        // The head echoes what it sends.
        meter.write_all(&even(b"/?!\r\n/KWA5TEST\r\n")).unwrap();
        assert_eq!(line(&mut meter), "\u{6}050\r\n");
        assert_eq!(baud(), 300, "the answer is sent before the speed is changed");
        wait_until("the speed agreed on", PATIENCE, || (baud() == 9_600).then_some(()));
        meter.write_all(&even(&data())).unwrap();
        // Until the driver has hung up.
        (meter, computers_end)
    });
    let outcome =
        tokio::time::timeout(PATIENCE, read(&format!("device = '{path}'\nrequest_seconds = 60"))).await;
    assert_eq!(outcome.unwrap().unwrap(), "433800000 J");
    drop(meter.join().unwrap());
}

#[tokio::test]
async fn behind_a_converter_a_meter_continues_at_the_first_speed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let meter = thread::spawn(move || {
        let (mut meter, _) = listener.accept().unwrap();
        assert_eq!(line(&mut meter), "/?!\r\n");
        meter.write_all(b"/KWA5TEST\r\n").unwrap();
        assert_eq!(line(&mut meter), "\u{6}000\r\n");
        meter.write_all(&data()).unwrap();
        meter
    });
    let outcome =
        tokio::time::timeout(PATIENCE, read(&format!("host = '{address}'\nrequest_seconds = 60"))).await;
    assert_eq!(outcome.unwrap().unwrap(), "433800000 J");
    drop(meter.join().unwrap());
}

#[tokio::test]
async fn a_meter_that_does_not_answer_is_a_lost_link_that_names_what_to_check() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let error = read(&format!("host = '{address}'\nrequest_seconds = 60")).await.unwrap_err();
    assert!(
        matches!(&error, DriverError::Link(why) if why.to_string().contains("check the head")),
        "{error:?}"
    );
}

#[test]
fn keys_that_do_not_go_together_are_refused() {
    for (keys, expected) in [
        ("", "requires `device` (a serial line) or `host` (HOST:PORT of a converter)"),
        ("device = '/dev/ttyUSB0'\nhost = 'h:1'", "`device`: `device` and `host` are mutually exclusive"),
        ("host = 'h'", "`host`: must be HOST:PORT; converters have no default port"),
        ("device = '/dev/ttyUSB0'\nrequest_seconds = 0.5", "`request_seconds`: must be 1 to 3600"),
    ] {
        let config: SmlConfig = toml::from_str(keys).unwrap();
        assert_eq!(Sml::check(&config).unwrap_err().to_string(), expected);
    }
}
