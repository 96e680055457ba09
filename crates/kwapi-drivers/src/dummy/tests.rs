use crate::driver::ReadRequest;

use super::*;

async fn read(config: &DummyConfig, outlets: &Outlets) -> Result<Vec<String>, DriverError> {
    let mut meter = Dummy::open(config, outlets, &Arc::default()).await?;
    let mut readings = Readings::default();
    meter.read(&mut readings).await?;
    Ok(readings.drain().map(|(probe, reading)| format!("{probe} {}", reading.unwrap())).collect())
}

#[tokio::test]
async fn all_outlets_are_named_by_the_template() {
    let config = DummyConfig { outlets: 2, ..DummyConfig::default() };
    assert_eq!(
        read(&config, &Outlets::all("load.{outlet}")).await.unwrap(),
        ["load.1 100 W", "load.2 100 W"]
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_watts_within_the_jitter() {
    let outlets = Outlets::all("{outlet}");
    let config = DummyConfig { jitter_watts: 30.0, outlets: 50, seed: 7, ..DummyConfig::default() };
    let once = read(&config, &outlets).await.unwrap();
    assert_eq!(once, read(&config, &outlets).await.unwrap());
    assert_ne!(once, read(&DummyConfig { seed: 8, ..config }, &outlets).await.unwrap());
    for line in once {
        let watts: f64 = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!((70.0..=130.0).contains(&watts), "{line}");
        assert!(line.len() <= "50 129.999 W".len(), "no meter has more digits: {line}");
    }
}

#[tokio::test]
async fn each_value_that_is_due_is_of_its_own_instant_on_the_sine() {
    let config =
        DummyConfig { swing_watts: 50.0, swing_seconds: 0.004, outlets: 2, ..DummyConfig::default() };
    let mut meter = Dummy::open(&config, &Outlets::all("{outlet}"), &Arc::default()).await.unwrap();
    let mut readings = Readings::default();
    let (millisecond, half) = (Duration::from_millis(1), Duration::from_micros(500));
    let at = Timestamp::from_seconds(1_800_000_000).after(half);
    readings.request(ReadRequest { at, newest_age: half, interval: millisecond, before: 3 });
    meter.read(&mut readings).await.unwrap();
    let outcome: Vec<_> = readings.drain().map(|(probe, reading)| (probe, reading.unwrap())).collect();
    // A quarter of a period apart, the last at its begin.
    let texts: Vec<_> = outcome.iter().map(|(probe, reading)| format!("{probe}: {reading}")).collect();
    let expected =
        ["1: 150 W", "2: 150 W", "1: 100 W", "2: 100 W", "1: 50 W", "2: 50 W", "1: 100 W", "2: 100 W"];
    assert_eq!(texts, expected);
    let ages: Vec<_> = outcome.iter().step_by(2).map(|(_, reading)| reading.age).collect();
    assert_eq!(ages, [3, 2, 1, 0].map(|before| half + millisecond * before));
}

#[tokio::test]
async fn nonsense_is_refused() {
    for config in [
        DummyConfig { watts: f64::NAN, ..DummyConfig::default() },
        DummyConfig { jitter_watts: -1.0, ..DummyConfig::default() },
        DummyConfig { outlets: OUTLETS_MAX + 1, ..DummyConfig::default() },
        DummyConfig { swing_watts: 100.5, ..DummyConfig::default() },
        DummyConfig { swing_seconds: 0.0, ..DummyConfig::default() },
        DummyConfig { swing_seconds: f64::INFINITY, ..DummyConfig::default() },
    ] {
        let error = read(&config, &Outlets::all("{outlet}")).await.unwrap_err();
        assert!(matches!(error, DriverError::Refused(_)), "{error}");
    }
}
