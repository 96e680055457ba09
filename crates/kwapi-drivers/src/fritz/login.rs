//! Login by challenge and response, and its end: a session that nobody ends stays for twenty minutes.
//!
//! The password is proved and not sent. Whoever intercepts the proof can try passwords on it, at the price of what the
//! box requires to be computed: sixty thousand rounds of a hash today, one before FRITZ!OS 7.24.
//!
//! Source: AVM, *Technical Note: Session ID* (`login_sid.lua`, version 2).

use std::num::NonZeroU32;
use std::sync::Arc;

use kwapi_core::hex;
use md5::{Digest, Md5};
use ring::pbkdf2;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::FritzConfig;
use super::devices::element;
use crate::cleanup;
use crate::driver::{DriverError, Finding};
use crate::http::{DeviceClient, HttpResponse, REQUEST_TIMEOUT, encoded};

const LOGIN: &str = "/login_sid.lua";
/// The session of nobody.
const NO_SID: &str = "0000000000000000";
/// Rounds of the hash that a box may require, twenty times what boxes do: a second of a slow processor.
const ROUNDS_MAX: u32 = 1_200_000;
/// Longer salts and challenges are no box's.
const CHALLENGE_BYTES_MAX: usize = 512;

/// A session on a box, ended when dropped.
#[derive(Debug)]
pub(super) struct FritzSession {
    device: Arc<DeviceClient>,
    sid: String,
    is_legacy: bool,
}

/// What a box reports of a session.
#[derive(Debug, PartialEq, Eq)]
struct Info {
    sid: String,
    challenge: String,
    /// For so many seconds it takes no login, after wrong ones.
    block_seconds: u64,
    /// Whether the user may read the plugs, where it reports what the user may.
    may_read: bool,
}

fn info(text: &str) -> Option<Info> {
    let session = element(text, "SessionInfo")?;
    let rights = element(session, "Rights").unwrap_or_default();
    Some(Info {
        sid: element(session, "SID")?.to_owned(),
        challenge: element(session, "Challenge").unwrap_or_default().to_owned(),
        block_seconds: element(session, "BlockTime").and_then(|seconds| seconds.parse().ok()).unwrap_or(0),
        may_read: rights.contains("HomeAuto"),
    })
}

impl FritzSession {
    /// Logs in. It runs to its end by itself, so that a session whose asker has lost patience is ended, too.
    ///
    /// # Errors
    /// `Locked` when the box does not take the user, `Busy` while it takes nobody.
    pub(super) async fn open(device: DeviceClient, config: &FritzConfig) -> Result<Self, DriverError> {
        let (done, session) = oneshot::channel();
        let config = config.clone();
        cleanup::spawn(async move {
            drop(done.send(Self::log_in(Arc::new(device), &config).await));
        });
        session.await.unwrap_or_else(|_| Err(DriverError::link("login aborted")))
    }

    async fn log_in(device: Arc<DeviceClient>, config: &FritzConfig) -> Result<Self, DriverError> {
        let host = device.base().to_string();
        let begun = request(&device, "version=2").await?;
        if begun.block_seconds > 0 {
            let seconds = begun.block_seconds;
            let why = format!(
                "{host}: takes no login for {seconds} s, after wrong ones; check username and password"
            );
            return Err(DriverError::Busy(why));
        }
        let is_legacy = !begun.challenge.starts_with("2$");
        if is_legacy && !config.legacy_login {
            return Err(DriverError::Refused(format!(
                "{host}: offers only the login of FRITZ!OS before 7.24, an MD5 hash of the password that listeners can try \
                 passwords on; update the box, or set legacy_login = true"
            )));
        }
        let (challenge, password) = (begun.challenge, config.password.clone());
        // Some hundredths of a second, which the runtime's other tasks need not wait for.
        let proof = tokio::task::spawn_blocking(move || response(&challenge, password.expose())).await;
        let Ok(Some(proof)) = proof else {
            return Err(DriverError::link(format!("{host}: the challenge of its login makes no sense")));
        };
        let (user, proof) = (encoded(&config.username), encoded(&proof));
        let granted = request(&device, &format!("version=2&username={user}&response={proof}")).await?;
        if granted.sid == NO_SID || !is_sid(&granted.sid) {
            return Err(DriverError::Locked(format!(
                "{host}: authentication failed for user {:?}; check username and password",
                config.username
            )));
        }
        let session = Self { device, sid: granted.sid, is_legacy };
        if !granted.may_read {
            return Err(DriverError::Refused(format!(
                "{host}: user {:?} may not read the plugs; grant it the permission Smart Home",
                config.username
            )));
        }
        Ok(session)
    }

