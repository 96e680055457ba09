//! Whom a device has to be, over TLS: the same four choices for every driver.
//!
//! Management cards present certificates of their own making more often than not, so besides the system's roots and
//! an authority of one's own a certificate can be pinned by its fingerprint. Trusting anybody has to be spelled out.

use std::path::PathBuf;
use std::sync::Arc;

use kwapi_core::hex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::config::ConfigError;

/// `tls = "system" | "ca:FILE" | "sha256:FINGERPRINT" | "insecure"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Tls {
    /// The certificate is signed by an authority the system trusts, for this host's name.
    #[default]
    System,
    /// The certificate is signed by an authority in this PEM file, for this host's name.
    Authority(PathBuf),
    /// The certificate is this one, by the SHA-256 of its DER form; names and dates do not matter.
    Pinned([u8; 32]),
    /// Whoever answers is believed, so whoever sits in between reads the password.
    Insecure,
}

impl TryFrom<String> for Tls {
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
/// When the authority's file or the system's roots cannot be read, or the former is no PEM.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, ConfigError> {
    let provider = Arc::new(ring::default_provider());
    let trust = match tls {
        Tls::System => {
            Trust::Roots(Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(
                |error| ConfigError::of("tls", format!("cannot load the system's trusted roots: {error}")),
            )?))
        }
        Tls::Authority(file) => {
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
        Tls::Pinned(fingerprint) => Trust::Pinned(*fingerprint),
        Tls::Insecure => Trust::Anybody,
    };
    let verifier = Verifier { trust, provider: Arc::clone(&provider) };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::of("tls", error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// What to do about a certificate of the first version of X.509, whose key webpki does not read: a pin does not help.
const OLD_CERTIFICATE: &str = "X.509 version 1 certificates cannot be verified, pinned or not: renew it on the device, or set tls = \"insecure\", which disables verification";

/// Whether a certificate is of version 1, which is the one that is not written down (RFC 5280, 4.1): a sequence that begins
/// with a sequence that does not begin with the tag [0].
fn is_version_1(certificate: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xA0;
    let inside = |der: &[u8]| -> Option<usize> {
        let [SEQUENCE, length, ..] = der else { return None };
        // A long length says in how many bytes it is written.
        Some(2 + if length & 0x80 == 0 { 0 } else { usize::from(length & 0x7F) })
    };
    let first = || {
        let outer = certificate.get(inside(certificate)?..)?;
        outer.get(inside(outer)?).copied()
    };
    first().is_some_and(|tag| tag != VERSION)
}

#[derive(Debug)]
enum Trust {
    Roots(Arc<dyn ServerCertVerifier>),
    Pinned([u8; 32]),
    Anybody,
}

/// Checks the certificate as configured and says in the error which one came, so that it can be pinned.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
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
        if is_version_1(certificate) && !matches!(self.trust, Trust::Anybody) {
            return Err(rustls::Error::General(OLD_CERTIFICATE.to_owned()));
        }
        let presented = <[u8; 32]>::from(Sha256::digest(certificate));
        match &self.trust {
            Trust::Roots(verifier) => {
                verifier.verify_server_cert(certificate, intermediates, name, stapled, now).map_err(|error| {
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
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if matches!(self.trust, Trust::Anybody) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if matches!(self.trust, Trust::Anybody) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Tls, &str>) {
        let actual = Tls::try_from(text.to_owned());
        match expected {
            Ok(tls) => assert_eq!(actual, Ok(tls), "{text}"),
            Err(part) => assert!(actual.as_ref().is_err_and(|error| error.contains(part)), "{actual:?}"),
        }
    }

    #[test]
    fn the_four_choices_are_read() {
        check("system", Ok(Tls::System));
        check("insecure", Ok(Tls::Insecure));
        check("ca:/etc/kwapi/ca.pem", Ok(Tls::Authority("/etc/kwapi/ca.pem".into())));
        check(&format!("sha256:{}", "aB:".repeat(31) + "AB"), Ok(Tls::Pinned([0xab; 32])));
        check(&format!("sha256:{}", "0f".repeat(32)), Ok(Tls::Pinned([0x0f; 32])));
    }

    #[test]
    fn a_certificate_without_a_version_is_of_the_first() {
        assert!(is_version_1(&[0x30, 0x82, 0x01, 0x00, 0x30, 0x81, 0xC0, 0x02, 0x01]));
        assert!(!is_version_1(&[0x30, 0x82, 0x01, 0x00, 0x30, 0x81, 0xC0, 0xA0, 0x03]));
        for cut in [&[][..], &[0x30], &[0x30, 0xFF], &[0x30, 0x01, 0x30], &[0x04, 0x00, 0x30, 0x00, 0x02]] {
            assert!(!is_version_1(cut), "{cut:?}");
        }
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
