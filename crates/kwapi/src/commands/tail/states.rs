//! How the meters are doing, on standard error: those that are not up at first, then each change of state.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::commands::status;
use crate::stack::status::MeterReport;

/// How often the status listener is queried. What comes and goes in between is not seen.
const PERIOD: Duration = Duration::from_secs(1);

/// Queries and writes for as long as somebody reads. A listener that does not answer is queried again: its process may be
/// starting, and what changed meanwhile is written once it answers.
pub(super) async fn watch(address: SocketAddr, is_json: bool) {
    let mut states = States::default();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(meters) = status::meters(address).await else { continue };
        let changes = states.update(&meters);
        let lines: String = changes
            .iter()
            .map(|change| if is_json { change.json() } else { change.text() })
            .map(|line| line + "\n")
            .collect();
        // At once, so that no measurement gets into a line where both go to one terminal.
        if std::io::stderr().write_all(lines.as_bytes()).is_err() {
            return;
        }
    }
}

/// The state each meter was in at the last answer; as many as that answer had.
#[derive(Debug, Default)]
struct States(HashMap<String, String>);

impl States {
    /// What is to be reported of `meters`: a state that is another than before, and a new meter that is not up.
    fn update<'a>(&mut self, meters: &'a [MeterReport]) -> Vec<Change<'a>> {
        let now = meters.iter().map(|meter| (meter.name.clone(), meter.state.clone())).collect();
        let mut before = std::mem::replace(&mut self.0, now);
        meters
            .iter()
            .map(|meter| Change { was: before.remove(&meter.name), meter })
            .filter(|change| {
                change.was.as_ref().map_or(!change.meter.is_up, |was| *was != change.meter.state)
            })
            .collect()
    }
}

/// A meter in a state worth reporting.
#[derive(Debug)]
struct Change<'a> {
    /// `None` where it was not seen before.
    was: Option<String>,
    meter: &'a MeterReport,
}

impl Change<'_> {
    fn text(&self) -> String {
        let MeterReport { name, state, failures, .. } = self.meter;
        let was = self.was.as_ref().map(|was| format!("{was} → ")).unwrap_or_default();
        let plural = if *failures == 1 { "" } else { "s" };
        let latency = self.meter.latency_seconds;
        let latency = latency.map(|seconds| format!(", latency {:.1} ms", seconds * 1e3)).unwrap_or_default();
        let error = self.error().map(|error| format!(": {error}")).unwrap_or_default();
        format!("meter {name}: {was}{state}, {failures} failure{plural}{latency}{error}")
    }

    fn json(&self) -> String {
        serde_json::json!({
            "meter": self.meter.name,
            "was": self.was,
            "state": self.meter.state,
            "failures": self.meter.failures,
            "latency_seconds": self.meter.latency_seconds,
            "error": self.error(),
        })
        .to_string()
    }

    /// Why it is not up. A meter that is up again keeps its last error, which is no longer current.
    fn error(&self) -> Option<&str> {
        self.meter.last_error.as_deref().filter(|_| !self.meter.is_up)
    }
}

#[cfg(test)]
mod tests;
