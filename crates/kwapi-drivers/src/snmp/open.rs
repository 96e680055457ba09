//! Opening a session: is the agent there, what is it, and which of its objects are wanted.

mod points;

use std::collections::HashSet;
use std::sync::Arc;

use async_snmp::{Oid, oid};

use crate::driver::{DriverError, Finding};
use crate::outlets::Outlets;

use super::agent::Agent;
use super::config::Config;
use super::plan::{self, Point};
use super::profile::{Catalogue, Column, Kind, Profile};
use super::shared::Shared;
use super::sys_up_time;
use super::value::Value;
use points::{all_points, named_points, sources};

/// What a session begins with.
pub(super) struct Opened {
    pub agent: Agent,
    pub points: Vec<Point>,
    pub findings: Vec<Finding>,
}

/// What an agent says it is.
pub(super) struct Identity {
    pub object_id: Option<Oid>,
    pub description: String,
}

/// Opens a session.
pub(super) async fn open(
    config: &Config,
    outlets: &Outlets,
    shared: &Arc<Shared>,
) -> Result<Opened, DriverError> {
    config.check().map_err(DriverError::Refused)?;
    let catalogue = catalogue(config)?;
    let max_varbinds = config.max_varbinds.unwrap_or(super::profile::VARBINDS_MAX);
    let mut agent = Agent::open(config, shared, max_varbinds).await?;
    let identity = match identify(&mut agent).await {
        Ok(identity) => identity,
        Err(error) => return Err(diagnose(config, shared, error).await),
    };
    let mut findings = vec![Finding {
        what: "device".to_owned(),
        value: identity.description.clone(),
        is_used: true,
        why: identity.object_id.as_ref().map_or_else(
            || "it gives no sysObjectID".to_owned(),
            |object_id| format!("its sysObjectID is {object_id}"),
        ),
    }];

    let needs_profile = if outlets.wants_all() {
        config.oids.is_empty()
    } else {
        outlets.named().iter().any(|outlet| !config.oids.contains_key(&outlet.key))
    };
    let profile = if needs_profile || (outlets.wants_all() && config.profile != "auto") {
        let profile = choose(config, &catalogue, &identity, &mut agent, &mut findings).await?;
        if config.max_varbinds.is_none() {
            agent.limit_varbinds(profile.max_varbinds);
        }
        Some(with_unit(config, &as_on_device(&profile, outlets, &mut agent).await?)?)
    } else {
        None
    };
    let points = if outlets.wants_all() {
        all_points(config, outlets, profile.as_ref(), &mut agent, &mut findings).await?
    } else {
        named_points(config, outlets, profile.as_ref())?
    };
    findings.push(Finding {
        what: "outlets".to_owned(),
        value: points.len().to_string(),
        is_used: true,
        why: if outlets.wants_all() { "all that the device lists" } else { "as configured" }.to_owned(),
    });
    findings.extend(points.first().map(|point| sources(&point.section)).unwrap_or_default());
    Ok(Opened { agent, points, findings })
}

/// The profiles a configuration can name.
pub(super) fn catalogue(config: &Config) -> Result<Catalogue, DriverError> {
    let catalogue = match &config.profile_directory {
        Some(directory) => Catalogue::with_directory(directory),
        None => Catalogue::built_in(),
    };
    catalogue.map_err(|error| DriverError::Refused(format!("profile {error}")))
}

/// Asks an agent what it is; the first request of a session, so also whether it is there.
pub(super) async fn identify(agent: &mut Agent) -> Result<Identity, DriverError> {
    let sys_descr = oid!(1, 3, 6, 1, 2, 1, 1, 1, 0);
    let sys_object_id = oid!(1, 3, 6, 1, 2, 1, 1, 2, 0);
    let values = agent.get(&[sys_descr, sys_object_id, sys_up_time()]).await?;
    let description = values.first().and_then(Value::text).unwrap_or_else(|| "no description".to_owned());
    let object_id = match values.get(1) {
        Some(Value::Oid(object_id)) => Some(object_id.clone()),
        _ => None,
    };
    // A tenth of a screen: some put their whole build log there.
    Ok(Identity { object_id, description: description.chars().take(200).collect() })
}

/// Why an agent that was asked with a signature is silent to us. It says so in a report that nobody signed, which is not
/// believed in the course of business (anybody could send it) but is good enough to tell an operator what to check.
async fn diagnose(config: &Config, shared: &Arc<Shared>, error: DriverError) -> DriverError {
    if !matches!(error, DriverError::Link(_)) || config.auth_password.is_none() {
        return error;
    }
    let Ok(mut agent) = Agent::open_trusting(config, shared).await else { return error };
    match identify(&mut agent).await {
        Err(refused @ DriverError::Refused(_)) => refused,
        Ok(_) | Err(_) => error,
    }
}

/// The profile that the configuration names.
pub(super) fn named<'a>(config: &Config, catalogue: &'a Catalogue) -> Result<&'a Arc<Profile>, DriverError> {
    catalogue.get(&config.profile).ok_or_else(|| {
        let names: Vec<_> = catalogue.names().collect();
        DriverError::Refused(format!(
            "no profile is called {:?}; there are {}",
            config.profile,
            names.join(", ")
        ))
    })
}

/// Whether the named outlets can be meant: by the profile that is named, or as keys where the device chooses.
pub(super) fn check_outlets(config: &Config, outlets: &Outlets) -> Result<(), DriverError> {
    if config.profile != "auto" {
        let catalogue = catalogue(config)?;
        let profile = with_unit(config, named(config, &catalogue)?)?;
        return named_points(config, outlets, Some(&profile)).map(drop);
    }
    let is_known = |key: &str| config.oids.contains_key(key) || plan::parse_key(key).is_some();
    match outlets.named().iter().find(|outlet| !is_known(&outlet.key)) {
        Some(outlet) => Err(no_such_key(&outlet.key)),
        None => Ok(()),
    }
}

