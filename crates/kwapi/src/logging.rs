//! Logs are for operators: one line a change of state, on standard error.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that log each lost datagram or connection; we say it once, where it is handled.
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
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().with_ansi(false).finish().with(filter).init();
    } else {
        let colours =
            std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
        log.with_timer(ClockTime).with_ansi(colours).finish().with(filter).init();
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

    use tracing_subscriber::filter::LevelFilter as Level;

    /// The levels at which `levels` has each of `parts` logged.
    fn check<const N: usize>(levels: &str, parts: [&str; N]) -> [Level; N] {
        let filter = filter(levels).unwrap();
        let loud = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
        parts.map(|part| {
            let logged = |level: &Level| filter.would_enable(part, &level.into_level().unwrap());
            loud.into_iter().find(logged).unwrap_or(Level::OFF)
        })
    }

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        let parts = ["kwapi_bus::verify", "async_snmp::client", "rumqttc"];
        assert_eq!(check("info", parts), [Level::INFO, Level::ERROR, Level::ERROR]);
        assert_eq!(check("debug,async_snmp=trace", parts), [Level::DEBUG, Level::TRACE, Level::ERROR]);
    }

    #[test]
    fn the_level_of_a_part_goes_before_the_level_for_all() {
        let parts = ["kwapi_drivers::snmp::walk", "kwapi_drivers", "kwapi_bus"];
        assert_eq!(
            check(" kwapi_drivers::snmp=Debug , warn,", parts),
            [Level::DEBUG, Level::WARN, Level::WARN]
        );
        assert_eq!(check("kwapi_drivers=info", parts), [Level::INFO, Level::INFO, Level::OFF]);
        assert_eq!(check("off", parts), [Level::OFF; 3]);
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
}
