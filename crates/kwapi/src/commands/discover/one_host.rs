//! One host, queried over every protocol.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{ProbeId, Reading};
use kwapi_drivers::manager::MeterSpec;
use kwapi_drivers::modbus::{self, ModbusIdentity};
use kwapi_drivers::nut;
use kwapi_drivers::registry::SharedPool;
use kwapi_drivers::{Finding, Outlets};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::attempt::{Attempt, Protocol};
use super::{Answer, Found, plausible};
use crate::commands::probe::{self, FailureKind};

/// A device that has not answered by then is not there, or not of that kind.
const ATTEMPT_MAX: Duration = Duration::from_secs(6);
/// So many hosts share sockets and connections before new ones are made: what stays open of those that answered ends
/// with the pool.
const HOSTS_A_POOL: usize = 32;
/// NUT's port (IANA).
const NUT_PORT: u16 = 3493;
/// More devices of one NUT server are not queried.
const DEVICES_MAX: usize = 256;
/// Modbus' port (*Messaging on TCP/IP* 4.3.1.1).
const MODBUS_PORT: u16 = 502;

/// What the sessions of a few hosts have in common, renewed from time to time.
#[derive(Debug, Default)]
pub(super) struct Pools {
    current: SharedPool,
    used: usize,
}

impl Pools {
    pub(super) fn next(&mut self) -> SharedPool {
        self.used += 1;
        if self.used.is_multiple_of(HOSTS_A_POOL) {
            self.current = SharedPool::default();
        }
        self.current.clone()
    }
}

/// Tries every protocol on one host at the same time; what answers is added to `found` as it does.
pub(super) async fn host(
    host: String,
    protocols: Arc<Vec<Protocol>>,
    pool: SharedPool,
    found: Arc<Mutex<Vec<Found>>>,
) {
    let mut running = JoinSet::new();
    for number in 0..protocols.len() {
        let (host, protocols) = (host.clone(), protocols.clone());
        let (pool, found) = (pool.clone(), found.clone());
        running.spawn(async move {
            if let Some(protocol) = protocols.get(number) {
                let answers = over(&host, protocol, &pool).await;
                found.lock().extend(answers);
            }
        });
    }
    while running.join_next().await.is_some() {}
}

/// Tries one protocol's credentials on each of its ports one after the other, each once, until one works: cards lock
/// accounts.
async fn over(host: &str, protocol: &Protocol, pool: &SharedPool) -> Vec<Found> {
    let mut found = Vec::new();
    for port in &protocol.ports {
        let found_of = |attempt: Option<&Attempt>, answer| Found {
            host: host.to_owned(),
            driver: protocol.entry.name,
            credentials: attempt.and_then(|attempt| attempt.credentials.clone()),
            map: attempt.and_then(|attempt| attempt.map.clone()),
            ups: attempt.and_then(|attempt| attempt.ups.clone()),
            port: *port,
            answer,
        };
        if protocol.entry.name == "nut" {
            let devices = watched(host, port.unwrap_or(NUT_PORT)).await;
            if devices.len() > 1 {
                for attempt in devices.iter().map(|ups| Attempt::of_ups(ups)) {
                    let answer = once(host, *port, protocol, &attempt, pool).await;
                    found.extend(answer.map(|answer| found_of(Some(&attempt), answer)));
                }
                continue;
            }
        }
        let mut denials = Vec::new();
        let mut is_meter = false;
        for attempt in &protocol.attempts {
            let Some(answer) = once(host, *port, protocol, attempt, pool).await else {
                // An SNMP agent is silent when the community is wrong; who else is silent is not there.
                if protocol.is_silent_when_refusing() { continue } else { break }
            };
            is_meter = matches!(answer, Answer::Meter { .. });
            let is_plain = attempt.credentials.is_none() && attempt.map.is_none();
            let is_locked = matches!(answer, Answer::Locked(_));
            // A web server that is no plug answers as well: of interest is what was queried with credentials, or requires
            // some. And nothing else is sent a password.
            let is_unread = matches!(answer, Answer::Unread(_));
            if is_locked || is_meter || is_unread || !is_plain {
                denials.push(found_of(Some(attempt), answer));
            }
            if is_meter {
                denials = denials.split_off(denials.len() - 1);
                break;
            }
            if is_plain && !is_locked {
                break;
            }
        }
        // Modbus describes its registers to nobody; that it is there, it shows to everybody.
        if protocol.entry.name == "modbus" && !is_meter {
            let description = unmapped(host, port.unwrap_or(MODBUS_PORT)).await;
            denials.extend(description.map(|description| found_of(None, Answer::Unmapped(description))));
        }
        found.extend(denials);
    }
    found
}

