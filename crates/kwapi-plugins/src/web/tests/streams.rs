//! The streams of open pages: what they send, to whom, how often it is made, and when they end. Time is paused: a
//! second passes when nobody has anything left to do.

use axum::body::HttpBody as _;

use super::tenants::logins;
use super::*;
use crate::http::ClientConnection;
use crate::metrics::{Exposition, MetricSource as _};

mod access;
mod nodes;

/// A stream as a client reads it.
pub(super) struct OpenStream {
    body: Body,
    read: Vec<u8>,
}

impl OpenStream {
    pub(super) fn of(body: Body) -> Self {
        Self { body, read: Vec::new() }
    }

    /// The next event or comment; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                return Some(self.read.drain(..end + 2).collect());
            }
            let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.body).poll_frame(cx)).await?;
            self.read.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    }

    /// The data and the id of the next event.
    async fn event(&mut self) -> (serde_json::Value, String) {
        loop {
            let text = String::from_utf8(self.next().await.expect("the stream continues").to_vec()).unwrap();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let (Some(data), Some(id)) = (field("data: "), field("id: ")) {
                return (serde_json::from_str(&data).unwrap(), id);
            }
        }
    }

    /// Waits for the end, whatever comes before it.
    async fn ended(&mut self) {
        let ended = async { while self.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the stream ends within 5 s");
    }

    /// Whether it is still open after ten seconds.
    async fn continues(&mut self) -> bool {
        let ended = async { while self.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(10), ended).await.is_err()
    }
}

/// Pages of probes that measure when they are triggered.
pub(super) struct Measured {
    pub(super) site: Router,
    streams: LiveStreams,
    intake: Intake,
    probes: Vec<ProbeId>,
    pub(super) now: Arc<AtomicU64>,
    seq: u64,
    directory: Directory,
}

impl Measured {
    pub(super) fn new(names: &[&str], streams_max: usize, logins: Option<Logins>) -> Self {
        let fixture = Fixture::of(names);
        let (clock, live) = (fixture.clock(), fixture.live());
        let (probes, now) = (fixture.probes.clone(), Arc::clone(&fixture.now));
        let streams = LiveStreams::new(streams_max);
        // Pages that are open renew nothing by themselves: what changes comes by the stream.
        let settings =
            Settings { streams: streams.clone(), refresh_interval: Duration::from_secs(3_600), ..settings() };
        let directory = Directory::default().with_live(live.clone()).with_history(Arc::new(fixture));
        let intake = Intake::new(live, None);
        let site = router(directory.clone(), settings, clock, logins);
        Self { site, streams, intake, probes, now, seq: 1, directory }
    }

    /// A second later, a probe measures so many watts.
    pub(super) fn measure(&mut self, probe: usize, watts: f64) {
        self.seq += 1;
        let at = self.now.load(Ordering::Relaxed) + 1;
        let totals = Totals { energy: Energy::from_watt_hours(1_501), ..Totals::default() };
        let power = (Watts(watts), Quality::Measured);
        receive(&mut self.intake, &self.probes[probe], self.seq, at, at, power, totals);
        // Last: who looks meanwhile looks again.
        self.now.store(at, Ordering::Relaxed);
    }

    async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Result<OpenStream, StatusCode> {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let here = ClientConnection { address: [127, 0, 0, 1].into(), is_encrypted: false };
        let request = request.extension(here).body(Body::empty()).unwrap();
        let (parts, body) = self.site.clone().oneshot(request).await.unwrap().into_parts();
        if parts.status != StatusCode::OK {
            return Err(parts.status);
        }
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        Ok(OpenStream::of(body))
    }

