//! Where the watts of our simulated cards come from: DCMI and sensors, in good order and not.

use kwapi_simulators::ipmi::{BmcFault, CardOptions, Dcmi, ManagementEngine, Returns, SensorRecord};

use super::*;

async fn card_with_dcmi(dcmi: Dcmi) -> Card {
    card(CardOptions { dcmi, ..CardOptions::default() }).await
}

/// A card whose watts come from these sensors alone.
async fn card_with_sensors(sensors: Vec<SensorRecord>) -> Card {
    card(CardOptions { dcmi: Dcmi::Absent, sensors, ..CardOptions::default() }).await
}

#[tokio::test]
async fn watts_of_a_card_that_reports_it_does_not_measure_are_an_estimate() {
    check(&reading_text(&keys(&card_with_dcmi(Dcmi::ReportsInactive).await)).await, "236 W (estimated)");
}

#[tokio::test]
async fn a_dead_dcmi_is_no_zero() {
    let with_sensor = card_with_dcmi(Dcmi::Dead).await;
    check(&reading_text(&keys(&with_sensor)).await, "236 W");
    let without = card(CardOptions { dcmi: Dcmi::Dead, sensors: vec![], ..CardOptions::default() }).await;
    check(&reading_text(&keys(&without)).await, "not available");
}

#[tokio::test]
async fn a_machine_that_draws_nothing_is_measured_so() {
    let card = card(CardOptions::default()).await;
    card.set_watts(0);
    assert_eq!(reading_text(&keys(&card)).await, "0 W");
}

#[tokio::test]
async fn an_absurd_power_is_implausible() {
    let card = card_with_dcmi(Dcmi::OverItsMaximum).await;
    let config = IpmiConfig { source: SourceWanted::Dcmi, ..keys(&card) };
    check(&reading_text(&config).await, "implausible: 2596 W is over 10 times");
}

#[tokio::test]
async fn the_first_call_after_idleness_may_fail() {
    check(&reading_text(&keys(&card_with_dcmi(Dcmi::FailsFirst(2)).await)).await, "236 W");
}

#[tokio::test]
async fn a_card_without_power_reports_it_and_never_zero() {
    let card = card_with_sensors(vec![SensorRecord::full(1, "Temp", 1, 1)]).await;
    let text = reading_text(&keys(&card)).await;
    check(
        &text,
        "no power reading: DCMI Get Power Reading: invalid command (0xc1); the BMC has no sensor in watts",
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
    // And not queried again in the same session, which that would cost.
    pass(&mut meter, 630).await;
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
async fn supplies_are_summed_and_findings_report_why() {
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
            "DCMI Get Power Reading | invalid command (0xc1) | false | not available to this user",
            "sensor \"PS1 Input Power\" | steps of 2 W | true | the power supplies together draw what the machine draws",
            "sensor \"PS2 Input Power\" | steps of 2 W | true | the power supplies together draw what the machine draws",
            "sensor \"CPU1 Power\" | steps of 1 W | false | measures a part only, or is a limit",
        ]
    );
}

#[tokio::test]
async fn a_total_is_never_added_to_its_parts() {
    let mut sensors = supplies();
    sensors.push(SensorRecord::watts(5, "System Level", 2));
    check(&reading_text(&keys(&card_with_sensors(sensors).await)).await, "236 W");
}

/// Lets so many seconds pass for whoever measures time, without waiting them; a session is silent no longer than allowed.
async fn pass(meter: &mut Ipmi, seconds: u64) {
    for _ in 0..seconds.div_ceil(30) {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(30)).await;
        tokio::time::resume();
        _ = read(meter).await.unwrap();
    }
}

