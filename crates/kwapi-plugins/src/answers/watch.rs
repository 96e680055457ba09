//! Looks from time to time whether the meter of a subtree measures less than those below it, and reports it on request.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Timestamp, chain};
use kwapi_history::{EnergyRequest, EnergyStep, Query};
use parking_lot::Mutex;

use super::EnergyAnswers;
use super::rests::MeterRest;
use crate::directory::Directory;
use crate::groups::GroupMembers;
use crate::metrics::{Exposition, MetricSource};
use crate::scope::Scope;

/// The time by which meters are judged.
const JUDGED: Duration = Duration::from_secs(3_600);
/// What was measured later than this may not have come yet.
const BEHIND: Duration = Duration::from_secs(120);
/// Findings that are reported one by one.
const REPORTED_MAX: usize = 10;

/// Watches the meters of all subtrees. Clones are the same.
#[derive(Clone, Debug)]
pub struct RestWatch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    answers: EnergyAnswers,
    /// Those with a finding, as of the last look.
    found: Mutex<Vec<MeterRest>>,
}

impl RestWatch {
    /// How often to look.
    pub const INTERVAL: Duration = Duration::from_secs(300);

    /// Watches what `query` covers; sums and accuracies are those of `directory`.
    pub fn new(query: Query, directory: Directory) -> Self {
        let answers = EnergyAnswers::new(query, directory);
        Self(Arc::new(Watched { answers, found: Mutex::default() }))
    }

    /// Looks at the last hour. Reads files where there are such meters, and may take a while.
    pub fn look(&self, now: Timestamp) {
        let Watched { answers, found } = &*self.0;
        let minute = 60_000_000;
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let end = now.micros().saturating_sub(micros(BEHIND)) / minute * minute;
        let start = end.saturating_sub(micros(JUDGED));
        let probes = answers.query.measured_since(Timestamp::from_micros(start));
        let members = GroupMembers::new(&probes, &answers.directory, &Scope::All);
        let request = EnergyRequest {
            probes: Vec::new(),
            start: Timestamp::from_micros(start),
            end: Timestamp::from_micros(end),
            step: EnergyStep::Whole,
            is_to_now: false,
            now,
        };
        let rests = match answers.rests(&members, None, &request) {
            Ok(rests) => rests.rests,
            Err(error) => {
                // Only a clock that is in 1970 makes an hour that is none.
                tracing::debug!(error = %chain(&error), "cannot compare meters with those below them");
                return;
            }
        };
        let now_found: Vec<MeterRest> = rests.into_iter().filter(|rest| rest.finding.is_some()).collect();
        let mut found = found.lock();
        let is_in = |all: &[MeterRest], rest: &MeterRest| all.iter().any(|other| other.meter == rest.meter);
        for rest in now_found.iter().filter(|rest| !is_in(&found, rest)).take(REPORTED_MAX) {
            tracing::warn!("{}", sentence(rest));
        }
        for rest in found.iter().filter(|rest| !is_in(&now_found, rest)).take(REPORTED_MAX) {
            tracing::info!(meter = %rest.meter, "measures no less than the probes below it again");
        }
        *found = now_found;
    }

    /// What was found, a sentence each.
    pub fn troubles(&self) -> Vec<String> {
        let found = self.0.found.lock();
        let mut all: Vec<String> = found.iter().take(REPORTED_MAX).map(sentence).collect();
        if let Some(more) = found.len().checked_sub(REPORTED_MAX).filter(|more| *more > 0) {
            all.push(format!("{more} more meters measured less than the probes below them"));
        }
        all
    }
}

fn sentence(rest: &MeterRest) -> String {
    let kwh = |millijoules: Option<i64>| millijoules.unwrap_or_default() as f64 / 3.6e9;
    let below = match rest.probes_below {
        1 => "probe".to_owned(),
        more => format!("{more} probes"),
    };
    format!(
        "{} measured {:.3} kWh within an hour, and the {below} directly below it {:.3} kWh, which is more than their \
         accuracy allows; check ids, wiring and `accuracy`",
        rest.meter,
        kwh(rest.own_mj),
        kwh(rest.below_mj)
    )
}

impl MetricSource for RestWatch {
    fn collect(&self, out: &mut Exposition) {
        let found = self.0.found.lock();
        // Where meters are named by whoever sees all, they are counted as well.
        let count = found.iter().filter(|rest| out.may_name(&rest.meter)).count();
        drop(found);
        out.count("kwapi_group_negative_rests", &[], count as u64);
    }
}
