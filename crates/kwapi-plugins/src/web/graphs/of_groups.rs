//! Sums of very many probes by the history of their groups: a file for each group instead of one for each probe.

use std::collections::{HashMap, HashSet};

use kwapi_core::{Period, ProbeId, Series, Timestamp, groups_of};
use kwapi_graph::{EnergyFigure, window};

use super::super::overview::Seen;
use super::super::used::Used;
use super::bands::BandEnergies;
use crate::directory::Directory;
use crate::groups::GroupMembers;

/// Up to so many probes are added up themselves.
const PARTS_MIN: usize = 1_000;
/// A group's history may begin so many seconds, or two rows, after that of its probes: they are not all received at once.
const LATE_SECONDS: u64 = 30;

/// A band of a sum that a group stands for.
#[derive(Debug)]
pub(super) struct GroupBand {
    pub(super) power: Series,
    /// Row by row, the share of the group's probes whose power is in it.
    pub(super) shares: Vec<f64>,
    pub(super) probes: usize,
    pub(super) energy: EnergyFigure,
    /// The place of the meter that is above all of it, if there is one.
    pub(super) meter: Option<usize>,
    /// How many of its probes are below no other meter of it.
    pub(super) tops: usize,
}

/// What is gathered of a band before its group is queried.
#[derive(Debug, Default)]
struct Gathered {
    probes: usize,
    energy: EnergyFigure,
    since: Option<Timestamp>,
    meter: Option<usize>,
    tops: usize,
}

/// The bands of a sum whose groups stand for all that is in them, by their paths. None where there are few probes; a group that
/// is not wholly the caller's stands for nothing, nor does one whose history begins later than that of its probes.
pub(super) fn bands<'a>(
    directory: &Directory,
    seen: &Seen,
    paths: Option<&[&'a str]>,
    (energies, used): (&BandEnergies, &Used),
    period: Period,
    now: Timestamp,
) -> HashMap<&'a str, GroupBand> {
    let (Some(paths), Some(groups)) = (paths.filter(|paths| paths.len() > PARTS_MIN), directory.groups())
    else {
        return HashMap::new();
    };
    let mut gathered: HashMap<&str, Gathered> = HashMap::new();
    for ((at, probe), path) in seen.parts.iter().enumerate().zip(paths) {
        let band = gathered.entry(path).or_default();
        band.probes += 1;
        band.energy = band.energy.plus(energies.of(at).unwrap_or_default());
        let since = used.account(probe, None).map(|account| account.since);
        band.since = [band.since, since].into_iter().flatten().min();
        let meter = seen.above.get(at).copied().flatten();
        if meter.and_then(|meter| seen.parts.get(meter)).is_none_or(|meter| !meter.is_within(path)) {
            band.tops += 1;
            band.meter = meter;
        }
    }
    // A band whose path is above that of another is no group: that has the other in it.
    let ids: Vec<ProbeId> = gathered.keys().filter_map(|path| ProbeId::new(path).ok()).collect();
    let above: HashSet<&str> = ids.iter().flat_map(groups_of).collect();
    let members =
        (!seen.is_everything).then(|| GroupMembers::new(&directory.known(), directory, &seen.scope));
    let (start, _) = window(period, now.seconds());
    let step = period.step_seconds();
    let band = |(path, gathered): (&'a str, Gathered)| {
        let Gathered { probes, energy, since, meter, tops } = gathered;
        let is_whole = !above.contains(path) && members.as_ref().is_none_or(|members| members.has(path));
        if !is_whole {
            return None;
        }
        let power = groups.fetch(path, period, now).ok().flatten()?;
        let first = power.watts.iter().position(Option::is_some).map(|row| power.row_start(row))?;
        let begin = since?.seconds().max(start);
        if first > begin.saturating_add((2 * step).max(LATE_SECONDS)) {
            return None;
        }
        let shares = groups.known_share(path, period, now).ok().flatten();
        let shares = shares.filter(|shares| shares.start == power.start)?;
        let shares = shares.watts.iter().map(|share| share.unwrap_or_default()).collect();
        Some((path, GroupBand { power, shares, probes, energy, meter, tops }))
    };
    gathered.into_iter().filter_map(band).collect()
}
