//! Sessions with our simulated cards, and the faults that well-behaved programs do not have.

use kwapi_simulators::ipmi::{BmcFault, Card, CardOptions, Dcmi};

use super::*;

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
async fn no_common_suite_names_which_ones_would_do() {
    let card = card(CardOptions { suites: vec![], ..CardOptions::default() }).await;
    check(&reading_text(&keys(&card)).await, "enable suite 17 or 3");
}

#[tokio::test]
async fn a_card_key_is_needed_where_the_card_has_one() {
    let card_key = Some(vec![0xAB, 0xCD, 0x01]);
    for suites in [vec![3], vec![17]] {
        let card = card(CardOptions { card_key: card_key.clone(), suites, ..CardOptions::default() }).await;
        check(&reading_text(&keys(&card)).await, "set kg");
        check(&reading_text(&IpmiConfig { kg: Some(Secret::new("0xABCD01")), ..keys(&card) }).await, "236 W");
        check(
            &reading_text(&IpmiConfig { kg: Some(Secret::new("0xABCD02")), ..keys(&card) }).await,
            "kg does not match the BMC's",
        );
    }
}

#[tokio::test]
async fn a_wrong_password_is_noticed_without_the_card_counting_it() {
    let card = card(CardOptions::default()).await;
    let error = open(&IpmiConfig { password: Secret::new("hunter2"), ..keys(&card) }).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused(_)));
    check(&error.to_string(), "authentication failed for user \"user\"");
    assert_eq!(card.wrong_proofs(), 0);
}

#[tokio::test]
async fn an_account_of_any_privilege_is_read_and_the_card_reports_when_it_is_too_low() {
    for privilege_max in [2, 3, 4] {
        let card = card(CardOptions { privilege_max, ..CardOptions::default() }).await;
        check(&reading_text(&keys(&card)).await, "236 W");
    }
    let card =
        card(CardOptions { privilege_max: 2, dcmi: Dcmi::Requires(3), ..CardOptions::default() }).await;
    let wanted = IpmiConfig { privilege: Some(Privilege::Operator), ..keys(&card) };
    check(&reading_text(&wanted).await, "is not allowed privilege \"operator\"");
    let only_dcmi = IpmiConfig { source: SourceWanted::Dcmi, ..keys(&card) };
    check(&reading_text(&only_dcmi).await, "set privilege to \"operator\" or \"administrator\"");
    // Its sensors require no more than "user".
    check(&reading_text(&keys(&card)).await, "236 W");
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
    let shared = Arc::<IpmiShared>::default();
    let config = keys(&card);
    let sensor = IpmiConfig { source: SourceWanted::Sensor, ..config.clone() };
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
async fn cards_of_both_address_families_are_read_together() {
    let Ok(sixth) = Card::start((std::net::Ipv6Addr::LOCALHOST, 0), CardOptions::default()).await else {
        return eprintln!("SKIPPED: this machine has no IPv6");
    };
    sixth.set_watts(250);
    let fourth = card(CardOptions::default()).await;
    let shared = Arc::default();
    let config = IpmiConfig { host: "::1".into(), ..keys(&sixth) };
    let mut of_sixth = Ipmi::open(&config, &outlets(), &shared).await.unwrap();
    let mut of_fourth = Ipmi::open(&keys(&fourth), &outlets(), &shared).await.unwrap();
    assert_eq!(read(&mut of_sixth).await.unwrap(), Ok(Reading::watts(250.0)));
    assert_eq!(read(&mut of_fourth).await.unwrap(), Ok(Reading::watts(236.0)));
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
    card.set_fault(BmcFault::Busy);
    let error = read(&mut meter).await.unwrap_err();
    assert!(matches!(&error, DriverError::Busy(message) if message.contains("0xc0")), "{error}");
    card.set_fault(BmcFault::None);
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(236.0)));
}

