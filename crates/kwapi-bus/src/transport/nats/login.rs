//! Logging in: a password, a token, or a signature over the server's challenge (its nonce) by an nkey, alone or with a
//! JWT that an account has signed for it.
//!
//! Source: docs.nats.io, running a NATS service, authentication.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::Secret;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};

use super::nkey::UserKey;

/// How to log in to a NATS server: by user and password, by a token, by an nkey, or by credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsConfig {
    /// User name; requires `password`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// The seed of an nkey (`SU…`).
    pub nkey: Option<Secret>,
    /// What a `.creds` file holds: a JWT and the seed of its nkey.
    pub credentials: Option<Secret>,
    /// PEM file of the authority that signed the server's certificate, if the system does not have it.
    pub ca: Option<PathBuf>,
}

impl NatsConfig {
    /// What is wrong with it, if anything is; without opening a connection.
    pub(super) fn trouble(&self, is_tls: bool) -> Option<String> {
        if self.user.is_some() != self.password.is_some() {
            return Some("`user` requires `password`, and the other way round".to_owned());
        }
        let logins = [
            ("user", self.user.is_some()),
            ("token", self.token.is_some()),
            ("nkey", self.nkey.is_some()),
            ("credentials", self.credentials.is_some()),
        ];
        let mut given = logins.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            return Some(format!("`{first}` and `{second}` are mutually exclusive"));
        }
        if self.ca.is_some() && !is_tls {
            return Some("`ca` requires an endpoint that starts with tls://".to_owned());
        }
        self.connect("", is_tls).err()
    }

    /// Reads the file of the authority, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or has no certificate, as text.
    pub fn check_files(&self) -> Result<(), String> {
        self.ca.as_ref().map_or(Ok(()), |_| self.tls().map(drop))
    }

    /// What to send after the server's INFO; `nonce` is what it requires to be signed.
    ///
    /// # Errors
    /// When the configured keys cannot be used, as text without any secret.
    pub(super) fn connect(&self, nonce: &str, is_tls: bool) -> Result<Value, String> {
        let mut options = json!({
            "verbose": false, "pedantic": false, "tls_required": is_tls, "name": "kwapi", "lang": "rust",
            "version": env!("CARGO_PKG_VERSION"), "protocol": 1, "echo": true, "headers": true, "no_responders": true,
        });
        let mut set = |name: &str, value: &str| {
            if let Some(options) = options.as_object_mut() {
                options.insert(name.to_owned(), value.into());
            }
        };
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            set("user", user);
            set("pass", password.expose());
        }
        if let Some(token) = &self.token {
            set("auth_token", token.expose());
        }
        if let Some(seed) = &self.nkey {
            let key = UserKey::read(seed.expose()).ok_or("`nkey` must be the seed of a user (SU…)")?;
            set("nkey", &key.public());
            set("sig", &key.sign(nonce));
        }
        if let Some(credentials) = &self.credentials {
            let (jwt, key) = read_credentials(credentials.expose())
                .ok_or("`credentials` must be the contents of a .creds file, as `nsc` writes it")?;
            set("jwt", jwt);
            set("sig", &key.sign(nonce));
        }
        Ok(options)
    }

    /// Which certificates prove that it is the server.
    ///
    /// # Errors
    /// When the authority's file or the system's roots cannot be read, as text.
    pub(super) fn tls(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let Some(ca) = &self.ca else {
            let verifier = rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| format!("cannot load the system's trusted roots: {error}"))?;
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
            return Ok(builder.with_no_client_auth());
        };
        let roots = roots(ca).map_err(|why| format!("certificate authority {}: {why}", ca.display()))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

/// The certificates in a PEM file.
fn roots(ca: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate found in the file".to_owned()) } else { Ok(roots) }
}

/// The JWT and the key in a `.creds` file: each on the line after one with its name between dashes.
fn read_credentials(text: &str) -> Option<(&str, UserKey)> {
    let after = |title: &str| {
        let mut lines = text.lines().skip_while(|line| !(line.contains("BEGIN") && line.contains(title)));
        lines.nth(1).map(str::trim).filter(|line| !line.is_empty())
    };
    Some((after("NATS USER JWT")?, UserKey::read(after("USER NKEY SEED")?)?))
}

#[cfg(test)]
mod tests {
    use super::super::nkey::tests::seed;
    use super::*;

    #[test]
    fn each_login_shows_what_it_needs_and_no_more() {
        let config = |credentials: &str| NatsConfig {
            credentials: Some(Secret::new(credentials)),
            ..NatsConfig::default()
        };
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJ.eyJ.sig\n------END NATS USER JWT------\n\nkeep it secret\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            seed()
        );
        let options = config(&file).connect("nonce", true).unwrap();
        assert_eq!(
            (options["jwt"].as_str(), options["tls_required"].as_bool()),
            (Some("eyJ.eyJ.sig"), Some(true))
        );
        assert_eq!(options["sig"].as_str().unwrap().len(), 86);
        assert!(options.get("user").is_none() && options.get("nkey").is_none());
        let error = config("sesame").connect("", false).unwrap_err();
        assert!(error.contains(".creds") && !error.contains("sesame"), "{error}");
        let nkey = NatsConfig { nkey: Some(Secret::new(seed())), ..NatsConfig::default() };
        let options = nkey.connect("nonce", false).unwrap();
        assert!(options["nkey"].as_str().unwrap().starts_with('U') && options.get("jwt").is_none());
        assert!(NatsConfig::default().connect("", false).unwrap().get("sig").is_none());
    }
}
