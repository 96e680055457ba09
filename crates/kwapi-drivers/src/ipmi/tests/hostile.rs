//! Cards, and whoever responds in their place, that offer less than was requested, never end, or keep what they granted.

use kwapi_simulators::ipmi::{CardOptions, Dcmi, Offer, SensorRecord};
use tokio::net::UdpSocket;

use super::*;
use crate::cleanup;

/// Algorithms of a suite: authentication, integrity, secrecy (IPMI 2.0, table 22-20).
const SUITE_0: [u8; 3] = [0, 0, 0];
const SUITE_1: [u8; 3] = [1, 0, 0];
const SUITE_2: [u8; 3] = [1, 1, 0];
const SUITE_3: [u8; 3] = [1, 1, 1];
const SUITE_15: [u8; 3] = [3, 0, 0];
const SUITE_16: [u8; 3] = [3, 4, 0];

#[tokio::test]
async fn a_session_without_signature_or_secrecy_is_refused_whoever_offers_it() {
    for algorithms in [SUITE_0, SUITE_1, SUITE_2, SUITE_15, SUITE_16] {
        let options = CardOptions { offer: Offer::Algorithms(algorithms), ..CardOptions::default() };
        let card = card(options).await;
        for cipher_suite in [None, Some(17), Some(3)] {
            let error = open(&IpmiConfig { cipher_suite, ..keys(&card) }).await.unwrap_err();
            assert!(matches!(error, DriverError::Refused(_)), "{error}");
            check(&error.to_string(), "offers only a cipher suite weaker than suite");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert_eq!(
            (card.sessions(), card.wrong_proofs()),
            (0, 0),
            "{algorithms:?}: nothing was proved to it"
        );
    }
}

#[tokio::test]
async fn a_suite_that_is_configured_is_not_traded_for_a_weaker_one() {
    let options = CardOptions { offer: Offer::Algorithms(SUITE_3), ..CardOptions::default() };
    let card = card(options).await;
    let error = open(&IpmiConfig { cipher_suite: Some(17), ..keys(&card) }).await.unwrap_err();
    check(&error.to_string(), "offers only a cipher suite weaker than suite 17");
    assert_eq!(card.sessions(), 0);
}

#[tokio::test]
async fn whoever_reports_that_a_card_supports_1_5_only_gets_no_password_and_does_not_hide_2_0() {
    let card =
        card(CardOptions { offer: Offer::LegacyWithoutAuthentication, ..CardOptions::default() }).await;
    // Nothing but "no authentication" is offered, which the configuration would have to allow.
    check(&reading_text(&keys(&card)).await, "does not support authentication \"md5\"");
    check(
        &reading_text(&IpmiConfig { cipher_suite: Some(17), ..keys(&card) }).await,
        "supports IPMI 1.5 only",
    );
    check(&reading_text(&IpmiConfig { version: Some(IpmiVersion::Plus), ..keys(&card) }).await, "236 W");
    assert_eq!(card.wrong_proofs(), 0);
}

#[tokio::test]
async fn a_repository_of_ten_thousand_records_is_read_up_to_a_bound() {
    let mut sensors = vec![SensorRecord::watts(1, "System Power", 2)];
    sensors.extend((0..10_000).map(|_| SensorRecord::locator()));
    let card = card(CardOptions { dcmi: Dcmi::Absent, sensors, ..CardOptions::default() }).await;
    let mut meter = open(&keys(&card)).await.unwrap();
    check(&read(&mut meter).await.unwrap().unwrap().to_string(), "236 W");
    let reads = card.record_reads();
    assert!((4_096..5_000).contains(&reads), "{reads} records read");
}

#[tokio::test]
async fn answers_without_end_that_fit_no_question_are_a_lost_link_in_time() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let flood = tokio::spawn(async move {
        let mut request = [0; 512];
        let Ok((length, from)) = socket.recv_from(&mut request).await else { return };
        // The answer to another request, again and again: its sequence number is not ours.
        let mut answer = vec![6, 0, 0xFF, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16];
        answer.extend([0x81, 0x1C, 0x63, 0x20, 0, 0x38, 0, 1, 0x80, 4, 2, 0, 0, 0, 0, 0]);
        for number in (0..=u8::MAX).cycle() {
            if let Some(sequence) = answer.get_mut(18) {
                // Every number but the one that was used in the request.
                *sequence = if number << 2 == request[..length][18] {
                    number.wrapping_add(1) << 2
                } else {
                    number << 2
                };
            }
            if socket.send_to(&answer, from).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let error = open(&IpmiConfig { timeout_seconds: 1.0, ..config(port) }).await.unwrap_err();
    flood.abort();
    assert!(matches!(error, DriverError::Link(_)), "{error}");
    check(&error.to_string(), "invalid datagrams and no response to Get Channel Authentication Capabilities");
}

#[tokio::test]
async fn a_close_session_that_is_lost_is_sent_again() {
    let card = card(CardOptions::default()).await;
    let meter = open(&keys(&card)).await.unwrap();
    // Each other datagram is lost from here on, and it is the good-bye's turn.
    card.set_fault(kwapi_simulators::ipmi::BmcFault::Lossy);
    let is_kept = card.datagrams() % 2 == 1;
    if is_kept {
        let stray = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let before = card.datagrams();
        stray.send_to(&[6, 0, 0xFF, 7], card.address()).await.unwrap();
        while card.datagrams() == before {
            tokio::task::yield_now().await;
        }
    }
    drop(meter);
    cleanup::finished(Duration::from_secs(10)).await;
    assert_eq!(card.sessions(), 0);
}

/// A card that has a K-g and does not report that takes our refusal of its proof for the end (IPMI 2.0, 13.22). One
/// that does not keeps the session until it has been silent for a minute: we have no key to close it with, and do not
/// try again before.
#[tokio::test]
async fn a_hidden_card_key_costs_one_session_and_is_refused_so_that_it_is_not_tried_again_soon() {
    let card_key = Some(b"its own".to_vec());
    let card = card(CardOptions { card_key, hides_card_key: true, ..CardOptions::default() }).await;
    let shared = Arc::<IpmiShared>::default();
    let error = Ipmi::open(&keys(&card), &outlets(), &shared).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused(_)), "{error}");
    check(&error.to_string(), "set kg");
    assert_eq!(card.wrong_proofs(), 0, "the password was right, and neither suite was tried a second time");
}
