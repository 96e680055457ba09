//! Cards that lead on without end, keep their sessions, or take their time with a login.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::cleanup;

#[tokio::test]
async fn a_card_that_leads_on_and_on_is_left() {
    let count = Arc::new(AtomicUsize::new(0));
    let of_device = Arc::clone(&count);
    let service = HttpDevice::start(move |request: &HttpRequest| {
        let number = of_device.fetch_add(1, Ordering::Relaxed);
        let link = |what: &str| at(&format!("/redfish/v1/{what}{number}"));
        // The first collection is ten times what anybody has; the others are but longer than what is looked at.
        let count = if number == 1 { 10_000 } else { 1_100 };
        let members: Vec<_> = (0..count).map(|n| at(&format!("/redfish/v1/m{number}.{n}"))).collect();
        match request.target.as_str() {
            "/redfish/v1/" => HttpAnswer::ok(json!({"Chassis": link("c")}).to_string()),
            path if path.contains("/c") => {
                let next = format!("/redfish/v1/c{number}");
                HttpAnswer::ok(json!({"Members": members, "Members@odata.nextLink": next}).to_string())
            }
            // Each chassis has sensors by the thousand, none of which holds anything.
            _ => HttpAnswer::ok(json!({"Id": "x", "Sensors": link("c"), "Power": link("p")}).to_string()),
        }
    })
    .await
    .expect("a port");
    let outcome = round(&config(&service.address().to_string(), "password = \"secret\""), &one()).await;
    assert!(outcome.starts_with("refused: "), "{outcome}");
    assert!(service.requests().len() < 1_000, "{} requests", service.requests().len());
}

#[tokio::test]
async fn another_hosts_redirect_or_link_never_gets_the_login() {
    let elsewhere = HttpDevice::start(|_| HttpAnswer::ok("{}")).await.expect("a port");
    let address = elsewhere.address();
    let service = HttpDevice::start(move |request: &HttpRequest| match request.target.as_str() {
        "/redfish/v1/" => {
            HttpAnswer::ok(json!({"Chassis": at(&format!("http://{address}/redfish/v1/Chassis"))}).to_string())
        }
        "/redfish/v1/Chassis" => HttpAnswer::ok(
            json!({"Members": [at(&format!("//{address}/redfish/v1/Chassis/1")), at("/redfish/v1/Chassis/2")]})
                .to_string(),
        ),
        path => HttpAnswer::status(307).with_header("location", &format!("http://{address}{path}/")),
    })
    .await
    .expect("a port");
    let keys = "password = \"secret\"\nauth = \"basic\"";
    let outcome = round(&config(&service.address().to_string(), keys), &one()).await;
    assert!(outcome.starts_with("refused: "), "{outcome}");
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn a_session_that_nobody_waits_for_any_more_is_given_back() {
    let service = service(two_chassis()).await;
    let config = config(&service.address().to_string(), "password = \"secret\"\nchassis = \"node\"");
    let deleted = || service.requests().iter().any(|request| request.method == "DELETE");
    let posted = || service.requests().iter().any(|request| request.method == "POST");
    {
        // The deadline passes when the card has the login in its hands and has not answered.
        let outlets = one();
        let clients = Arc::default();
        let mut opening = Box::pin(Redfish::open(&config, &outlets, &clients));
        while !posted() {
            tokio::select! {
                biased;
                _ = &mut opening => panic!("no session opens without its login"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    cleanup::finished(Duration::from_secs(30)).await;
    assert!(deleted(), "{:?}", service.requests());
}

#[tokio::test]
async fn full_is_busy_and_not_a_wrong_password_and_the_card_gives_the_reason() {
    let full = json!({"error": {"@Message.ExtendedInfo": [
        {"MessageId": "Base.1.8.SessionLimitExceeded", "Message": "The session limit is reached."}]}})
    .to_string();
    let service = HttpDevice::start(move |request: &HttpRequest| match request.method.as_str() {
        "POST" => HttpAnswer::Whole(400, Vec::new(), full.clone().into_bytes()),
        _ => HttpAnswer::ok(json!({"Links": {"Sessions": at(SESSIONS)}}).to_string()),
    })
    .await
    .expect("a port");
    let outcome = round(&config(&service.address().to_string(), "password = \"secret\""), &one()).await;
    assert!(outcome.starts_with("busy: ") && outcome.contains("The session limit is reached."), "{outcome}");
}

#[tokio::test]
async fn a_session_whose_answer_is_cut_short_is_still_given_back() {
    let service = HttpDevice::start(|request: &HttpRequest| match request.method.as_str() {
        "POST" => HttpAnswer::Raw(
            format!("HTTP/1.1 201 Created\r\nx-auth-token: t\r\nlocation: {SESSIONS}/4\r\ncontent-length: 99\r\n\r\n{{")
                .into_bytes(),
        ),
        _ if request.target == "/redfish/v1/" => {
            HttpAnswer::ok(json!({"Links": {"Sessions": at(SESSIONS)}}).to_string())
        }
        _ => HttpAnswer::status(404),
    })
    .await
    .expect("a port");
    let outcome = round(&config(&service.address().to_string(), "password = \"secret\""), &one()).await;
    assert!(outcome.starts_with("refused: "), "{outcome}");
    cleanup::finished(Duration::from_secs(30)).await;
    let deleted =
        service.requests().iter().any(|request| request.method == "DELETE" && request.target.ends_with("/4"));
    assert!(deleted, "{:?}", service.requests());
}
