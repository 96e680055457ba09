//! Against our simulated cards, for the faults that well-behaved programs do not have.

use kwapi_simulators::ipmi::{Card, CardOptions, Dcmi, Fault, SensorRecord};

use super::*;

/// A card that measures 236 W.
async fn card(options: CardOptions) -> Card {
    let card = Card::start(([127, 0, 0, 1], 0), options).await.unwrap();
    card.set_watts(236);
    card
}

async fn card_with_dcmi(dcmi: Dcmi) -> Card {
    card(CardOptions { dcmi, ..CardOptions::default() }).await
}

/// A card whose watts come from these sensors alone.
async fn card_with_sensors(sensors: Vec<SensorRecord>) -> Card {
    card(CardOptions { dcmi: Dcmi::Absent, sensors, ..CardOptions::default() }).await
}

fn keys(card: &Card) -> Config {
    config(card.address().port())
}

/// For tests that wait for an answer that does not come.
fn impatient_keys(card: &Card) -> Config {
    Config { timeout_seconds: 1.0, ..keys(card) }
}

/// Checks what an operator sees of a card.
#[track_caller]
fn check(said: &str, expected: &str) {
    assert!(said.contains(expected), "{said:?} should say {expected:?}");
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within two seconds");
}

#[tokio::test]
async fn the_best_suite_is_taken_and_suite_3_where_there_is_no_other() {
    for (suites, expected) in [(vec![3, 17], 17), (vec![3], 3), (vec![17], 17)] {
        let card = card(CardOptions { suites, ..CardOptions::default() }).await;
        let mut meter = open(&keys(&card)).await.unwrap();
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)));
        assert_eq!(meter.shared.memory(card.address()).lock().suite, Some(expected));
    }
}

#[tokio::test]
async fn no_common_suite_says_which_ones_would_do() {
    let card = card(CardOptions { suites: vec![], ..CardOptions::default() }).await;
    check(&said(&keys(&card)).await, "enable suite 17 or 3");
}

#[tokio::test]
async fn a_card_key_is_needed_where_the_card_has_one() {
    let card_key = Some(vec![0xAB, 0xCD, 0x01]);
    for suites in [vec![3], vec![17]] {
        let card = card(CardOptions { card_key: card_key.clone(), suites, ..CardOptions::default() }).await;
        check(&said(&keys(&card)).await, "set kg");
        check(&said(&Config { kg: Some(Secret::new("0xABCD01")), ..keys(&card) }).await, "236 W");
        check(
            &said(&Config { kg: Some(Secret::new("0xABCD02")), ..keys(&card) }).await,
            "kg is not the card's",
        );
    }
}

#[tokio::test]
async fn a_wrong_password_is_noticed_without_the_card_counting_it() {
    let card = card(CardOptions::default()).await;
    let error = open(&Config { password: Secret::new("hunter2"), ..keys(&card) }).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused(_)));
    check(&error.to_string(), "wrong password for user \"user\"");
    assert_eq!(card.wrong_proofs(), 0);
}

#[tokio::test]
async fn an_account_of_any_privilege_is_read_and_the_card_says_when_it_is_too_low() {
    for privilege_max in [2, 3, 4] {
        let card = card(CardOptions { privilege_max, ..CardOptions::default() }).await;
        check(&said(&keys(&card)).await, "236 W");
    }
    let card = card(CardOptions { privilege_max: 2, dcmi: Dcmi::Wants(3), ..CardOptions::default() }).await;
    let wanted = Config { privilege: Some(Privilege::Operator), ..keys(&card) };
    check(&said(&wanted).await, "may not have the privilege \"operator\"");
    let only_dcmi = Config { source: SourceWanted::Dcmi, ..keys(&card) };
    check(&said(&only_dcmi).await, "set privilege to \"operator\" or \"administrator\"");
    // Its sensors ask for no more than "user".
    check(&said(&keys(&card)).await, "236 W");
}

