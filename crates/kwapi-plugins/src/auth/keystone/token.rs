//! What Keystone reports of a token, read from its JSON.

use kwapi_core::Timestamp;
use serde::Deserialize;

/// The owner of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct Identity {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: Option<String>,
    /// The project, if the token is scoped to one.
    pub project: Option<Project>,
    /// The domain, if the token is scoped to one.
    pub domain_id: Option<String>,
    /// Whether the token is scoped to the whole system.
    pub is_system: bool,
    /// Names of roles; none on an unscoped token.
    pub roles: Vec<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What an application credential may be used for; `None`: anything its roles allow.
    pub access_rules: Option<Vec<AccessRule>>,
    /// Types of the services in its catalogue; none where the catalogue was not requested.
    pub services: Vec<String>,
}

/// A project of Keystone's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::auth) struct Project {
    /// Its id, which is unique.
    pub id: String,
    /// Its name, which is unique in its domain.
    pub name: Option<String>,
    /// The domain's id.
    pub domain_id: Option<String>,
    /// The domain's name.
    pub domain_name: Option<String>,
}

/// One kind of request that a restricted application credential may send.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(in crate::auth) struct AccessRule {
    /// A service type of the catalogue.
    pub service: String,
    /// An HTTP method.
    pub method: String,
    /// A path, with wildcards.
    pub path: String,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    user: Named,
    expires_at: String,
    project: Option<ScopedProject>,
    domain: Option<Named>,
    system: Option<System>,
    #[serde(default)]
    roles: Vec<Role>,
    application_credential: Option<ApplicationCredential>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    r#type: String,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct ScopedProject {
    id: String,
    name: Option<String>,
    domain: Option<ProjectDomain>,
}

#[derive(Deserialize)]
struct ProjectDomain {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

#[derive(Deserialize)]
struct System {
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
struct ApplicationCredential {
    access_rules: Option<Vec<AccessRule>>,
}

/// Whether a body is that of a token; for fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_token(body: &[u8]) -> bool {
    read_token(body).is_ok()
}

/// Reads the body of `GET /v3/auth/tokens`.
///
/// # Errors
/// With what is wrong, when it is no token of version 3; never with anything of the token itself.
pub(super) fn read_token(body: &[u8]) -> Result<Identity, String> {
    let Body { token } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let expires_at: jiff::Timestamp =
        token.expires_at.parse().map_err(|_| "expires_at is not a valid time".to_owned())?;
    Ok(Identity {
        user_id: token.user.id,
        user_name: token.user.name,
        project: token.project.map(|project| {
            let (domain_id, domain_name) =
                project.domain.map_or((None, None), |domain| (domain.id, domain.name));
            Project { id: project.id, name: project.name, domain_id, domain_name }
        }),
        domain_id: token.domain.map(|domain| domain.id),
        is_system: token.system.is_some_and(|system| system.all),
        roles: token.roles.into_iter().map(|role| role.name).collect(),
        expires_at: Timestamp::from_micros(u64::try_from(expires_at.as_microsecond()).unwrap_or(0)),
        access_rules: token.application_credential.and_then(|credential| credential.access_rules),
        services: token.catalog.into_iter().map(|service| service.r#type).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shortened from Keystone 30.0.0's answer to a project-scoped token with `?nocatalog`.
    const SCOPED: &str = r#"{"token": {"methods": ["password"], "user": {"domain": {"id": "default", "name":
        "Default"}, "id": "f00d", "name": "demo", "password_expires_at": null}, "audit_ids": ["3T2dc1CGQxyJsHdDu1xkcw"],
        "expires_at": "2026-11-23T12:00:00.000000Z", "issued_at": "2026-11-23T11:00:00.000000Z",
        "project": {"domain": {"id": "default", "name": "Default"}, "id": "beef", "name": "demo"},
        "is_domain": false, "roles": [{"id": "1", "name": "member"}, {"id": "2", "name": "reader"}]}}"#;

    #[test]
    fn a_scoped_token_has_user_project_and_roles() {
        let identity = read_token(SCOPED.as_bytes()).unwrap();
        assert_eq!(
            (identity.user_id.as_str(), identity.project.as_ref().unwrap().id.as_str()),
            ("f00d", "beef")
        );
        let project = identity.project.unwrap();
        let domain = (project.domain_id.as_deref(), project.domain_name.as_deref());
        assert_eq!((project.name.as_deref(), domain), (Some("demo"), (Some("default"), Some("Default"))));
        assert_eq!((identity.roles.join(" "), identity.is_system), ("member reader".to_owned(), false));
        assert_eq!(identity.expires_at, Timestamp::from_seconds(1_795_435_200));
        assert_eq!(identity.access_rules, None);
    }

    #[test]
    fn an_unscoped_token_has_no_roles_and_a_system_token_no_project() {
        let unscoped = r#"{"token": {"user": {"id": "u"}, "expires_at": "2026-11-23T12:00:00.000000Z"}}"#;
        assert_eq!(read_token(unscoped.as_bytes()).unwrap().roles, Vec::<String>::new());
        let system = unscoped.replace("\"user\"", "\"system\": {\"all\": true}, \"user\"");
        assert!(read_token(system.as_bytes()).unwrap().is_system);
    }

    #[test]
    fn an_empty_list_of_access_rules_is_not_none() {
        let rules = SCOPED.replace(
            "\"is_domain\": false",
            "\"application_credential\": {\"id\": \"a\", \"restricted\": true, \"access_rules\": []}",
        );
        assert_eq!(read_token(rules.as_bytes()).unwrap().access_rules, Some(Vec::new()));
    }

    #[test]
    fn a_catalogue_names_its_services() {
        let with = SCOPED.replace(
            "\"is_domain\": false",
            "\"catalog\": [{\"endpoints\": [], \"id\": \"1\", \"type\": \"energy\", \"name\": \"kwapi\"}]",
        );
        assert_eq!(read_token(with.as_bytes()).unwrap().services, ["energy"]);
        assert_eq!(read_token(SCOPED.as_bytes()).unwrap().services, Vec::<String>::new());
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for body in ["", "{}", "[]", "{\"token\": null}", &SCOPED.replace("2026-11", "never")] {
            assert!(read_token(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            _ = read_token(&noise);
        }
    }
}
