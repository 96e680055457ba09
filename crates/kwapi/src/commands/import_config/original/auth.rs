//! Who may read the original's API: `acl_enabled`, `policy_file`, and the section `keystone_authtoken` in its old and its
//! present form.

use std::path::Path;

use kwapi_plugins::auth::Policy;

use super::super::draft::Draft;
use super::super::oslo::{OsloFile, OsloSection};

/// Where the password of the service user is expected.
const PASSWORD_ENV: &str = "KWAPI_KEYSTONE_PASSWORD";
/// Keystone's port where none was given.
const PORT: &str = "5000";

/// Adds `[api.auth]`, if access is restricted and Keystone is named.
pub(super) fn convert(path: &Path, file: &OsloFile, default: &OsloSection, draft: &mut Draft) {
    let path = path.display();
    if default.is_on("acl_enabled") == Some(false) {
        draft.lost(format!(
            "{path}: acl_enabled is off: the API has no authentication, on loopback only; see [api.auth]"
        ));
        return;
    }
    let Some(keystone) = file.section("keystone_authtoken") else {
        draft.lost(format!("{path}: no section keystone_authtoken: the API has no authentication, on loopback only; see [api.auth]"));
        return;
    };
    let Some(url) = url(keystone) else {
        draft.lost(format!("{path}:{}: keystone_authtoken names no address of Keystone", keystone.line));
        return;
    };
    if let Some(policy) = default.get("policy_file") {
        let file = Path::new(&policy.value);
        match Policy::read(file) {
            Ok(_) => draft.set("api.auth", "policy_file", policy.value.clone()),
            Err(error) => draft.lost(format!(
                "{path}:{}: policy_file {}: {error}; without one, role admin may read",
                policy.line,
                file.display()
            )),
        }
    }
    let section = "api.auth.keystone";
    draft.set(section, "url", url);
    let first = |keys: &[&str]| keys.iter().find_map(|key| keystone.text(key)).map(ToOwned::to_owned);
    draft.set(section, "username", first(&["username", "admin_user"]).unwrap_or_else(|| "kwapi".to_owned()));
    draft.set(section, "password_env", PASSWORD_ENV);
    draft.lost(format!(
        "{path}:{}: the password of Keystone's user: put it into the environment as {PASSWORD_ENV}, or into a file that password_file names",
        keystone.line
    ));
    if let Some(project) = first(&["project_name", "admin_tenant_name"]) {
        draft.set(section, "project_name", project);
    }
    for key in ["www_authenticate_uri", "user_domain_id", "project_domain_id"] {
        if let Some(value) = keystone.text(key) {
            draft.set(section, key, value);
        }
    }
    if let Some(file) = first(&["cafile"]) {
        if Path::new(&file).is_file() {
            draft.set(section, "ca_file", file);
        } else {
            draft.lost(format!("{path}: cafile {file} is not here"));
        }
    }
}

/// The address of version 3, however it was given.
fn url(keystone: &OsloSection) -> Option<String> {
    let whole = ["auth_url", "identity_uri", "www_authenticate_uri", "auth_uri"];
    let whole = whole.iter().find_map(|key| keystone.text(key)).map(ToOwned::to_owned);
    let in_parts = || {
        let host = keystone.text("auth_host")?;
        let scheme = keystone.text("auth_protocol").unwrap_or("https");
        let port = keystone.text("auth_port").unwrap_or(PORT);
        Some(format!("{scheme}://{host}:{port}"))
    };
    let url = whole.or_else(in_parts)?;
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/v2.0").unwrap_or(url);
    Some(if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") })
}
