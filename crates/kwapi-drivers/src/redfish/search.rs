//! One search through a card's resources: what it may cost, and what was seen. One resource that cannot be read is a
//! finding, not the end.

use serde_json::Value;
use tokio::time::timeout;

use super::resource::{members, path_of};
use crate::deadline;
use crate::driver::{DriverError, Finding};
use crate::http::{DeviceClient, HttpResponse};

/// More members of one collection, and pages of it, are left out.
const MEMBERS_MAX: usize = 1_024;
const PAGES_MAX: usize = 64;
/// So many requests one search may cost; a card that leads on and on is left there.
const REQUESTS_MAX: u32 = 768;
/// After so many requests in a row without an answer the card itself is gone.
const LOST_MAX: u32 = 4;
/// How a remark states that a place is not there.
pub(super) const ABSENT: &str = "absent";
/// More remarks are left out.
const FINDINGS_MAX: usize = 256;

/// What one search has seen so far.
pub(super) struct Search<'a> {
    pub(super) device: &'a DeviceClient,
    /// Remarks for `kwapi probe`.
    pub(super) findings: Vec<Finding>,
    /// The first failure, which is why nothing was found if nothing is.
    pub(super) failure: Option<DriverError>,
    requests: u32,
    lost: u32,
}

/// Requests a link, which may have a query.
pub(super) async fn get(device: &DeviceClient, link: &str) -> Result<HttpResponse, DriverError> {
    match link.split_once('?') {
        Some((path, query)) => device.get(path, Some(query)).await,
        None => device.get(link, None).await,
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(device: &'a DeviceClient) -> Self {
        Self { device, findings: Vec::new(), failure: None, requests: 0, lost: 0 }
    }

    /// The resource at `path`; `None` where there is none or it cannot be read.
    ///
    /// # Errors
    /// When the card as a whole is gone, or our login is.
    pub(super) async fn get(&mut self, path: &str) -> Result<Option<Value>, DriverError> {
        if self.requests >= REQUESTS_MAX {
            self.note(path, "not requested", format!("limit of {REQUESTS_MAX} requests reached"));
            return Ok(None);
        }
        self.requests += 1;
        let answer = match deadline::request_limit() {
            Some(limit) => timeout(limit, get(self.device, path)).await.unwrap_or_else(|_| {
                deadline::moved_on();
                Err(DriverError::link(format!("{path}: timed out after {limit:?}")))
            }),
            None => get(self.device, path).await,
        };
        let answer = match answer {
            Err(error @ (DriverError::Link(_) | DriverError::Untrusted(_))) => {
                self.lost += 1;
                if self.device.is_session_over() || self.lost >= LOST_MAX {
                    return Err(error);
                }
                Err(error)
            }
            Ok(answer) => {
                self.lost = 0;
                Ok(answer)
            }
            Err(error @ DriverError::Malformed { .. }) => Err(error),
            // A login that is refused is refused everywhere.
            Err(error) => return Err(error),
        };
        match answer
            .and_then(HttpResponse::found)
            .and_then(|found| found.map(|answer| answer.json()).transpose())
        {
            Ok(found) => Ok(found),
            Err(error) => {
                self.note(path, "unreadable", error.to_string());
                self.failure.get_or_insert(error);
                Ok(None)
            }
        }
    }

    /// A remark for the operator.
    pub(super) fn note(&mut self, what: impl Into<String>, value: impl Into<String>, why: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            let (what, value, why) = (what.into(), value.into(), why.into());
            self.findings.push(Finding { what, value, is_used: false, why });
        }
    }

    /// The links of a collection, over all its pages, each once.
    pub(super) async fn members(&mut self, collection: &str) -> Result<Vec<String>, DriverError> {
        let mut found: Vec<String> = Vec::new();
        let mut page = Some(collection.to_owned());
        for _ in 0..PAGES_MAX {
            let Some(path) = page.take() else { break };
            let Some(resource) = self.get(&path).await? else { break };
            for member in members(&resource) {
                if found.len() >= MEMBERS_MAX {
                    self.note(collection, format!("{MEMBERS_MAX} members"), "the others are ignored");
                    return Ok(found);
                }
                if !found.contains(&member) {
                    found.push(member);
                }
            }
            let next = resource.get("Members@odata.nextLink").and_then(Value::as_str);
            page = next.and_then(path_of).filter(|next| *next != path);
        }
        Ok(found)
    }
}
