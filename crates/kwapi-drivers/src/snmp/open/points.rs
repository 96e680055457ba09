//! Which outlets a session reads: those that are named, or all that the device has.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::ConfigError;
use crate::driver::{DriverError, Finding};
use crate::outlets::Outlets;

use super::super::agent::Agent;
use super::super::config::SnmpConfig;
use super::super::interpret::{self, Usefulness};
use super::super::known::{Known, KnownRow};
use super::super::plan::{self, Point};
use super::super::profile::{Profile, ProfileKind, Section};
use super::super::shared::SnmpShared;
use super::{Plan, choice, no_such_key};

/// The named outlets, as a profile has them.
pub(super) fn named_points(
    config: &SnmpConfig,
    outlets: &Outlets,
    profile: Option<&Arc<Profile>>,
) -> Result<Vec<Point>, ConfigError> {
    let mut points = Vec::new();
    let mut sections: Vec<(ProfileKind, Arc<Section>)> = Vec::new();
    for outlet in outlets.named() {
        if let Some(section) = config.oids.get(&outlet.key) {
            let section = Arc::new(section.clone());
            points.push(Point::new(outlet.probe.clone(), &section, &[], true));
            continue;
        }
        let refused = |why: String| ConfigError::of("probes", format!("outlet {:?}: {why}", outlet.key));
        let Some(profile) = profile else {
            return Err(refused("not in `oids`, and no profile is set".to_owned()));
        };
        let (kind, numbers) = plan::parse_key(&outlet.key).ok_or_else(|| no_such_key(&outlet.key))?;
        let section = if let Some((_, section)) = sections.iter().find(|(known, _)| *known == kind) {
            Arc::clone(section)
        } else {
            let section = profile.section(kind).ok_or_else(|| {
                refused(format!("profile {:?} does not measure {}", profile.name, word(kind)))
            })?;
            if config.unit.is_some() && section.unit_at.is_none() {
                return Err(refused(format!(
                    "`unit` is not supported: profile {:?} numbers its {} across all units, or has only one unit",
                    profile.name,
                    kind.plural()
                )));
            }
            let section = Arc::new(section.clone());
            sections.push((kind, Arc::clone(&section)));
            section
        };
        let index = section.index(&numbers).ok_or_else(|| {
            refused(format!("profile {:?} requires {} numbers", profile.name, section.index_length))
        })?;
        points.push(Point::new(outlet.probe.clone(), &section, &index, config.voltage_and_current));
    }
    Ok(points)
}

fn word(kind: ProfileKind) -> &'static str {
    if kind == ProfileKind::Outlet { kind.plural() } else { kind.word() }
}

/// The named outlets by the profile that reads most of them, as the device has its tables.
pub(super) async fn named(
    config: &SnmpConfig,
    outlets: &Outlets,
    profiles: &[Arc<Profile>],
    agent: &mut Agent,
) -> Result<(Option<Arc<Profile>>, Vec<Point>), DriverError> {
    if profiles.is_empty() {
        return Ok((None, named_points(config, outlets, None)?));
    }
    let mut best: Option<(usize, Arc<Profile>, Vec<Point>)> = None;
    let mut refused = None;
    for profile in profiles {
        let mut points = match named_points(config, outlets, Some(profile)) {
            Ok(points) => points,
            Err(error) => {
                refused.get_or_insert(error);
                continue;
            }
        };
        let useful = as_on_device(config, &mut points, agent).await?;
        if best.as_ref().is_none_or(|(most, _, _)| useful > *most) {
            best = Some((useful, Arc::clone(profile), points));
        }
    }
    match (best, refused) {
        (Some((_, profile, points)), _) => Ok((Some(profile), points)),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Ok((None, Vec::new())),
    }
}

/// Reads the points' rows once, to measure each by what its device reports of it. Returns how many report watts or
/// energy; half of one for each that reports amperes alone.
async fn as_on_device(
    config: &SnmpConfig,
    points: &mut [Point],
    agent: &mut Agent,
) -> Result<usize, DriverError> {
    let mut useful = 0;
    let mut done: Vec<Arc<Section>> = Vec::new();
    for place in 0..points.len() {
        let Some(section) = points.get(place).map(|point| Arc::clone(&point.section)) else { continue };
        if section.index_length == 0 && config.oids.values().any(|raw| is_same(raw, &section)) {
            continue;
        }
        if done.iter().any(|done| Arc::ptr_eq(done, &section)) {
            continue;
        }
        let own: Vec<usize> = (0..points.len())
            .filter(|place| points.get(*place).is_some_and(|point| Arc::ptr_eq(&point.section, &section)))
            .collect();
        let indexes: Vec<_> =
            own.iter().filter_map(|place| points.get(*place)).map(|point| point.index.clone()).collect();
        let (adapted, rows) = choice::adapt(&section, &indexes, agent).await?;
        let adapted = Arc::new(adapted);
        for (place, row) in own.into_iter().zip(rows) {
            let reading = interpret::reading(&adapted, &row);
            useful += match Usefulness::of([&reading]) {
                Usefulness::Nothing => 0,
                Usefulness::Amperes | Usefulness::VoltAmperes | Usefulness::Load => 1,
                Usefulness::Zeros | Usefulness::Counter | Usefulness::Watts => 2,
            };
            if let Some(point) = points.get_mut(place) {
                *point = Point::new(
                    point.probe.clone(),
                    &adapted,
                    &point.index.clone(),
                    config.voltage_and_current,
                );
            }
        }
        done.push(adapted);
    }
    Ok(useful)
}

