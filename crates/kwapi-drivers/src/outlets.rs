//! Which outlet of a meter is which probe.

use kwapi_core::ProbeId;

use crate::driver::DriverError;

/// One outlet of a meter that somebody wants measured.
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
    pub fn wants_all(&self) -> bool {
        self.template.is_some()
    }

    /// The template, when all are wanted.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// The probe of the outlet that the device calls `key` (and `label`, if it has names); `None` if nobody wants it
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

    /// The one probe of a meter that has one outlet.
    ///
    /// # Errors
    /// [`DriverError::Refused`] when more or fewer are configured.
    pub fn only(&self) -> Result<ProbeId, DriverError> {
        match (self.named.as_slice(), &self.template) {
            ([outlet], _) => Ok(outlet.probe.clone()),
            ([], Some(_)) => {
                self.probe("1", None).ok_or_else(|| DriverError::Refused("bad probe template".into()))
            }
            (outlets, _) => Err(DriverError::Refused(format!(
                "this meter measures one outlet; {} probes are configured, give it one",
                outlets.len()
            ))),
        }
    }
}
