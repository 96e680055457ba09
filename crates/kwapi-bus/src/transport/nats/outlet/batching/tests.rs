use proptest::prelude::*;

use super::*;

fn messages(topics: &[&str]) -> Vec<Outgoing> {
    topics.iter().map(|topic| Outgoing::from_parts((*topic).to_owned(), "{}".into())).collect()
}

fn patterns(all: &[&str]) -> Vec<Pattern> {
    all.iter().map(|text| Pattern::new(text).unwrap()).collect()
}

/// The subjects of the runs of messages with these topics, and how many messages each has.
#[track_caller]
fn check(probes: &[&str], topics: &[&str], expected: &[(&str, usize)]) {
    let messages = messages(topics);
    let runs = runs((0..).zip(&messages), &patterns(probes), 100, 10_000);
    let runs: Vec<_> = runs.iter().map(|run| (run.subject("k"), run.count)).collect();
    assert_eq!(
        runs,
        expected.iter().map(|(subject, count)| ((*subject).to_owned(), *count)).collect::<Vec<_>>()
    );
}

#[test]
fn a_batch_is_as_deep_as_what_its_probes_have_in_common_and_never_at_the_root() {
    check(&["*"], &["lyon.a."], &[("k.lyon.a", 1)]);
    check(&["*"], &["lyon.a.", "lyon.b."], &[("k.lyon.%batch", 2)]);
    check(&["*"], &["lyon.r1.a.", "lyon.r1.b.", "lyon.r2.a."], &[("k.lyon.%batch", 3)]);
    check(&["*"], &["lyon.r1.a.", "lyon.r1.b."], &[("k.lyon.r1.%batch", 2)]);
    check(&["*"], &["lyon.r1.", "lyon.r1.b."], &[("k.lyon.%batch", 2)]);
    check(&["*"], &["lyon.r1.a.", "lyon.r10.b."], &[("k.lyon.%batch", 2)]);
    check(&["*"], &["lyon.a.", "lyonnais.a."], &[("k.lyon.a", 1), ("k.lyonnais.a", 1)]);
    check(&["*"], &["a.", "b.", "b.c."], &[("k.a", 1), ("k.b", 1), ("k.b.c", 1)]);
    check(&["*"], &["lyon.é.", "lyon.è."], &[("k.lyon.%batch", 2)]);
    check(&["*"], &["lyon.é.a.", "lyon.è.a."], &[("k.lyon.%batch", 2)]);
    check(&["*"], &[".a.", ".b."], &[("k.%.%batch", 2)]);
}

#[test]
fn a_batch_of_one_probe_has_its_subject() {
    check(&["*"], &["a.", "a.", "a."], &[("k.a", 3)]);
    check(&["lyon.a"], &["lyon.a.", "lyon.a."], &[("k.lyon.a", 2)]);
    check(&["*"], &["lyon.a.", "lyon.a.", "lyon.b."], &[("k.lyon.%batch", 3)]);
}

#[test]
fn what_another_key_may_publish_or_none_is_apart() {
    check(
        &["fr.lyon.*", "fr.paris.a"],
        &["fr.lyon.a.", "fr.lyon.b.", "fr.paris.a.", "fr.paris.a.", "fr.nice.a.", "fr.nice.a."],
        &[("k.fr.lyon.%batch", 2), ("k.fr.paris.a", 2), ("k.fr.nice.a", 1), ("k.fr.nice.a", 1)],
    );
}

