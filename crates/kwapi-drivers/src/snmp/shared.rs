//! What all SNMP meters of the process have in common: one UDP socket, keys derived once, what agents can take.

use std::collections::HashMap;
use std::fmt;

use async_snmp::v3::PersistedDesSaltState;
use async_snmp::{
    Auth, AuthProtocol, Client, ClientBuilder, DesSaltState, Error, MasterKeys, PrivProtocol, Retry,
    UdpHandle, UdpTransport, UsmConfig,
};
use parking_lot::Mutex;

use crate::driver::DriverError;

use super::config::{SnmpConfig, SnmpVersion};
use super::failure::AgentContext;
use super::known::Known;

/// Room for the answers of a thousand agents at once; the kernel may give less (`net.core.rmem_max`), and answers that
/// find no room are requested again.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The community of agents nobody configured.
const COMMUNITY_DEFAULT: &str = "public";

/// One socket and one set of keys for all agents.
#[derive(Default)]
pub struct SnmpShared {
    transport: tokio::sync::Mutex<Option<UdpTransport>>,
    keys: Mutex<HashMap<Credentials, MasterKeys>>,
    des_salt: Mutex<Option<DesSaltState>>,
    /// By address: what its agent was seen to take. One entry a configured meter.
    learned: Mutex<HashMap<String, Learned>>,
    /// By meter: what its device was seen to have. One entry a meter that takes all there is.
    known: Mutex<HashMap<String, Known>>,
}

/// Of more meters than this in one process the rows are not remembered.
const METERS_MAX: usize = 100_000;

/// What an agent was seen to take; kept when a session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// The most objects it answered at once, if fewer than requested.
    pub varbinds: Option<usize>,
    /// The most rows it listed at once, if fewer than requested.
    pub repetitions: Option<u32>,
    /// It answers copies of a request one after the other, and slowly.
    pub is_slow: bool,
    /// It has answered since the process began: address and community are right.
    pub has_answered: bool,
}

/// What a client of SNMP v3 accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// What is signed as configured.
    Signed,
    /// Reports without a signature as well.
    Reports,
}

/// What keys are derived from: a megabyte is hashed for each, so each is hashed once.
#[derive(PartialEq, Eq, Hash)]
struct Credentials {
    auth: (AuthProtocol, String),
    privacy: Option<(PrivProtocol, String)>,
}

impl fmt::Debug for SnmpShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnmpShared").finish_non_exhaustive()
    }
}

impl SnmpShared {
    /// A client for one agent, on the common socket. It sends a request up to `attempts` times within its time.
    pub(super) async fn client(
        &self,
        config: &SnmpConfig,
        trust: Trust,
        attempts: u32,
    ) -> Result<Client<UdpHandle>, DriverError> {
        let context = AgentContext::of(config);
        let transport = self.transport().await?;
        let attempts = attempts.max(1);
        let retry = Retry::fixed(attempts - 1, std::time::Duration::ZERO)
            .map_err(|error| DriverError::Refused(format!("retransmits: {error}")))?;
        let mut builder = ClientBuilder::new(self.auth(config)?)
            .request_timeout(config.timeout() / attempts)
            .retry(retry)
            // Requests are cut to the agent's measure before they get here.
            .max_oids_per_request(usize::from(u16::MAX))
            .allow_unauthenticated_v3_time_correction(trust == Trust::Reports);
        if matches!(config.privacy_protocol, Some(PrivProtocol::Des | PrivProtocol::Des3)) {
            builder = builder.des_salt_state(self.des_salt()?);
        }
        let target = (config.host.as_str(), config.port);
        builder
            .target(target)
            .construction_timeout(config.timeout())
            // An answer from another address is another agent's: it must not be billed to this one.
            .strict_source(true)
            .build_with(&transport)
            .await
            .map_err(|error| context.failed("address lookup", &error, false))
    }

