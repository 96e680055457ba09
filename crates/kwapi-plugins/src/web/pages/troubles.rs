//! What is wrong, before all numbers: the strip that a page begins with.

use kwapi_core::Timestamp;
use kwapi_graph::natural_order;

use super::super::overview::Seen;
use super::super::silent::Silent;
use super::super::{Site, words};
use super::probe_path;
use crate::directory::{MeterHealth, MeterNow};
use crate::http::percent::encode;

/// As many meters are named.
const NAMED_MAX: usize = 2;

/// What is wrong; nothing, where all is well.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    pub(super) kinds: Vec<TroubleWords>,
    /// What keeps measurements from being received, a line each.
    pub(super) reception: Vec<String>,
}

/// A kind of trouble: how many, and the first of them.
#[derive(Debug)]
pub(super) struct TroubleWords {
    pub(super) words: String,
    /// Where all of them are.
    pub(super) href: String,
    pub(super) places: Vec<Place>,
    pub(super) more: usize,
}

/// Who is in trouble, since when.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) href: String,
    /// How many probes that is, where it is several.
    pub(super) probes: Option<usize>,
    /// `None`: no data has been received yet.
    pub(super) since: Option<String>,
}

impl Troubles {
    /// Of probes, of which some are `silent`; all of these are at `href`.
    pub(super) fn of_probes(site: &Site, silent: &Silent, href: String, now: Timestamp) -> Self {
        if silent.probes == 0 {
            return Self::default();
        }
        let places = silent.shown.iter().map(|place| {
            let is_one = place.probes == 1;
            let name = place.name.as_str();
            Place {
                name: name.to_owned(),
                href: match (place.since, is_one) {
                    // What was never measured has no page of its own.
                    (None, _) => "/meters/".to_owned(),
                    (Some(_), true) => probe_path(&place.name),
                    (Some(_), false) => format!("/groups/?in={}", encode(name)),
                },
                probes: (!is_one).then_some(place.probes),
                since: place.since.map(|at| words::instant(at, now, &site.settings.zone)),
            }
        });
        let words = format!("{} silent", silent.probes);
        let kinds = vec![TroubleWords { words, href, places: places.collect(), more: silent.more() }];
        Self { kinds, reception: Vec::new() }
    }

    /// The same, and the meters that cannot be read, to who sees everything.
    #[must_use]
    pub(super) fn with_meters(mut self, site: &Site, seen: &Seen, now: Timestamp) -> Self {
        let meters = site.directory.meters().filter(|_| seen.is_everything).unwrap_or_default();
        let mut failing: Vec<&MeterNow> =
            meters.iter().filter(|meter| meter.health == MeterHealth::Troubled).collect();
        if failing.is_empty() {
            return self;
        }
        failing.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| natural_order(&a.name, &b.name)));
        let places = failing.iter().take(NAMED_MAX).map(|meter| Place {
            name: meter.name.clone(),
            href: "/meters/".to_owned(),
            probes: None,
            since: Some(words::instant(meter.since, now, &site.settings.zone)),
        });
        let plural = if failing.len() == 1 { "" } else { "s" };
        let words = format!("{} meter{plural} failing", failing.len());
        let more = failing.len().saturating_sub(NAMED_MAX);
        self.kinds.push(TroubleWords { words, href: "/meters/".to_owned(), places: places.collect(), more });
        self
    }

    /// The same, and what keeps measurements from being received, to who sees everything.
    #[must_use]
    pub(super) fn with_reception(mut self, site: &Site, seen: &Seen) -> Self {
        let problems = site.reception.as_ref().filter(|_| seen.is_everything);
        self.reception = problems.map(|problems| problems()).unwrap_or_default();
        self
    }
}
