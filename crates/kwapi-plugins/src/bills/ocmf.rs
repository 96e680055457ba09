//! Readings that a payer can check: the register at the begin and the end of what is billed, as a signed record of the Open
//! Charge Metering Format (OCMF 1.0), which programs of others verify. Signed with ECDSA on the curve secp256r1 and SHA-256.
//!
//! The key is made when the first bill is closed, and lies in the state directory, readable by its owner alone. A backup does
//! not have it: bills that are closed after a restore have another one. The public key is in the document.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use kwapi_core::{BillProbe, ProbeId, hex};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::facts::kwh;
use super::month::milliseconds;
use super::run::MadeBill;

/// The key, in the state directory: PKCS #8 as PEM.
const KEY: &str = "bill-key.pem";
/// What stands before the point of a public key on secp256r1: its algorithm and curve (RFC 5480, 2.1.1.1).
const PUBLIC_KEY_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Imported active energy, of all phases (OBIS).
const REGISTER: &str = "01-00:01.08.00*FF";

/// The key that readings are signed with.
#[derive(Debug)]
pub struct BillKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

/// Signed readings of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SignedReadings {
    /// `SubjectPublicKeyInfo` in DER, in hexadecimal digits.
    pub(super) public_key: String,
    pub(super) records: Vec<SignedRecord>,
}

/// The readings of a probe at begin and end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SignedRecord {
    pub(super) probe: ProbeId,
    /// OCMF.
    record: String,
}

impl BillKey {
    /// The key of the state directory `state`, which is made where there is none.
    ///
    /// # Errors
    /// When it cannot be read or made, as one line.
    pub fn open(state: &Path) -> Result<Self, String> {
        let path = state.join(KEY);
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        if !path.exists() {
            make(state, &path).map_err(|error| failed(&error))?;
        }
        let key = PrivatePkcs8KeyDer::from_pem_file(&path).map_err(|error| failed(&error))?;
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der(), &random);
        let pair = pair.map_err(|error| failed(&format_args!("not a key on secp256r1: {error}")))?;
        Ok(Self { pair, random })
    }

    fn public_key(&self) -> Vec<u8> {
        [&PUBLIC_KEY_HEAD, self.pair.public_key().as_ref()].concat()
    }

    /// Signs the readings of a bill.
    ///
    /// # Errors
    /// When there is no randomness, as one line.
    pub(super) fn sign(&self, made: &MadeBill, version: &str) -> Result<SignedReadings, String> {
        let public_key = self.public_key();
        let signer = hex::encode(&Sha256::digest(&public_key)).chars().take(16).collect::<String>();
        let mut records: Vec<SignedRecord> = Vec::new();
        let mut last: Option<&BillProbe> = None;
        let mut probes: Vec<&BillProbe> = made.bill.values.iter().flat_map(|value| &value.probes).collect();
        probes.sort_by(|one, other| {
            (&one.probe, one.from_ms, one.until_ms).cmp(&(&other.probe, other.from_ms, other.until_ms))
        });
        for of in probes {
            // Several who share a probe have the same readings.
            let is_same = |last: &BillProbe| {
                (&last.probe, last.from_ms, last.until_ms) == (&of.probe, of.from_ms, of.until_ms)
            };
            if last.is_some_and(is_same) {
                continue;
            }
            last = Some(of);
            let payload = payload(of, &made.facts.zone, &signer, version, records.len().saturating_add(1));
            let signature = self.pair.sign(&self.random, payload.as_bytes());
            let signature = signature.map_err(|_| "cannot sign the readings: no randomness".to_owned())?;
            let signature = hex::encode(signature.as_ref());
            let record =
                format!("OCMF|{payload}|{{\"SA\":\"ECDSA-secp256r1-SHA256\",\"SD\":\"{signature}\"}}");
            records.push(SignedRecord { probe: of.probe.clone(), record });
        }
        Ok(SignedReadings { public_key: hex::encode(&public_key), records })
    }
}

impl SignedReadings {
    /// A record a line.
    pub(super) fn text(&self) -> String {
        self.records.iter().map(|record| record.record.clone() + "\n").collect()
    }
}

/// What is signed: the register of a probe at two instants (OCMF 1.0, payload).
fn payload(of: &BillProbe, zone: &TimeZone, signer: &str, version: &str, number: usize) -> String {
    // What separates the sections of a record must not stand in one.
    let text = |text: &str| serde_json::Value::from(text).to_string().replace('|', "\\u007c");
    let reading = |kind: &str, at_ms: u64, wh: i64| {
        let at = instant(at_ms, zone);
        format!(
            "{{\"TM\":\"{at} I\",\"TX\":\"{kind}\",\"RV\":{},\"RI\":\"{REGISTER}\",\"RU\":\"kWh\",\"RT\":\"AC\",\"EF\":\"\",\"ST\":\"G\"}}",
            kwh(wh)
        )
    };
    let [begin, end] = of.register_wh;
    format!(
        "{{\"FV\":\"1.0\",\"GI\":\"Kwapi\",\"GS\":\"{signer}\",\"GV\":{},\"PG\":\"T{number}\",\"MS\":{},\"IS\":false,\"IL\":\"NONE\",\"IF\":[],\"IT\":\"NONE\",\"ID\":\"\",\"RD\":[{},{}]}}",
        text(version),
        text(of.probe.as_str()),
        reading("B", of.from_ms, begin),
        reading("E", of.until_ms, end),
    )
}

/// As OCMF has it: `2026-10-01T00:00:00,000+0200`.
fn instant(at_ms: u64, zone: &TimeZone) -> String {
    let micros = i64::try_from(milliseconds(at_ms).micros()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S,000%z").to_string()
}

/// Makes a key. It has its name once it is on the disk; of two processes that make one, the other's stays.
fn make(state: &Path, path: &Path) -> io::Result<()> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let key = key.map_err(|_| io::Error::other("no randomness to make a key"))?;
    let digits = STANDARD.encode(key.as_ref());
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in digits.as_bytes().chunks(64) {
        pem += &String::from_utf8_lossy(line);
        pem += "\n";
    }
    pem += "-----END PRIVATE KEY-----\n";
    fs::create_dir_all(state)?;
    let unfinished = state.join(format!(".{KEY}.{}", std::process::id()));
    // What a kill left there is of an earlier process.
    _ = fs::remove_file(&unfinished);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let linked = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| {
        match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => File::open(state)?.sync_all(),
        }
    });
    fs::remove_file(&unfinished)?;
    linked
}