#[test]
fn a_gap_in_the_numbers_and_a_full_batch_begin_another() {
    let all = messages(&["lyon.a."; 9]);
    let counts = |numbers: [u64; 9], count_max: usize, bytes_max: usize| {
        let runs = runs(numbers.into_iter().zip(&all), &patterns(&["*"]), count_max, bytes_max);
        runs.iter().map(|run| run.count).collect::<Vec<_>>()
    };
    let gap = [1, 2, 3, 5, 6, 7, 8, 9, 20];
    assert_eq!(counts(gap, 100, 10_000), [3, 5, 1]);
    assert_eq!(counts(gap, 2, 10_000), [2, 1, 2, 2, 1, 1]);
    assert_eq!(counts(gap, 1, 10_000), [1; 9]);
    // 7 of the topic, 2 of the payload, 4 of lengths.
    assert_eq!(counts(gap, 100, 2 * 13), [2, 1, 2, 2, 1, 1]);
    assert_eq!(counts(gap, 100, 0), [1; 9], "what does not fit is sent by itself");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_batches_is_sent_single_messages_for_longer_and_longer() {
    let all = messages(&["lyon.a.", "lyon.b."]);
    let mut batching = Batching::new(100);
    let begun = Instant::now();
    let at = |seconds: u64| begun + Duration::from_secs(seconds);
    let mut turn = |seconds: u64, is_refused: bool| {
        let count = batching.runs((0..).zip(&all), &patterns(&["*"]), 10_000, at(seconds)).len();
        if is_refused {
            assert_eq!(batching.refused(at(seconds)).is_some(), count == 1);
        } else if count == 1 {
            batching.works(at(seconds));
        }
        count
    };
    assert_eq!([turn(0, false), turn(0, true), turn(1, true), turn(9, true)], [1, 1, 2, 2]);
    assert_eq!([turn(10, true), turn(29, true), turn(30, false), turn(31, true)], [1, 2, 1, 1]);
    assert_eq!([turn(40, false), turn(41, true), turn(42, false)], [2, 1, 2], "ten seconds again");
    let mut batching = Batching::new(100);
    (0..40).for_each(|hour| _ = batching.refused(at(3_601 * hour)));
    assert_eq!(batching.refused(at(3_601 * 40)), Some(SINGLE_MAX));
    batching.works(at(3_601 * 40));
    assert!(batching.single_until.is_some(), "another of the same window was refused");
}

#[tokio::test(start_paused = true)]
async fn windows_that_are_not_full_are_sent_a_moment_apart() {
    let all = messages(&["lyon.a."]);
    let now = Instant::now();
    let mut batching = Batching::new(100);
    assert_eq!(batching.linger_until(5, 1_024), None, "the first goes at once");
    batching.runs((0..).zip(&all), &[], 10_000, now);
    assert_eq!(batching.linger_until(5, 1_024), Some(now + LINGER));
    assert_eq!(batching.linger_until(1_024, 1_024), None);
    let mut single = Batching::new(1);
    single.runs((0..).zip(&all), &[], 10_000, now);
    assert_eq!(single.linger_until(5, 1_024), None);
}

proptest! {
    #[test]
    fn every_message_is_in_one_run_in_order_and_comes_out_as_it_went_in(
        topics in prop::collection::vec("[ab.]{0,6}\\.", 0..60),
        probes in prop::collection::vec(prop_oneof![Just("*"), Just("a.*"), Just("a"), Just("b.a.*")], 1..3),
        count_max in 1_usize..20,
        bytes_max in 0_usize..400,
    ) {
        let messages: Vec<_> = (0..)
            .zip(topics)
            .map(|(number, topic): (u64, _)| Outgoing::from_parts(topic, number.to_string().into()))
            .collect();
        let runs = runs((0..).zip(&messages), &patterns(&probes), count_max, bytes_max);
        let mut out = Vec::new();
        let mut rest = messages.iter();
        for run in &runs {
            let payload = run.payload(rest.by_ref().take(run.count));
            let subject = run.subject("k");
            let contents = batch::Contents::read("k", &subject, &payload).unwrap();
            prop_assert_eq!(contents.is_batch, run.is_batch());
            prop_assert_eq!(contents.topic.as_deref(), Some(run.begin.as_str()));
            prop_assert!(run.count <= count_max && (run.count == 1 || payload.len() <= bytes_max + 14));
            prop_assert_ne!(subject, "k.%batch");
            out.extend(contents.measurements);
        }
        let expected: Vec<_> =
            messages.iter().map(|message| (message.topic().to_owned(), message.payload().clone())).collect();
        prop_assert_eq!(out, expected);
    }
}
