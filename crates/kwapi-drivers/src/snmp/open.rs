//! Opening a session: is the agent there, what is it, and which of its objects are wanted.

mod choice;
mod points;
mod registers;

use std::sync::Arc;

use async_snmp::{Oid, oid};
use kwapi_core::ProbeId;

use crate::config::ConfigError;
use crate::driver::{DriverError, Finding};
use crate::outlets::Outlets;

use super::agent::Agent;
use super::config::SnmpConfig;
use super::plan::{self, Point};
use super::profile::{Column, Profile, ProfileCatalogue, ProfileKind};
use super::shared::SnmpShared;
use super::sys_up_time;
use super::value::ObjectValue;
pub(super) use choice::is_reported;
pub(super) use points::ago;
use points::{named_points, sources};

/// What a session reads.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Each with its objects.
    pub points: Vec<Point>,
    /// Probes of this device that nothing is measured for any more, and why.
    pub gone: Vec<(ProbeId, String)>,
    /// By which words its rows are remembered.
    pub known_as: Option<String>,
    /// Objects that are as they stand here while the device has the outlets it had when they were listed.
    pub counts: Vec<(Oid, ObjectValue)>,
    /// What was found and decided.
    pub findings: Vec<Finding>,
}

/// What an agent identifies itself as.
pub(super) struct AgentIdentity {
    pub object_id: Option<Oid>,
    pub description: String,
}

/// Opens a session.
pub(super) async fn open(
    config: &SnmpConfig,
    outlets: &Outlets,
    catalogue: &ProfileCatalogue,
    shared: &Arc<SnmpShared>,
) -> Result<(Agent, Plan), DriverError> {
    let max_varbinds = config.max_varbinds.unwrap_or(super::profile::VARBINDS_MAX);
    let mut agent = Agent::open(config, shared, max_varbinds).await?;
    let identity = match identify(&mut agent).await {
        Ok(identity) => identity,
        Err(error) => return Err(diagnose(config, shared, error).await),
    };
    let plan = plan(config, outlets, catalogue, &identity, &mut agent, shared).await?;
    Ok((agent, plan))
}

/// Looks again at what a device is and has.
pub(super) async fn look_again(
    config: &SnmpConfig,
    outlets: &Outlets,
    catalogue: &ProfileCatalogue,
    agent: &mut Agent,
    shared: &SnmpShared,
) -> Result<Plan, DriverError> {
    let identity = identify(agent).await?;
    plan(config, outlets, catalogue, &identity, agent, shared).await
}

async fn plan(
    config: &SnmpConfig,
    outlets: &Outlets,
    catalogue: &ProfileCatalogue,
    identity: &AgentIdentity,
    agent: &mut Agent,
    shared: &SnmpShared,
) -> Result<Plan, DriverError> {
    let needs_profile = if outlets.selects_all() {
        config.oids.is_empty() || config.profile != "auto"
    } else {
        outlets.named().iter().any(|outlet| !config.oids.contains_key(&outlet.key))
    };
    let mut profiles = Vec::new();
    if needs_profile {
        profiles = candidates(config, catalogue, identity, agent).await?;
        if let (None, Some(most)) =
            (config.max_varbinds, profiles.iter().map(|profile| profile.max_varbinds).min())
        {
            agent.limit_varbinds(most);
        }
    }
    let (used, mut plan) = if outlets.selects_all() {
        points::all(config, outlets, &profiles, agent, shared).await?
    } else {
        let (profile, points) = points::named(config, outlets, &profiles, agent).await?;
        (profile.map(|profile| profile.name.clone()), Plan { points, ..Plan::default() })
    };
    let profile = profiles.iter().find(|profile| Some(&profile.name) == used.as_ref());
    registers::identify(profile.map(AsRef::as_ref), &mut plan.points, agent).await?;
    if let Some(profile) = profile {
        plan.counts = counts(profile, agent).await?;
    }
    let mut findings = vec![Finding {
        what: "device".to_owned(),
        value: identity.description.clone(),
        is_used: true,
        why: identity
            .object_id
            .as_ref()
            .map_or_else(|| "no sysObjectID".to_owned(), |object_id| format!("sysObjectID {object_id}")),
    }];
    let is_used = |profile: &&Arc<Profile>| Some(&profile.name) == used.as_ref();
    for profile in profiles.iter().filter(is_used) {
        let is_named = config.profile != "auto";
        let why = if is_named { "set in the configuration" } else { "its tables are present" };
        findings.push(profile_finding(profile, true, why));
    }
    for other in profiles.iter().filter(|profile| !is_used(profile)) {
        findings.push(profile_finding(
            other,
            false,
            "its tables are present too, but another profile fits better",
        ));
    }
    findings.append(&mut plan.findings);
    findings.push(Finding {
        what: "outlets".to_owned(),
        value: plan.points.len().to_string(),
        is_used: true,
        why: if outlets.selects_all() { "all outlets listed by the device" } else { "as configured" }
            .to_owned(),
    });
    findings.extend(plan.points.first().map(|point| sources(&point.section)).unwrap_or_default());
    Ok(Plan { findings, ..plan })
}

