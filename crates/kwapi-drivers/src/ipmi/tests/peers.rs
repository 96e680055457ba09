//! Against `ipmi_sim` (`OpenIPMI`) and pyghmi, with `ipmitool` and `FreeIPMI` as referees of what the cards report.

use std::process::Command;
use std::time::Duration;

use kwapi_peers::ipmi::{Cards, ipmitool};
use kwapi_peers::{need, need_python, output};

use super::*;

/// The number after `label` in what a referee printed.
fn number_after(text: &str, label: &str) -> f64 {
    let rest = text.split(label).nth(1).unwrap_or_else(|| panic!("no {label:?} in {text}"));
    let number: String = rest
        .chars()
        .skip_while(|character| !character.is_ascii_digit())
        .take_while(|character| character.is_ascii_digit() || *character == '.')
        .collect();
    number.parse().unwrap()
}

#[tokio::test]
async fn dcmi_of_ipmi_sim_is_what_ipmitool_and_freeipmi_report() {
    if !need(&["ipmi_sim", "ipmitool", "ipmi-dcmi", "gcc", "sdrcomp"]) {
        return;
    }
    let cards = Cards::ipmi_sim(|lan| lan);
    let mut meter = open(&config(cards.port)).await.unwrap();
    for watts in [236, 241] {
        cards.set_watts(watts);
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(f64::from(watts))));
        let referee = ipmitool(cards.port, "3", &["dcmi", "power", "reading"]);
        assert_eq!(number_after(&referee, "Instantaneous power reading:"), f64::from(watts), "{referee}");
    }
    let referee = output(
        Command::new("ipmi-dcmi").args(["-D", "LAN_2_0", "-h", &format!("127.0.0.1:{}", cards.port)]).args([
            "-u",
            "user",
            "-p",
            "secret",
            "-I",
            "3",
            "-l",
            "ADMIN",
            "-W",
            "opensesspriv",
            "--get-system-power-statistics",
        ]),
    );
    assert_eq!(number_after(&referee, "Current Power"), 241.0, "{referee}");
    let findings = meter.findings();
    assert!(findings[0].is_used && findings[0].value.starts_with("236 W, active"), "{findings:?}");
}

#[tokio::test]
async fn the_sensor_of_ipmi_sim_is_what_ipmitool_reports() {
    if !need(&["ipmi_sim", "ipmitool", "gcc", "sdrcomp"]) {
        return;
    }
    let cards = Cards::ipmi_sim(|lan| lan);
    let config = IpmiConfig { source: SourceWanted::Sensor, ..config(cards.port) };
    let mut meter = open(&config).await.unwrap();
    let reading = read_until(&mut meter, 236.0).await;
    assert_eq!(reading, Ok(Reading::watts(236.0)));
    let referee = ipmitool(cards.port, "3", &["sensor", "reading", "Power"]);
    assert_eq!(number_after(&referee, "|"), 236.0, "{referee}");
    let findings = meter.findings();
    assert_eq!(findings[1].what, "sensor \"Power\"");
    assert!(findings[1].is_used && findings[1].value == "steps of 4 W", "{findings:?}");
}

/// `ipmi_sim` takes the sensor's value over once a second, so the first readings may be older.
async fn read_until(meter: &mut Ipmi, watts: f64) -> Result<Reading, NoReading> {
    for _ in 0..40 {
        let reading = read(meter).await.unwrap();
        if reading == Ok(Reading::watts(watts)) {
            return reading;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    read(meter).await.unwrap()
}

#[tokio::test]
async fn a_card_without_dcmi_is_read_by_its_sensor() {
    if !need(&["ipmi_sim", "gcc", "sdrcomp"]) {
        return;
    }
    let without_module = |lan: String| {
        lan.lines().filter(|line| !line.contains("loadlib")).collect::<Vec<_>>().join("\n") + "\n"
    };
    let cards = Cards::ipmi_sim(without_module);
    let mut meter = open(&config(cards.port)).await.unwrap();
    assert_eq!(read_until(&mut meter, 236.0).await, Ok(Reading::watts(236.0)));
    let findings = meter.findings();
    assert!(!findings[0].is_used && findings[0].value.contains("0xc1"), "{findings:?}");

    let config = IpmiConfig { source: SourceWanted::Dcmi, ..config(cards.port) };
    let error = open(&config).await.unwrap_err();
    assert!(
        matches!(&error, DriverError::Refused(message) if message.contains("invalid command")),
        "{error}"
    );
}

#[tokio::test]
async fn node_manager_is_read_as_ipmitool_reads_it() {
    if !need(&["ipmi_sim", "ipmitool", "gcc", "sdrcomp"]) {
        return;
    }
    let cards = Cards::ipmi_sim(|lan| lan);
    cards.set_watts(418);
    // Behind the primary bus: the secondary one, tried first, is refused.
    let config = IpmiConfig { source: SourceWanted::NodeManager, ..config(cards.port) };
    let mut meter = open(&config).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(418.0)));
    let arguments = ["-b", "0", "-t", "0x2c", "nm", "statistics", "power", "domain", "platform"];
    let referee = ipmitool(cards.port, "3", &arguments);
    assert_eq!(number_after(&referee, "Instantaneous reading:"), 418.0, "{referee}");
    let used = meter.findings().into_iter().find(|finding| finding.is_used).unwrap();
    assert!(used.value.starts_with("418 W, active (minimum 418, maximum 418"), "{}", used.value);
}

