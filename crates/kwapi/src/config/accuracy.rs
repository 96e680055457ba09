//! How accurate meters are, as the operator says.

use std::collections::BTreeMap;

use kwapi_core::ProbeId;

use super::TemplateLabels;
use super::meters::{Labels, Meter};

/// By this name accuracies of templates are kept.
const NAME: &str = "accuracy";

/// Accuracy of the meters, by probe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accuracies {
    named: BTreeMap<ProbeId, f64>,
    of_templates: TemplateLabels,
}

impl Accuracies {
    pub(super) fn of_meters(meters: &[Meter]) -> Self {
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

/// Reads `1 %` or `0.5%`.
///
/// # Errors
/// What is expected.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| format!("`accuracy` must be a share such as \"1 %\", not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_in_percent() {
        assert_eq!((percent("1 %"), percent("0.5%")), (Ok(1.0), Ok(0.5)));
        for wrong in ["1", "%", "-1 %", "101 %", "NaN %", "one %"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
