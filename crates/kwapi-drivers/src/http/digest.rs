//! Digest access authentication, RFC 7616: the device's challenge and our answer. Second-generation Shelly devices
//! take nothing else, with SHA-256.

use kwapi_core::{Secret, hex};
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// What a device requires to be proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    has_qop_auth: bool,
    /// The last answer was right, but its nonce too old.
    pub(super) stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn of(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(&Md5::digest(text)),
            Self::Sha256 => hex::encode(&Sha256::digest(text)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }
}

/// Reads a `WWW-Authenticate` header; `None` for another scheme, an unknown algorithm or a missing part.
pub(crate) fn parse_challenge(header: &str) -> Option<Challenge> {
    let (scheme, mut rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let (mut realm, mut nonce, mut opaque) = (None, None, None);
    let (mut algorithm, mut has_qop_auth, mut stale) = (Algorithm::Md5, false, false);
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.trim_start().strip_prefix('"') {
            // Nothing a device names contains an escaped quote.
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        match name.trim_matches([' ', ',', '\t']).to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "nonce" => nonce = Some(value.to_owned()),
            "opaque" => opaque = Some(value.to_owned()),
            "stale" => stale = value.trim().eq_ignore_ascii_case("true"),
            "qop" => has_qop_auth = value.split(',').any(|qop| qop.trim() == "auth"),
            "algorithm" => {
                algorithm = match value.trim().to_ascii_uppercase().as_str() {
                    "MD5" => Algorithm::Md5,
                    "SHA-256" => Algorithm::Sha256,
                    _ => return None,
                };
            }
            _ => {}
        }
        rest = next.trim_start_matches([',', ' ']);
    }
    let unquotable =
        |text: &String| !text.chars().any(|character| character.is_control() || character == '\\');
    Some(Challenge {
        realm: realm.filter(unquotable)?,
        nonce: nonce.filter(unquotable)?,
        opaque: opaque.filter(unquotable),
        algorithm,
        has_qop_auth,
        stale,
    })
}

impl Challenge {
    /// The `Authorization` header of the `count`th request with this nonce.
    pub(super) fn answer(
        &self,
        username: &str,
        password: &Secret,
        method: &str,
        uri: &str,
        count: u32,
        client_nonce: &str,
    ) -> String {
        let Self { realm, nonce, algorithm, .. } = self;
        let who = algorithm.of(&format!("{username}:{realm}:{}", password.expose()));
        let what = algorithm.of(&format!("{method}:{uri}"));
        let username: String =
            username.chars().filter(|character| !matches!(character, '"' | '\\')).collect();
        let (proved, proof) = if self.has_qop_auth {
            (
                format!(", qop=auth, nc={count:08x}, cnonce=\"{client_nonce}\""),
                format!("{who}:{nonce}:{count:08x}:{client_nonce}:auth:{what}"),
            )
        } else {
            (String::new(), format!("{who}:{nonce}:{what}"))
        };
        let opaque = self.opaque.as_ref().map(|opaque| format!(", opaque=\"{opaque}\"")).unwrap_or_default();
        format!(
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
            algorithm={}{proved}, response=\"{}\"{opaque}",
            algorithm.name(),
            algorithm.of(&proof)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7616, section 3.9.1: the example, in both algorithms.
    #[track_caller]
    fn check(algorithm: &str, expected: &str) {
        let challenge = parse_challenge(&format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        ))
        .expect("a challenge");
        let answer = challenge.answer(
            "Mufasa",
            &Secret::new("Circle of Life"),
            "GET",
            "/dir/index.html",
            1,
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        );
        assert!(answer.contains(&format!("response=\"{expected}\"")), "{answer}");
        assert!(!answer.contains("Circle"), "{answer}");
    }

    #[test]
    fn the_examples_of_the_standard_come_out() {
        check("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        check("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    #[test]
    fn a_shelly_challenge_is_read_and_a_basic_one_is_not() {
        let shelly =
            r#"Digest qop="auth", realm="shellyplus1pm-a8032ab1fe78", nonce="60dc5bf9", algorithm=SHA-256"#;
        let challenge = parse_challenge(shelly).expect("a challenge");
        assert_eq!((challenge.algorithm, challenge.has_qop_auth), (Algorithm::Sha256, true));
        assert_eq!(parse_challenge("Basic realm=\"x\""), None);
        assert_eq!(parse_challenge("Digest realm=\"x\""), None, "no nonce");
        assert_eq!(parse_challenge("Digest realm=\"x\", nonce=\"y\", algorithm=MD4"), None);
        let stale = parse_challenge("Digest realm=\"x\", nonce=\"y\", stale=true");
        assert!(stale.is_some_and(|challenge| challenge.stale));
    }

    proptest! {
        #[test]
        fn noise_is_no_challenge_and_no_panic(noise in any::<String>()) {
            _ = parse_challenge(&noise);
            _ = parse_challenge(&format!("Digest {noise}"));
        }
    }
}
