//! Whom a device has to be, over TLS: the same four choices for every driver.
//!
//! Management cards present certificates of their own making more often than not, so besides the system's roots and
//! an authority of one's own a certificate can be pinned by its fingerprint. Trusting anybody has to be spelled out.

mod key;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kwapi_core::hex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::config::ConfigError;

/// `tls = "system" | "ca:FILE" | "sha256:FINGERPRINT" | "insecure"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum DeviceTls {
    /// The certificate is signed by an authority the system trusts, for this host's name.
    #[default]
    System,
    /// The certificate is signed by an authority in this PEM file, for this host's name.
    Authority(PathBuf),
    /// The certificate is this one, by the SHA-256 of its DER form; names, dates and its age do not matter: X.509 version 1
    /// and, over TLS 1.2, RSA keys of 1024 bits will do.
    Pinned([u8; 32]),
    /// Whoever responds is trusted, so whoever sits in between reads the password.
    Insecure,
}

impl TryFrom<String> for DeviceTls {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(file) = text.strip_prefix("ca:").filter(|file| !file.is_empty()) {
            return Ok(Self::Authority(file.into()));
        }
        if let Some(fingerprint) = text.strip_prefix("sha256:") {
            return fingerprint_of(fingerprint).map(Self::Pinned).ok_or_else(|| {
                "a fingerprint must be 64 hexadecimal digits, as printed by `openssl x509 -fingerprint -sha256`"
                    .to_owned()
            });
        }
        match text.as_str() {
            "system" => Ok(Self::System),
            "insecure" => Ok(Self::Insecure),
            _ => {
                Err("tls must be \"system\", \"ca:FILE\", \"sha256:FINGERPRINT\" or \"insecure\"".to_owned())
            }
        }
    }
}

/// Reads hexadecimal digits, with or without the colons openssl prints.
fn fingerprint_of(text: &str) -> Option<[u8; 32]> {
    hex::decode(&text.replace(':', ""))?.try_into().ok()
}