/// How many outlets a device reports, where it does.
async fn counts(profile: &Profile, agent: &mut Agent) -> Result<Vec<(Oid, ObjectValue)>, DriverError> {
    let oids: Vec<Oid> = profile.counts.iter().map(|count| count.0.clone()).collect();
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    let values = agent.get_cautiously(&oids).await?;
    let has_value = |value: &ObjectValue| matches!(value, ObjectValue::Integer(_) | ObjectValue::Text(_));
    Ok(oids.into_iter().zip(values).filter(|(_, value)| has_value(value)).collect())
}

/// The profiles a configuration can name.
pub(super) fn catalogue(config: &SnmpConfig) -> Result<ProfileCatalogue, ConfigError> {
    let catalogue = match &config.profile_directory {
        Some(directory) => ProfileCatalogue::with_directory(directory),
        None => ProfileCatalogue::built_in(),
    };
    catalogue.map_err(|error| ConfigError::of("profile_directory", format!("profile {error}")))
}

/// Queries an agent for what it is; the first request of a session, so also whether it is there.
pub(super) async fn identify(agent: &mut Agent) -> Result<AgentIdentity, DriverError> {
    let sys_descr = oid!(1, 3, 6, 1, 2, 1, 1, 1, 0);
    let sys_object_id = oid!(1, 3, 6, 1, 2, 1, 1, 2, 0);
    let values = agent.get(&[sys_descr, sys_object_id, sys_up_time()]).await?;
    let description =
        values.first().and_then(ObjectValue::text).unwrap_or_else(|| "no description".to_owned());
    let object_id = match values.get(1) {
        Some(ObjectValue::Oid(object_id)) => Some(object_id.clone()),
        _ => None,
    };
    // A tenth of a screen: some put their whole build log there.
    Ok(AgentIdentity { object_id, description: description.chars().take(200).collect() })
}

/// Why an agent that received a signed request is silent to us. It states the reason in a report that nobody signed,
/// which is not accepted in normal operation (anybody could send it) but is good enough to advise an operator what to
/// check.
async fn diagnose(config: &SnmpConfig, shared: &Arc<SnmpShared>, error: DriverError) -> DriverError {
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
pub(super) fn named<'a>(
    config: &SnmpConfig,
    catalogue: &'a ProfileCatalogue,
) -> Result<&'a Arc<Profile>, ConfigError> {
    catalogue.get(&config.profile).ok_or_else(|| {
        let names: Vec<_> = catalogue.names().collect();
        let (name, names) = (&config.profile, names.join(", "));
        ConfigError::of("profile", format!("unknown profile {name:?}; available: {names}"))
    })
}

