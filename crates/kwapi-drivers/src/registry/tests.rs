use std::sync::atomic::{AtomicUsize, Ordering};

use kwapi_core::{ProbeId, Reading, Secret};
use serde::Deserialize;

use super::*;

static SHARED_ALIVE: AtomicUsize = AtomicUsize::new(0);

struct Probe(ProbeId);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[expect(dead_code, reason = "only read by serde")]
    host: String,
    #[serde(default)]
    #[expect(dead_code, reason = "only read by serde")]
    password: Secret,
    #[serde(default)]
    #[expect(dead_code, reason = "only read by serde")]
    mode: Option<Mode>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Slow,
}

struct Shared;

impl Default for Shared {
    fn default() -> Self {
        SHARED_ALIVE.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        SHARED_ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Driver for Probe {
    const NAME: &'static str = "test";
    const SUMMARY: &'static str = "nothing";
    type Config = Keys;
    type Shared = Shared;

    async fn open(_: &Keys, outlets: &Outlets, _: &Arc<Shared>) -> Result<Self, DriverError> {
        Ok(Self(outlets.only()?))
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        readings.push(&self.0, Ok(Reading::watts(7.0)));
        Ok(())
    }
}

const TEST: Entry = Entry::of::<Probe>();

fn configured(keys: &str) -> Result<Configured, ConfigError> {
    TEST.configure(keys.parse().expect("TOML"))
}

#[track_caller]
fn check(keys: &str, key: Option<&str>, message: &str, expected: &[&str]) {
    let error = configured(keys).expect_err("keys that are wrong");
    assert_eq!((error.key.as_deref(), error.message.as_str()), (key, message));
    assert_eq!(error.expected, expected);
}

#[test]
fn a_wrong_key_is_named_with_the_right_ones() {
    check(
        "host = 'a'\npasword = 'x'",
        Some("pasword"),
        "unknown field `pasword`, expected one of `host`, `password`, `mode`",
        &["host", "password", "mode"],
    );
    check("", Some("host"), "missing field `host`", &[]);
    check(
        "host = 'a'\nmode = 'quick'",
        Some("mode"),
        "unknown variant `quick`, expected `fast` or `slow`",
        &["fast", "slow"],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_not_repeated() {
    check("host = 'a'\npassword = 12345", Some("password"), "invalid type: integer, expected a string", &[]);
}

#[test]
fn equal_keys_are_the_same_meter_and_secrets_do_not_print() {
    let one = configured("host = 'a'\npassword = 'hunter2'").unwrap();
    assert_eq!(one, configured("password = 'hunter2'\nhost = 'a'").unwrap());
    assert_ne!(one, configured("password = 'hunter3'\nhost = 'a'").unwrap());
    let printed = format!("{one:?}");
    assert!(printed.contains("\"a\"") && !printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn what_is_shared_lives_from_the_first_meter_to_the_last() {
    let pool = SharedPool::default();
    let configured = configured("host = 'a'").unwrap();
    let (first, second) = (configured.connector(&pool), configured.connector(&pool));
    assert_eq!(SHARED_ALIVE.load(Ordering::SeqCst), 1);
    drop(first);
    let outlets = Outlets::by_position([Some(ProbeId::new("p").unwrap())]);
    let mut readings = Readings::default();
    second.open(&outlets).await.unwrap().read(&mut readings).await.unwrap();
    assert_eq!(readings.len(), 1);
    drop(second);
    assert_eq!(SHARED_ALIVE.load(Ordering::SeqCst), 0);
}

#[test]
fn a_driver_names_its_keys() {
    assert_eq!(TEST.keys(), ["host", "password", "mode"]);
    for entry in DRIVERS {
        assert!(!entry.keys().is_empty(), "{}", entry.name);
    }
}

#[test]
fn driver_names_are_unique_and_described() {
    for (index, entry) in DRIVERS.iter().enumerate() {
        assert!(!entry.summary.is_empty(), "{}", entry.name);
        assert!(DRIVERS.iter().skip(index + 1).all(|other| other.name != entry.name), "{}", entry.name);
    }
}
