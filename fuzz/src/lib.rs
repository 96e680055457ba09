//! What is fuzzed: every parser of bytes from outside, each as a function that must return, whatever it is given.
//!
//! libFuzzer runs these through `fuzz_targets/`; the product's own tests run them over `seeds/` and mutations of those.

use std::str::from_utf8;
use std::sync::LazyLock;
use std::time::Duration;

use kwapi_bus::{Key, Scheme, Verifier};
use kwapi_core::{Accounting, Energy, Pattern, ProbeId, Quality, Timestamp, Totals, Trace, ranges};
use kwapi_drivers::snmp::{Profile, ProfileCatalogue, evaluate, parse_snmprec};
use kwapi_drivers::{fuzzing, modbus};

/// The name of a target, which is that of its file and of its directory of seeds, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("access_rule", access_rule),
    ("account_record", account_record),
    ("bill_document", bill_document),
    ("certificate", certificate),
    ("curve_keys", curve_keys),
    ("endpoint_url", endpoint_url),
    ("http_challenge", http_challenge),
    ("ipmi_answer", ipmi_answer),
    ("ipmi_datagram", ipmi_datagram),
    ("ipmi_opening", ipmi_opening),
    ("journal", journal),
    ("kasa_answer", kasa_answer),
    ("keystone_token", keystone_token),
    ("message_kwapi_1", message_kwapi_1),
    ("message_legacy", message_legacy),
    ("message_none", message_none),
    ("meters_json", meters_json),
    ("modbus_frame", modbus_frame),
    ("modbus_map", modbus_map),
    ("nats_batch", nats_batch),
    ("nut_line", nut_line),
    ("obis_telegram", obis_telegram),
    ("object_list", object_list),
    ("policy", policy),
    ("probe_pattern", probe_pattern),
    ("prometheus_text", prometheus_text),
    ("push_line", push_line),
    ("rrd", rrd),
    ("session_entry", session_entry),
    ("snmp_datagram", snmp_datagram),
    ("snmp_profile", snmp_profile),
    ("snmp_simulator", snmp_simulator),
    ("snmp_walk", snmp_walk),
    ("trace", trace),
    ("wattsup_record", wattsup_record),
    ("zap_request", zap_request),
];

/// An access rule's path, and on the next line a request's.
pub fn access_rule(bytes: &[u8]) {
    kwapi_plugins::fuzzing::access_rule(bytes);
}

/// A record or a snapshot of accounts.
pub fn account_record(bytes: &[u8]) {
    kwapi_plugins::fuzzing::account_record(bytes);
}

/// A server's certificate, in DER.
pub fn certificate(bytes: &[u8]) {
    kwapi_plugins::fuzzing::certificate(bytes);
}

/// Answers of a Kasa plug or strip, obscured and in clear.
pub fn kasa_answer(bytes: &[u8]) {
    fuzzing::kasa_answer(bytes);
}

/// Keystone's answer about a token.
pub fn keystone_token(bytes: &[u8]) {
    kwapi_plugins::fuzzing::keystone_token(bytes);
}

/// A policy file of oslo.policy's.
pub fn policy(bytes: &[u8]) {
    kwapi_plugins::fuzzing::policy(bytes);
}

/// Digest challenges of HTTP devices.
pub fn http_challenge(bytes: &[u8]) {
    fuzzing::http_challenge(bytes);
}

/// The messages inside a session of an IPMI card.
pub fn ipmi_answer(bytes: &[u8]) {
    fuzzing::ipmi_answer(bytes);
}

/// Datagrams of an IPMI card.
pub fn ipmi_datagram(bytes: &[u8]) {
    fuzzing::ipmi_datagram(bytes);
}

/// The messages that open a session of an IPMI card.
pub fn ipmi_opening(bytes: &[u8]) {
    fuzzing::ipmi_opening(bytes);
}

/// Journal segments.
pub fn journal(bytes: &[u8]) {
    kwapi_history::fuzzing::journal(bytes);
}

const SECRET: &str = "Change This Or Be Hacked";

static KWAPI_1: LazyLock<Option<Verifier>> =
    LazyLock::new(|| Verifier::new(Scheme::Kwapi1, [Key::new("fuzz", SECRET)]).ok());
static LEGACY: LazyLock<Option<Verifier>> =
    LazyLock::new(|| Verifier::new(Scheme::Legacy, [Key::new("fuzz", SECRET)]).ok());
static UNSIGNED: LazyLock<Option<Verifier>> = LazyLock::new(|| Verifier::new(Scheme::None, []).ok());

/// Any two frames at an endpoint with `signature = "kwapi-1"`. Byte 0 is the length of the topic.
pub fn message_kwapi_1(bytes: &[u8]) {
    message(KWAPI_1.as_ref(), bytes);
}

/// Any two frames at an endpoint with `signature = "legacy"`. Byte 0 is the length of the topic.
pub fn message_legacy(bytes: &[u8]) {
    message(LEGACY.as_ref(), bytes);
}

/// Any two frames at an endpoint with `signature = "none"`. Byte 0 is the length of the topic.
pub fn message_none(bytes: &[u8]) {
    message(UNSIGNED.as_ref(), bytes);
}

fn message(verifier: Option<&Verifier>, bytes: &[u8]) {
    assert!(verifier.is_some(), "the key is fit");
    let (Some(verifier), Some((length, frames))) = (verifier, bytes.split_first()) else { return };
    let (topic, payload) = frames.split_at(usize::from(*length).min(frames.len()));
    _ = verifier.decode(&[topic, payload]);
}