/// The rustls configuration for a choice.
///
/// # Errors
/// When the authority's file cannot be read, or is no PEM.
pub(crate) fn client_config(tls: &DeviceTls) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(ring::default_provider());
    let trust = match tls {
        DeviceTls::System => system(rustls_platform_verifier::Verifier::new(Arc::clone(&provider))),
        DeviceTls::Authority(file) => {
            let refused = |why: String| {
                let file = file.display();
                ConfigError::of(
                    "tls",
                    format!(
                        "certificate authority {file}: {why}; check that the file is readable and in PEM format"
                    ),
                )
            };
            let mut roots = RootCertStore::empty();
            for certificate in
                CertificateDer::pem_file_iter(file).map_err(|error| refused(error.to_string()))?
            {
                let certificate = certificate.map_err(|error| refused(error.to_string()))?;
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| refused(error.to_string()))?;
            Trust::Roots(verifier)
        }
        DeviceTls::Pinned(fingerprint) => Trust::Pinned(*fingerprint),
        DeviceTls::Insecure => Trust::Anybody,
    };
    let verifier = Verifier { trust, provider: Arc::clone(&provider), is_short: AtomicBool::new(false) };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::of("tls", error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// A system without roots, such as a bare container, trusts nobody: reported when somebody shows a certificate, since
/// most devices have none.
fn system(roots: Result<rustls_platform_verifier::Verifier, rustls::Error>) -> Trust {
    match roots {
        Ok(roots) => Trust::Roots(Arc::new(roots)),
        Err(error) => Trust::Nobody(format!(
            "cannot load the system's trusted roots: {error}; install ca-certificates and restart, or set `tls`"
        )),
    }
}

/// What is wrong with a certificate of the first version of X.509 where an authority is to verify it.
const OLD_CERTIFICATE: &str = "X.509 version 1 certificates cannot be verified by an authority";

/// The same of one whose key no verifier of ours takes, pinned or not.
const P521_CERTIFICATE: &str = "the certificate has a key on the curve P-521, which is not supported; give the device one with an RSA \
    key of 2048 bits or more, or on the curve P-256 or P-384";

#[derive(Debug)]
enum Trust {
    Roots(Arc<dyn ServerCertVerifier>),
    Pinned([u8; 32]),
    Anybody,
    /// There is nothing to verify a certificate by, and why.
    Nobody(String),
}

/// Checks the certificate as configured and states in the error which one came, so that it can be pinned.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    /// Whether the device has signed by PSS with a key too short for that: it is offered PKCS #1 alone from then on.
    is_short: AtomicBool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = <[u8; 32]>::from(Sha256::digest(certificate));
        if !matches!(self.trust, Trust::Anybody) && key::is_on_p521(certificate) {
            return Err(rustls::Error::General(P521_CERTIFICATE.to_owned()));
        }
        match &self.trust {
            Trust::Roots(verifier) => {
                let verified = verifier.verify_server_cert(certificate, intermediates, name, stapled, now);
                verified.map_err(|error| {
                    let is_old = key::is_version_1(certificate);
                    let error = if is_old { OLD_CERTIFICATE.to_owned() } else { error.to_string() };
                    rustls::Error::General(format!(
                        "{error}; if the device's own fingerprint is {0}, set tls = \"sha256:{0}\"",
                        hex::encode(&presented)
                    ))
                })
            }
            Trust::Pinned(fingerprint) if *fingerprint == presented => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(fingerprint) => Err(rustls::Error::General(format!(
                "certificate fingerprint mismatch: pinned {}, presented {}; check whether the device or its firmware was replaced",
                hex::encode(fingerprint),
                hex::encode(&presented)
            ))),
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::Nobody(why) => Err(rustls::Error::General(why.clone())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_signature(verify_tls12_signature, message, certificate, signature, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_signature(verify_tls13_signature, message, certificate, signature, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let schemes = self.provider.signature_verification_algorithms.supported_schemes();
        let mut schemes =
            if matches!(self.trust, Trust::Pinned(_)) { key::old_first(schemes) } else { schemes };
        if self.is_short.load(Ordering::Relaxed) {
            schemes.retain(|scheme| !key::is_pss(*scheme));
        }
        // Last: a device that has nothing else then shows what it has, and can be reported.
        schemes.push(key::MARKER);
        schemes
    }
}

/// How rustls checks a signature of one version of TLS.
type VerifySignature = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error>;

impl Verifier {
    /// Checks a signature as `verify` does, and that of a pinned certificate by our own rules where `verify` refuses it.
    fn verify_signature(
        &self,
        verify: VerifySignature,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
        is_tls13: bool,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match &self.trust {
            Trust::Anybody => Ok(HandshakeSignatureValid::assertion()),
            Trust::Roots(_) | Trust::Nobody(_) => verify(message, certificate, signature, algorithms),
            Trust::Pinned(_) => verify(message, certificate, signature, algorithms).or_else(|_| {
                let verified = key::verify(message, certificate, signature, is_tls13);
                // TLS 1.3 has nothing but PSS.
                if !is_tls13 && verified.is_err() && key::is_pss(signature.scheme) {
                    self.is_short.store(true, Ordering::Relaxed);
                }
                verified
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<DeviceTls, &str>) {
        let actual = DeviceTls::try_from(text.to_owned());
        match expected {
            Ok(tls) => assert_eq!(actual, Ok(tls), "{text}"),
            Err(part) => assert!(actual.as_ref().is_err_and(|error| error.contains(part)), "{actual:?}"),
        }
    }

    #[test]
    fn the_four_choices_are_read() {
        check("system", Ok(DeviceTls::System));
        check("insecure", Ok(DeviceTls::Insecure));
        check("ca:/etc/kwapi/ca.pem", Ok(DeviceTls::Authority("/etc/kwapi/ca.pem".into())));
        check(&format!("sha256:{}", "aB:".repeat(31) + "AB"), Ok(DeviceTls::Pinned([0xab; 32])));
        check(&format!("sha256:{}", "0f".repeat(32)), Ok(DeviceTls::Pinned([0x0f; 32])));
    }

    #[test]
    fn anything_else_is_refused_with_the_choices() {
        check("", Err("\"insecure\""));
        check("ca:", Err("\"insecure\""));
        check("none", Err("\"insecure\""));
        check("sha256:abcd", Err("64 hexadecimal"));
        check(&format!("sha256:{}", "é".repeat(32)), Err("64 hexadecimal"));
    }
}