#[tokio::test]
async fn a_card_that_hangs_sends_halves_or_noise_is_a_lost_link() {
    let card = card(CardOptions::default()).await;
    for (fault, expected) in [
        (BmcFault::Hang, "no response to DCMI Get Power Reading"),
        (BmcFault::HalfPacket, "3 invalid datagrams and no response"),
        (BmcFault::Garbage, "no response to DCMI Get Power Reading"),
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
        card.set_fault(BmcFault::None);
    }
}

#[tokio::test]
async fn lost_datagrams_are_sent_again_within_one_reading() {
    let card = card(CardOptions::default()).await;
    card.set_fault(BmcFault::Lossy);
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
    check(&reading_text(&impatient_keys(&card)).await, "236 W");
}

#[tokio::test]
async fn a_session_that_was_silent_for_long_is_reopened_before_the_reading() {
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
async fn a_suite_that_is_refused_with_whatever_status_gives_way_to_the_other() {
    for suite_refusal in [0x01, 0x04, 0x09, 0x0A, 0x11, 0x12] {
        let card = card(CardOptions { suites: vec![3], suite_refusal, ..CardOptions::default() }).await;
        assert_eq!(reading_text(&keys(&card)).await, "236 W", "status {suite_refusal:#04x}");
    }
}

#[tokio::test]
async fn a_card_that_makes_its_keys_of_the_first_privilege_it_receives_is_read() {
    let card = card(CardOptions { keys_of_open_privilege: true, ..CardOptions::default() }).await;
    assert_eq!(reading_text(&keys(&card)).await, "236 W");
    let operator = IpmiConfig { privilege: Some(Privilege::Operator), ..keys(&card) };
    assert_eq!(reading_text(&operator).await, "236 W");
    assert_eq!(card.wrong_proofs(), 0);
    // And a wrong password is still one.
    let error = open(&IpmiConfig { password: Secret::new("hunter2"), ..keys(&card) }).await.unwrap_err();
    check(&error.to_string(), "authentication failed for user \"user\"");
}

#[tokio::test]
async fn wrong_checksums_in_proven_packets_are_not_held_against_a_card() {
    let card = card(CardOptions { wrong_checksums: true, ..CardOptions::default() }).await;
    assert_eq!(reading_text(&keys(&card)).await, "236 W");
}

#[tokio::test]
async fn a_card_slower_than_the_first_repetition_opens() {
    // Each message is sent again after 0.2 s, and the card draws a new random number for each.
    let opening_delay = Duration::from_millis(300);
    let card = card(CardOptions { opening_delay, ..CardOptions::default() }).await;
    let shared = Arc::<IpmiShared>::default();
    let meter = Ipmi::open(&impatient_keys(&card), &outlets(), &shared).await.unwrap();
    assert!(shared.memory(card.address()).lock().is_slow);
    drop(meter);
    let wrong = card.wrong_proofs();
    Ipmi::open(&impatient_keys(&card), &outlets(), &shared).await.unwrap();
    assert_eq!(card.wrong_proofs(), wrong, "known as slow, it gets each request once");
}

#[tokio::test]
async fn a_session_whose_opening_is_given_up_is_closed() {
    let opening_delay = Duration::from_millis(200);
    let card = card(CardOptions { opening_delay, ..CardOptions::default() }).await;
    let config = keys(&card);
    let mut opening = Box::pin(open(&config));
    // Granted by the card, and its last message is not here yet.
    while card.sessions() == 0 {
        tokio::select! {
            biased;
            _ = &mut opening => panic!("no session opens before the card grants it"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    drop(opening);
    until(|| card.sessions() == 0).await;
}

#[tokio::test]
async fn a_missing_card_key_leaves_no_session_behind() {
    for hides_card_key in [false, true] {
        let card_key = Some(b"its own".to_vec());
        let card = card(CardOptions { card_key, hides_card_key, ..CardOptions::default() }).await;
        check(&reading_text(&keys(&card)).await, "set kg");
        until(|| card.sessions() == 0).await;
        let wrong = IpmiConfig { kg: Some(Secret::new("another")), ..keys(&card) };
        check(&reading_text(&wrong).await, "kg does not match the BMC's");
        until(|| card.sessions() == 0).await;
    }
}