/// JSON of every device that sends it: Redfish, Shelly, Tasmota, and documents of the operator's own.
pub fn meters_json(bytes: &[u8]) {
    fuzzing::meters_json(bytes);
}

/// Modbus answers, on TCP and on serial lines.
pub fn modbus_frame(bytes: &[u8]) {
    fuzzing::modbus_frame(bytes);
}

/// Register maps, which an operator writes.
pub fn modbus_map(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    _ = modbus::map::Map::parse(text);
}

/// Lines of a NUT server.
pub fn nut_line(bytes: &[u8]) {
    fuzzing::nut_line(bytes);
}

/// What comes off the line of a P1 port or an optical head: text telegrams, SML.
pub fn obis_telegram(bytes: &[u8]) {
    fuzzing::obis_telegram(bytes);
}

/// The exposition formats of Prometheus and OpenMetrics.
pub fn prometheus_text(bytes: &[u8]) {
    fuzzing::prometheus_text(bytes);
}

/// A line that somebody's script pushes.
pub fn push_line(bytes: &[u8]) {
    fuzzing::push_line(bytes);
}

/// RRD files.
pub fn rrd(bytes: &[u8]) {
    kwapi_history::fuzzing::rrd(bytes, Timestamp::from_seconds(1_700_000_000));
}

/// Datagrams of an SNMP agent, and what every profile makes of the objects in them.
pub fn snmp_datagram(bytes: &[u8]) {
    assert!(CATALOGUE.is_some(), "the profiles are right");
    if let Some(catalogue) = CATALOGUE.as_ref() {
        fuzzing::snmp_datagram(bytes, catalogue);
    }
}

/// A profile of an operator's own directory.
pub fn snmp_profile(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    _ = Profile::parse("fuzz.toml", text);
}

/// A request as it reaches the simulated rack's agent.
pub fn snmp_simulator(bytes: &[u8]) {
    kwapi_simulators::fuzzing::snmp_request(bytes);
}

static CATALOGUE: LazyLock<Option<ProfileCatalogue>> = LazyLock::new(|| ProfileCatalogue::built_in().ok());

/// A recorded walk of a device, as somebody sends it in, under every profile.
pub fn snmp_walk(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    assert!(CATALOGUE.is_some(), "the profiles are right");
    if let (Ok(walk), Some(catalogue)) = (parse_snmprec(text), CATALOGUE.as_ref()) {
        for profile in catalogue.iter() {
            evaluate(profile, &walk);
        }
    }
}

/// A Watts up? record, as it comes off the serial line.
pub fn wattsup_record(bytes: &[u8]) {
    fuzzing::wattsup_record(bytes);
}

/// A stored bill, or a correction of one, printed in every form.
pub fn bill_document(bytes: &[u8]) {
    kwapi_plugins::fuzzing::bill_document(bytes);
}

/// Keys of an encrypted endpoint, a line each.
pub fn curve_keys(bytes: &[u8]) {
    kwapi_bus::fuzzing::curve_keys(bytes);
}

/// An endpoint's address.
pub fn endpoint_url(bytes: &[u8]) {
    kwapi_bus::fuzzing::endpoint_url(bytes);
}

/// A message of NATS that may hold many measurements.
pub fn nats_batch(bytes: &[u8]) {
    kwapi_bus::fuzzing::nats_batch(bytes);
}

/// What a server of object storage answers.
pub fn object_list(bytes: &[u8]) {
    kwapi_plugins::fuzzing::object_list(bytes);
}

/// A slot of the driver manager's state.
pub fn session_entry(bytes: &[u8]) {
    fuzzing::session_entry(bytes);
}

/// A request of libzmq about a client that wants to connect.
pub fn zap_request(bytes: &[u8]) {
    kwapi_bus::fuzzing::zap_request(bytes);
}

/// A pattern of probes, with ranges in brackets.
pub fn probe_pattern(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let probe = ProbeId::new("lyon.taurus-7");
    for pattern in Pattern::expand(text, 1_000).unwrap_or_default() {
        _ = probe.as_ref().map(|probe| pattern.matches(probe));
        _ = pattern.topic_prefix();
    }
    for named in ranges::expand(text, 100).unwrap_or_default() {
        _ = named.fill_in("{host}.{1}.{2}");
    }
}

/// What the ledger has of a probe's time, and the message after it.
pub fn trace(bytes: &[u8]) {
    let Ok(mut trace) = Trace::decode(bytes) else { return };
    let gap = Duration::from_secs(10);
    let mut account = trace.account().clone();
    account.resume(Duration::ZERO);
    let mut pieces = Vec::new();
    for seq in 0..4 {
        let at = Timestamp::from_seconds(1_800_000_000 + seq * 7);
        let totals = Totals {
            energy: Energy::from_millijoules(700_000 * seq),
            measured_ms: 7_000 * seq,
            ..Totals::default()
        };
        let session = Timestamp::from_seconds(1_800_000_000);
        let quality = Quality::Measured;
        let message = Accounting { timestamp: at, session, seq, totals, curve: None, meter: None, quality };
        let received_at = Duration::from_secs(1_000 + seq * 7);
        if let Ok(credit) = account.credit(&message, received_at, gap) {
            trace.take(at, Some(&message), &credit.decision, &credit.totals, &mut pieces);
        }
    }
    let mut out = Vec::new();
    trace.encode(&mut out);
}