/// Whether a section is one of the configuration's own objects.
fn is_same(raw: &Section, section: &Section) -> bool {
    raw.listings().next() == section.listings().next()
}

/// Everything the device has, and had.
pub(super) async fn all(
    config: &SnmpConfig,
    outlets: &Outlets,
    profiles: &[Arc<Profile>],
    agent: &mut Agent,
    shared: &SnmpShared,
) -> Result<(Option<String>, Plan), DriverError> {
    let mut plan = Plan::default();
    for (key, section) in &config.oids {
        if let Some(probe) = outlets.probe(key, None) {
            plan.points.push(Point::new(probe, &Arc::new(section.clone()), &[], true));
        }
    }
    let Some(first) = profiles.first() else { return Ok((None, plan)) };
    let (chosen, passed_over) = choice::all(config, profiles, agent).await?;
    plan.findings.extend(passed_over);
    let Some(chosen) = chosen else {
        return Err(DriverError::Refused(format!(
            "{} lists no outlets in the tables of profile {:?}; try another profile, or name the outlets",
            config.address(),
            first.name
        )));
    };
    let profile = chosen.profile.clone();
    let known_as = known_as(config, outlets);
    let now = Instant::now();
    let mut known = Known::after(shared.known(&known_as), chosen, now);
    let keys: Vec<_> =
        known.rows().map(|(index, _)| plan::key(known.kind(), known.section(), index)).collect();
    let listed = keys.iter().zip(known.rows()).map(|(key, (_, row))| (key.as_str(), row.label.as_deref()));
    let taken: HashSet<_> = plan.points.iter().map(|point| point.probe.clone()).collect();
    let probes: Vec<_> = outlets
        .probes(listed)
        .into_iter()
        .map(|probe| probe.filter(|probe| !taken.contains(probe)))
        .collect();
    for (outlet, label) in known.name(probes) {
        tracing::warn!(host = config.host, outlet, ?label, why = LEFT_OUT, "outlet skipped");
    }
    for (key, (index, row)) in keys.iter().zip(known.rows()) {
        if let Some(finding) = finding(key, row, now) {
            plan.findings.push(finding);
        }
        let Some(probe) = &row.probe else { continue };
        let mut point = Point::new(probe.clone(), known.section(), index, config.voltage_and_current);
        point.seen_at = row.seen_at;
        plan.points.push(point);
    }
    plan.gone = known.gone().map(|(probe, why)| (probe.clone(), why.clone())).collect();
    plan.known_as = Some(known_as.clone());
    shared.remember(known_as, known);
    Ok((Some(profile), plan))
}

/// Why a row has no probe.
const LEFT_OUT: &str = "the probe template gives no unique probe id for its name";

/// What is worth reporting of a row: that it is not read, is read by another name than it has, or has vanished.
fn finding(key: &str, row: &KnownRow, now: Instant) -> Option<Finding> {
    let why = match (&row.probe, &row.label) {
        (None, _) => LEFT_OUT.to_owned(),
        (Some(_), _) if !row.is_listed => {
            let since = row.seen_at.map(|at| format!(", last seen {} ago", ago(now, at))).unwrap_or_default();
            format!("no longer listed by the device{since}")
        }
        (Some(probe), Some(label)) if probe.as_str().ends_with(&format!("{label}.{key}")) => {
            format!("duplicate name; read as probe {probe}")
        }
        (Some(_), _) => return None,
    };
    let what = format!("outlet {key}");
    Some(Finding {
        what,
        value: row.label.clone().unwrap_or_default(),
        is_used: row.is_listed && row.probe.is_some(),
        why,
    })
}

/// How long ago that was, for a sentence.
pub(in crate::snmp) fn ago(now: Instant, then: Instant) -> String {
    let seconds = now.saturating_duration_since(then).as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}

/// By which words a meter's device is remembered: what it is, and what is wanted of it.
fn known_as(config: &SnmpConfig, outlets: &Outlets) -> String {
    let community = config.community.as_ref().map_or("", |community| community.expose());
    format!(
        "{} {:?} {community:?} {:?} {:?} {:?}",
        config.address(),
        config.context,
        config.profile,
        config.unit,
        outlets.template()
    )
}

/// What the session reads power and energy from.
pub(super) fn sources(section: &Section) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(power) = &section.power {
        findings.push(Finding {
            what: "power".to_owned(),
            value: format!("objects below {}", power.oid.base()),
            is_used: true,
            why: if power.digits.is_some() {
                "scaled by the decimal digits the device reports".to_owned()
            } else {
                format!("{} W per count", power.watts)
            },
        });
    }
    if let Some(energy) = &section.energy {
        findings.push(Finding {
            what: "energy counter".to_owned(),
            value: format!("objects below {}", energy.oid.base()),
            is_used: true,
            why: if energy.digits.is_some() {
                "scaled by the decimal digits the device reports".to_owned()
            } else {
                format!("{} Wh per count; the total follows it", energy.watt_hours)
            },
        });
    }
    if let (Some(current), None) = (&section.current, &section.power) {
        findings.push(Finding {
            what: "current".to_owned(),
            value: format!("objects below {}", current.oid.base()),
            is_used: true,
            why: "the device reports no watts, or 0 W throughout despite a measured current".to_owned(),
        });
    }
    findings
}
