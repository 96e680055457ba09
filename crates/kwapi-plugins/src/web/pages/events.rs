//! Groups and nodes of the tree as streams send them: in the words of their pages.

use kwapi_core::Timestamp;
use kwapi_graph::{cost_text, watts_text};
use serde::Serialize;

use super::super::group::GroupView;
use super::super::tree::NodeFigures;
use super::super::{Settings, words};
use super::group::GroupWords;
use super::view::EnergyWords;

/// What a node comes to, in words; what is not known, or not shown there, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in super::super) struct NodeEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) watts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) energy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) known: Option<String>,
    /// Whether all of its power is known.
    pub(super) whole: bool,
    /// Of a group, how many probes report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reporting: Option<String>,
    /// What the meter of a group measures beside those below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) beside: Option<String>,
}

/// A group as its own page shows it.
pub(in super::super) fn group_in_event(view: &GroupView, now: Timestamp, settings: &Settings) -> NodeEvent {
    let group = GroupWords::new(view.now.clone());
    let energy = EnergyWords::of_all(&view.overall, now, settings);
    let (energy, cost) = energy.map(|words| (words.energy, words.cost)).unzip();
    NodeEvent {
        reporting: Some(group.reporting_words()),
        watts: group.watts,
        energy,
        cost: cost.flatten(),
        known: Some(format!("{} known", group.known)),
        whole: group.is_whole,
        beside: group.beside,
    }
}

/// A node of the tree, which is a group or a probe.
pub(in super::super) fn node_in_event(
    figures: &NodeFigures,
    settings: &Settings,
    is_group: bool,
) -> NodeEvent {
    let energy = figures.energy;
    let cost = settings.tariff.as_ref().zip(energy.kwh()).map(|(tariff, kwh)| {
        format!("{}{}", energy.mark(), cost_text(kwh * tariff.price_per_kwh, &tariff.currency))
    });
    NodeEvent {
        watts: figures.watts.map(watts_text),
        energy: energy.text(),
        cost,
        known: Some(words::percent(figures.known_share)),
        whole: figures.known_share >= 1.0,
        reporting: is_group.then(|| format!("{} of {}", figures.reporting, figures.probes)),
        beside: None,
    }
}
