use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[test]
fn libraries_are_quiet_unless_they_are_asked_for() {
    assert_eq!(directives("info"), "info,async_snmp=error,rumqttc=error");
    assert_eq!(directives("debug,async_snmp=trace"), "debug,async_snmp=trace,rumqttc=error");
    assert!(EnvFilter::try_new(directives("debug")).is_ok());
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
