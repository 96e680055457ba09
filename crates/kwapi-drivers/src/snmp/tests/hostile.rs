//! Agents that mean us harm, or are broken in the same ways: each has a bound and a named error.

use super::*;

/// What a session with everything there is ends with under a fault that is in force from the start.
async fn all_with(fault: AgentFault, more: &str) -> Result<Vec<String>, String> {
    let rack = rack(3).await;
    rack.set_fault(Some(fault));
    let mut driver = open(&rack, more, &Outlets::all("p.{label}")).await?;
    read(&mut driver).await?;
    read(&mut driver).await
}

const ALL: [&str; 3] =
    ["p.host 1: 101 W, 3600000 J", "p.host 2: 102 W, 7200000 J", "p.host 3: 103 W, 10800000 J"];

#[tokio::test]
async fn an_agent_that_cannot_list_many_rows_at_once_is_queried_for_fewer() {
    for fault in [AgentFault::BulkRefused, AgentFault::BulkSilentAbove(5), AgentFault::BulkSilentAbove(0)] {
        let read = all_with(fault, "retransmits = 0").await;
        assert_eq!(read.unwrap(), ALL, "{fault:?}");
    }
}

#[tokio::test]
async fn what_it_cannot_list_is_learned_once() {
    let rack = rack(3).await;
    rack.set_fault(Some(AgentFault::BulkSilentAbove(0)));
    let shared = Arc::new(SnmpShared::default());
    let all = Outlets::all("p.{outlet}");
    let config = config(rack.address(), "retransmits = 0");
    let config = SnmpConfig { timeout_seconds: 0.1, ..config };
    let mut unanswered = Vec::new();
    for _ in 0..2 {
        let before = rack.datagrams();
        drop(Snmp::open(&config, &all, &shared).await.unwrap());
        let after = rack.datagrams();
        unanswered.push((after.received - before.received) - (after.sent - before.sent));
    }
    assert_eq!(unanswered, [2, 0]);
}

#[tokio::test]
async fn answers_cut_short_are_requested_again() {
    for fault in [AgentFault::CutShort(2), AgentFault::CutShort(1)] {
        assert_eq!(all_with(fault, "").await.unwrap(), ALL, "{fault:?}");
    }
    // One that returns nothing in response to anything.
    let message = all_with(AgentFault::CutShort(0), "").await.unwrap_err();
    assert!(message.contains("matches no known profile"), "{message}");
}

#[tokio::test]
async fn ten_thousand_rows_where_three_were_are_refused_with_their_bound() {
    let message = all_with(AgentFault::Endless, "").await.unwrap_err();
    assert!(message.starts_with("refused: ") && message.contains("more than 2048 outlets"), "{message}");
}

#[tokio::test]
async fn a_listing_that_goes_in_circles_is_read_up_to_there() {
    assert_eq!(all_with(AgentFault::Circles, "").await.unwrap(), ALL[..1]);
}

#[tokio::test]
async fn a_name_as_long_as_a_datagram_makes_no_probe() {
    let rack = rack(2).await;
    rack.set_fault(Some(AgentFault::Oversized));
    let mut driver = open(&rack, "", &Outlets::all("p.{outlet}")).await.unwrap();
    assert_eq!(read(&mut driver).await.unwrap().len(), 2);
    // As a name it is cut; two that begin alike are distinguished.
    let mut driver = open(&rack, "", &Outlets::all("p.{label}")).await.unwrap();
    let lines = read(&mut driver).await.unwrap();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.len() < 200), "{lines:?}");
}

#[tokio::test]
async fn lengths_that_lie_and_answers_from_elsewhere_are_no_answers() {
    for fault in [AgentFault::LyingLengths, AgentFault::OtherPeer, AgentFault::WrongRequestId] {
        let message = all_with(fault, "").await.unwrap_err();
        assert!(
            message.starts_with("link lost: 127.0.0.1:") && message.contains(": timed out after "),
            "{fault:?}: {message}"
        );
    }
}

#[tokio::test]
async fn no_name_puts_control_characters_into_an_id_or_a_finding() {
    let names = ["\u{1b}[2Jroot", "a\nb", "\0\0"].map(str::to_owned).to_vec();
    let rack = Rack::start(RackSettings { names, ..RackSettings::default() }).await.unwrap();
    let mut driver = open(&rack, "", &Outlets::all("p.{label}")).await.unwrap();
    let lines = read(&mut driver).await.unwrap();
    let probes: Vec<_> = lines.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(probes, ["p.[2Jroot", "p.ab", "p.3"]);
    for finding in driver.findings() {
        let text = format!("{} {} {}", finding.what, finding.value, finding.why);
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

#[tokio::test]
async fn a_slow_agent_is_not_queried_again_while_it_works_and_its_silence_names_the_key() {
    let rack = rack(2).await;
    rack.set_fault(Some(AgentFault::Delay(std::time::Duration::from_millis(120))));
    // Sent twice within 200 ms: the second copy would be answered 240 ms after the first was sent.
    let shared = Arc::new(SnmpShared::default());
    let config = SnmpConfig { timeout_seconds: 0.2, ..config(rack.address(), "retransmits = 1") };
    let mut driver = Snmp::open(&config, &Outlets::all("p.{outlet}"), &shared).await.unwrap();
    assert_eq!(read(&mut driver).await.unwrap().len(), 2);
    let before = rack.datagrams();
    read(&mut driver).await.unwrap();
    assert_eq!(rack.datagrams().received - before.received, 1);
    rack.set_fault(Some(AgentFault::Silence));
    let message = read(&mut driver).await.unwrap_err();
    assert!(
        message.contains("the agent has responded before") && message.contains("`timeout_seconds`"),
        "{message}"
    );
}
