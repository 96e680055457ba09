//! Where the watts of our simulated cards come from: DCMI and sensors, in good order and not.

use kwapi_simulators::ipmi::{CardOptions, Dcmi, Fault, SensorRecord};

use super::*;

async fn card_with_dcmi(dcmi: Dcmi) -> Card {
    card(CardOptions { dcmi, ..CardOptions::default() }).await
}

/// A card whose watts come from these sensors alone.
async fn card_with_sensors(sensors: Vec<SensorRecord>) -> Card {
    card(CardOptions { dcmi: Dcmi::Absent, sensors, ..CardOptions::default() }).await
}

#[tokio::test]
async fn watts_of_a_card_that_says_it_does_not_measure_are_an_estimate() {
    check(&said(&keys(&card_with_dcmi(Dcmi::SaysInactive).await)).await, "236 W (estimated)");
}

#[tokio::test]
async fn a_dead_dcmi_is_no_zero() {
    let with_sensor = card_with_dcmi(Dcmi::Dead).await;
    check(&said(&keys(&with_sensor)).await, "236 W");
    let without = card(CardOptions { dcmi: Dcmi::Dead, sensors: vec![], ..CardOptions::default() }).await;
    check(&said(&keys(&without)).await, "not available");
}

#[tokio::test]
async fn a_machine_that_draws_nothing_is_measured_so() {
    let card = card(CardOptions::default()).await;
    card.set_watts(0);
    assert_eq!(said(&keys(&card)).await, "0 W");
}

#[tokio::test]
async fn an_absurd_power_is_implausible() {
    let card = card_with_dcmi(Dcmi::OverItsMaximum).await;
    let config = Config { source: SourceWanted::Dcmi, ..keys(&card) };
    check(&said(&config).await, "implausible: 2596 W is over 10 times");
}

#[tokio::test]
async fn the_first_call_after_idleness_may_fail() {
    check(&said(&keys(&card_with_dcmi(Dcmi::FailsFirst(2)).await)).await, "236 W");
}

#[tokio::test]
async fn a_card_without_power_says_so_and_never_zero() {
    let card = card_with_sensors(vec![SensorRecord::full(1, "Temp", 1, 1)]).await;
    let said = said(&keys(&card)).await;
    check(
        &said,
        "no power to read: DCMI Get Power Reading: no such command (0xc1); the card has no sensor in watts",
    );
}

#[tokio::test]
async fn a_card_that_ignores_dcmi_is_read_by_its_sensor_at_the_second_attempt() {
    let card = card_with_dcmi(Dcmi::Ignored).await;
    let shared = Arc::default();
    assert!(matches!(
        Ipmi::open(&impatient_keys(&card), &outlets(), &shared).await,
        Err(DriverError::Link(_))
    ));
    let mut meter = Ipmi::open(&impatient_keys(&card), &outlets(), &shared).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)));
}

fn supplies() -> Vec<SensorRecord> {
    vec![
        SensorRecord::locator(),
        SensorRecord::full(1, "Ambient Temp", 1, 1),
        SensorRecord::watts(2, "PS1 Input Power", 2),
        SensorRecord::watts(3, "PS2 Input Power", 2),
        SensorRecord::watts(4, "CPU1 Power", 1),
    ]
}

#[tokio::test]
async fn supplies_are_summed_and_findings_say_why() {
    let card = card_with_sensors(supplies()).await;
    let mut meter = open(&keys(&card)).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(472.0)), "twice 236 W");
    let findings: Vec<_> = meter
        .findings()
        .into_iter()
        .map(|finding| {
            format!("{} | {} | {} | {}", finding.what, finding.value, finding.is_used, finding.why)
        })
        .collect();
    assert_eq!(
        findings,
        [
            "DCMI Get Power Reading | no such command (0xc1) | false | the card does not offer it to this account",
            "sensor \"PS1 Input Power\" | steps of 2 W | true | together the supplies draw what the machine draws",
            "sensor \"PS2 Input Power\" | steps of 2 W | true | together the supplies draw what the machine draws",
            "sensor \"CPU1 Power\" | steps of 1 W | false | it measures a part, or is a limit",
        ]
    );
}

#[tokio::test]
async fn a_total_is_never_added_to_its_parts() {
    let mut sensors = supplies();
    sensors.push(SensorRecord::watts(5, "System Level", 2));
    check(&said(&keys(&card_with_sensors(sensors).await)).await, "236 W");
}

#[tokio::test]
async fn a_sum_without_one_of_its_parts_is_no_sum() {
    let card = card_with_sensors(vec![
        SensorRecord::watts(2, "PS1 Input Power", 2),
        SensorRecord::watts(3, "PS2 Input Power", 2).unavailable(),
    ])
    .await;
    check(&said(&keys(&card)).await, "not available: sensor \"PS2 Input Power\" has no reading");
    let named = Config { sensor: Some(SensorNames::One("ps1 input power".into())), ..keys(&card) };
    check(&said(&named).await, "236 W");
}

#[tokio::test]
async fn records_are_read_in_parts_a_small_card_can_return() {
    let card = card(CardOptions {
        dcmi: Dcmi::Absent,
        record_bytes_max: 8,
        sensors: supplies(),
        ..CardOptions::default()
    })
    .await;
    check(&said(&keys(&card)).await, "472 W");
}

#[tokio::test]
async fn a_lost_reservation_is_renewed() {
    let card = card_with_sensors(supplies()).await;
    card.set_fault(Fault::LosesReservations(7));
    check(&said(&keys(&card)).await, "472 W");
}

#[tokio::test]
async fn the_repository_is_read_once_and_goes_on_where_it_was_interrupted() {
    let whole = card_with_sensors(supplies()).await;
    check(&said(&keys(&whole)).await, "472 W");

    let card = card_with_sensors(supplies()).await;
    let shared = Arc::default();
    let config = impatient_keys(&card);
    let outlets = outlets();
    card.set_fault(Fault::StopsRecords(10));
    let error = Ipmi::open(&config, &outlets, &shared).await.unwrap_err();
    check(&error.to_string(), "no answer to Get SDR");
    card.set_fault(Fault::None);
    let interrupted = card.record_reads();
    drop(Ipmi::open(&config, &outlets, &shared).await.unwrap());
    let reads = card.record_reads();
    assert!(
        reads - interrupted < whole.record_reads() - 5,
        "{interrupted} reads, then {}",
        reads - interrupted
    );

    let mut meter = Ipmi::open(&config, &outlets, &shared).await.unwrap();
    assert_eq!(card.record_reads(), reads, "the third session reads no record");
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(472.0)));
}

#[tokio::test]
async fn the_simulated_card_is_what_ipmitool_takes_it_for() {
    if !kwapi_peers::need(&["ipmitool"]) {
        return;
    }
    let card = card(CardOptions::default()).await;
    for suite in ["3", "17"] {
        for (arguments, expected) in
            [(["dcmi", "power", "reading"], "236 Watts"), (["sensor", "reading", "Power"], "236")]
        {
            let port = card.address().port().to_string();
            let mut command = tokio::task::spawn_blocking(move || {
                let mut command = std::process::Command::new("ipmitool");
                command.args([
                    "-I",
                    "lanplus",
                    "-H",
                    "127.0.0.1",
                    "-p",
                    &port,
                    "-U",
                    "user",
                    "-P",
                    "secret",
                    "-C",
                    suite,
                ]);
                kwapi_peers::output(command.args(arguments))
            });
            check(&(&mut command).await.unwrap(), expected);
        }
    }
}
