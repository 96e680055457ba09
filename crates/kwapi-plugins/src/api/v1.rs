//! `/v1/`: the seed's routes, in the original's shapes.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use kwapi_core::ProbeId;
use kwapi_history::journal::Position;
use sha2::{Digest as _, Sha256};

use super::query::ListParameters;
use super::route::Value;
use super::{Api, at_position, json_response, tagged_response};
use crate::answers::no_probe;
use crate::http::HttpError;
use crate::json;
use crate::live::{ListPlace, Listing, ProbeView};
use crate::scope::Scope;

/// What `/v1/` states of itself.
pub(super) const VERSION: &str = include_str!("v1/version.json");

/// `/v1/probes/` as it was sent, and what is needed to update it: an answer costs what has changed since
/// the last one, and a copy.
#[derive(Debug)]
pub(super) struct Rendered {
    body: Bytes,
    etag: HeaderValue,
    /// What was live then…
    generation: u64,
    /// …and when, on its clock, the first probe turns stale if it stays silent.
    until: Duration,
    /// Where in `body` each probe is, by its place in the sorted list.
    fragments: Vec<Fragment>,
    /// The position in the journal that it is true at, if it is one.
    position: Option<Position>,
}

/// A probe's part of a body.
#[derive(Clone, Copy, Debug, Default)]
struct Fragment {
    version: u32,
    begin: u32,
    length: u32,
}

impl Rendered {
    fn is_current(&self, api: &Api) -> bool {
        let live = api.0.directory.live();
        self.generation == live.generation() && live.now() <= self.until
    }

    /// The bytes of the probe at `index`, if they are still those of `version`.
    fn fragment(&self, index: usize, version: u32) -> Option<&[u8]> {
        let fragment =
            self.fragments.get(index).filter(|found| found.length > 0 && found.version == version)?;
        let begin = fragment.begin as usize;
        self.body.get(begin..begin + fragment.length as usize)
    }
}

impl Api {
    pub(super) fn probe_ids(&self, query: &ListParameters, scope: &Scope) -> Response {
        let mut body = b"{\"probe_ids\":[".to_vec();
        let mut page = Page::new(query);
        self.0.directory.live().read(Listing::Known, query.after.as_deref(), |_, id, _| {
            page.take(query, scope, id, || {
                separate(&mut body, b'[');
                json::string(&mut body, id.as_str());
            })
        });
        body.extend_from_slice(b"]}\n");
        page.link("/v1/probe-ids/", query, json_response(body.into()))
    }

    pub(super) fn probes(&self, query: &ListParameters, scope: &Scope, headers: &HeaderMap) -> Response {
        if query.is_empty() && scope.is_all() {
            let rendered = self.all_probes();
            let response = tagged_response(rendered.body.clone(), &rendered.etag, headers);
            return at_position(response, rendered.position, scope);
        }
        let mut body = b"{\"probes\":{".to_vec();
        let mut page = Page::new(query);
        self.0.directory.live().read(Listing::Fresh, query.after.as_deref(), |_, id, view| {
            if !view.is_recorded {
                return ControlFlow::Continue(());
            }
            page.take(query, scope, id, || {
                separate(&mut body, b'{');
                json::probe(&mut body, id, view);
            })
        });
        body.extend_from_slice(b"}}\n");
        if query.is_empty() {
            // Made of what the caller sees and nothing else: not even that others have changed shows.
            let digest = Sha256::digest(&body).first_chunk().copied().map_or(0, u64::from_be_bytes);
            let etag = self.etag(format_args!("{digest:x}"));
            return tagged_response(body.into(), &etag, headers);
        }
        page.link("/v1/probes/", query, json_response(body.into()))
    }

    /// The whole list, rendered again as far as it has changed.
    fn all_probes(&self) -> Arc<Rendered> {
        let cached = self.0.probes.load_full();
        if let Some(rendered) = cached.as_ref().filter(|rendered| rendered.is_current(self)) {
            return Arc::clone(rendered);
        }
        // Read before the probes are: what comes meanwhile makes the answer old, never wrongly new.
        let generation = self.0.directory.live().generation();
        let mut body = Vec::with_capacity(cached.as_ref().map_or(64, |old| old.body.len() + 256));
        let mut fragments = Vec::new();
        body.extend_from_slice(b"{\"probes\":{");
        let mut take = |place: ListPlace, id: &ProbeId, view: &ProbeView| {
            if !view.is_recorded {
                return ControlFlow::Continue(());
            }
            if fragments.len() < place.count {
                fragments.resize(place.count, Fragment::default());
            }
            separate(&mut body, b'{');
            let begin = body.len();
            let old = cached.as_ref().filter(|old| old.fragments.len() == place.count);
            match old.and_then(|old| old.fragment(place.index, view.version)) {
                Some(same) => body.extend_from_slice(same),
                None => json::probe(&mut body, id, view),
            }
            // A body of 4 GB would be some 50 million probes, far beyond `probes_max`.
            let narrow = |size: usize| u32::try_from(size).unwrap_or(0);
            if let Some(fragment) = fragments.get_mut(place.index) {
                let (begin, length) = (narrow(begin), narrow(body.len() - begin));
                *fragment = Fragment { version: view.version, begin, length };
            }
            ControlFlow::Continue(())
        };
        let live = self.0.directory.live();
        let (until, position) = live.at_one_position(|| live.read(Listing::Fresh, None, &mut take));
        body.extend_from_slice(b"}}\n");
        let etag = self.etag(format_args!("{generation:x}-{:x}", crc32fast::hash(&body)));
        let rendered = Arc::new(Rendered { body: body.into(), etag, generation, until, fragments, position });
        self.0.probes.store(Some(Arc::clone(&rendered)));
        rendered
    }

