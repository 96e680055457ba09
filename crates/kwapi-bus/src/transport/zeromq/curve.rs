//! CURVE: encryption and mutual authentication between hosts (ZeroMQ RFC 25 and 26).

use std::collections::HashSet;

use kwapi_core::Secret;
use serde::Deserialize;

use crate::error::BusError;

/// A CURVE key: 32 bytes.
pub(super) type CurveKey = [u8; 32];

/// The characters of Z85 (ZeroMQ RFC 32).
const Z85: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The keys of one end, each as 40 characters of Z85 as `zmq_curve_keypair` or `kwapi keys curve` prints them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurveConfig {
    /// This end's secret key.
    pub secret_key: Secret,
    /// Who connects: this end's public key.
    #[serde(default)]
    pub public_key: Option<String>,
    /// Who connects: the public key of whoever is bound there.
    #[serde(default)]
    pub server_key: Option<String>,
    /// Who binds: the public keys of those let in.
    #[serde(default)]
    pub clients: Vec<String>,
}

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("curve.{member}: {message}")]
pub struct CurveError {
    /// Which of [`CurveConfig`].
    pub member: &'static str,
    /// What is wrong with it.
    pub message: &'static str,
}

/// A key pair of one end of a CURVE connection, each as 40 characters of Z85.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurvePair {
    /// Stays at its end.
    pub secret_key: Secret,
    /// Is sent to the other end.
    pub public_key: String,
}

impl CurvePair {
    /// A new pair, by libzmq's generator.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> std::io::Result<Self> {
        let pair = zmq::CurveKeyPair::new().map_err(std::io::Error::other)?;
        let text = |key: &CurveKey| zmq::z85_encode(key).unwrap_or_default();
        Ok(Self { secret_key: Secret::new(text(&pair.secret_key)), public_key: text(&pair.public_key) })
    }
}

impl CurveConfig {
    /// The public key that belongs to a secret one; `None` where that is no key.
    pub fn public_of(secret_key: &Secret) -> Option<String> {
        zmq::z85_encode(&public_of(parse(secret_key.expose())?)).ok()
    }

    /// Validates what can be checked without opening anything: that keys are keys, and that the public one belongs to
    /// the secret one.
    ///
    /// # Errors
    /// At the first key that is wrong.
    pub fn check(&self) -> Result<(), CurveError> {
        let read = |key: &str, member| {
            parse(key).ok_or(CurveError { member, message: "a key must be 40 Z85 characters" })
        };
        let secret = read(self.secret_key.expose(), "secret_key")?;
        if let Some(public) = &self.public_key
            && read(public, "public_key")? != public_of(secret)
        {
            let message = "does not match secret_key; `kwapi keys public` prints the one that does";
            return Err(CurveError { member: "public_key", message });
        }
        let server = self.server_key.iter().map(|key| (key, "server_key"));
        let clients = self.clients.iter().map(|key| (key, "clients"));
        server.chain(clients).try_for_each(|(key, member)| read(key, member).map(drop))
    }

    /// What the end that binds needs: its secret key, and who is let in.
    pub(super) fn server(&self, url: &str) -> Result<(CurveKey, HashSet<CurveKey>), BusError> {
        if self.public_key.is_some() || self.server_key.is_some() {
            return Err(BusError::config(
                url,
                "public_key and server_key apply only to endpoints that connect",
            ));
        }
        if self.clients.is_empty() {
            return Err(BusError::config(url, "curve.clients is empty; no client could connect"));
        }
        let clients = self.clients.iter().map(|client| decode(client, "clients", url));
        let clients = clients.collect::<Result<_, _>>()?;
        Ok((decode(self.secret_key.expose(), "secret_key", url)?, clients))
    }

    /// What the end that connects needs.
    pub(super) fn client(&self, url: &str) -> Result<ClientKeys, BusError> {
        if !self.clients.is_empty() {
            return Err(BusError::config(url, "curve.clients applies only to endpoints that bind"));
        }
        let (Some(server), Some(public)) = (&self.server_key, &self.public_key) else {
            return Err(BusError::config(
                url,
                "curve.server_key and curve.public_key are required to connect",
            ));
        };
        Ok(ClientKeys {
            server: decode(server, "server_key", url)?,
            public: decode(public, "public_key", url)?,
            secret: decode(self.secret_key.expose(), "secret_key", url)?,
        })
    }
}

/// The keys of an end that connects.
pub(super) struct ClientKeys {
    pub(super) server: CurveKey,
    pub(super) public: CurveKey,
    pub(super) secret: CurveKey,
}

fn decode(key: &str, member: &str, url: &str) -> Result<CurveKey, BusError> {
    let wrong = || BusError::config(url, format!("curve.{member}: a key must be 40 Z85 characters"));
    parse(key).ok_or_else(wrong)
}

fn public_of(secret: CurveKey) -> CurveKey {
    x25519_dalek::x25519(secret, x25519_dalek::X25519_BASEPOINT_BYTES)
}

fn parse(key: &str) -> Option<CurveKey> {
    if key.len() != 40 || !key.bytes().all(|byte| Z85.contains(&byte)) {
        return None;
    }
    zmq::z85_decode(key).ok().and_then(|bytes| CurveKey::try_from(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_forty_characters_of_z85() {
        // The pair of the ZeroMQ manual, zmq_curve(7).
        let key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
        assert!(decode(key, "server_key", "tcp://x:1").is_ok());
        for wrong in ["", "short", &key.replace('@', "\""), &key.replace('@', "é"), &format!("{key}00000")] {
            let error = decode(wrong, "server_key", "tcp://x:1").unwrap_err();
            assert_eq!(error.to_string(), "tcp://x:1: curve.server_key: a key must be 40 Z85 characters");
        }
    }

    #[test]
    fn a_public_key_belongs_to_its_secret_one() {
        let (pair, other) = (zmq::CurveKeyPair::new().unwrap(), zmq::CurveKeyPair::new().unwrap());
        let text = |key: &[u8]| zmq::z85_encode(key).unwrap();
        let mut config = CurveConfig {
            secret_key: Secret::new(text(&pair.secret_key)),
            public_key: Some(text(&pair.public_key)),
            server_key: Some(text(&other.public_key)),
            clients: Vec::new(),
        };
        assert_eq!(config.check(), Ok(()));
        assert_eq!(CurveConfig::public_of(&config.secret_key), config.public_key);
        assert_eq!(CurveConfig::public_of(&Secret::new("short")), None);
        config.clients = vec!["short".to_owned()];
        assert_eq!(config.check().unwrap_err().member, "clients");
        config.public_key = Some(text(&other.public_key));
        let error = config.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "curve.public_key: does not match secret_key; `kwapi keys public` prints the one that does"
        );
    }
    #[test]
    fn a_new_pair_belongs_together_and_to_nobody_else() {
        let pairs = [(); 2].map(|()| CurvePair::generate().unwrap());
        for pair in &pairs {
            assert_eq!(CurveConfig::public_of(&pair.secret_key).as_ref(), Some(&pair.public_key));
        }
        assert_ne!(pairs[0], pairs[1]);
    }
}
