//! What every page has around what is its own.

use std::sync::Arc;

use kwapi_core::{Period, ProbeId, groups_of};

use super::super::overview::Seen;
use super::super::{Site, statics, words};
use super::view;
use crate::directory::MeterHealth;

/// What every page has.
#[derive(Debug)]
pub(in super::super) struct Layout {
    pub(super) title: String,
    pub(super) version: String,
    /// How often it renews itself, and how often while a stream shows its numbers, in seconds.
    pub(super) refresh_seconds: u64,
    pub(super) refresh_live_seconds: u64,
    /// When it was made, on the zone's wall clock.
    pub(super) clock: String,
    pub(super) zone: String,
    /// The period whose menu entry is marked, if any.
    pub(super) current: Option<Period>,
    pub(super) periods: [Period; 6],
    /// Whether probes are in groups that have pages.
    pub(super) has_groups: bool,
    /// What to show when probes are simulated.
    pub(super) demonstration: Option<&'static str>,
    pub(super) readme: &'static str,
    /// Who has logged in, to be let out.
    pub(super) login: Option<Arc<str>>,
    /// Whether there are bills.
    pub(super) has_bills: bool,
    /// The address of this page, if it is one that every page leads to.
    pub(super) here: &'static str,
    /// How many meters are troubled, to who sees everything.
    pub(super) troubled: usize,
}

impl Layout {
    pub(super) fn new(site: &Site, seen: &Seen, title: String, current: Option<Period>) -> Self {
        let refresh_seconds = site.settings.refresh_interval.as_secs().max(1);
        // Graphs of a period change when its next row is there.
        let row_seconds = current.map_or(refresh_seconds, Period::step_seconds);
        let now = site.clock.now();
        Self {
            title,
            version: statics::version(),
            refresh_live_seconds: row_seconds.min(REFRESH_LIVE_MAX).max(refresh_seconds),
            refresh_seconds,
            clock: words::instant(now, now, &site.settings.zone),
            zone: site.settings.zone.iana_name().unwrap_or("").to_owned(),
            current,
            periods: Period::ALL,
            has_groups: site.directory.groups().is_some()
                && seen.parts.iter().any(|probe| groups_of(probe).next().is_some()),
            demonstration: demonstration(&seen.all),
            readme: README,
            login: seen.login.clone(),
            has_bills: site.bills.is_some(),
            here: "",
            troubled: troubled(site, seen),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass by reference")]
    pub(super) fn is_current(&self, period: &Period) -> bool {
        self.current == Some(*period)
    }
}

/// However long the rows of its graphs are, a page that shows live numbers renews the rest as often as this, in seconds.
const REFRESH_LIVE_MAX: u64 = 60;

/// How many meters are not read, where that is the caller's to see.
fn troubled(site: &Site, seen: &Seen) -> usize {
    let meters = site.directory.meters().filter(|_| seen.is_everything).unwrap_or_default();
    meters.iter().filter(|meter| meter.health == MeterHealth::Troubled).count()
}

/// Where a page sends those who want to measure servers of their own.
const README: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "#a-real-wattmeter");

/// What a page shows when probes are simulated: nobody takes a demonstration for their servers.
fn demonstration(probes: &[ProbeId]) -> Option<&'static str> {
    let simulated = probes.iter().filter(|probe| view::is_simulated(probe)).count();
    match simulated {
        0 => None,
        all if all == probes.len() => Some("Demonstration: the servers shown are simulated."),
        _ => Some("Demonstration: the probes marked “simulated” are not real servers."),
    }
}
