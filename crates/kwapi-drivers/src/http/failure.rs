//! Why there was no answer, in one line, with what helps.

use std::error::Error;
use std::io;

use kwapi_core::with_causes;
use rustls::{AlertDescription, CertificateError};

use crate::error::DriverError;

/// What to do about a certificate whose signatures cannot be verified.
const OLD_KEY: &str = "; if the certificate's RSA key is shorter than 2048 bits, pin the certificate (tls = \"sha256:…\") and use TLS 1.2, \
    or renew it on the device";

/// The error of a request that was not answered.
pub(super) fn lost(request_line: &str, error: reqwest::Error) -> DriverError {
    let is_unreached = error.is_connect();
    let error = error.without_url();
    let why = causes(&error);
    let tls = tls_failure(&error);
    let advice = match tls {
        Some(rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity,
        )) => {
            "; the device supports only TLS 1.1 or older or old ciphers, or its certificate has a key on the curve P-521: enable TLS 1.2 with ECDHE and AES-GCM on it, with a certificate of RSA, P-256 or P-384, or use another protocol (ipmi, snmp)"
        }
        // The handshake itself cannot be verified.
        Some(rustls::Error::InvalidCertificate(CertificateError::BadSignature)) => OLD_KEY,
        None if is_unreached => "; check the address and that the device is on",
        // A certificate's error has advice of its own.
        Some(_) | None => "",
    };
    let message = format!("{request_line}: {why}{advice}");
    match tls {
        Some(error) if is_of_a_device(error) => DriverError::Untrusted(message),
        Some(_) | None => DriverError::link(message),
    }
}

/// Whether somebody is there with TLS: one with a certificate, trusted or not, or one that reports why there is no
/// handshake.
fn is_of_a_device(error: &rustls::Error) -> bool {
    // The error of our own verifier of certificates is general.
    matches!(
        error,
        rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::AlertReceived(_)
            | rustls::Error::General(_)
    )
}

/// Whether the connection was closed before the answer to a request began, so that the request may be sent again.
pub(super) fn is_cut_before_the_answer(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// Whether the device's signature could not be verified. It may be at the next connection, to which other ones are offered.
pub(super) fn is_bad_signature(error: &reqwest::Error) -> bool {
    let error = tls_failure(error);
    matches!(error, Some(rustls::Error::InvalidCertificate(CertificateError::BadSignature)))
}

/// What was wrong with the TLS of a connection, if it was that.
fn tls_failure(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = held(cause) {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// A TLS error, or the one that an I/O error holds: that one shows as its source not what it holds, but what is behind it.
fn held<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let inner: &'a (dyn Error + 'static) = error.downcast_ref::<io::Error>()?.get_ref()?;
    held(inner)
}

/// An error and what caused it, in one line: reqwest's own first line only states that sending failed.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let text = if error.is_timeout() { "timed out".to_owned() } else { error.to_string() };
    with_causes(text, error)
}