    /// A metric of the streams.
    pub(super) fn count(&self, name: &str) -> u64 {
        let mut out = Exposition::default();
        self.streams.collect(&mut out);
        let text = out.prometheus();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_event_has_all_and_the_next_what_has_changed() {
    let mut pages = Measured::new(&["A", "B", "it's \"7\" <b>"], 9, None);
    let mut stream =
        pages.open("/stream/?id=B&id=A&id=it%27s+%227%22+%3Cb%3E&id=nobody&total", &[]).await.unwrap();
    let (first, _) = stream.event().await;
    let probes: Vec<_> = first["probes"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(probes, ["A", "B", "it's \"7\" <b>"]);
    assert_eq!((&first["timestamp"], &first["total"]["reporting"]), (&NOW.into(), &3.into()));
    assert_eq!(first["probes"]["A"]["timestamp"], NOW);
    pages.measure(0, 1_234.56);
    let (next, _) = stream.event().await;
    let expected = serde_json::json!({ "A": { "w": 1234.6, "timestamp": NOW + 1, "kwh": 1.501 } });
    assert_eq!((&next["probes"], &next["timestamp"]), (&expected, &(NOW + 1).into()));
    assert!(next["total"]["w"].as_f64() > Some(1_234.0), "{next}");
    // B has been silent for ten minutes, which is no watt of now.
    pages.now.fetch_add(600, Ordering::Relaxed);
    pages.measure(0, 5.0);
    let (next, _) = stream.event().await;
    assert_eq!(
        (&next["probes"]["B"]["silent"], &next["probes"]["B"]["w"]),
        (&true.into(), &serde_json::Value::Null)
    );
    assert_eq!(next["total"], serde_json::json!({ "w": 5.0, "reporting": 1, "probes": 3 }));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_changes_a_comment_reports_that_the_stream_is_there() {
    let pages = Measured::new(&["A"], 9, None);
    let mut stream = pages.open("/stream/?id=A", &[]).await.unwrap();
    stream.event().await;
    for _ in 0..3 {
        assert_eq!(stream.next().await.unwrap(), ":\n\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_is_encoded_once_however_many_watch_it() {
    let mut pages = Measured::new(&["A", "B"], 99, None);
    let mut streams = Vec::new();
    for turn in 0..60 {
        // The same two probes in any order are one view.
        let path = ["/stream/?id=A&id=B", "/stream/?id=B&id=A&id=A", "/stream/?id=B"][turn % 3];
        let mut stream = pages.open(path, &[]).await.unwrap();
        stream.event().await;
        streams.push(stream);
    }
    assert_eq!(pages.count("kwapi_web_streams"), 60);
    assert_eq!(pages.count("kwapi_web_stream_views"), 2);
    assert_eq!(pages.count("kwapi_web_stream_encodings_total"), 2);
    pages.measure(1, 77.0);
    for stream in &mut streams {
        assert_eq!(stream.event().await.0["probes"]["B"]["w"], 77.0);
    }
    assert_eq!(pages.count("kwapi_web_stream_encodings_total"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_skips_to_the_newest() {
    let mut pages = Measured::new(&["A"], 9, None);
    let (mut slow, mut quick) =
        (pages.open("/stream/?id=A", &[]).await.unwrap(), pages.open("/stream/?id=A", &[]).await.unwrap());
    slow.event().await;
    quick.event().await;
    for watts in 1..=9 {
        pages.measure(0, f64::from(watts));
        assert_eq!(quick.event().await.0["probes"]["A"]["w"], f64::from(watts));
    }
    // One waits in the connection, the other is the newest.
    assert_eq!(slow.event().await.0["probes"]["A"]["w"], 1.0);
    assert_eq!(slow.event().await.0["probes"]["A"]["w"], 9.0);
    assert_eq!(pages.count("kwapi_web_stream_skipped_total"), 7);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_has_changed_since() {
    let mut pages = Measured::new(&["A", "B"], 9, None);
    let path = "/stream/?id=A&id=B&total";
    let mut stream = pages.open(path, &[]).await.unwrap();
    let (_, begin) = stream.event().await;
    drop(stream);
    pages.measure(1, 3.0);
    let mut stream = pages.open(path, &[("last-event-id", &begin)]).await.unwrap();
    let (event, id) = stream.event().await;
    assert!(event["probes"].get("A").is_none() && event["probes"]["B"]["w"] == 3.0, "{event}");
    let mut stream = pages.open(path, &[("last-event-id", &id)]).await.unwrap();
    assert_eq!(stream.event().await.0["probes"], serde_json::json!({}));
    // One of another view, of another process, of the future, or none at all means nothing.
    let (tag, _) = id.split_once('-').unwrap();
    let ahead = format!("{tag}-{}", u64::MAX);
    for other in ["", "-", "00000000-1", "x", &ahead, &format!("{tag}-")] {
        let mut stream = pages.open(path, &[("last-event-id", other)]).await.unwrap();
        assert_eq!(stream.event().await.0["probes"].as_object().unwrap().len(), 2, "{other:?}");
    }
    let mut stream = pages.open("/stream/?id=A", &[("last-event-id", &id)]).await.unwrap();
    assert!(stream.event().await.0["probes"].get("A").is_some());
}

#[tokio::test(start_paused = true)]
async fn where_nobody_looks_nothing_is_done() {
    let mut pages = Measured::new(&["A"], 9, None);
    let mut stream = pages.open("/stream/?id=A&total", &[]).await.unwrap();
    stream.event().await;
    drop(stream);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((pages.count("kwapi_web_streams"), pages.count("kwapi_web_stream_views")), (0, 0));
    let before = pages.count("kwapi_web_stream_encodings_total");
    for _ in 0..100 {
        pages.measure(0, 1.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(pages.count("kwapi_web_stream_encodings_total"), before);
    // Whoever comes is not shown what was a hundred seconds ago.
    let mut stream = pages.open("/stream/?id=A", &[]).await.unwrap();
    assert_eq!(stream.event().await.0["probes"]["A"]["timestamp"], NOW + 100);
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_in_all_and_of_one_login() {
    let clock = Fixture::of(&[]).clock();
    let pages = Measured::new(&["lyon.web1", "paris.web1"], 6, Some(logins(&clock)));
    let path = "/stream/?id=lyon.web1";
    let open = async |tenant: &str| pages.open(path, &[("x-auth-token", tenant)]).await;
    let mut all = vec![open("lyon").await.unwrap(), open("lyon").await.unwrap()];
    assert_eq!(open("lyon").await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    for tenant in ["paris", "paris", "operator", "operator"] {
        all.push(open(tenant).await.unwrap());
    }
    assert_eq!(pages.count("kwapi_web_streams"), 6);
    drop(all.remove(0));
    tokio::time::sleep(Duration::from_millis(1)).await;
    all.push(open("lyon").await.unwrap());
    drop(all.remove(1));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(open("operator").await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(pages.count("kwapi_web_streams_refused_total"), 2);
    // Without a login there is no share, but the same bound of all.
    let pages = Measured::new(&["A"], 2, None);
    let _all =
        [pages.open("/stream/?id=A", &[]).await.unwrap(), pages.open("/stream/?total", &[]).await.unwrap()];
    assert_eq!(pages.open("/stream/?id=A", &[]).await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn views_are_bounded_and_those_that_were_left_make_room() {
    let pages = Measured::new(&["A"], 2_000, None);
    let mut all = Vec::new();
    for view in 0..512 {
        all.push(pages.open(&format!("/stream/?id={view}"), &[]).await.unwrap());
    }
    assert_eq!(pages.open("/stream/?id=A", &[]).await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert!(pages.open("/stream/?id=7", &[]).await.is_ok(), "others watch that one");
    drop(all);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut stream = pages.open("/stream/?id=A", &[]).await.unwrap();
    assert!(stream.event().await.0["probes"].get("A").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused() {
    let pages = Measured::new(&["A"], 9, None);
    let many = |count: usize| format!("/stream/?{}", "id=A&".repeat(count));
    for (path, expected) in [
        ("/stream/", Some(StatusCode::BAD_REQUEST)),
        ("/stream/?ids=A", Some(StatusCode::BAD_REQUEST)),
        ("/stream", Some(StatusCode::MOVED_PERMANENTLY)),
        (&*many(201), Some(StatusCode::BAD_REQUEST)),
        (&*many(200), None),
        ("/stream/?id=%FF%00&id=", None),
    ] {
        assert_eq!(pages.open(path, &[]).await.err(), expected, "{path}");
    }
    let answer = send(&pages.site, "POST", "/stream/?id=A", &[]).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    let answer = send(&pages.site, "HEAD", "/stream/?id=A", &[]).await;
    assert_eq!((answer.status(), answer.body().len()), (StatusCode::OK, 0));
    assert_eq!(
        pages.count("kwapi_web_stream_encodings_total"),
        0,
        "a request for the head alone opens no stream"
    );
}
