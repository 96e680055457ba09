//! Where a probe or a group is: the groups around it, from the outermost on.

use kwapi_core::{ProbeId, groups_of};

use super::super::Site;
use super::super::group;
use super::super::overview::Seen;
use super::group_path;

/// A step of the way to a probe or a group.
#[derive(Debug)]
pub(super) struct Crumb {
    /// The last part of its name.
    pub(super) name: String,
    /// Its page, where the caller may read it.
    pub(super) href: Option<String>,
}

/// The way to `id`: the groups around it, and itself at the end. Nothing where it is in no group.
pub(super) fn crumbs(site: &Site, seen: &Seen, id: &ProbeId) -> Vec<Crumb> {
    let groups: Vec<&str> = groups_of(id).collect();
    let Some(innermost) = groups.last() else { return Vec::new() };
    let readable = group::readable(site, seen, &groups);
    let mut before = 0;
    let mut last_part = |path: &str| {
        let part = path.get(before..).unwrap_or(path).to_owned();
        before = path.len() + 1;
        part
    };
    let mut crumbs: Vec<Crumb> = groups
        .iter()
        .zip(readable)
        .map(|(path, is_readable)| Crumb {
            name: last_part(path),
            href: is_readable.then(|| group_path(path)),
        })
        .collect();
    let own = id.as_str().get(innermost.len() + 1..).unwrap_or(id.as_str());
    crumbs.push(Crumb { name: own.to_owned(), href: None });
    crumbs
}
