//! Who sees which probes: `[[api.auth.scope]]` maps tokens of ours and Keystone's projects to patterns and labels.

use kwapi_core::Pattern;
use serde::Deserialize;

use super::keystone::Identity;
use super::tokens::StaticToken;
use crate::directory::{Directory, Labels};
use crate::scope::{Scope, Selection};

/// `[[api.auth.scope]]`: what one token, or one project of Keystone's, may see. Of several for the same one, each adds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ScopeConfig {
    /// The name of an `[[api.auth.token]]`.
    pub token: Option<String>,
    /// A project, by id.
    pub project_id: Option<String>,
    /// A project, by name; its domain is given by one of the following two.
    pub project_name: Option<String>,
    /// The project's domain, by id; `default` where neither this nor its name is given.
    pub project_domain_id: Option<String>,
    /// The project's domain, by name.
    pub project_domain_name: Option<String>,
    /// The probes: ids, subtrees (`lyon.*`) or all (`*`). Where there are labels too, a probe must be of these and have those.
    #[serde(default)]
    pub probes: Vec<Pattern>,
    /// Labels that the probes must have, all of them.
    #[serde(default)]
    pub labels: Labels,
}

/// Whom a scope is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Token(String),
    Project(String),
    /// A project's name, in the domain with this id…
    NameInDomainId(String, String),
    /// …or this name.
    NameInDomainName(String, String),
}

/// Keystone's domain of those who have not made one.
const DOMAIN_ID_DEFAULT: &str = "default";

impl ScopeConfig {
    fn whose(&self) -> Result<Whose, String> {
        let (id, name) = (self.project_domain_id.clone(), self.project_domain_name.clone());
        let has_domain = id.is_some() || name.is_some();
        if has_domain && self.project_name.is_none() {
            return Err("a domain requires project_name; project_id is unique by itself".to_owned());
        }
        match (&self.token, &self.project_id, &self.project_name) {
            (Some(token), None, None) => Ok(Whose::Token(token.clone())),
            (None, Some(project), None) => Ok(Whose::Project(project.clone())),
            (None, None, Some(project)) => match (id, name) {
                (Some(_), Some(_)) => {
                    Err("project_domain_id and project_domain_name are mutually exclusive".to_owned())
                }
                (None, Some(domain)) => Ok(Whose::NameInDomainName(project.clone(), domain)),
                (id, None) => {
                    let domain = id.unwrap_or_else(|| DOMAIN_ID_DEFAULT.to_owned());
                    Ok(Whose::NameInDomainId(project.clone(), domain))
                }
            },
            (None, None, None) => Err("one of token, project_id and project_name is required".to_owned()),
            _ => Err("token, project_id and project_name are mutually exclusive; use one scope for each"
                .to_owned()),
        }
    }

    /// Checks it against what there is to be mapped.
    ///
    /// # Errors
    /// With what to do, as one sentence.
    pub(super) fn check(&self, tokens: &[StaticToken], has_keystone: bool) -> Result<(), String> {
        match self.whose()? {
            Whose::Token(token) if !tokens.iter().any(|known| known.name == token) => {
                Err(format!("there is no [[api.auth.token]] with name = {token:?}"))
            }
            Whose::Token(_) => Ok(()),
            _ if !has_keystone => Err("projects require [api.auth.keystone]".to_owned()),
            _ => Ok(()),
        }?;
        if self.probes.is_empty() && self.labels.is_empty() {
            return Err("neither probes nor labels are set; use probes = [\"*\"] for all".to_owned());
        }
        Ok(())
    }
}

/// All mappings, and the roles that need none.
#[derive(Debug)]
pub(super) struct Scopes {
    see_all: Vec<String>,
    mapped: Vec<(Whose, Selection)>,
}

impl Scopes {
    /// The mappings of a configuration that has been checked; what makes no sense maps nobody.
    pub(super) fn new(see_all: &[String], scopes: &[ScopeConfig], directory: &Directory) -> Self {
        let mapped = scopes.iter().filter_map(|scope| {
            let selection = Selection::new(&scope.probes, scope.labels.clone(), directory.clone());
            Some((scope.whose().ok()?, selection))
        });
        let see_all = see_all.iter().map(|role| role.to_lowercase()).collect();
        Self { see_all, mapped: mapped.collect() }
    }

    /// What a token of ours shows. Where a scope or its own list of probes names some, those and no more, whatever its roles.
    pub(super) fn of_token(&self, name: &str, roles: &[String], own: &Scope) -> Scope {
        if self.mapped.is_empty() {
            return own.clone();
        }
        let named: Vec<_> = self.selections(|whose| matches!(whose, Whose::Token(token) if token == name));
        if named.is_empty() {
            self.of_unmapped(roles, own)
        } else {
            Scope::Any(named.into()).and(own.clone())
        }
    }

    /// What a caller sees whom no scope covers: their own list of probes, and without one everything or nothing.
    pub(super) fn of_unmapped(&self, roles: &[String], own: &Scope) -> Scope {
        if !own.is_all() || self.mapped.is_empty() || self.sees_all(roles) {
            return own.clone();
        }
        Scope::nothing()
    }

    /// What a caller of Keystone's sees: all with a role that sees all, else what its project is mapped to.
    pub(super) fn of_identity(&self, identity: &Identity) -> Scope {
        if self.mapped.is_empty() || self.sees_all(&identity.roles) {
            return Scope::All;
        }
        let Some(project) = &identity.project else { return Scope::nothing() };
        let of_project = self.selections(|whose| match whose {
            Whose::Token(_) => false,
            Whose::Project(id) => *id == project.id,
            Whose::NameInDomainId(name, domain) => {
                Some(name) == project.name.as_ref() && Some(domain) == project.domain_id.as_ref()
            }
            Whose::NameInDomainName(name, domain) => {
                Some(name) == project.name.as_ref() && Some(domain) == project.domain_name.as_ref()
            }
        });
        Scope::Any(of_project.into())
    }

    fn selections(&self, is_theirs: impl Fn(&Whose) -> bool) -> Vec<Selection> {
        self.mapped
            .iter()
            .filter(|(whose, _)| is_theirs(whose))
            .map(|(_, selection)| selection.clone())
            .collect()
    }

    /// Role names are compared as policies do, whatever their case.
    fn sees_all(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| self.see_all.contains(&role.to_lowercase()))
    }
}

#[cfg(test)]
mod tests;
