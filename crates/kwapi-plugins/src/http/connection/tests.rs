//! Requests as bytes on a stream in memory, and the clock paused.

use axum::routing::get;
use proptest::prelude::*;
use tokio::io::duplex;

use super::*;
use crate::http::{READ, Route, Routes};

static ROUTES: Routes<()> = Routes {
    server: "test",
    table: &[Route { path: "/", methods: READ, rule: None, resource: () }],
    others: &[],
};

/// A server of one connection; it counts.
struct Stand {
    counts: Arc<ServerCounts>,
    _phase: watch::Sender<Phase>,
}

impl Stand {
    /// Starts it, and returns the client's end.
    fn start() -> (Self, tokio::io::DuplexStream) {
        let router = Router::new().route("/", get(|| async { "hello\n" }));
        let counts = Arc::new(ServerCounts::new(&ROUTES));
        let front = Front {
            router,
            counts: counts.clone(),
            hosts: Arc::new(Hosts::Any),
            access_log: true,
            is_encrypted: false,
        };
        let (client, server) = duplex(1 << 20);
        let (phase, receiver) = watch::channel(Phase::Open);
        let (taken, _) = crate::http::Seats::new(1).part(1).take().unwrap();
        tokio::spawn(serve(server, SocketAddr::from(([127, 0, 0, 1], 9)), front, taken.seat(), receiver));
        (Self { counts, _phase: phase }, client)
    }

    fn metrics(&self) -> String {
        use crate::metrics::MetricSource as _;
        let mut out = crate::metrics::Exposition::default();
        self.counts.collect(&mut out);
        out.prometheus()
    }
}

/// Sends bytes, then nothing more, and returns all that comes until the server ends.
async fn send(request: &[u8]) -> (Stand, String) {
    let (stand, mut client) = Stand::start();
    client.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    _ = timeout(Duration::from_secs(600), client.read_to_end(&mut answer)).await.unwrap();
    (stand, String::from_utf8_lossy(&answer).into_owned())
}

