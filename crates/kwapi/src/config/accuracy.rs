//! How accurate meters are, as configured.

use std::collections::BTreeMap;

use kwapi_core::ProbeId;
use kwapi_plugins::directory::Labels;

use super::TemplateLabels;
use super::meters::MeterConfig;

/// By this name accuracies of templates are kept.
const NAME: &str = "accuracy";

/// Accuracy of the meters, by probe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accuracies {
    named: BTreeMap<ProbeId, f64>,
    of_templates: TemplateLabels,
}

impl Accuracies {
    pub(super) fn of_meters(meters: &[MeterConfig]) -> Self {
        let mut all = Self::default();
        for meter in meters {
            let Some(percent) = meter.accuracy else { continue };
            all.named.extend(meter.outlets.named().iter().map(|outlet| (outlet.probe.clone(), percent)));
            if let Some(template) = meter.outlets.template() {
                all.of_templates.add(template, &Labels::from([(NAME.to_owned(), percent.to_string())]));
            }
        }
        all
    }

    /// The accuracy of the meter of `probe`, in percent of its reading, if it was configured.
    pub(crate) fn of(&self, probe: &ProbeId) -> Option<f64> {
        let of_template = || self.of_templates.of(probe)?.get(NAME)?.parse().ok();
        self.named.get(probe).copied().or_else(of_template)
    }
}
