//! A box that is not there: who logs in how, and what is left on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};

use super::*;
use crate::cleanup;
use crate::testing::{by_key, round_or_error};

const SID: &str = "0123456789abcdef";
const CHALLENGE: &str = "2$10$0a0b$5$0c0d";

fn session(sid: &str, challenge: &str, block: u32, rights: &str) -> String {
    format!(
        "<SessionInfo><SID>{sid}</SID><Challenge>{challenge}</Challenge><BlockTime>{block}</BlockTime>\
         <Rights>{rights}</Rights></SessionInfo>"
    )
}

const RIGHTS: &str = "<Name>HomeAuto</Name><Access>2</Access>";

fn plug(ain: &str, name: &str, milliwatts: &str) -> String {
    format!(
        "<device identifier=\"{ain}\" productname=\"plug\"><present>1</present><name>{name}</name><powermeter>\
         <voltage>230000</voltage><power>{milliwatts}</power><energy>1000</energy></powermeter></device>"
    )
}

/// A box that takes any proof, and shows these devices.
async fn fritz_box(devices: String) -> HttpDevice {
    HttpDevice::start(move |request: &HttpRequest| {
        let target = request.target.as_str();
        if target.starts_with("/login_sid.lua") {
            let is_proof = target.contains("response=0c0d%24");
            let sid = if is_proof { SID } else { "0000000000000000" };
            return HttpAnswer::ok(session(sid, CHALLENGE, 0, if is_proof { RIGHTS } else { "" }));
        }
        HttpAnswer::ok(format!("<devicelist>{devices}</devicelist>"))
    })
    .await
    .expect("a port")
}

fn config(device: &HttpDevice, more: &str) -> FritzConfig {
    toml::from_str(&format!(
        "host = '{}'\nusername = 'kwapi'\npassword = 'pa$$ & word'\n{more}",
        device.address()
    ))
    .expect("a configuration")
}

fn named(keys: &[&str]) -> Outlets {
    let probes: Vec<String> = keys.iter().map(|key| format!("p {key}")).collect();
    by_key(keys.iter().copied().zip(probes.iter().map(String::as_str)))
}

async fn round(config: &FritzConfig, outlets: &Outlets) -> String {
    let mut meter = match Fritz::open(config, outlets, &Arc::default()).await {
        Ok(meter) => meter,
        Err(error) => return error.to_string(),
    };
    round_or_error(&mut meter).await
}

#[tokio::test]
async fn plugs_are_read_by_number_or_name_and_the_session_is_ended() {
    let device =
        fritz_box(plug("08761 0000434", "desk", "41250") + &plug("08761 0000435", "rack", "350000")).await;
    let config = config(&device, "");
    assert_eq!(
        round(&config, &named(&["087610000434", "08761 0000435", "rack", "lamp"])).await,
        "p 087610000434: 41.25 W, 230 V, 3600000 J\np 08761 0000435: 350 W, 230 V, 3600000 J\n\
         p rack: 350 W, 230 V, 3600000 J\n\
         p lamp: no such outlet: \"lamp\"; available: 087610000434 (desk), 087610000435 (rack)"
    );
    cleanup::finished(Duration::from_secs(30)).await;
    let requests = device.requests();
    let logout = requests
        .iter()
        .filter(|request| request.target.contains("logout=1") && request.target.ends_with(SID));
    assert_eq!(logout.count(), 1, "{requests:?}");
    assert!(requests.iter().all(|request| !request.target.contains("pa%24%24")), "the password is not sent");
    assert_eq!(
        round(&config, &Outlets::all("office.{label}")).await,
        "office.desk: 41.25 W, 230 V, 3600000 J\noffice.rack: 350 W, 230 V, 3600000 J"
    );
}

#[tokio::test]
async fn plugs_of_one_name_are_refused_by_it_and_one_alone_needs_none() {
    let both = fritz_box(plug("1", "desk", "1000") + &plug("2", "desk", "2000")).await;
    let outcome = round(&config(&both, ""), &named(&["desk", "2"])).await;
    assert!(
        outcome.starts_with("p desk: no such outlet: \"desk\" matches several; use the AIN of one"),
        "{outcome}"
    );
    assert!(outcome.ends_with("p 2: 2 W, 230 V, 3600000 J"), "{outcome}");
    let one = fritz_box(plug("08761 0000434", "desk", "1000")).await;
    let first = by_key([("1", "p")]);
    assert_eq!(round(&config(&one, ""), &first).await, "p: 1 W, 230 V, 3600000 J");
}

#[tokio::test]
async fn each_refusal_of_a_box_names_the_remedy_and_no_proof_is_sent_to_a_blocked_one() {
    for (first, second, keys, expected, proofs) in [
        (session("0000000000000000", CHALLENGE, 0, ""), "", "", "refused: ", 1),
        (session("0000000000000000", CHALLENGE, 96, ""), "", "", "busy: ", 0),
        (session("0000000000000000", "12ab34cd", 0, ""), "", "", "set legacy_login = true", 0),
        (
            session("0000000000000000", "12ab34cd", 0, ""),
            "",
            "legacy_login = true",
            "authentication failed",
            1,
        ),
        (session("0000000000000000", "2$9999999$0a$1$0b", 0, ""), "", "", "makes no sense", 0),
        (
            session("0000000000000000", CHALLENGE, 0, ""),
            "no rights",
            "",
            "grant it the permission Smart Home",
            1,
        ),
        ("<html>login</html>".to_owned(), "", "", "not the answer of a FRITZ!Box", 0),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let of_device = Arc::clone(&count);
        let device = HttpDevice::start(move |request: &HttpRequest| {
            if !request.target.contains("response=") {
                return HttpAnswer::ok(first.clone());
            }
            of_device.fetch_add(1, Ordering::Relaxed);
            let granted = session(SID, CHALLENGE, 0, "<Name>Dial</Name><Access>2</Access>");
            HttpAnswer::ok(if second.is_empty() { first.clone() } else { granted })
        })
        .await
        .expect("a port");
        let outcome = round(&config(&device, keys), &named(&["1"])).await;
        assert!(outcome.contains(expected) && !outcome.contains("pa$$"), "{outcome}");
        assert_eq!(count.load(Ordering::Relaxed), proofs, "{outcome}");
        cleanup::finished(Duration::from_secs(30)).await;
        let logouts = device.requests().iter().filter(|request| request.target.contains("logout")).count();
        assert_eq!(logouts, usize::from(!second.is_empty()), "{outcome}");
    }
}

#[tokio::test]
async fn a_session_that_has_expired_is_a_lost_link_and_no_wrong_password() {
    let device = HttpDevice::start(|request: &HttpRequest| {
        if request.target.contains("login_sid") {
            HttpAnswer::ok(session(SID, CHALLENGE, 0, RIGHTS))
        } else {
            HttpAnswer::status(403)
        }
    })
    .await
    .expect("a port");
    let outcome = round(&config(&device, ""), &named(&["1"])).await;
    assert!(outcome.starts_with("link lost: ") && outcome.contains("session has expired"), "{outcome}");
    assert!(!outcome.contains(SID), "{outcome}");
}
