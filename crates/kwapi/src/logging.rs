//! Logs are for operators: one line a change of state, on standard error.

use std::fmt::Write;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::FormatTime;

/// Libraries that log each lost datagram or connection; we say it once, where it is handled.
const NOISY: [&str; 2] = ["async_snmp", "rumqttc"];

/// The filter for `level`: libraries that log what we log ourselves are silent unless it names them.
fn directives(level: &str) -> String {
    let mut directives = level.to_owned();
    for library in NOISY.iter().filter(|library| !level.contains(**library)) {
        _ = write!(directives, ",{library}=error");
    }
    directives
}

/// Begins logging at `level` (`info`, or directives such as `kwapi_drivers=debug`).
///
/// # Errors
/// When `level` makes no sense.
pub(crate) fn begin(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(directives(level)).map_err(|error| format!("--log {level}: {error}"))?;
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // journald stamps lines itself; a person wants to see the time.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().with_ansi(false).init();
    } else {
        let colours =
            std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
        log.with_timer(ClockTime).with_ansi(colours).init();
    }
    Ok(())
}

/// Local time to the second with its offset, as operators compare logs of several machines.
struct ClockTime;

impl FormatTime for ClockTime {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_asked_for() {
        assert_eq!(directives("info"), "info,async_snmp=error,rumqttc=error");
        assert_eq!(directives("debug,async_snmp=trace"), "debug,async_snmp=trace,rumqttc=error");
        assert!(EnvFilter::try_new(directives("debug")).is_ok());
    }
}