#[tokio::test]
async fn a_wrong_password_user_or_suite_is_refused_with_advice() {
    if !need(&["ipmi_sim", "gcc", "sdrcomp"]) {
        return;
    }
    let cards = Cards::ipmi_sim(|lan| lan);
    let wrong = |change: fn(&mut IpmiConfig)| {
        let mut config = config(cards.port);
        change(&mut config);
        config
    };
    for (config, words) in [
        (wrong(|config| config.password = Secret::new("hunter2")), "authentication failed for user \"user\""),
        (wrong(|config| config.username = "nobody".into()), "unknown user \"nobody\""),
        (wrong(|config| config.cipher_suite = Some(17)), "suite 17"),
        (wrong(|config| config.kg = Some(Secret::new("no such key"))), "kg does not match the BMC's"),
        (wrong(|config| config.sensor = Some(SensorNames::One("Fan".into()))), "available: \"Power\""),
    ] {
        let error = open(&config).await.unwrap_err();
        assert!(matches!(&error, DriverError::Refused(message) if message.contains(words)), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn too_low_a_privilege_names_which_one_to_set() {
    if !need(&["ipmi_sim", "gcc", "sdrcomp"]) {
        return;
    }
    let cards = Cards::ipmi_sim(|lan| lan);
    let config =
        IpmiConfig { privilege: Some(Privilege::User), source: SourceWanted::Dcmi, ..config(cards.port) };
    let error = open(&config).await.unwrap_err().to_string();
    assert!(error.contains("set privilege to \"operator\""), "{error}");
}

#[tokio::test]
async fn closed_sessions_leave_room_for_others() {
    if !need(&["ipmi_sim", "gcc", "sdrcomp"]) {
        return;
    }
    let cards = Cards::ipmi_sim(|lan| lan);
    // More than `ipmi_sim` keeps open at once.
    for _ in 0..100 {
        assert_eq!(reading_text(&config(cards.port)).await, "236 W");
    }
}

#[tokio::test]
async fn ipmi_1_5_is_used_with_cards_that_support_nothing_newer() {
    if !need(&["ipmi_sim", "ipmitool", "gcc", "sdrcomp"]) {
        return;
    }
    let cards = Cards::ipmi_sim(|lan| lan);
    let shared = Arc::<IpmiShared>::default();
    let mut config = IpmiConfig { version: Some(IpmiVersion::Legacy), ..config(cards.port) };
    for authentication in
        [LegacyAuthentication::Md5, LegacyAuthentication::Password, LegacyAuthentication::None]
    {
        config.legacy_authentication = authentication;
        assert_eq!(reading_text(&config).await, "236 W", "{authentication:?}");
        let sensor = IpmiConfig { source: SourceWanted::Sensor, ..config.clone() };
        let mut meter = open(&sensor).await.unwrap();
        assert_eq!(read_until(&mut meter, 236.0).await, Ok(Reading::watts(236.0)));
    }
    // `ipmi_sim` drops a packet whose hash is wrong: once may be the network, twice is the password.
    config.legacy_authentication = LegacyAuthentication::Md5;
    config.password = Secret::new("hunter2");
    config.timeout_seconds = 0.5;
    let error = Ipmi::open(&config, &outlets(), &shared).await.unwrap_err();
    assert!(matches!(error, DriverError::Link(_)), "{error}");
    let error = Ipmi::open(&config, &outlets(), &shared).await.unwrap_err();
    assert!(
        matches!(&error, DriverError::Refused(message) if message.contains("check the password")),
        "{error}"
    );
}

#[tokio::test]
async fn pyghmi_cards_are_read_by_suites_3_and_17() {
    if !need(&["ipmitool"]) || !need_python("python") {
        return;
    }
    let cards = Cards::pyghmi(2);
    cards.set_watts(312);
    for (suite, port) in [(3, cards.port), (17, cards.port + 1)] {
        let config = IpmiConfig { cipher_suite: Some(suite), ..config(port) };
        let mut meter = open(&config).await.unwrap();
        assert_eq!(read(&mut meter).await.unwrap(), Ok(Reading::watts(312.0)), "suite {suite}");
        let referee = ipmitool(port, &suite.to_string(), &["dcmi", "power", "reading"]);
        assert_eq!(number_after(&referee, "Instantaneous power reading:"), 312.0, "{referee}");

        let config = IpmiConfig { source: SourceWanted::Sensor, ..config };
        assert_eq!(reading_text(&config).await, "312 W", "suite {suite}");
    }
    let best = IpmiShared::default();
    let meter = Ipmi::open(&config(cards.port), &outlets(), &Arc::new(best)).await.unwrap();
    let card = meter.session.link.card;
    assert_eq!(meter.shared.memory(card).lock().suite, Some(17), "the best suite offered is taken");
    let wrong = IpmiConfig { password: Secret::new("hunter2"), ..config(cards.port) };
    assert!(reading_text(&wrong).await.contains("authentication failed for user \"user\""));
}

#[tokio::test]
async fn one_socket_serves_all_cards() {
    if !need_python("python") {
        return;
    }
    let cards = Cards::pyghmi(20);
    let shared = Arc::<IpmiShared>::default();
    let mut meters = Vec::new();
    for offset in 0..20 {
        meters.push(Ipmi::open(&config(cards.port + offset), &outlets(), &shared).await.unwrap());
    }
    for meter in &mut meters {
        assert_eq!(read(meter).await.unwrap(), Ok(Reading::watts(236.0)));
    }
    let ports: std::collections::HashSet<_> =
        meters.iter().map(|meter| meter.session.link.local_port()).collect();
    assert_eq!(ports.len(), 1);
}