fn no_such_key(key: &str) -> DriverError {
    DriverError::Refused(format!(
        "outlet {key:?}: an outlet is a number (7, or 2.7 on unit 2), inlet, unit, phase.1, group.1, or a key of `oids`"
    ))
}

async fn choose(
    config: &Config,
    catalogue: &Catalogue,
    identity: &Identity,
    agent: &mut Agent,
    findings: &mut Vec<Finding>,
) -> Result<Arc<Profile>, DriverError> {
    if config.profile != "auto" {
        let profile = named(config, catalogue)?;
        findings.push(profile_finding(profile, true, "the configuration names it"));
        return Ok(Arc::clone(profile));
    }
    let fitting = fitting(catalogue, identity, agent).await?;
    let Some(chosen) = fitting.first() else {
        return Err(DriverError::Refused(format!(
            "{} ({}, sysObjectID {}) has the tables of no known profile: name one (profile = \"…\"), or give oids",
            config.address(),
            identity.description,
            identity.object_id.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
        )));
    };
    findings.push(profile_finding(chosen, true, "the device has its tables"));
    for other in fitting.iter().skip(1) {
        findings.push(profile_finding(other, false, "its tables are there too, but another fits better"));
    }
    Ok(Arc::clone(chosen))
}

fn profile_finding(profile: &Profile, is_used: bool, why: &str) -> Finding {
    Finding {
        what: format!("profile {}", profile.name),
        value: profile.title.clone(),
        is_used,
        why: why.to_owned(),
    }
}

/// The profiles whose tables a device has, best first: outlets before inlets, then by sysObjectID and rank.
pub(super) async fn fitting(
    catalogue: &Catalogue,
    identity: &Identity,
    agent: &mut Agent,
) -> Result<Vec<Arc<Profile>>, DriverError> {
    let mut candidates = catalogue.candidates(identity.object_id.as_ref());
    let mut tables = Vec::new();
    for (place, profile) in candidates.iter().enumerate() {
        for (kind, section) in profile.kinds() {
            tables.extend(section.telling().filter_map(base).map(|base| (place, kind, base)));
        }
    }
    let bases: Vec<Oid> = tables.iter().map(|(_, _, base)| base.clone()).collect();
    let present = agent.present(&bases).await?;
    let has = |wanted: usize, outlets_only: bool| {
        tables.iter().zip(&present).any(|((place, kind, _), is_present)| {
            *is_present && *place == wanted && (!outlets_only || *kind == Kind::Outlet)
        })
    };
    let mut fitting: Vec<_> =
        candidates.drain(..).enumerate().filter(|(place, _)| has(*place, false)).collect();
    fitting.sort_by_key(|(place, _)| (!has(*place, true), *place));
    Ok(fitting.into_iter().map(|(_, profile)| profile).collect())
}

/// Below what a column's objects stand, by which its presence is told. A scalar's OID ends in its instance, after which
/// GETNEXT looks: its parent is asked for.
fn base(column: &Column) -> Option<Oid> {
    if column.is_indexed() { Some(column.base().clone()) } else { column.base().parent() }
}

/// The profile without what this device of its family does not say: see `Section::as_on`. Of the kinds of things that
/// are wanted only, since an agent of small means is asked for little before it is known.
async fn as_on_device(
    profile: &Profile,
    outlets: &Outlets,
    agent: &mut Agent,
) -> Result<Profile, DriverError> {
    let is_wanted = |kind: Kind| {
        let names_it = outlets
            .named()
            .iter()
            .any(|outlet| plan::parse_key(&outlet.key).is_some_and(|(named, _)| named == kind));
        outlets.wants_all() || names_it
    };
    let columns: Vec<(Oid, Oid)> = profile
        .kinds()
        .filter(|(kind, _)| is_wanted(*kind))
        .filter_map(|(_, section)| {
            let (power, current) = (section.power.as_ref()?, section.current.as_ref()?);
            Some((base(&power.oid)?, base(&current.oid)?))
        })
        .collect();
    let powers = columns.iter().map(|(power, _)| power.clone()).collect();
    let mut absent = empty_below(powers, agent).await?;
    let instead = columns.into_iter().filter(|(power, _)| absent.contains(power)).map(|(_, current)| current);
    absent.extend(empty_below(instead.collect(), agent).await?);
    Ok(profile.as_on(|column| base(column).is_none_or(|base| !absent.contains(&base))))
}

/// Those of `bases` below which the device has nothing.
async fn empty_below(bases: Vec<Oid>, agent: &mut Agent) -> Result<HashSet<Oid>, DriverError> {
    let present = agent.present(&bases).await?;
    let absent = bases.into_iter().zip(present).filter(|(_, is_present)| !is_present);
    Ok(absent.map(|(base, _)| base).collect())
}

fn with_unit(config: &Config, profile: &Profile) -> Result<Arc<Profile>, DriverError> {
    let mut profile = profile.clone();
    let Some(unit) = config.unit else { return Ok(Arc::new(profile)) };
    let mut is_numbered = false;
    for section in [&mut profile.outlet, &mut profile.inlet, &mut profile.phase, &mut profile.group]
        .into_iter()
        .flatten()
    {
        if let Some(first) = section.index_default.first_mut() {
            *first = unit;
            is_numbered = true;
        }
    }
    if !is_numbered {
        return Err(DriverError::Refused(format!(
            "`unit` means nothing to profile {:?}: it numbers the outlets of all units in one row",
            profile.name
        )));
    }
    Ok(Arc::new(profile))
}