/// The devices that a NUT server watches; none where there is no such server.
async fn watched(host: &str, port: u16) -> Vec<String> {
    let devices = timeout(ATTEMPT_MAX, nut::devices(&format!("{host}:{port}"))).await;
    let mut devices = devices.ok().and_then(Result::ok).unwrap_or_default();
    devices.truncate(DEVICES_MAX);
    devices
}

/// What a host with Modbus reports of itself; `None` if it does not.
async fn unmapped(host: &str, port: u16) -> Option<String> {
    match timeout(ATTEMPT_MAX, modbus::identify(&format!("{host}:{port}"))).await {
        Ok(Ok(ModbusIdentity::Named(words))) => Some(format!("identifies itself as {words:?}")),
        Ok(Ok(ModbusIdentity::Unnamed)) => Some("does not identify itself".to_owned()),
        Ok(Ok(ModbusIdentity::Silent)) => Some("does not respond as unit 1".to_owned()),
        Ok(Err(_)) | Err(_) => None,
    }
}

/// `None` where nobody answers.
async fn once(
    host: &str,
    port: Option<u16>,
    protocol: &Protocol,
    attempt: &Attempt,
    pool: &SharedPool,
) -> Option<Answer> {
    let driver = protocol.entry.configure(protocol.keys(attempt, host, port)).ok()?;
    let mut meter = MeterSpec::new(host, driver, Outlets::all("{outlet}"));
    meter.deadline = ATTEMPT_MAX;
    let (session, readings) = match probe::read(&meter, pool).await {
        Ok(read) => read,
        Err(failure) if protocol.requires_password(&failure) => return Some(Answer::Locked(failure.message)),
        Err(failure) => {
            return match failure.kind {
                FailureKind::NothingToRead => Some(Answer::Unread(failure.message)),
                FailureKind::Answered | FailureKind::Locked => Some(Answer::Nothing(failure.message)),
                FailureKind::Silent => None,
            };
        }
    };
    let mut received: Vec<(ProbeId, Reading)> = Vec::new();
    let mut problem = None;
    for (probe, reading) in readings {
        match reading {
            Ok(reading) => received.push((probe, reading)),
            Err(no_reading) => problem = Some(no_reading.to_string()),
        }
    }
    if protocol.entry.name == "modbus" {
        let readings: Vec<_> = received.iter().map(|(_, reading)| reading.clone()).collect();
        if let Err(why) = plausible::judge(&readings) {
            return Some(Answer::Nothing(format!("check the register map: {why}")));
        }
        // Its phases are parts of the whole.
        if received.iter().any(|(probe, _)| probe.as_str() == "total") {
            received.retain(|(probe, _)| probe.as_str() == "total");
        }
    }
    if received.is_empty() {
        let problem = problem.unwrap_or_else(|| "it lists no measured outlet".to_owned());
        return Some(Answer::Nothing(format!("no power: {problem}")));
    }
    let watts: Vec<f64> = received.iter().filter_map(|(_, reading)| Some(reading.power?.0)).collect();
    let watts = (!watts.is_empty()).then(|| watts.iter().sum());
    Some(Answer::Meter { description: described(&session.findings()), outlets: received.len(), watts })
}

/// What the driver took it for.
fn described(findings: &[Finding]) -> String {
    let used = || findings.iter().filter(|finding| finding.is_used);
    used()
        .find(|finding| finding.what.starts_with("profile "))
        .map(|profile| format!("{} ({})", profile.value, profile.what))
        .or_else(|| used().find(|finding| finding.what == "register map").map(|map| map.value.clone()))
        .or_else(|| used().next().map(|finding| finding.what.clone()))
        .unwrap_or_default()
}