/// Sends a request that must be refused, and compares status and message.
#[track_caller]
fn check(answer: &str, code: u16, message: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let length = format!("content-length: {}", body.len());
    assert!(head.starts_with(&format!("HTTP/1.1 {code} ")) && head.contains(&length), "{answer}");
    assert!(head.contains("content-type: application/json"), "{answer}");
    let error: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(error["error"]["code"], code, "{answer}");
    let text = error["error"]["message"].as_str().unwrap();
    assert!(text.contains(message), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_refused_in_our_shape_and_counted() {
    let long = "x".repeat(HEAD_BYTES_MAX);
    let many: String = (0..101).map(|number| format!("h{number}: v\r\n")).collect();
    for (request, code, message) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: h\r\n\r\n"), 414, "URL too long"),
        (format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n"), 431, "Too many or too large headers"),
        (format!("GET / HTTP/1.1\r\nhost: h\r\nx: {long}\r\n\r\n"), 431, "Too many or too large headers"),
        ("\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400, "invalid HTTP method"),
        ("GET /\r\n\r\n".to_owned(), 400, "invalid"),
        ("GET / HTTP/9.9\r\nhost: h\r\n\r\n".to_owned(), 400, "invalid HTTP version"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400, "invalid HTTP header"),
        ("GET / HTTP/1.1\r\nhost: h\r\nbad name: v\r\n\r\n".to_owned(), 400, "invalid HTTP header"),
        ("GET / HTTP/1.1\r\nhost: h\r\nx: \u{7}\r\n\r\n".to_owned(), 400, "invalid HTTP header"),
        ("GET /a b HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(), 400, "invalid"),
        (
            "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            400,
            "content-length",
        ),
        ("GET / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n".to_owned(), 400, "content-length"),
        ("GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: zip\r\n\r\n".to_owned(), 400, "transfer-encoding"),
        ("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), 400, "transfer-encoding"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "HTTP2"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(), 400, "invalid HTTP method"),
    ] {
        let (stand, answer) = send(request.as_bytes()).await;
        check(&answer, code, message);
        let counted = format!(
            "kwapi_http_requests_total{{server=\"test\",route=\"unreadable\",method=\"OTHER\",code=\"{code}\"}} 1"
        );
        assert!(stand.metrics().contains(&counted), "{request:.60}\n{}", stand.metrics());
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_utf_8_in_a_path_are_refused() {
    let (_, answer) = send(b"GET /\xFF\xFE HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    check(&answer, 400, "invalid");
}

#[tokio::test(start_paused = true)]
async fn an_empty_refusal_from_within_is_filled() {
    let head = "HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    for (request, code, message) in [
        (format!("GET /nowhere {head}"), 404, "Not found."),
        (format!("TRACE / {head}"), 405, "This resource is read-only."),
        (format!("BREW / {head}"), 405, "This resource is read-only."),
        (format!("DELETE / {head}"), 405, "This resource is read-only."),
        (format!("OPTIONS * {head}"), 404, "Not found."),
        ("CONNECT h:80 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_owned(), 404, "Not found."),
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), 400, "Missing Host header"),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(),
            400,
            "More than one Host",
        ),
    ] {
        check(&send(request.as_bytes()).await.1, code, message);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_unusual_but_allowed_is_answered() {
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\nhost: h\nconnection: close\n\n",
        "\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        "GET http://elsewhere/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc",
        "GET / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
    ] {
        let (_, answer) = send(request.as_bytes()).await;
        assert!(
            answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\nhello\n"),
            "{request:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{request:?}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_before_a_request_that_cannot_be_read_arrive_whole() {
    let good = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    let (stand, answer) = send(format!("{good}{good}nonsense\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.matches("\r\n\r\nhello\n").count(), 2, "{answer}");
    let last = answer.rsplit_once("hello\n").unwrap().1;
    check(last, 400, "invalid");
    assert!(stand.metrics().contains("route=\"/\",method=\"GET\",code=\"200\"} 2"), "{}", stand.metrics());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_timed_out_and_an_idle_connection_closed_silently() {
    let begin = Instant::now();
    let (_, answer) = send(b"GET / HTTP/1.1\r\nhost:").await;
    check(&answer, 408, "within 30 seconds");
    assert!((30..33).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());

    let (_, answer) = send(b"").await;
    assert_eq!(answer, "");
    let (_, answer) = send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_drop_at_a_time_does_not_stretch_the_limit() {
    let (_stand, mut client) = Stand::start();
    let begin = Instant::now();
    for byte in std::iter::repeat_n(b"x", 120) {
        if client.write_all(byte).await.is_err() || begin.elapsed() > Duration::from_secs(40) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    check(&answer, 408, "within 30 seconds");
    assert!(begin.elapsed() < Duration::from_secs(45), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_cut_off_in_its_head_gets_its_status() {
    let (_stand, mut client) = Stand::start();
    client.write_all(b"GET / HT").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    check(&answer, 400, "before the end of the request headers");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_left() {
    let router = Router::new().route("/", get(|| async { "x".repeat(1 << 20) }));
    let counts = Arc::new(ServerCounts::new(&ROUTES));
    let front = Front { router, counts, hosts: Arc::new(Hosts::Any), access_log: false, is_encrypted: false };
    let (taken, _) = crate::http::Seats::new(1).part(1).take().unwrap();
    let (mut client, server) = duplex(1 << 10);
    let (_phase, receiver) = watch::channel(Phase::Open);
    let served =
        tokio::spawn(serve(server, SocketAddr::from(([127, 0, 0, 1], 9)), front, taken.seat(), receiver));
    client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let begin = Instant::now();
    timeout(Duration::from_secs(60), served).await.unwrap().unwrap();
    assert!((30..33).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, the server ends, and sends nothing that is not a response.
    #[test]
    fn noise_is_answered_with_one_refusal_or_an_answer(noise in prop_oneof![
        prop::collection::vec(any::<u8>(), 1..200),
        "(GET|POST|X) /[a-z% ]{0,9} HTTP/1\\.[019]\r\n([a-z]{1,9}: ?[ -~]{0,9}\r\n){0,4}\r\n".prop_map(String::into_bytes),
    ]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let answer = runtime.block_on(async { send(&noise).await.1 });
        prop_assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{}", answer);
        for part in answer.split("HTTP/1.1 4").skip(1) {
            let body = part.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            prop_assert!(body.contains("\"message\":"), "{}", answer);
        }
    }
}
