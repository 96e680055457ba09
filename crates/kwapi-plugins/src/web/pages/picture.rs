//! A graph by itself, as a picture.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use kwapi_core::{Period, ProbeId};
use kwapi_graph::{PNG_SCALE_MAX, Size, Theme};

use super::super::answer::{self, Content};
use super::super::graphs::{Form, Graph, NoGraph, Subject};
use super::super::group::GroupView;
use super::super::route::FormFields;
use super::{PageRequest, group, no_probe, position};

/// Of whom a graph is.
pub(super) enum Of<'a> {
    All,
    Probe(&'a ProbeId),
    Group(&'a ProbeId, Arc<GroupView>),
}

/// `/graph/<period>/[<probe>/]`, `/graph/<period>/group/<group>/`: a PNG as ever, unless the client requests SVG.
pub(super) fn graph(request: &PageRequest<'_>, period: Period, of: &Of<'_>, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, headers, .. } = *request;
    let is_svg = match query.get("format") {
        None => accepts_svg_alone(headers),
        Some("svg") => true,
        Some("png") => false,
        Some(_) => return answer::bad_request("format must be png or svg"),
    };
    let size = if matches!(of, Of::All) { Size::SUMMARY } else { Size::PROBE };
    let form = match picture(query, is_svg, size) {
        Ok(form) => form,
        Err(why) => return answer::bad_request(&why),
    };
    let (drawn, used) = match of {
        Of::Probe(probe) => {
            let used = site.graphs.used(std::slice::from_ref(*probe), &[period], now);
            let energy = used.figure(probe, period);
            (site.graphs.one(&Subject::Probe((*probe).clone()), period, form, energy, None, now), used)
        }
        Of::Group(group, view) => {
            let subject = Subject::Group((*group).clone());
            let (energy, members) = (view.energy(period), Some(&view.members));
            (site.graphs.one(&subject, period, form, energy, members, now), view.used.clone())
        }
        Of::All => {
            let sum = site.graphs.sum(seen, period, now);
            let drawn = site.graphs.summary(&sum, seen, period, form).map(Some).map_err(NoGraph::from);
            (drawn, sum.used)
        }
    };
    let Graph { bytes, end, .. } = match drawn {
        Ok(Some(drawn)) => drawn,
        Ok(None) => {
            return match of {
                Of::Probe(probe) => no_probe(request, probe.as_str()),
                Of::Group(group, _) => group::no_group(request, group.as_str()),
                Of::All => answer::failed("cannot draw the graph"),
            };
        }
        Err(NoGraph::Unreadable(unreadable)) => return answer::unavailable(&unreadable.to_string()),
        Err(undrawn @ NoGraph::Undrawn(_)) => return answer::failed(&undrawn.to_string()),
    };
    let content = Content {
        kind: if is_svg { "image/svg+xml" } else { "image/png" },
        bytes,
        modified: Some(answer::changed(end, site.started)),
        cache_control: if seen.is_everything { "public, max-age=0" } else { "private, no-cache" },
        disposition: None,
        position: position(seen, &used),
    };
    content.answer(StatusCode::OK, conditions)
}

/// A picture alone, as `scale=` and `theme=` define.
///
/// # Errors
/// What these must be, where they are something else.
pub(super) fn picture(query: &FormFields, is_svg: bool, size: Size) -> Result<Form, String> {
    let scale = match query.get("scale").map(str::parse) {
        None => 1,
        Some(Ok(scale @ 1..=PNG_SCALE_MAX)) => scale,
        Some(_) => return Err(format!("scale must be 1 to {PNG_SCALE_MAX}")),
    };
    let theme = match query.get("theme") {
        None => None,
        Some("light") => Some(Theme::Light),
        Some("dark") => Some(Theme::Dark),
        Some(_) => return Err("theme must be light or dark".to_owned()),
    };
    Ok(if is_svg {
        Form::Svg(size, theme.unwrap_or(Theme::Alone))
    } else {
        Form::Png(size, theme.unwrap_or(Theme::Light), scale)
    })
}

/// Whether SVG is wanted and no raster: a browser's `image/svg+xml,image/*` still gets the PNG the original sent.
fn accepts_svg_alone(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let named = |kind: &str| matches!(kind, "*/*" | "image/*" | "image/png");
    accept.contains("image/svg+xml") && !kinds.any(named)
}