#[tokio::test]
async fn a_supply_that_is_not_fitted_is_left_out_and_one_that_goes_is_missed() {
    let card = card_with_sensors(vec![
        SensorRecord::watts(2, "PS1 Input Power", 2),
        SensorRecord::watts(3, "PS2 Input Power", 2).unavailable(),
    ])
    .await;
    let mut meter = open(&keys(&card)).await.unwrap();
    let estimated = |watts| Ok(Reading { quality: Quality::Estimated, ..Reading::watts(watts) });
    assert_eq!(read(&mut meter).await.unwrap(), estimated(236.0));
    let findings = meter.findings();
    assert!(findings[2].what.contains("PS2") && !findings[2].is_used, "{findings:?}");
    check(&findings[2].why, "no reading; ignored, so the sum is estimated");
    let named = IpmiConfig { sensor: Some(SensorNames::One("ps1 input power".into())), ..keys(&card) };
    check(&reading_text(&named).await, "236 W");
    let both = SensorNames::Several(vec!["PS1 Input Power".into(), "PS2 Input Power".into()]);
    check(
        &reading_text(&IpmiConfig { sensor: Some(both), ..keys(&card) }).await,
        "sensor \"PS2 Input Power\" has no reading",
    );

    // It is put in: found after a while. Then the other one goes: no sum for a while, then without it.
    card.set_available(3, true);
    pass(&mut meter, 630).await;
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(472.0)));
    card.set_available(2, false);
    let missing = read(&mut meter).await.unwrap().unwrap_err().to_string();
    check(&missing, "not available: sensor \"PS1 Input Power\" has no reading");
    pass(&mut meter, 630).await;
    assert_eq!(read(&mut meter).await.unwrap(), estimated(236.0));
}

#[tokio::test]
async fn what_dcmi_reports_in_place_of_nothing_gives_way_to_the_sensors() {
    for nothing in [0xFFFF, 0] {
        let card =
            card(CardOptions { dcmi: Dcmi::Reports(nothing), sensors: supplies(), ..CardOptions::default() })
                .await;
        let mut meter = open(&keys(&card)).await.unwrap();
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(472.0)));
        let dcmi = meter.findings().swap_remove(0);
        assert!(!dcmi.is_used && dcmi.value.starts_with(&format!("{nothing} W")), "{dcmi:?}");
        // DCMI comes to: it is the better source.
        card.set_dcmi(Dcmi::Active);
        pass(&mut meter, 630).await;
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)));
        // And goes again, in the middle of a run.
        card.set_dcmi(Dcmi::Reports(nothing));
        pass(&mut meter, 60).await;
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(472.0)));
    }
}

#[tokio::test]
async fn zero_that_nothing_confirms_is_an_estimate() {
    let card = card(CardOptions { dcmi: Dcmi::Reports(0), sensors: vec![], ..CardOptions::default() }).await;
    assert_eq!(reading_text(&keys(&card)).await, "0 W (estimated)");
}

#[tokio::test]
async fn one_bad_record_costs_no_other() {
    let third = || SensorRecord::full(9, "Ambient Temp", 1, 1);
    for (bad, expected) in [
        // The last record unreadable at all, or but for its header.
        (third().refusing(0, 0xC9), "472 W (estimated)"),
        (third().refusing(0, 0xC3), "472 W (estimated)"),
        (third().refusing(5, 0xC3), "472 W (estimated)"),
        // It declares more bytes than it has, and reads beyond them are refused, or short.
        (third().too_long_by(5).refusing(0xFF, 0xC9), "472 W"),
        (third().too_long_by(5), "472 W"),
        // It leads back, or to itself, or to a record that is none.
        (third().leading_to(0), "472 W"),
        (third().leading_to(2), "472 W"),
        (third().leading_to(1), "472 W"),
        (third().leading_to(77), "472 W"),
    ] {
        let supplies =
            [SensorRecord::watts(2, "PS1 Input Power", 2), SensorRecord::watts(3, "PS2 Input Power", 2)];
        let card = card_with_sensors(supplies.into_iter().chain([bad.clone()]).collect()).await;
        assert_eq!(reading_text(&keys(&card)).await, expected, "{bad:?}");
    }
    // A supply's own record that declares too many bytes.
    let long = SensorRecord::watts(2, "PS1 Input Power", 2).too_long_by(5).refusing(0xFF, 0xC9);
    assert_eq!(reading_text(&keys(&card_with_sensors(vec![long]).await)).await, "236 W");
}

#[tokio::test]
async fn a_junk_record_now_and_then_counts_nothing_twice() {
    let card = card_with_sensors(supplies()).await;
    card.set_fault(BmcFault::JunkRecord);
    assert_eq!(reading_text(&keys(&card)).await, "472 W");
}

#[tokio::test]
async fn a_card_that_cannot_return_so_many_bytes_may_report_it_in_any_way() {
    for too_many_bytes in [0xC7, 0xC9, 0xCA, 0xFF] {
        let options = CardOptions {
            dcmi: Dcmi::Absent,
            record_bytes_max: 16,
            too_many_bytes,
            ..CardOptions::default()
        };
        let card = card(options).await;
        assert_eq!(reading_text(&keys(&card)).await, "236 W", "{too_many_bytes:#04x}");
    }
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
    check(&reading_text(&keys(&card)).await, "472 W");
}