    /// A weak tag of an answer of this process.
    fn etag(&self, content: fmt::Arguments<'_>) -> HeaderValue {
        let etag = HeaderValue::try_from(format!("W/\"{:x}-{content}\"", self.0.epoch));
        etag.unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
    }

    pub(super) fn probe(&self, id: &str, scope: &Scope) -> Result<Response, HttpError> {
        let (found, position) = self.0.directory.live().at_one_position(|| self.find_recorded(id, scope));
        let (id, view) = found?;
        let mut body = b"{".to_vec();
        json::probe(&mut body, &id, &view);
        body.extend_from_slice(b"}\n");
        Ok(at_position(json_response(body.into()), position, scope))
    }

    pub(super) fn value(&self, id: &str, value: Value, scope: &Scope) -> Result<Response, HttpError> {
        let (found, position) = self.0.directory.live().at_one_position(|| self.find_recorded(id, scope));
        let (id, view) = found?;
        let (name, value) = match value {
            Value::Kwh => ("kwh", view.totals.energy.kwh()),
            Value::Timestamp => ("timestamp", view.timestamp.seconds_f64()),
            Value::Watts => ("w", view.power.0),
        };
        let mut body = b"{".to_vec();
        json::string(&mut body, id.as_str());
        body.extend_from_slice(b":{");
        json::string(&mut body, name);
        body.push(b':');
        json::float(&mut body, value);
        body.extend_from_slice(b"}}\n");
        Ok(at_position(json_response(body.into()), position, scope))
    }

    /// A probe the caller may see; to others it does not exist.
    pub(super) fn find(&self, id: &str, scope: &Scope) -> Result<(ProbeId, ProbeView), HttpError> {
        let found = self.0.directory.live().probe(id).filter(|(id, _)| scope.allows(id));
        found.ok_or_else(|| no_probe(id))
    }

    /// The same, of which a message is on record.
    fn find_recorded(&self, id: &str, scope: &Scope) -> Result<(ProbeId, ProbeView), HttpError> {
        let (id, view) = self.find(id, scope)?;
        if view.is_recorded { Ok((id, view)) } else { Err(no_probe(id.as_str())) }
    }
}

/// Puts a comma before all but the first of a list that began with `opening`.
fn separate(body: &mut Vec<u8>, opening: u8) {
    if body.last() != Some(&opening) {
        body.push(b',');
    }
}

/// Cuts a list into pages.
#[derive(Debug)]
pub(super) struct Page {
    limit: Option<usize>,
    taken: usize,
    last: Option<ProbeId>,
    has_more: bool,
}

impl Page {
    pub(super) fn new(query: &ListParameters) -> Self {
        Self { limit: query.limit, taken: 0, last: None, has_more: false }
    }

    /// A page of `limit` probes where the query has no limit.
    pub(super) fn limited(query: &ListParameters, limit: usize) -> Self {
        Self { limit: Some(query.limit.map_or(limit, |requested| requested.min(limit))), ..Self::new(query) }
    }

    /// How much is on a page.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// Takes a probe if it is requested and may be seen; ends the list after a full page.
    pub(super) fn take(
        &mut self,
        query: &ListParameters,
        scope: &Scope,
        id: &ProbeId,
        take: impl FnOnce(),
    ) -> ControlFlow<()> {
        if !query.takes(id) || !scope.allows(id) {
            return ControlFlow::Continue(());
        }
        if self.limit.is_some_and(|limit| self.taken >= limit) {
            self.has_more = true;
            return ControlFlow::Break(());
        }
        take();
        self.taken += 1;
        if self.limit == Some(self.taken) {
            self.last = Some(id.clone());
        }
        ControlFlow::Continue(())
    }

    /// The address of the next page, if there is one.
    pub(super) fn next(&self, path: &str, query: &ListParameters) -> Option<String> {
        let last = self.last.as_ref().filter(|_| self.has_more)?;
        Some(format!("{path}?{}", query.next(self.limit?, last)))
    }

    /// Adds it to an answer whose body has no room for it (RFC 8288).
    fn link(&self, path: &str, query: &ListParameters, mut response: Response) -> Response {
        let link =
            self.next(path, query).map(|next| HeaderValue::try_from(format!("<{next}>; rel=\"next\"")));
        if let Some(Ok(link)) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests;
