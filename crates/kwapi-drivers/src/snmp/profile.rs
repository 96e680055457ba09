//! A family of PDUs as data: which object holds what, in which unit, and what its odd values mean.
//!
//! Profiles are TOML files (`profiles/*.toml`, and those of an operator's own directory). Every OID is given in full,
//! with `{index}` where the outlet's index stands.

mod catalogue;
mod column;
mod quantity;
mod section;

pub use catalogue::ProfileCatalogue;
pub(super) use column::{Column, parse_oid};
pub(super) use quantity::{CounterColumn, StampFormat, StatusColumn};
pub use section::{Field, Section};

use column::Dotted;
use serde::Deserialize;

/// More objects than this in one request make its answer outgrow a datagram of 1 472 bytes.
pub(super) const VARBINDS_MAX: usize = 48;

/// One family of PDUs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What `profile = "…"` calls it.
    pub name: String,
    /// The devices it is for.
    pub title: String,
    /// Where its OIDs and units come from.
    pub source: String,
    /// sysObjectID prefixes of such devices.
    #[serde(default)]
    pub sys_object_id: Vec<Dotted>,
    /// When several profiles fit a device, the lowest is taken.
    #[serde(default = "rank_default")]
    pub rank: u32,
    /// The most objects its agent answers in one request.
    #[serde(default = "varbinds_default")]
    pub max_varbinds: usize,
    /// The most rows its agent gives in answer to one GETBULK.
    #[serde(default = "repetitions_default")]
    pub max_repetitions: u32,
    /// Where its devices state their serial number; with `{index}`, the unit of a daisy chain stands there.
    pub serial: Option<Column>,
    /// Objects that change when a device has other outlets than before: how many there are, which units are in the chain.
    /// They are read with each round, and a change has the outlets listed again at once.
    #[serde(default)]
    pub counts: Vec<Dotted>,
    /// Outlets, keyed `7` or `2.7`.
    pub outlet: Option<Section>,
    /// Inlets (cords, infeeds), keyed `inlet` or `inlet.2`.
    pub inlet: Option<Section>,
    /// Whole units, keyed `unit` or `unit.2`.
    pub unit: Option<Section>,
    /// Phases and banks, keyed `phase.1`.
    pub phase: Option<Section>,
    /// Groups of outlets, keyed `group.1`.
    pub group: Option<Section>,
}

fn rank_default() -> u32 {
    100
}

fn varbinds_default() -> usize {
    VARBINDS_MAX
}

fn repetitions_default() -> u32 {
    20
}

/// What a key of the configuration can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileKind {
    /// `7`, `2.7`
    Outlet,
    /// `inlet`, `inlet.2`
    Inlet,
    /// `unit`
    Unit,
    /// `phase.1`
    Phase,
    /// `group.3`
    Group,
}

impl ProfileKind {
    /// All of them, outlets first.
    pub const ALL: [Self; 5] = [Self::Outlet, Self::Inlet, Self::Unit, Self::Phase, Self::Group];

    /// What several of it are called.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Outlet => "outlets",
            Self::Inlet => "inlets",
            Self::Unit => "units",
            Self::Phase => "phases",
            Self::Group => "groups",
        }
    }

    /// What its keys begin with; nothing for outlets.
    pub fn word(self) -> &'static str {
        match self {
            Self::Outlet => "",
            Self::Inlet => "inlet",
            Self::Unit => "unit",
            Self::Phase => "phase",
            Self::Group => "group",
        }
    }
}

impl Profile {
    /// Reads and checks a profile; `file` is for messages.
    ///
    /// # Errors
    /// [`ProfileError`] with the file, the line and the key at fault.
    pub fn parse(file: &str, text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)
            .map_err(|error| ProfileError { file: file.to_owned(), message: error.to_string() })?;
        profile.check().map_err(|message| ProfileError { file: file.to_owned(), message })?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), String> {
        if self.max_varbinds == 0 || self.max_repetitions == 0 {
            return Err("max_varbinds and max_repetitions must be at least 1".to_owned());
        }
        let mut sections = 0;
        for kind in ProfileKind::ALL {
            let Some(section) = self.section(kind) else { continue };
            sections += 1;
            let name = if kind == ProfileKind::Outlet { "outlet" } else { kind.word() };
            section.check().map_err(|message| format!("[{name}] {message}"))?;
        }
        if sections == 0 {
            return Err("nothing to measure; add an [outlet], [inlet], [unit], [phase] or [group]".to_owned());
        }
        Ok(())
    }

    /// What it has of one kind of thing.
    pub fn section(&self, kind: ProfileKind) -> Option<&Section> {
        match kind {
            ProfileKind::Outlet => self.outlet.as_ref(),
            ProfileKind::Inlet => self.inlet.as_ref(),
            ProfileKind::Unit => self.unit.as_ref(),
            ProfileKind::Phase => self.phase.as_ref(),
            ProfileKind::Group => self.group.as_ref(),
        }
    }

    /// The profile with plain keys meaning that unit of a daisy chain, where a section distinguishes units.
    #[must_use]
    pub(super) fn of_unit(&self, unit: u32) -> Self {
        let mut profile = self.clone();
        let Self { outlet, inlet, unit: whole, phase, group, .. } = &mut profile;
        for section in [outlet, inlet, whole, phase, group].into_iter().flatten() {
            if let Some(numbered) = section.of_unit(unit) {
                *section = numbered;
            }
        }
        profile
    }

    /// The kinds it has, outlets first.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (ProfileKind, &Section)> {
        ProfileKind::ALL.into_iter().filter_map(|kind| Some((kind, self.section(kind)?)))
    }
}

/// Why a profile cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct ProfileError {
    /// Which file.
    pub file: String,
    /// Line, key and what is wrong.
    pub message: String,
}

#[cfg(test)]
mod tests;