    async fn transport(&self) -> Result<UdpTransport, DriverError> {
        let mut transport = self.transport.lock().await;
        if let Some(transport) = transport.as_ref().filter(|transport| !transport.control().is_shutdown()) {
            return Ok(transport.clone());
        }
        let bind = |address: &'static str| {
            UdpTransport::builder().bind(address).recv_buffer_size(RECEIVE_BUFFER_BYTES).build()
        };
        let bound = match bind("[::]:0").await {
            Ok(bound) => Ok(bound),
            // A machine without IPv6.
            Err(_) => bind("0.0.0.0:0").await,
        };
        let bound = bound.map_err(|error| DriverError::link(format!("cannot open a UDP socket: {error}")))?;
        Ok(transport.insert(bound).clone())
    }

    /// Forgets a socket that the kernel closed under us, so that the next session makes a new one.
    pub(super) async fn forget_socket(&self) {
        *self.transport.lock().await = None;
    }

    fn auth(&self, config: &SnmpConfig) -> Result<Auth, DriverError> {
        let community = config.community.as_ref().map_or(COMMUNITY_DEFAULT, |community| community.expose());
        match config.version() {
            SnmpVersion::V1 => Ok(Auth::v1(community)),
            SnmpVersion::V2c => Ok(Auth::v2c(community)),
            SnmpVersion::V3 => self.user(config).map(Auth::Usm),
        }
    }

    fn user(&self, config: &SnmpConfig) -> Result<UsmConfig, DriverError> {
        let refused = |error: &dyn fmt::Display| {
            DriverError::Refused(format!(
                "{}: {error}; check auth_protocol, auth_password, privacy_protocol and privacy_password",
                config.address()
            ))
        };
        let name = config.user.clone().unwrap_or_default();
        let user = UsmConfig::new(name).context_name(config.context.clone());
        let Some(password) = &config.auth_password else { return Ok(user) };
        let credentials = Credentials {
            auth: (config.auth_protocol.unwrap_or(AuthProtocol::Sha1), password.expose().to_owned()),
            privacy: config.privacy_protocol.map(|protocol| {
                let privacy_password = config.privacy_password.as_ref().unwrap_or(password);
                (protocol, privacy_password.expose().to_owned())
            }),
        };
        let known = self.keys.lock().get(&credentials).cloned();
        let keys = if let Some(keys) = known {
            keys
        } else {
            let keys = derive(&credentials).map_err(|error| refused(&error))?;
            self.keys.lock().insert(credentials, keys.clone());
            keys
        };
        user.with_master_keys(keys).map_err(|error| refused(&error))
    }

    /// DES requires initialisation vectors that no earlier run used with the same key. We keep no state across runs, so
    /// each run draws its epoch at random from two thousand million.
    fn des_salt(&self) -> Result<DesSaltState, DriverError> {
        let mut salt = self.des_salt.lock();
        if let Some(salt) = salt.as_ref() {
            return Ok(salt.clone());
        }
        let failed =
            |error: &dyn fmt::Display| DriverError::Refused(format!("privacy_protocol DES: {error}"));
        let epoch = rand::random_range(1..i32::MAX.cast_unsigned() - 1);
        let previous = PersistedDesSaltState::new(epoch).map_err(|error| failed(&error))?;
        let state = DesSaltState::restart(previous, |_| Ok::<(), std::convert::Infallible>(()))
            .map_err(|error| failed(&error))?;
        Ok(salt.insert(state).clone())
    }

    /// What this agent was seen to take.
    pub(super) fn learned(&self, address: &str) -> Learned {
        self.learned.lock().get(address).copied().unwrap_or_default()
    }

    /// Remembers more of it.
    pub(super) fn learn(&self, address: &str, note: impl FnOnce(&mut Learned)) {
        note(self.learned.lock().entry(address.to_owned()).or_default());
    }

    /// What a meter's device was seen to have.
    pub(super) fn known(&self, meter: &str) -> Option<Known> {
        self.known.lock().get(meter).cloned()
    }

    /// Remembers it.
    pub(super) fn remember(&self, meter: String, known: Known) {
        let mut all = self.known.lock();
        if all.len() < METERS_MAX || all.contains_key(&meter) {
            all.insert(meter, known);
        }
    }

    /// Notes when a meter's device last reported something of its rows.
    pub(super) fn seen<'a>(
        &self,
        meter: &str,
        rows: impl IntoIterator<Item = (&'a [u32], Option<tokio::time::Instant>)>,
    ) {
        if let Some(known) = self.known.lock().get_mut(meter) {
            for (index, at) in rows {
                known.seen(index, at);
            }
        }
    }

    /// Whether an error shows that the common socket is gone.
    pub(super) fn is_socket_gone(error: &Error) -> bool {
        error.kind() == async_snmp::ErrorKind::Closed
    }
}

fn derive(credentials: &Credentials) -> async_snmp::CryptoResult<MasterKeys> {
    let (protocol, password) = &credentials.auth;
    let keys = MasterKeys::new(*protocol, password.as_bytes())?;
    match &credentials.privacy {
        Some((protocol, password)) => keys.with_privacy(*protocol, password.as_bytes()),
        None => Ok(keys),
    }
}
