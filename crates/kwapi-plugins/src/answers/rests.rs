//! What the meter of a subtree measured beyond those directly below it. Less than nothing, and beyond what the meters'
//! accuracy allows, is a finding: an id in the wrong place, a wrong ratio, a machine plugged in elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_history::{EnergyRequest, EnergyRequestError, EnergySpan, EnergyStep};
use serde::{Serialize, Serializer};

use super::EnergyAnswers;
use crate::groups::GroupMembers;

/// The accuracy of a meter of which none is configured, in percent of its reading: that of a PDU's outlets.
pub(crate) const ACCURACY_DEFAULT: f64 = 5.0;
/// A rest is judged by parts of the time queried, of quarter hours and so many at most: those that the meter measured.
const PART: Duration = Duration::from_secs(900);
const PARTS_MAX: u64 = 24;
/// A part is no shorter than this, and all of them together no shorter than [`PART`]: meters are not read at the same moment.
const PART_MIN: Duration = Duration::from_secs(300);
/// The meter must have measured so much of a part.
const MEASURED_MIN: f64 = 0.99;
/// Probes queried at once, but for a meter with more directly below it…
const PROBES_MAX: usize = 8_000;
/// …which is judged by fewer parts: so many of all its probes together.
const CELLS_MAX: u64 = 200_000;

/// The rest of a meter between two instants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MeterRest {
    pub(crate) meter: ProbeId,
    /// How many probes are directly below it.
    pub(crate) probes_below: usize,
    /// What it measured.
    #[serde(rename = "joules", serialize_with = "joules")]
    pub(crate) own_mj: Option<i64>,
    /// What those directly below measured together.
    #[serde(rename = "below_joules", serialize_with = "joules")]
    pub(crate) below_mj: Option<i64>,
    /// The difference.
    #[serde(rename = "rest_joules", serialize_with = "joules")]
    pub(crate) rest_mj: Option<i64>,
    pub(crate) finding: Option<RestFinding>,
}

/// What is wrong with a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RestFinding {
    /// Those below measured more than the meter, beyond the accuracy of all of them.
    NegativeRest,
}

/// The rests of some meters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MeterRests {
    /// The position in the journal that they are true at.
    pub(crate) position: String,
    /// In order of the meters' ids.
    pub(crate) rests: Vec<MeterRest>,
}

#[expect(clippy::ref_option, reason = "serde hands over references")]
fn joules<S: Serializer>(millijoules: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    millijoules.map(|millijoules| millijoules as f64 / 1e3).serialize(serializer)
}

impl EnergyAnswers {
    /// The rests of the meters within `group` (`None`: all) in the time that a question is about. Reads files, and may take a
    /// while.
    ///
    /// # Errors
    /// When the time makes no sense.
    pub(crate) fn rests(
        &self,
        members: &GroupMembers,
        group: Option<&str>,
        request: &EnergyRequest,
    ) -> Result<MeterRests, EnergyRequestError> {
        let meters = members.meters(group);
        let mut all = MeterRests::default();
        let mut meters = meters.iter().peekable();
        while meters.peek().is_some() {
            let (mut queried, mut probes) = (Vec::new(), Vec::new());
            while let Some((meter, below)) =
                meters.next_if(|(_, below)| probes.is_empty() || probes.len() + below.len() < PROBES_MAX)
            {
                probes.extend(below.iter().chain([meter]).cloned());
                queried.push((meter, below));
            }
            let step = parts(request.end.since(request.start), probes.len());
            let answer = self.query.energy(&EnergyRequest { probes, step, ..request.clone() })?;
            all.position = answer.position.to_string();
            let spans: BTreeMap<&ProbeId, &[EnergySpan]> =
                answer.probes.iter().map(|of| (&of.probe, of.spans.as_slice())).collect();
            for (meter, below) in queried {
                let Some(own) = spans.get(meter) else { continue };
                let below: Vec<(&ProbeId, &[EnergySpan])> =
                    below.iter().filter_map(|probe| Some((probe, *spans.get(probe)?))).collect();
                all.rests.push(self.rest(meter, own, &below));
            }
        }
        Ok(all)
    }

    /// The rest of a meter by what it and those directly below it used in some parts of a time.
    pub(crate) fn rest(
        &self,
        meter: &ProbeId,
        own: &[EnergySpan],
        below: &[(&ProbeId, &[EnergySpan])],
    ) -> MeterRest {
        let own_mj = known_mj(own);
        let below_mj = below.iter().filter_map(|(_, spans)| known_mj(spans)).reduce(i64::saturating_add);
        let share = |probe: &ProbeId| {
            self.directory.accuracy(probe).map_or(ACCURACY_DEFAULT, |(percent, _)| percent) / 100.0
        };
        // The most that the meter can have passed on, and the least that those below can have drawn: measured energy alone,
        // since it is unknown when the rest was used.
        let (mut most, mut least, mut judged) = (0.0, 0.0, Duration::ZERO);
        for (part, own) in own.iter().enumerate() {
            let Some(measured) = measured_share(own) else { continue };
            judged += own.end.since(own.start);
            most += measured_mj(own) / measured * (1.0 + share(meter));
            let of_part = below.iter().filter_map(|(probe, spans)| Some((probe, spans.get(part)?)));
            least +=
                of_part.map(|(probe, span)| measured_mj(span) * (1.0 - share(probe)).max(0.0)).sum::<f64>();
        }
        let finding = judged >= PART && least > most;
        MeterRest {
            meter: meter.clone(),
            probes_below: below.len(),
            own_mj,
            below_mj,
            rest_mj: own_mj.zip(below_mj).map(|(own, below)| own.saturating_sub(below)),
            finding: finding.then_some(RestFinding::NegativeRest),
        }
    }
}

/// The parts of a time by which the meters of so many probes are judged.
fn parts(length: Duration, probes: usize) -> EnergyStep {
    let most = (CELLS_MAX / (probes as u64).max(1)).min(PARTS_MAX);
    if most < 2 {
        return EnergyStep::Whole;
    }
    let quarters = length.as_secs().div_ceil(most).div_ceil(PART.as_secs()).max(1);
    EnergyStep::Every(Duration::from_secs(quarters.saturating_mul(PART.as_secs())))
}

/// All energy of some spans; `None` where none is known, or some may be missing.
fn known_mj(spans: &[EnergySpan]) -> Option<i64> {
    let is_known =
        spans.iter().any(|span| span.known_ms() > 0) && !spans.iter().any(|span| span.is_incomplete);
    is_known.then(|| spans.iter().map(EnergySpan::energy_mj).fold(0, i64::saturating_add))
}

fn measured_mj(span: &EnergySpan) -> f64 {
    let [measured, ..] = span.known.mj;
    measured as f64
}

/// The share of a part that a meter measured, if the meter can be judged by it.
fn measured_share(span: &EnergySpan) -> Option<f64> {
    let length = span.end.since(span.start);
    let [measured_ms, ..] = span.known.ms;
    let share = measured_ms as f64 / (length.as_secs_f64() * 1e3);
    (length >= PART_MIN && share >= MEASURED_MIN && !span.is_incomplete).then_some(share.min(1.0))
}
