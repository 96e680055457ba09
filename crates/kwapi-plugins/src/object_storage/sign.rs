//! AWS Signature Version 4, in the request's headers: "Authenticating Requests: Using the Authorization Header" in Amazon's
//! S3 API reference.

use hmac::{Hmac, KeyInit, Mac};
use kwapi_core::{Secret, Timestamp, hex};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";
const END: &str = "aws4_request";

/// Who signs, and for which region.
#[derive(Debug)]
pub(super) struct S3Signer {
    pub(super) region: String,
    pub(super) access_key: String,
    pub(super) secret_key: Secret,
    pub(super) session_token: Option<Secret>,
}

/// What is signed of a request.
#[derive(Debug)]
pub(super) struct ToSign<'a> {
    pub(super) method: &'a str,
    /// As it is sent: percent-encoded, each segment.
    pub(super) path: &'a str,
    /// As it is sent: percent-encoded, in order of the names.
    pub(super) query: &'a str,
    pub(super) host: &'a str,
    /// The SHA-256 of the body, in hexadecimal.
    pub(super) payload: &'a str,
    /// Further headers, names in lower case.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl S3Signer {
    /// The headers to send besides `host`.
    pub(super) fn sign(&self, request: ToSign<'_>, now: Timestamp) -> Vec<(&'static str, String)> {
        let stamp = stamp(now);
        let day = stamp.get(..8).unwrap_or_default();
        let mut headers = request.headers;
        headers.push(("x-amz-content-sha256", request.payload.to_owned()));
        headers.push(("x-amz-date", stamp.clone()));
        if let Some(token) = &self.session_token {
            headers.push(("x-amz-security-token", token.expose().to_owned()));
        }
        let mut signed = headers.clone();
        signed.push(("host", request.host.to_owned()));
        signed.sort_unstable();
        let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let ToSign { method, path, query, payload, .. } = request;
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
        let scope = format!("{day}/{}/{SERVICE}/{END}", self.region);
        let text = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", hex::encode(&Sha256::digest(canonical)));
        let secret = format!("AWS4{}", self.secret_key.expose());
        let key = [day, &self.region, SERVICE, END]
            .iter()
            .fold(secret.into_bytes(), |key, part| keyed(&key, part.as_bytes()));
        let signature = hex::encode(&keyed(&key, text.as_bytes()));
        let access_key = &self.access_key;
        headers.push((
            "authorization",
            format!(
                "{ALGORITHM} Credential={access_key}/{scope},SignedHeaders={names},Signature={signature}"
            ),
        ));
        headers
    }
}

/// As `x-amz-date` has it: `20261126T170000Z`.
fn stamp(now: Timestamp) -> String {
    let micros = i64::try_from(now.micros()).unwrap_or(i64::MAX);
    let now = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key of any length will do: there is no error to be had.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc() {
        assert_eq!(stamp(Timestamp::from_seconds(1_795_712_400)), "20261126T170000Z");
        assert_eq!(stamp(Timestamp::EPOCH), "19700101T000000Z");
    }

    #[test]
    fn a_temporary_key_sends_its_token_and_signs_it() {
        let signer = S3Signer {
            region: "lyon".to_owned(),
            access_key: "key".to_owned(),
            secret_key: Secret::new("secret"),
            session_token: Some(Secret::new("token")),
        };
        let request = || ToSign {
            method: "GET",
            path: "/b/k",
            query: "",
            host: "h",
            payload: "00",
            headers: vec![("range", "bytes=0-1".to_owned())],
        };
        let of = |signer: &S3Signer| {
            let headers = signer.sign(request(), Timestamp::from_seconds(9));
            headers.into_iter().find(|(name, _)| *name == "authorization").unwrap().1
        };
        let with = of(&signer);
        let signed = "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(
            with.contains(signed) && with.contains("Credential=key/19700101/lyon/s3/aws4_request,"),
            "{with}"
        );
        let without = of(&S3Signer { session_token: None, ..signer });
        assert!(!without.contains("security-token"), "{without}");
    }
}
