//! Logs are for operators: one line a change of state, on standard error.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that log each lost datagram or connection; we log it once, where it is handled.
const NOISY: [&str; 2] = ["async_snmp", "rumqttc"];

/// The filter for `levels`: a level for all, `PART=LEVEL` for a part, or several of these with commas. Libraries that
/// log what we log ourselves are silent unless it names them.
fn filter(levels: &str) -> Result<Targets, String> {
    let level = |word: &str| {
        // An empty word would be read as `error`.
        let level = if word.is_empty() { None } else { word.parse::<LevelFilter>().ok() };
        level.ok_or_else(|| {
            format!(
                "--log {levels}: {word:?} is no level: use off, error, warn, info, debug, trace or PART=LEVEL"
            )
        })
    };
    let mut filter = Targets::new().with_targets(NOISY.map(|library| (library, LevelFilter::ERROR)));
    for one in levels.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        filter = match one.split_once('=') {
            Some((part, word)) => filter.with_target(part.trim(), level(word.trim())?),
            None => filter.with_default(level(one)?),
        };
    }
    Ok(filter)
}

/// Begins logging at `levels` (`info`, or `info,kwapi_drivers=debug`).
///
/// # Errors
/// When `levels` makes no sense.
pub(crate) fn begin(levels: &str) -> Result<(), String> {
    let filter = filter(levels)?;
    let log = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .with_target(false);
    // journald stamps lines itself; a person wants to see the time.
    if is_to_journal() {
        log.with_ansi(false).event_format(JournalLines::new()).finish().with(filter).init();
    } else {
        let colours =
            std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
        log.with_timer(ClockTime).with_ansi(colours).finish().with(filter).init();
    }
    Ok(())
}

/// Reports on standard error that a command failed, which ends the process.
pub(crate) fn failed(message: &str) {
    let priority = if is_to_journal() { priority(Level::ERROR) } else { "" };
    eprintln!("{priority}kwapi: {message}");
}

/// Whether standard error is a stream of journald's: `JOURNAL_STREAM` names it, but is inherited by those whose output goes
/// elsewhere as well (systemd.exec(5)).
fn is_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|file| names(&stream, file.dev(), file.ino()))
}

/// Whether `stream`, `DEVICE:INODE`, is this file.
fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream.split_once(':').is_some_and(|(stream_device, stream_inode)| {
        stream_device.parse() == Ok(device) && stream_inode.parse() == Ok(inode)
    })
}

/// What journald reads at the begin of a line (sd-daemon(3)): `journalctl --priority warning` finds it.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Lines for journald: the priority in front, no time.
struct JournalLines(Format<Full, ()>);

impl JournalLines {
    fn new() -> Self {
        Self(Format::default().without_time().with_target(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for JournalLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// Local time to the second with its offset, as operators compare logs of several machines.
struct ClockTime;

impl FormatTime for ClockTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z"))
    }
}

#[cfg(test)]
mod tests;
