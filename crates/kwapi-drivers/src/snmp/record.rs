//! Recording a device, so that a profile can be written or mended without it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_snmp::{Oid, oid};

use crate::driver::DriverError;

use super::agent::Agent;
use super::config::SnmpConfig;
use super::open::{catalogue, fitting, identify};
use super::profile::VARBINDS_MAX;
use super::shared::SnmpShared;
use super::walk::to_snmprec;

/// `1.3.6.1.4.1.N`: what a maker's objects begin with.
const ENTERPRISE_LENGTH: usize = 7;
/// More objects than this below one root are no PDU's; the rest is not recorded.
const OBJECTS_MAX: usize = 20_000;
/// Small enough for every agent seen; recording is in no hurry.
const MAX_REPETITIONS: u32 = 10;

/// Walks a device's system group, the tables of the profiles that fit it and its maker's subtree, and gives them in
/// snmprec format without the site's names and addresses.
///
/// # Errors
/// When the agent does not answer or refuses.
pub async fn record(config: &SnmpConfig, shared: &Arc<SnmpShared>) -> Result<String, DriverError> {
    config.check()?;
    let catalogue = catalogue(config)?;
    let mut agent = Agent::open(config, shared, config.max_varbinds.unwrap_or(VARBINDS_MAX)).await?;
    let identity = identify(&mut agent).await?;
    let mut roots = vec![oid!(1, 3, 6, 1, 2, 1, 1)];
    for profile in fitting(&catalogue, &identity, &mut agent).await? {
        for (_, section) in profile.kinds() {
            roots.extend(section.columns().into_iter().map(|(_, column)| column.base().clone()));
        }
    }
    let enterprise =
        identity.object_id.as_ref().and_then(|object_id| object_id.arcs().get(..ENTERPRISE_LENGTH));
    roots.extend(enterprise.map(Oid::from_slice));
    roots.sort();
    roots.dedup();

    let mut objects = BTreeMap::new();
    for root in roots {
        let walked = agent.walk(&root, MAX_REPETITIONS, OBJECTS_MAX).await?;
        if walked.is_cut {
            tracing::warn!(host = config.host, %root, objects = OBJECTS_MAX, "too many objects; recording truncated");
        }
        objects.extend(walked.rows);
        // A scalar lies at its own OID, which a walk below it does not see.
        if let [value] = agent.get(std::slice::from_ref(&root)).await?.as_slice() {
            objects.insert(root, value.clone());
        }
    }
    let objects: Vec<_> = objects.into_iter().collect();
    Ok(to_snmprec(&objects))
}
