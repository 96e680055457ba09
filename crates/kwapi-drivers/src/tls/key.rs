//! Whether whoever answers has the key of a certificate, where the usual verifier reads neither: X.509 version 1, RSA of
//! 1024 bits.
//!
//! For pinned certificates alone: the pin defines whose certificate it is, and all that is left to verify is the key.
//! Sources: RFC 5280, 4.1 (certificate), RFC 5246, 7.4.3, and RFC 8446, 4.4.3 (signatures of the handshake).

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Tags of DER (ITU-T X.690, 8).
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// The curve P-521 in a key's algorithm, 1.3.132.0.35: RFC 5480, 2.1.1.1.
const P521: [u8; 7] = [0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23];
/// The version, which a certificate of version 1 does not write down.
const VERSION: u8 = 0xA0;

/// Signatures by keys on the curve P-521, which we cannot verify: offered so that a device that has no other shows its
/// certificate, where it would else end the handshake as it does for want of a common cipher.
pub(super) const MARKER: SignatureScheme = SignatureScheme::ECDSA_NISTP521_SHA512;

/// Verifies a signature of the handshake by the key in `certificate`, in which nothing else is looked at.
///
/// # Errors
/// `BadSignature` for a signature of another key, `BadEncoding` where there is no key to be found.
pub(super) fn verify(
    message: &[u8],
    certificate: &[u8],
    signature: &DigitallySignedStruct,
    is_tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let key = public_key(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
    let algorithm = algorithm(signature.scheme, is_tls13).ok_or_else(bad)?;
    let verified = UnparsedPublicKey::new(algorithm, key).verify(message, signature.signature());
    verified.map_err(|_| bad())?;
    Ok(HandshakeSignatureValid::assertion())
}

/// Whether a scheme is RSA by PSS.
pub(super) fn is_pss(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PSS_SHA256 | SignatureScheme::RSA_PSS_SHA384 | SignatureScheme::RSA_PSS_SHA512
    )
}

/// RSA by PKCS #1 is not for TLS 1.3; by PSS ring takes keys of 2048 bits and more.
fn algorithm(scheme: SignatureScheme, is_tls13: bool) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 if !is_tls13 => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        SignatureScheme::RSA_PKCS1_SHA384 if !is_tls13 => &RSA_PKCS1_2048_8192_SHA384,
        SignatureScheme::RSA_PKCS1_SHA512 if !is_tls13 => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        SignatureScheme::RSA_PSS_SHA256 => &RSA_PSS_2048_8192_SHA256,
        SignatureScheme::RSA_PSS_SHA384 => &RSA_PSS_2048_8192_SHA384,
        SignatureScheme::RSA_PSS_SHA512 => &RSA_PSS_2048_8192_SHA512,
        SignatureScheme::ECDSA_NISTP256_SHA256 => &ECDSA_P256_SHA256_ASN1,
        SignatureScheme::ECDSA_NISTP384_SHA384 => &ECDSA_P384_SHA384_ASN1,
        SignatureScheme::ED25519 => &ED25519,
        _ => return None,
    })
}

/// Puts the signatures first that old keys can make and we can verify: a server chooses the first that it has.
pub(super) fn old_first(mut schemes: Vec<SignatureScheme>) -> Vec<SignatureScheme> {
    schemes.sort_by_key(|scheme| match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => 1,
        SignatureScheme::RSA_PKCS1_SHA512 => 2,
        SignatureScheme::RSA_PKCS1_SHA384 => 4,
        scheme if is_pss(*scheme) => 3,
        _ => 0,
    });
    schemes
}

/// Whether a certificate is of version 1.
pub(super) fn is_version_1(certificate: &[u8]) -> bool {
    let Some((SEQUENCE, certificate, _)) = element(certificate) else { return false };
    let Some((SEQUENCE, signed, _)) = element(certificate) else { return false };
    signed.first().is_some_and(|tag| *tag != VERSION)
}

/// Whether a certificate's key is on the curve P-521.
pub(super) fn is_on_p521(certificate: &[u8]) -> bool {
    let algorithm = key_info(certificate).and_then(element);
    algorithm.is_some_and(|(_, algorithm, _)| algorithm.windows(P521.len()).any(|part| part == P521))
}

/// The public key of a certificate.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (BIT_STRING, bits, _) = element(element(key_info(certificate)?)?.2)? else { return None };
    bits.strip_prefix(&[0])
}

/// Algorithm and public key of a certificate: what follows its version (if written), serial number, algorithm, issuer,
/// validity and subject.
fn key_info(certificate: &[u8]) -> Option<&[u8]> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    let before = if *rest.first()? == VERSION { 6 } else { 5 };
    for _ in 0..before {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, info, _) = element(rest)? else { return None };
    Some(info)
}

/// The first element of `der`: its tag, what is in it, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = if length & 0x80 == 0 {
        (usize::from(*length), rest)
    } else {
        // A long length states in how many bytes it is written.
        let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
        let length = bytes
            .iter()
            .try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?;
        (length, rest)
    };
    let (inside, after) = rest.split_at_checked(length)?;
    Some((*tag, inside, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A certificate's frame: what is signed is a version, five parts and a key.
    fn certificate(version: &[u8], key: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, inside: &[u8]| {
            let length = u8::try_from(inside.len()).expect("short");
            [&[tag, 0x81, length], inside].concat()
        };
        let info =
            wrap(SEQUENCE, &[&[SEQUENCE, 0], wrap(BIT_STRING, &[&[0], key].concat()).as_slice()].concat());
        let parts = [2, 1, 7, SEQUENCE, 0, SEQUENCE, 0, SEQUENCE, 0, SEQUENCE, 0];
        wrap(SEQUENCE, &wrap(SEQUENCE, &[version, &parts, &info].concat()))
    }

    #[test]
    fn a_certificate_without_a_version_is_of_the_first_and_its_key_is_found() {
        let old = certificate(&[], b"key");
        assert!(is_version_1(&old));
        assert_eq!(public_key(&old), Some(b"key".as_slice()));
        let new = certificate(&[VERSION, 3, 2, 1, 2], b"key");
        assert!(!is_version_1(&new));
        assert_eq!(public_key(&new), Some(b"key".as_slice()));
        for length in 0..old.len() {
            assert_eq!(public_key(&old[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn pkcs_1_is_not_for_tls_1_3_and_comes_first_otherwise() {
        assert!(algorithm(SignatureScheme::RSA_PKCS1_SHA256, true).is_none());
        assert!(algorithm(SignatureScheme::RSA_PKCS1_SHA256, false).is_some());
        assert!(algorithm(SignatureScheme::RSA_PKCS1_SHA1, false).is_none());
        let order = old_first(vec![
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::ED25519,
        ]);
        let expected =
            [SignatureScheme::ED25519, SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PSS_SHA384];
        assert_eq!(order, expected);
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            _ = (is_version_1(&noise), is_on_p521(&noise), public_key(&noise));
        }
    }
}
