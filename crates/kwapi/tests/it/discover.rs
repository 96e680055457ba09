//! `kwapi discover` among real devices on loopback.

use std::net::SocketAddr;

use kwapi_peers::ipmi::Cards;
use kwapi_peers::{free_udp_port, need, need_python};
use kwapi_simulators::ipmi::{Card, CardOptions};

use crate::commands::{fails, folder, succeeds};
use crate::devices::Pdu;
use crate::harness::run;

const CREDENTIALS: &str =
    "[credentials.pdus]\ncommunity = 'public'\n[credentials.bmc]\nusername = 'user'\npassword = 'secret'\n";

#[test]
fn what_discover_prints_is_a_configuration_without_secrets() {
    if !need(&["snmpd", "snmpget"]) || !need_python("python") {
        return;
    }
    let (pdu, cards) = (Pdu::start(), Cards::pyghmi(2));
    let folder = folder(CREDENTIALS);
    let printed = {
        let arguments = [
            "discover",
            "127.0.0.1",
            "--port",
            &format!("ipmi={}", cards.port),
            "--port",
            &format!("ipmi={}", cards.port + 1),
        ];
        succeeds(&arguments, folder.path())
    };
    let toml: String = printed
        .lines()
        .filter(|line| !line.starts_with("asking ") && !line.contains(" is skipped"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(toml.matches("\n[[meter]]\n").count(), 2, "two cards on two ports: {printed}");
    assert!(toml.contains("credentials = \"bmc\"") && !printed.contains("secret"), "{printed}");
    assert!(printed.contains(" W now") && !printed.contains(" 0.0 W"), "{printed}");
    std::fs::write(folder.path().join("found.toml"), &toml).unwrap();
    std::fs::write(folder.path().join("kwapi.toml"), format!("include = ['found.toml']\n{CREDENTIALS}"))
        .unwrap();
    let checked = succeeds(&["check"], folder.path());
    assert!(
        checked.contains(&format!("127.0.0.1-{}\n", cards.port)) && checked.contains("All is well."),
        "{checked}"
    );
    let probed = succeeds(&["probe", &format!("ipmi:127.0.0.1:{}", cards.port)], folder.path());
    assert!(probed.contains(" W"), "{probed}");

    // The PDU as well: the same host, so one of the two is only offered.
    let both = succeeds(
        &[
            "discover",
            "127.0.0.1",
            "--port",
            &format!("ipmi={}", cards.port),
            "--port",
            &format!("snmp={}", pdu.port),
        ],
        folder.path(),
    );
    assert!(both.contains("(profile raritan_px1), 24 outlets, "), "{both}");
    assert!(both.contains("\n# Measured over snmp above already; to be put in its place, not beside it:\n# [[meter]]\n# driver = \"ipmi\"\n"), "{both}");
}

#[test]
fn nothing_there_and_nothing_to_ask_with_are_said() {
    let folder = folder("");
    let said = succeeds(&["discover", "127.0.0.1"], folder.path());
    for protocol in ["snmp", "ipmi", "redfish"] {
        assert!(said.contains(&format!("{protocol} is skipped: no [credentials.NAME]")), "{said}");
    }
    assert!(said.contains("asking 1 host over nut, shelly, tasmota, 20 a second at most\n"), "{said}");
    assert!(said.contains("# nothing answered\n"), "{said}");
    let said = fails(&["discover", "10.0.0.0/8"], folder.path());
    assert_eq!(said, "kwapi: 10.0.0.0/8: larger than a /16; ask for its parts\n");
    let said = fails(&["discover", "127.0.0.1", "--rate", "0"], folder.path());
    assert!(said.contains("--rate takes a positive number"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_and_the_card_is_named() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_udp_port()));
    let card = Card::start(address, CardOptions::default()).await.unwrap();
    let folder = folder("[credentials.bmc]\nusername = 'user'\npassword = 'hunter2'\n");
    let port = format!("ipmi={}", address.port());
    let (is_well, said) =
        tokio::task::spawn_blocking(move || run(&["discover", "127.0.0.1", "--port", &port], folder.path()))
            .await
            .unwrap();
    assert!(is_well && said.contains("# no meter found\n"), "{said}");
    assert!(
        said.contains(&format!("# 127.0.0.1:{} answers ipmi with \"bmc\", but: ", address.port())),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    // The card proves itself first: who sees that it has another password need not give his own away at all.
    assert!(card.datagrams() > 0 && card.wrong_proofs() <= 1, "cards lock accounts");
}
