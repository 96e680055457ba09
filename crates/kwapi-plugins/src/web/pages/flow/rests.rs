//! Rests that are less than nothing: a finding where no accuracy explains them.

use kwapi_core::ProbeId;
use kwapi_graph::watts_text;
use kwapi_history::EnergySpan;

use super::super::super::Site;
use super::super::super::flow::{FlowBranch, FlowBranchKind, FlowMeasure, FlowProbe, FlowTree};
use super::KWH;
use crate::answers::{ACCURACY_DEFAULT, EnergyAnswers};

/// So many findings are shown of a picture.
const FINDINGS_MAX: usize = 5;

/// A sentence for each meter of a picture below which more was measured than it did, beyond the accuracy of all.
pub(super) fn findings(
    site: &Site,
    tree: &FlowTree<'_>,
    picture: &FlowBranch,
    measure: FlowMeasure,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![picture];
    while let Some(branch) = open.pop() {
        open.extend(branch.children.iter().rev());
        let FlowBranchKind::Place(at) = branch.kind else { continue };
        let excess = tree.rest(at, measure).filter(|rest| *rest < 0.0).map(f64::abs);
        let (Some(excess), Some(meter), Some(own)) = (excess, tree.probe(at), tree.total(at, measure)) else {
            continue;
        };
        if !is_beyond_accuracy(site, meter, &tree.parts(at, measure), measure) {
            continue;
        }
        if found.len() == FINDINGS_MAX {
            found.push("More of these: see kwapi status.".to_owned());
            break;
        }
        let text = match measure {
            FlowMeasure::Power => watts_text(excess),
            FlowMeasure::Energy => kwapi_graph::energy_text(excess / KWH),
        };
        let percent = if own > 0.0 { format!(" ({:.1} %)", excess / own * 100.0) } else { String::new() };
        found.push(format!(
            "The probes below {} sum to {text}{percent} more than its meter, beyond their accuracy.",
            meter.probe
        ));
    }
    found
}

fn is_beyond_accuracy(site: &Site, meter: &FlowProbe, parts: &[&FlowProbe], measure: FlowMeasure) -> bool {
    match measure {
        FlowMeasure::Power => {
            let share = |probe: &ProbeId| {
                site.directory.accuracy(probe).map_or(ACCURACY_DEFAULT, |(percent, _)| percent) / 100.0
            };
            let least: f64 =
                parts.iter().filter_map(|of| Some(of.watts? * (1.0 - share(&of.probe)).max(0.0))).sum();
            meter.watts.is_some_and(|own| least > own * (1.0 + share(&meter.probe)))
        }
        FlowMeasure::Energy => {
            let Some(query) = site.directory.query() else { return false };
            let spans: Vec<(&ProbeId, [EnergySpan; 1])> =
                parts.iter().filter_map(|of| Some((&of.probe, [of.energy?]))).collect();
            let below: Vec<(&ProbeId, &[EnergySpan])> =
                spans.iter().map(|(probe, span)| (*probe, span.as_slice())).collect();
            let own: Vec<EnergySpan> = meter.energy.into_iter().collect();
            let answers = EnergyAnswers::new(query.clone(), site.directory.clone());
            answers.rest(&meter.probe, &own, &below).finding.is_some()
        }
    }
}
