//! What a subscriber listens to, and how the messages of each endpoint are verified.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use kwapi_core::{PROGRAM_DATE, Pattern, ProcessClocks, Timestamp};

use crate::endpoint::{Attach, EndpointConfig, require_signature};
use crate::error::BusError;
use crate::key::{Key, Scheme};
use crate::transport::nats::{NatsConfig, NatsInletConfig, PositionKeys};
use crate::transport::zeromq::CurveConfig;

/// How old a measurement may be where nothing stores messages on the way…
const MAX_AGE_SECONDS: u64 = 300;
/// …and where something does: 30 days.
pub(super) const STORED_AGE_MAX_SECONDS: u64 = 30 * 86_400;

/// What a subscriber receives, and how it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberConfig {
    /// Drivers and forwarders to listen to. A message that comes on two ways is credited once, by the account.
    pub endpoints: Vec<SourceConfig>,
    /// Which probes: `*` (the default), ids, `lyon.*`.
    pub probes: Vec<Pattern>,
    /// An older measurement is refused as `stale`.
    pub max_age_seconds: u64,
    /// The same of one that a transport has stored.
    pub stored_age_max_seconds: u64,
    /// How many messages are kept per peer; by default four intervals of all probes, 2 000 at least.
    pub high_water: Option<NonZeroU32>,
    /// The directory where consumers of streams keep where they stand at each site; none: they forget it at the end.
    pub positions: Option<PathBuf>,
    /// The earliest that a right wall clock can show. While ours shows less, the time is taken from the publishers'
    /// clocks.
    pub clock_not_before: Timestamp,
}

/// An endpoint to listen to, and how its messages are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// As [`EndpointConfig::url`].
    pub url: String,
    /// As [`EndpointConfig::attach`]; a subscriber connects.
    pub attach: Option<Attach>,
    /// As [`EndpointConfig::ipv6`].
    pub ipv6: bool,
    /// As [`EndpointConfig::curve`].
    pub curve: Option<CurveConfig>,
    /// How its messages are signed.
    pub signature: Scheme,
    /// The keys they may be signed with; none under `signature = "none"`.
    pub keys: Vec<Key>,
    /// As [`EndpointConfig::nats`].
    pub nats: NatsConfig,
    /// Of a stream of NATS: the consumer for which it keeps messages until they are acknowledged, a name of this history
    /// alone. Without one, what is published is received as over ZeroMQ.
    pub consumer: Option<String>,
}

impl SubscriberConfig {
    /// All probes of `endpoints`.
    pub fn new(endpoints: Vec<SourceConfig>) -> Self {
        Self {
            endpoints,
            probes: vec![Pattern::All],
            max_age_seconds: MAX_AGE_SECONDS,
            stored_age_max_seconds: STORED_AGE_MAX_SECONDS,
            high_water: None,
            positions: None,
            clock_not_before: PROGRAM_DATE,
        }
    }
}

impl SourceConfig {
    /// An endpoint in the clear, to connect to.
    pub fn new(url: impl Into<String>, signature: Scheme, keys: Vec<Key>) -> Self {
        Self {
            url: url.into(),
            attach: None,
            ipv6: false,
            curve: None,
            signature,
            keys,
            nats: NatsConfig::default(),
            consumer: None,
        }
    }

    /// The endpoint alone.
    pub(super) fn endpoint(&self) -> EndpointConfig {
        let Self { url, attach, ipv6, curve, nats, .. } = self;
        let (curve, nats) = (curve.clone(), nats.clone());
        let (url, consumers) = (url.clone(), Vec::new());
        let (attach, ipv6) = (*attach, *ipv6);
        EndpointConfig { url, attach, ipv6, curve, nats, consumers, batch_messages_max: None }
    }

    /// What to read of the stream that it is; `is_ahead`: to show the present beside a consumer.
    pub(super) fn stream(
        &self,
        config: &SubscriberConfig,
        clocks: &ProcessClocks,
        is_ahead: bool,
    ) -> Result<NatsInletConfig, BusError> {
        let address = self.endpoint().nats()?;
        require_signature(&self.url, self.signature)?;
        let keys = PositionKeys::new(&self.keys);
        let keys = keys.map_err(|source| BusError::Key { url: self.url.clone(), source })?;
        Ok(NatsInletConfig {
            address,
            probes: config.probes.clone(),
            consumer: self.consumer.clone().filter(|_| !is_ahead),
            is_ahead,
            keys: Arc::new(keys),
            positions: config.positions.clone(),
            clocks: clocks.clone(),
        })
    }

    /// Whether one socket and one verification can serve both.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.signature, &self.keys) == (other.signature, &other.keys)
            && self.endpoint().is_like(&other.endpoint())
    }
}
