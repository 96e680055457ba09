//! Logs are for operators: one line a change of state, on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::FormatTime;

/// Begins logging at `level` (`info`, or directives such as `kwapi_drivers=debug`).
///
/// # Errors
/// When `level` makes no sense.
pub(crate) fn begin(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| format!("--log {level}: {error}"))?;
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