/// Whether the named outlets can be meant: by the profile that is named, or as keys where the device chooses.
pub(super) fn check_outlets(config: &SnmpConfig, outlets: &Outlets) -> Result<(), ConfigError> {
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

fn no_such_key(key: &str) -> ConfigError {
    let why = "must be a number (7, or 2.7 on unit 2), inlet, unit, phase.1, group.1, or a key of `oids`";
    ConfigError::of("probes", format!("outlet {key:?}: {why}"))
}

/// The profiles by which a device can be read, the best first, for the unit that is configured.
async fn candidates(
    config: &SnmpConfig,
    catalogue: &ProfileCatalogue,
    identity: &AgentIdentity,
    agent: &mut Agent,
) -> Result<Vec<Arc<Profile>>, DriverError> {
    if config.profile != "auto" {
        return Ok(vec![with_unit(config, named(config, catalogue)?)?]);
    }
    let fitting = fitting(catalogue, identity, agent).await?;
    if fitting.is_empty() {
        return Err(DriverError::Refused(format!(
            "{} ({}, sysObjectID {}) matches no known profile; set profile = \"…\" or oids",
            config.address(),
            identity.description,
            identity.object_id.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
        )));
    }
    let mut refused = None;
    let mut candidates = Vec::new();
    for profile in fitting {
        match with_unit(config, &profile) {
            Ok(profile) => candidates.push(profile),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if candidates.is_empty() => Err(error.into()),
        Some(_) | None => Ok(candidates),
    }
}

fn profile_finding(profile: &Profile, is_used: bool, why: &str) -> Finding {
    Finding {
        what: format!("profile {}", profile.name),
        value: profile.title.clone(),
        is_used,
        why: why.to_owned(),
    }
}

/// The profiles whose tables a device has, best first: outlets before inlets, then by sysObjectID and rank. Those of
/// its maker before all others: a card that is built into many makers' devices has its own tables beside theirs.
pub(super) async fn fitting(
    catalogue: &ProfileCatalogue,
    identity: &AgentIdentity,
    agent: &mut Agent,
) -> Result<Vec<Arc<Profile>>, DriverError> {
    let candidates = catalogue.candidates(identity.object_id.as_ref());
    let others: Vec<_> = catalogue.candidates(None);
    let is_all = candidates.len() == others.len();
    let fitting = with_tables(candidates, agent).await?;
    if fitting.is_empty() && !is_all { with_tables(others, agent).await } else { Ok(fitting) }
}

async fn with_tables(
    candidates: Vec<Arc<Profile>>,
    agent: &mut Agent,
) -> Result<Vec<Arc<Profile>>, DriverError> {
    let mut tables = Vec::new();
    for (place, profile) in candidates.iter().enumerate() {
        for (kind, section) in profile.kinds() {
            tables.extend(section.measured_columns().filter_map(base).map(|base| (place, kind, base)));
        }
    }
    let bases: Vec<Oid> = tables.iter().map(|(_, _, base)| base.clone()).collect();
    let present = agent.present(&bases).await?;
    let has = |wanted: usize, outlets_only: bool| {
        tables.iter().zip(&present).any(|((place, kind, _), is_present)| {
            *is_present && *place == wanted && (!outlets_only || *kind == ProfileKind::Outlet)
        })
    };
    let mut fitting: Vec<_> =
        candidates.into_iter().enumerate().filter(|(place, _)| has(*place, false)).collect();
    fitting.sort_by_key(|(place, _)| (!has(*place, true), *place));
    Ok(fitting.into_iter().map(|(_, profile)| profile).collect())
}

/// Below what a column's objects stand, by which its presence is detected. A scalar's OID ends in its instance, after
/// which GETNEXT looks: its parent is requested.
fn base(column: &Column) -> Option<Oid> {
    if column.is_indexed() { Some(column.base().clone()) } else { column.base().parent() }
}

/// The profile as it stands for the configured unit of a daisy chain.
fn with_unit(config: &SnmpConfig, profile: &Arc<Profile>) -> Result<Arc<Profile>, ConfigError> {
    let Some(unit) = config.unit else { return Ok(Arc::clone(profile)) };
    if profile.kinds().all(|(_, section)| section.unit_at.is_none()) {
        let why = "outlets are numbered across all units, or there is only one unit";
        return Err(ConfigError::of("unit", format!("not supported by profile {:?}: {why}", profile.name)));
    }
    Ok(Arc::new(profile.of_unit(unit)))
}
