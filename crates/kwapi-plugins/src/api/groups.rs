//! `/v2/groups/`: every prefix of the probes' paths that the caller may read, with what it draws at present, and
//! `/v2/groups/<group>/`: one of them, with its energy between two instants.

use std::cell::RefCell;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use kwapi_core::ProbeId;
use serde::Serialize;

use super::Api;
use super::query::ListParameters;
use super::v1::Page;
use super::v2::{PAGE_MAX, to_response};
use crate::answers::{
    EnergyAnswers, EnergyFormat, EnergyQuestion, MeterRest, MeterRests, NO_LEDGER, no_group, refused,
};
use crate::groups::{GroupMembers, GroupNow};
use crate::http::{HttpError, POSITION, StreamHead, StreamSink};
use crate::scope::Scope;

#[derive(Serialize)]
struct GroupsObject {
    /// The address of the next page; null on the last one.
    next: Option<String>,
    groups: Vec<GroupNow>,
}

/// A group, but for its last member, `energy`.
#[derive(Serialize)]
struct GroupObject<'a> {
    #[serde(flatten)]
    now: &'a GroupNow,
    rests: RestsObject<'a>,
}

/// What meters in the group measured beyond those directly below them.
#[derive(Serialize)]
struct RestsObject<'a> {
    /// True at this position in the journal; null for who does not see everything.
    position: Option<&'a str>,
    meters: &'a [MeterRest],
}

impl Api {
    pub(super) fn groups(&self, query: &ListParameters, scope: &Scope) -> Response {
        let mut page = Page::limited(query, PAGE_MAX);
        // Prefixes of ids are as good as ids.
        let is_requested = |group: &str| {
            let is_after = query.after.as_deref().is_none_or(|after| group > after);
            is_after && ProbeId::new(group).is_ok_and(|name| query.takes(&name))
        };
        let mut shown = Vec::new();
        // One more shows that there is another page.
        for group in self.groups_now(is_requested, page.limit().saturating_add(1), scope).1 {
            let Ok(name) = ProbeId::new(&group.group) else { continue };
            if page.take(query, &Scope::All, &name, || shown.push(group)).is_break() {
                break;
            }
        }
        to_response(&GroupsObject { next: page.next("/v2/groups/", query), groups: shown })
    }

    /// The members of all groups, and those groups at present that are `wanted`, so many at most.
    fn groups_now(
        &self,
        wanted: impl Fn(&str) -> bool,
        most: usize,
        scope: &Scope,
    ) -> (GroupMembers, Vec<GroupNow>) {
        let query = self.0.answers.as_ref().map(EnergyAnswers::query);
        let (members, power) = GroupMembers::present(query, &self.0.directory, scope);
        let groups = members.now(wanted, most, &power, self.0.directory.live().wall().now());
        (members, groups)
    }

    pub(super) async fn group(&self, group: &str, uri: &Uri, headers: &HeaderMap, scope: Scope) -> Response {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let question =
            match EnergyQuestion::of_group(group, pairs, accept, self.0.directory.live().wall().now()) {
                Ok(question) => question,
                Err(error) => return error.into_response(),
            };
        let (api, group) = (self.clone(), group.to_owned());
        self.0.turns.answer(move |sink| api.write_group(&group, question, &scope, sink)).await
    }

    /// Writes what is requested of a group. Its energy is the answer of `/v2/energy` to the same question.
    fn write_group(
        &self,
        group: &str,
        question: EnergyQuestion,
        scope: &Scope,
        sink: &mut StreamSink,
    ) -> Result<bool, HttpError> {
        let (members, now) = self.groups_now(|name| name == group, 1, scope);
        let format = question.format();
        let head = |position: Option<&str>| {
            let position = position.and_then(|position| HeaderValue::try_from(position).ok());
            StreamHead { media_type: format.media_type(), header: position.map(|value| (POSITION, value)) }
        };
        let Some(answers) = &self.0.answers else {
            let now = now.first().filter(|_| members.has(group)).ok_or_else(|| no_group(group))?;
            if format == EnergyFormat::Csv {
                return Err(HttpError::new(axum::http::StatusCode::NOT_IMPLEMENTED, NO_LEDGER));
            }
            sink.begin(head(None));
            return Ok(
                sink.send(opening(now, &MeterRests::default(), false)) && sink.send(b"null}\n".to_vec())
            );
        };
        // One that has been silent for longer than a day is in it all the same.
        let all = GroupMembers::new(&answers.query().probes(), &self.0.directory, scope);
        if !all.has(group) && !members.has(group) {
            return Err(no_group(group));
        }
        let request = question.request(Vec::new());
        let prepared = answers.prepare(question, scope)?;
        let rests = match format {
            EnergyFormat::Json => answers.rests(&all, Some(group), &request).map_err(refused)?,
            EnergyFormat::Csv => MeterRests::default(),
        };
        let silent = GroupNow::silent(group, request.now);
        let now = now.into_iter().next().unwrap_or(silent);
        let mut is_whole = true;
        // Both need the sink, one after the other.
        let sink = RefCell::new(sink);
        prepared.write(
            |position| {
                let mut sink = sink.borrow_mut();
                sink.begin(head(position.as_deref()));
                if format == EnergyFormat::Json {
                    sink.send(opening(&now, &rests, scope.is_all()));
                }
            },
            &mut |part| {
                is_whole = sink.borrow_mut().send(part);
                is_whole
            },
        )?;
        if is_whole && format == EnergyFormat::Json {
            is_whole = sink.borrow_mut().send(b"}\n".to_vec());
        }
        Ok(is_whole)
    }
}

/// What stands before the energy of a group.
fn opening(now: &GroupNow, rests: &MeterRests, is_all: bool) -> Vec<u8> {
    let position = Some(rests.position.as_str()).filter(|position| is_all && !position.is_empty());
    let object = GroupObject { now, rests: RestsObject { position, meters: &rests.rests } };
    // Numbers and names into memory: there is no error to be had.
    let mut text = serde_json::to_vec(&object).unwrap_or_default();
    text.pop();
    text.extend_from_slice(b",\"energy\":");
    text
}

#[cfg(test)]
mod tests;
