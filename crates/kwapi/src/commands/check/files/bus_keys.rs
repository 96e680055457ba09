//! Whether the keys that messages are signed with are valid now, and whether another follows one that ends.

use kwapi_bus::Key;
use kwapi_core::Timestamp;
use toml::Value;

use super::{BUS_TABLES, EXPIRY_WARNING, Findings, keys, walk};
use crate::config::{Document, Step};

/// A key, and where it stands.
type PlacedKey = (Vec<Step>, Key);

/// Looks at each list of keys by itself: what this process signs with, what it accepts, and what an endpoint accepts.
pub(super) fn check(findings: &mut Findings<'_>, resolved: &Document, now: Timestamp) {
    let mut lists = Vec::new();
    for name in BUS_TABLES {
        let Some(section) = resolved.tables.get(name) else { continue };
        walk(section, &mut keys(&[name]), &mut |path, value| lists.push(placed_keys(path, value)));
    }
    for list in &lists {
        for placed in list {
            look(findings, placed, list, now);
        }
    }
}

/// The keys of a value that is one or a list of them; none of any other value.
fn placed_keys(path: &[Step], value: &Value) -> Vec<PlacedKey> {
    let is_of_keys = matches!(path.last(), Some(Step::Key(name)) if name == "key" || name == "keys");
    // It has been read once: what is none here is something else of that name.
    let key = |value: &Value| value.clone().try_into::<Key>().ok();
    match value {
        _ if !is_of_keys => Vec::new(),
        Value::Array(all) => {
            let placed = |(index, value)| Some(([path, &[Step::Index(index)]].concat(), key(value)?));
            all.iter().enumerate().filter_map(placed).collect()
        }
        value => key(value).into_iter().map(|key| (path.to_vec(), key)).collect(),
    }
}

fn look(findings: &mut Findings<'_>, (path, key): &PlacedKey, list: &[PlacedKey], now: Timestamp) {
    let Some(validity) = key.validity() else { return };
    // Keys that follow each other are for the same probes.
    let has_another = |at: Timestamp| {
        list.iter().any(|(_, other)| other.id != key.id && other.probes == key.probes && other.is_valid(at))
    };
    let id = &key.id;
    let is_over = |at: Timestamp| key.valid_until.is_some_and(|until| until <= at);
    let message = if is_over(now) {
        let remedy = if has_another(now) { "remove it" } else { "replace it" };
        format!("key {id:?} has expired (valid {validity}); {remedy}")
    } else if !key.is_valid(now) {
        // One that waits for the end of another is as it should be.
        if has_another(now) {
            return;
        }
        format!(
            "key {id:?} is not valid yet (valid {validity}), and no other key is valid until then; check the dates and this machine's clock"
        )
    } else if is_over(now.after(EXPIRY_WARNING)) && !key.valid_until.is_some_and(has_another) {
        format!("key {id:?} expires soon (valid {validity}), and no other key follows; add one")
    } else {
        return;
    };
    findings.warning(path, message);
}

#[cfg(test)]
mod tests;
