use std::collections::VecDeque;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use kwapi_core::{ProbeId, Secret, Timestamp};
use kwapi_history::journal::JournalConfig;
use parking_lot::Mutex;

use super::super::message::Sample;
use super::super::progress::Counters;
use super::*;

/// A server that answers by a list, and keeps what it got.
#[derive(Clone, Debug, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<u16>>>,
    got: Arc<Mutex<Vec<String>>>,
}

async fn answer(
    Shared(script): Shared<Script>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let probes = ["p1", "p2", "p3"]
        .into_iter()
        .filter(|probe| message.windows(probe.len()).any(|window| window == probe.as_bytes()));
    let got = probes.collect::<Vec<_>>().join("+");
    assert_eq!(headers["x-prometheus-remote-write-version"], "0.1.0");
    assert_eq!(headers["content-encoding"], "snappy");
    assert_eq!(headers["authorization"], "Bearer secret");
    script.got.lock().push(got);
    let status = script.answers.lock().pop_front().unwrap_or(204);
    (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")], "in my\nwords")
}

/// Sends three pieces of a probe each, twice where `again`, to a server that answers so: the requests it got and what is counted.
async fn send(answers: &[u16], is_first_batch: bool) -> (String, Counters) {
    let script =
        Script { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Script::default() };
    let router = Router::new().route("/w", post(answer)).with_state(script.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/w", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let lab = tempfile::tempdir().unwrap();
    let journal = Journal::open(lab.path(), JournalConfig::default(), Timestamp::EPOCH).unwrap().0;
    let config: RemoteWriteConfig = toml::from_str(&format!("url = '{url}'")).unwrap();
    let config = RemoteWriteConfig { bearer_token: Some(Secret::new("secret")), ..config };
    let mut sink = Sink::new(
        &config,
        &journal,
        kwapi_core::Gaps::new(Duration::from_secs(10)),
        WallClock::new(|| Timestamp::EPOCH),
    )
    .unwrap();
    sink.is_first_batch = is_first_batch;
    let piece = |probe: &str| {
        vec![(ProbeId::new(probe).unwrap(), Sample { at_ms: 1_000, power: 1.0, energy: Some(1.0) })]
    };
    sink.batch.pieces = ["p1", "p2", "p3"].map(piece).to_vec();
    sink.batch.late = vec![piece("p2")];
    sink.send().await;
    server.abort();
    let counters = sink.remote_write.state.lock().counters;
    let trouble = sink.remote_write.trouble().unwrap_or_default();
    // What an operator is to know of, as long as it is news.
    let lost =
        format!(": {} samples lost in the last 0 s: refused by the server, and dropped", counters.refused);
    assert_eq!(trouble.contains(&lost), counters.refused > 0, "{trouble}");
    assert_eq!(trouble.is_empty(), counters.refused == 0, "{trouble}");
    (script.got.lock().join(" "), counters)
}

#[tokio::test]
async fn what_is_in_order_goes_in_one_request_and_what_is_late_in_another() {
    let (got, counters) = send(&[], false).await;
    assert_eq!(got, "p1+p2+p3 p2");
    assert_eq!(counters, Counters { sent: 4, requests: 2, ..Counters::default() });
}

#[tokio::test]
async fn a_request_that_is_refused_is_tried_piece_by_piece() {
    let (got, counters) = send(&[400, 204, 400, 204, 400], false).await;
    assert_eq!(got, "p1+p2+p3 p1 p2 p3 p2");
    assert_eq!(counters, Counters { sent: 2, refused: 2, requests: 5, ..Counters::default() });
}

#[tokio::test]
async fn what_a_process_before_may_have_sent_is_no_loss_when_it_is_refused() {
    let (_, counters) = send(&[400, 400, 400, 204, 400], true).await;
    assert_eq!(counters, Counters { sent: 1, repeated: 3, requests: 5, ..Counters::default() });
}

#[tokio::test]
async fn a_server_that_cannot_take_it_now_is_queried_again_until_it_does() {
    let (got, counters) = send(&[503, 429, 401, 204], false).await;
    assert_eq!(got, "p1+p2+p3 p1+p2+p3 p1+p2+p3 p1+p2+p3 p2");
    assert_eq!(counters, Counters { sent: 4, failures: 3, requests: 5, ..Counters::default() });
}

#[tokio::test]
async fn a_refusal_after_a_failure_that_may_have_been_none_is_a_repeat() {
    let (_, counters) = send(&[500, 400, 400, 400, 400], false).await;
    assert_eq!(counters, Counters { sent: 1, repeated: 3, failures: 1, requests: 6, ..Counters::default() });
    // Too many requests are not taken: the refusal is one.
    let (_, counters) = send(&[429, 400, 400, 400, 400], false).await;
    assert_eq!(counters, Counters { sent: 1, refused: 3, failures: 1, requests: 6, ..Counters::default() });
}
