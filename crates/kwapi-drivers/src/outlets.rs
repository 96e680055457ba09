//! Which outlet of a meter is which probe.

use std::collections::HashMap;

use kwapi_core::ProbeId;

use crate::config::ConfigError;

/// One outlet of a meter that is to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlet {
    /// The device's name for it: an outlet number, a sensor name, a metric's label.
    pub key: String,
    /// The operator's name for it.
    pub probe: ProbeId,
}

/// The outlets of one meter, as configured: `probes = ["web1", "", "web3"]` (by position from 1, an empty one is
/// skipped), `probes = { 7 = "web1" }` (by the device's key), or `probe = "lyon.{outlet}"` (every outlet there is).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlets {
    named: Vec<Outlet>,
    template: Option<String>,
}

impl Outlets {
    /// Outlets counted from 1; `None` skips one.
    pub fn by_position(probes: impl IntoIterator<Item = Option<ProbeId>>) -> Self {
        let named = probes
            .into_iter()
            .zip(1_u32..)
            .filter_map(|(probe, position)| Some(Outlet { key: position.to_string(), probe: probe? }))
            .collect();
        Self { named, template: None }
    }

    /// Outlets by the device's own keys.
    pub fn by_key(outlets: impl IntoIterator<Item = Outlet>) -> Self {
        Self { named: outlets.into_iter().collect(), template: None }
    }

    /// Every outlet the device has, named by a template with `{outlet}` (its key) or `{label}` (its name on the
    /// device, or its key where it has none).
    pub fn all(template: impl Into<String>) -> Self {
        Self { named: Vec::new(), template: Some(template.into()) }
    }

    /// The configured outlets, in order; none when all are wanted.
    pub fn named(&self) -> &[Outlet] {
        &self.named
    }

    /// Whether every outlet the device has is wanted.
    pub fn selects_all(&self) -> bool {
        self.template.is_some()
    }

    /// The template, when all are wanted.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// The probe of the outlet that the device calls `key` (and `label`, if it has names); `None` if it is not configured
    /// or the template makes no probe id of it.
    pub fn probe(&self, key: &str, label: Option<&str>) -> Option<ProbeId> {
        match &self.template {
            Some(template) => {
                let label = label.filter(|label| !label.trim().is_empty()).unwrap_or(key);
                ProbeId::new(template.replace("{outlet}", key).replace("{label}", label.trim())).ok()
            }
            None => self.named.iter().find(|outlet| outlet.key == key).map(|outlet| outlet.probe.clone()),
        }
    }

    /// The probes of all outlets that a device lists, each by its key and its name on the device. Outlets of one name (a
    /// machine with two supplies) are distinguished by their keys, `web1.3` and `web1.4`: what is above them on the path,
    /// `web1`, is then their sum. `None` for an outlet that is not configured, of whose name the template makes no
    /// probe id, or that cannot be distinguished from another even so.
    pub fn probes<'a>(
        &self,
        listed: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Vec<Option<ProbeId>> {
        let listed: Vec<_> = listed.into_iter().collect();
        let mut probes: Vec<_> = listed.iter().map(|(key, label)| self.probe(key, *label)).collect();
        // A second time where one outlet is called what another has just become.
        for _ in 0..2 {
            let taken = counts(&probes);
            for (probe, (key, _)) in probes.iter_mut().zip(&listed) {
                *probe = probe.take().and_then(|probe| match taken.get(&probe) {
                    Some(2..) => ProbeId::new(format!("{probe}.{key}")).ok(),
                    Some(_) | None => Some(probe),
                });
            }
        }
        let taken = counts(&probes);
        let is_alone = |probe: &ProbeId| taken.get(probe).is_none_or(|count| *count == 1);
        probes.into_iter().map(|probe| probe.filter(is_alone)).collect()
    }

    /// Refuses outlets that are numbered (but `1`, which is the device) where outlets are `things` with names. `example`
    /// shows how they are written.
    ///
    /// # Errors
    /// For the first of them.
    pub(crate) fn refuse_numbers(&self, things: &str, example: &str) -> Result<(), ConfigError> {
        let is_number = |key: &str| key != "1" && key.parse::<u32>().is_ok();
        match self.named().iter().find(|outlet| is_number(&outlet.key)) {
            Some(Outlet { key, .. }) => {
                let why = format!("{things} have names, not numbers; write probes = {{ {example} }}");
                Err(ConfigError::of("probes", format!("outlet {key:?}: {why}")))
            }
            None => Ok(()),
        }
    }

    /// The one probe of a meter that has one outlet.
    ///
    /// # Errors
    /// When more or fewer are configured.
    pub fn only(&self) -> Result<ProbeId, ConfigError> {
        match (self.named.as_slice(), &self.template) {
            ([outlet], _) => Ok(outlet.probe.clone()),
            ([], Some(template)) => {
                let no_probe = || ConfigError::of("probe", format!("invalid probe template {template:?}"));
                self.probe("1", None).ok_or_else(no_probe)
            }
            (outlets, _) => Err(ConfigError::of(
                "probes",
                format!(
                    "this meter has one outlet, but {} probes are configured; configure one",
                    outlets.len()
                ),
            )),
        }
    }
}

/// How many outlets would be each probe.
fn counts(probes: &[Option<ProbeId>]) -> HashMap<ProbeId, usize> {
    let mut counts = HashMap::new();
    for probe in probes.iter().flatten() {
        *counts.entry(probe.clone()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, listed: &[(&str, &str)], expected: &[&str]) {
        let listed = listed.iter().map(|(key, label)| (*key, Some(*label)));
        let probes = Outlets::all(template).probes(listed);
        let probes: Vec<_> = probes.iter().map(|probe| probe.as_ref().map_or("-", ProbeId::as_str)).collect();
        assert_eq!(probes, expected, "{template}");
    }

    #[test]
    fn outlets_of_one_name_are_distinguished_by_their_numbers_and_lie_below_it() {
        let supplies = [("1", "web1"), ("2", "db1"), ("2.3", "web1"), ("4", "")];
        check("rack.{label}", &supplies, &["rack.web1.1", "rack.db1", "rack.web1.2.3", "rack.4"]);
        check("rack.{outlet}", &supplies, &["rack.1", "rack.2", "rack.2.3", "rack.4"]);
        check("rack.{label}.{outlet}", &supplies[..1], &["rack.web1.1"]);
    }

    #[test]
    fn a_name_that_is_anothers_with_its_number_stays_a_probe_of_its_own() {
        let listed = [("1", "web1"), ("2", "web1"), ("3", "web1.2")];
        check("{label}", &listed, &["web1.1", "web1.2.2", "web1.2.3"]);
    }

    #[test]
    fn what_cannot_be_distinguished_is_left_out_and_never_read_as_one() {
        check("{label}", &[("1", "a"), ("1", "a"), ("2", "b")], &["-", "-", "b"]);
        let long = "x".repeat(1_000);
        check("{label}", &[("1", &long), ("2", "b")], &["-", "b"]);
    }
}
