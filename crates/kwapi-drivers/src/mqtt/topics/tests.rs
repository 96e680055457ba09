use super::*;
use crate::testing::lines;

fn topics(template: &str) -> Topics {
    let keys = "broker = 'b'\ntopic = 'plugs/{outlet}'\nvalues = { power = '/w' }";
    let config: MqttConfig = toml::from_str(keys).expect("a configuration");
    Topics::new(Outlets::all(template), Stream::all(&config))
}

/// What one message is taken for.
fn publish(topics: &mut Topics, topic: &str, payload: &[u8]) -> String {
    let message = Message { topic: topic.to_owned(), payload: payload.to_vec(), is_retained: false };
    let mut readings = Readings::default();
    topics.take(&message, &mut readings);
    lines(&mut readings).join(", ")
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_topics_are_probes_and_one_more_is_when_others_have_been_silent_for_long() {
    let mut topics = topics("p.{outlet}");
    for number in 0..TOPICS_MAX {
        assert_eq!(
            publish(&mut topics, &format!("plugs/{number}"), b"{\"w\": 1}"),
            format!("p.{number}: 1 W")
        );
    }
    for number in 0..100 {
        assert_eq!(publish(&mut topics, &format!("plugs/other{number}"), b"{\"w\": 1}"), "");
    }
    assert_eq!((topics.probes.len(), topics.topics.len()), (TOPICS_MAX, TOPICS_MAX));
    let findings = topics.findings(0);
    assert!(findings[0].why.contains("limit of 10000 probes"), "{findings:?}");
    assert!(
        findings[0].why.len() < 1_000 && findings[0].why.starts_with("100 without power"),
        "{findings:?}"
    );
    assert_eq!(publish(&mut topics, "plugs/7", b"{\"w\": 2}"), "p.7: 2 W", "those that are known are read");

    tokio::time::advance(SOURCE_LAPSES_AFTER.saturating_sub(SWEEP_PAUSE)).await;
    assert_eq!(publish(&mut topics, "plugs/7", b"{\"w\": 3}"), "p.7: 3 W");
    assert_eq!(publish(&mut topics, "plugs/late", b"{\"w\": 3}"), "");
    tokio::time::advance(2 * SWEEP_PAUSE).await;
    assert_eq!(publish(&mut topics, "plugs/late", b"{\"w\": 4}"), "p.late: 4 W");
    assert_eq!(topics.probes.len(), 2, "the one that spoke meanwhile, and the new one");
}

#[test]
fn a_topic_with_control_characters_is_no_probe_and_its_neighbours_are_read() {
    let mut topics = topics("p.{outlet}");
    for topic in ["plugs/a\u{1b}[2Jb", "plugs/\n", "plugs/\u{7}", "plugs/\u{85}"] {
        assert_eq!(publish(&mut topics, topic, b"{\"w\": 1}"), "");
    }
    assert_eq!(topics.probes.len(), 0);
    assert_eq!(publish(&mut topics, "plugs/a", b"{\"w\": 1}"), "p.a: 1 W");
}

#[test]
fn what_a_message_reports_reaches_no_terminal_as_it_came() {
    // One probe of a fixed name, whose messages may be anything.
    let keys = "broker = 'b'\ntopic = 'plugs/#'\nvalues = { power = '/w' }";
    let config: MqttConfig = toml::from_str(keys).expect("a configuration");
    let outlets = Outlets::by_position([ProbeId::new("a").ok()]);
    let mut topics = Topics::new(outlets, Stream::all(&config));
    let payloads: [&[u8]; 4] =
        [b"\x1b]0;x\x07", b"{\"w\": \"\\u001b[2J\"}", b"{\"w\": {\"\\u001b\": 1}}", b"\"\\u009b31m\""];
    for payload in payloads {
        let outcome = publish(&mut topics, "plugs/\u{1b}[31m", payload);
        assert!(!outcome.is_empty() || topics.passed_over > 0);
        assert!(!outcome.contains(char::is_control), "{outcome:?}");
    }
    let findings = format!("{:?}", topics.findings(0).into_iter().map(|it| it.why).collect::<Vec<_>>());
    assert!(!findings.contains(char::is_control), "{findings:?}");
}

#[test]
fn a_message_nested_without_end_is_no_json_and_costs_itself_alone() {
    let mut topics = topics("p.{outlet}");
    let deep = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
    assert_eq!(publish(&mut topics, "plugs/a", &deep), "");
    assert_eq!(publish(&mut topics, "plugs/a", b"{\"w\": 1}"), "p.a: 1 W");
    let outcome = publish(&mut topics, "plugs/a", &deep);
    assert!(
        outcome.starts_with("p.a: implausible: plugs/a: invalid JSON") && outcome.len() < 1_000,
        "{outcome}"
    );
}
