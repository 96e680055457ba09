//! OIDs as profiles write them.

use async_snmp::Oid;
use serde::{Deserialize, Deserializer};

/// An OID written with dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dotted(pub Oid);

impl<'de> Deserialize<'de> for Dotted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_oid(&String::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}

/// An OID with a place for the index, `1.3.6.1.4.1.13742.6.5.4.3.1.4.{index}.5`, or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    before: Oid,
    after: Option<Oid>,
}

/// Where the index stands in an OID.
const INDEX: &str = "{index}";

impl Column {
    /// Reads an OID with at most one `{index}`.
    ///
    /// # Errors
    /// A sentence that states what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((before, after)) = text.split_once(INDEX) else {
            return Ok(Self { before: parse_oid(text)?, after: None });
        };
        let before =
            before.strip_suffix('.').ok_or_else(|| format!("{text:?}: a dot must precede {INDEX}"))?;
        let after = match after {
            "" => Oid::empty(),
            after => {
                let arcs =
                    after.strip_prefix('.').ok_or_else(|| format!("{text:?}: a dot must follow {INDEX}"))?;
                parse_oid(arcs)?
            }
        };
        Ok(Self { before: parse_oid(before)?, after: Some(after) })
    }

    /// Whether it has a place for an index.
    pub(crate) fn is_indexed(&self) -> bool {
        self.after.is_some()
    }

    /// Whether nothing follows the index.
    pub(in crate::snmp) fn is_last(&self) -> bool {
        self.after.as_ref().is_none_or(Oid::is_empty)
    }

    /// The object of one row.
    pub fn at(&self, index: &[u32]) -> Oid {
        match &self.after {
            None => self.before.clone(),
            Some(after) => Oid::new(
                self.before.arcs().iter().chain(index).chain(after.arcs()).copied().collect::<Vec<_>>(),
            ),
        }
    }

    /// What to walk to see all rows.
    pub fn base(&self) -> &Oid {
        &self.before
    }

    /// The row an object belongs to, if it is of this column and the index has `length` numbers.
    pub(crate) fn index_of(&self, oid: &Oid, length: usize) -> Option<Vec<u32>> {
        let rest = oid.arcs().strip_prefix(self.before.arcs())?;
        let index = match &self.after {
            None => rest,
            Some(after) => rest.strip_suffix(after.arcs())?,
        };
        (index.len() == length).then(|| index.to_vec())
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Reads `1.3.6.1` or `.1.3.6.1`.
///
/// # Errors
/// A sentence that states what is wrong.
pub(crate) fn parse_oid(text: &str) -> Result<Oid, String> {
    let dotted = text.trim().trim_start_matches('.');
    match Oid::parse(dotted) {
        Ok(oid) if !oid.is_empty() => Ok(oid),
        Ok(_) | Err(_) => {
            Err(format!("{text:?} is not an OID; write numbers separated by dots, 1.3.6.1.4.1.…"))
        }
    }
}