    /// Sends a command of the interface for home automation.
    pub(super) async fn request(&self, command: &str) -> Result<HttpResponse, DriverError> {
        let query = format!("switchcmd={command}&sid={}", self.sid);
        self.device.get("/webservices/homeautoswitch.lua", Some(&query)).await
    }

    /// How we came in.
    pub(super) fn finding(&self) -> Finding {
        let open = if self.device.is_plain() { ", in clear text (no TLS)" } else { "" };
        let method = if self.is_legacy { "MD5" } else { "PBKDF2" };
        let why = "the password is proved, not sent".to_owned();
        Finding { what: "login".to_owned(), value: format!("session, {method}{open}"), is_used: true, why }
    }
}

impl Drop for FritzSession {
    fn drop(&mut self) {
        let (device, query) = (Arc::clone(&self.device), format!("version=2&logout=1&sid={}", self.sid));
        cleanup::spawn(async move {
            drop(timeout(REQUEST_TIMEOUT, device.get(LOGIN, Some(&query))).await);
        });
    }
}

async fn request(device: &DeviceClient, query: &str) -> Result<Info, DriverError> {
    let answer = device.get(LOGIN, Some(query)).await.map_err(DriverError::of_whoever_answers)?;
    let answer = answer.required("check that this is a FRITZ!Box")?;
    // Its text may be a session: it is not shown.
    info(&answer.text())
        .ok_or_else(|| DriverError::link(format!("{}: not the answer of a FRITZ!Box", answer.request_line)))
}

/// Sixteen hexadecimal digits, and nothing that would be more of a query.
fn is_sid(sid: &str) -> bool {
    sid.len() == NO_SID.len() && sid.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The proof of the password that a challenge requires; `None` for a challenge that is none or requires too much.
fn response(challenge: &str, password: &str) -> Option<String> {
    if challenge.len() > CHALLENGE_BYTES_MAX {
        return None;
    }
    let Some(parts) = challenge.strip_prefix("2$") else { return legacy_response(challenge, password) };
    let parts: Vec<&str> = parts.split('$').collect();
    let [rounds, salt, more_rounds, more_salt] = parts.as_slice() else { return None };
    let first = hashed(rounds, salt, password.as_bytes())?;
    let second = hashed(more_rounds, more_salt, &first)?;
    Some(format!("{more_salt}${}", hex::encode(&second)))
}

fn hashed(rounds: &str, salt: &str, secret: &[u8]) -> Option<[u8; 32]> {
    let rounds: NonZeroU32 = rounds.parse().ok().filter(|rounds: &NonZeroU32| rounds.get() <= ROUNDS_MAX)?;
    let mut hash = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &hex::decode(salt)?, secret, &mut hash);
    Some(hash)
}

/// What boxes took before 7.24: characters beyond ISO 8859-1 are a full stop, and all are two bytes.
fn legacy_response(challenge: &str, password: &str) -> Option<String> {
    let is_challenge = !challenge.is_empty() && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let fitting = |character: char| if u32::from(character) < 256 { character } else { '.' };
    let text: String = challenge.chars().chain(['-']).chain(password.chars().map(fitting)).collect();
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    is_challenge.then(|| format!("{challenge}-{}", hex::encode(&Md5::digest(&bytes))))
}

#[cfg(test)]
mod tests;