#[tokio::test]
async fn a_lost_reservation_is_renewed() {
    let card = card_with_sensors(supplies()).await;
    card.set_fault(BmcFault::LosesReservations(7));
    check(&reading_text(&keys(&card)).await, "472 W");
}

#[tokio::test]
async fn the_repository_is_read_once_and_continues_where_it_was_interrupted() {
    let whole = card_with_sensors(supplies()).await;
    check(&reading_text(&keys(&whole)).await, "472 W");

    let card = card_with_sensors(supplies()).await;
    let shared = Arc::default();
    let config = impatient_keys(&card);
    let outlets = outlets();
    card.set_fault(BmcFault::StopsRecords(10));
    let error = Ipmi::open(&config, &outlets, &shared).await.unwrap_err();
    check(&error.to_string(), "no response to Get SDR");
    card.set_fault(BmcFault::None);
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
            let port = card.address().port();
            let text =
                tokio::task::spawn_blocking(move || kwapi_peers::ipmi::ipmitool(port, suite, &arguments));
            check(&text.await.unwrap(), expected);
        }
    }
}

/// A card that has no DCMI and no sensor of power, before a Management Engine that has Node Manager.
fn before_an_engine(channel: u8, returns: Returns) -> CardOptions {
    let node_manager = Some(ManagementEngine { channel, returns, is_measuring: true });
    let sensors = vec![SensorRecord::full(1, "Temp", 1, 1)];
    CardOptions { dcmi: Dcmi::Absent, sensors, node_manager, ..CardOptions::default() }
}

#[tokio::test]
async fn node_manager_is_queried_where_nothing_else_has_watts() {
    for (channel, returns) in [(6, Returns::Apart), (6, Returns::Within), (0, Returns::Apart)] {
        let card = card(before_an_engine(channel, returns)).await;
        let mut meter = open(&keys(&card)).await.unwrap();
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)), "{channel} {returns:?}");
        card.set_watts(410);
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(410.0)));
        let used: Vec<_> = meter.findings().into_iter().filter(|finding| finding.is_used).collect();
        assert_eq!(used.len(), 1, "{used:?}");
        assert_eq!(used[0].what, "Intel Node Manager");
        assert_eq!(
            used[0].why,
            format!("the whole machine, by the Management Engine behind channel {channel}")
        );
    }
}

#[tokio::test]
async fn dcmi_and_sensors_come_before_node_manager() {
    let engine = before_an_engine(6, Returns::Apart);
    let with_dcmi = CardOptions { dcmi: Dcmi::Active, ..engine.clone() };
    let with_sensor = CardOptions { sensors: vec![SensorRecord::watts(1, "Power", 4)], ..engine };
    for (options, expected) in [(with_dcmi, "DCMI Get Power Reading"), (with_sensor, "sensor \"Power\"")] {
        let card = card(options).await;
        let meter = open(&keys(&card)).await.unwrap();
        let used = meter.findings().into_iter().find(|finding| finding.is_used).unwrap();
        assert_eq!(used.what, expected);
        // …unless it is wanted.
        let wanted = IpmiConfig { source: SourceWanted::NodeManager, ..keys(&card) };
        let meter = open(&wanted).await.unwrap();
        let used = meter.findings().into_iter().find(|finding| finding.is_used).unwrap();
        assert_eq!(used.what, "Intel Node Manager");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_measure_or_answer_is_reported() {
    let engine = before_an_engine(6, Returns::Apart);
    let idle = ManagementEngine { channel: 6, returns: Returns::Apart, is_measuring: false };
    let idle = card(CardOptions { node_manager: Some(idle), ..engine.clone() }).await;
    assert_eq!(reading_text(&keys(&idle)).await, "236 W (estimated)");
    // No engine behind either channel.
    let none = card(CardOptions { node_manager: None, ..engine }).await;
    let text = reading_text(&keys(&none)).await;
    check(
        &text,
        "the BMC has no sensor in watts; Intel Node Manager: Send Message: destination unavailable (0xd3)",
    );
    let silent = card(before_an_engine(6, Returns::Never)).await;
    let text = reading_text(&impatient_keys(&silent)).await;
    check(&text, "the BMC has no sensor in watts; Intel Node Manager: no response");
}