#[tokio::test]
async fn a_dropped_meter_closes_its_session() {
    let card = card(CardOptions::default()).await;
    let meter = open(&keys(&card)).await.unwrap();
    assert_eq!(card.sessions(), 1);
    drop(meter);
    until(|| card.sessions() == 0).await;
}

#[tokio::test]
async fn two_meters_of_one_card_do_not_mix_their_answers_up() {
    let card = card(CardOptions::default()).await;
    let shared = Arc::<Shared>::default();
    let config = keys(&card);
    let sensor = Config { source: SourceWanted::Sensor, ..config.clone() };
    let outlets = outlets();
    let both = tokio::join!(Ipmi::open(&config, &outlets, &shared), Ipmi::open(&sensor, &outlets, &shared));
    let (mut first, mut second) = (both.0.unwrap(), both.1.unwrap());
    for _ in 0..20 {
        let readings = tokio::join!(read(&mut first), read(&mut second));
        assert_eq!(
            (readings.0.unwrap(), readings.1.unwrap()),
            (Ok(Reading::watts(236.0)), Ok(Reading::watts(236.0)))
        );
    }
    drop(first);
    assert_eq!(read(&mut second).await.unwrap(), Ok(Reading::watts(236.0)));
}

#[tokio::test]
async fn a_card_whose_sessions_are_taken_is_busy() {
    let card = card(CardOptions::default()).await;
    let mut meters = Vec::new();
    for _ in 0..4 {
        meters.push(open(&keys(&card)).await.unwrap());
    }
    let error = open(&keys(&card)).await.unwrap_err();
    assert!(matches!(error, DriverError::Busy(_)), "{error}");
}

#[tokio::test]
async fn busy_keeps_the_session_and_the_next_round_reads() {
    let card = card(CardOptions::default()).await;
    let mut meter = open(&keys(&card)).await.unwrap();
    card.set_fault(Fault::Busy);
    let error = read(&mut meter).await.unwrap_err();
    assert!(matches!(&error, DriverError::Busy(message) if message.contains("0xc0")), "{error}");
    card.set_fault(Fault::None);
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)));
}

#[tokio::test]
async fn a_card_that_hangs_sends_halves_or_noise_is_a_lost_link() {
    let card = card(CardOptions::default()).await;
    for (fault, expected) in [
        (Fault::Hang, "no answer to DCMI Get Power Reading"),
        (Fault::HalfPacket, "3 unusable datagrams and no answer"),
        (Fault::Garbage, "no answer to DCMI Get Power Reading"),
    ] {
        let mut meter = open(&impatient_keys(&card)).await.unwrap();
        card.set_fault(fault);
        let error = read(&mut meter).await.unwrap_err();
        assert!(matches!(error, DriverError::Link(_)), "{error}");
        check(&error.to_string(), expected);
        check(&error.to_string(), &card.address().to_string());
        check(
            &open(&impatient_keys(&card)).await.unwrap_err().to_string(),
            "to Get Channel Authentication Capabilities",
        );
        card.set_fault(Fault::None);
    }
}

#[tokio::test]
async fn lost_datagrams_are_sent_again_within_one_reading() {
    let card = card(CardOptions::default()).await;
    card.set_fault(Fault::Lossy);
    let mut meter = open(&impatient_keys(&card)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)));
    }
}

#[tokio::test]
async fn a_restarted_card_is_a_lost_link_and_opens_again() {
    let card = card(CardOptions::default()).await;
    let mut meter = open(&impatient_keys(&card)).await.unwrap();
    card.forget_sessions();
    assert!(matches!(read(&mut meter).await, Err(DriverError::Link(_))));
    check(&said(&impatient_keys(&card)).await, "236 W");
}

#[tokio::test]
async fn a_session_that_was_silent_for_long_is_opened_anew_before_the_reading() {
    let card = card(CardOptions::default()).await;
    let mut meter = open(&impatient_keys(&card)).await.unwrap();
    // A card closes what was silent for a minute.
    card.forget_sessions();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(55)).await;
    tokio::time::resume();
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)));
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
