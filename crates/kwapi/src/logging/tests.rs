use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// The levels at which `levels` has each of `parts` logged.
fn check<const N: usize>(levels: &str, parts: [&str; N]) -> [LevelFilter; N] {
    let filter = filter(levels).unwrap();
    let loud =
        [LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR];
    parts.map(|part| {
        let logged = |level: &LevelFilter| filter.would_enable(part, &level.into_level().unwrap());
        loud.into_iter().find(logged).unwrap_or(LevelFilter::OFF)
    })
}

#[test]
fn libraries_are_quiet_unless_they_are_named() {
    let parts = ["kwapi_bus::verify", "async_snmp::client", "rumqttc"];
    assert_eq!(check("info", parts), [LevelFilter::INFO, LevelFilter::ERROR, LevelFilter::ERROR]);
    assert_eq!(
        check("debug,async_snmp=trace", parts),
        [LevelFilter::DEBUG, LevelFilter::TRACE, LevelFilter::ERROR]
    );
}

#[test]
fn the_level_of_a_part_goes_before_the_level_for_all() {
    let parts = ["kwapi_drivers::snmp::walk", "kwapi_drivers", "kwapi_bus"];
    assert_eq!(
        check(" kwapi_drivers::snmp=Debug , warn,", parts),
        [LevelFilter::DEBUG, LevelFilter::WARN, LevelFilter::WARN]
    );
    assert_eq!(check("kwapi_drivers=info", parts), [LevelFilter::INFO, LevelFilter::INFO, LevelFilter::OFF]);
    assert_eq!(check("off", parts), [LevelFilter::OFF; 3]);
}

#[test]
fn a_mistyped_level_is_an_error() {
    assert_eq!(
        filter("info,kwapi_bus=inof").unwrap_err(),
        "--log info,kwapi_bus=inof: \"inof\" is no level: use off, error, warn, info, debug, trace or PART=LEVEL"
    );
    for levels in ["inof", "kwapi_drivers", "[poll]", "info,kwapi_drivers=", "info;debug"] {
        assert!(filter(levels).is_err(), "{levels}");
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn a_line_of_the_journal_begins_with_its_priority() {
    let lines = Lines::default();
    let log = tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_ansi(false);
    let log = log.event_format(JournalLines::new()).with_writer(lines.clone()).finish();
    tracing::subscriber::with_default(log, || {
        tracing::error!(meter = "pdu", "refused");
        tracing::warn!("backoff");
        tracing::info!("started");
        tracing::debug!("asked");
    });
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert_eq!(text, "<3>ERROR refused meter=\"pdu\"\n<4> WARN backoff\n<6> INFO started\n<7>DEBUG asked\n");
}

#[test]
fn a_stream_is_the_journals_only_when_it_is_the_one_that_is_named() {
    assert!(names("8:26742", 8, 26_742));
    for other in ["8:26743", "9:26742", "26742", "", ":", "8:26742:1", "-8:26742"] {
        assert!(!names(other, 8, 26_742), "{other}");
    }
}
