use std::time::Duration;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio_rustls::client::TlsStream;

use super::super::serve_error::usual_resident;
use super::*;
use crate::http::{READ, Route, Routes};

static ROUTES: Routes<()> = Routes {
    server: "test",
    table: &[Route { path: "/", methods: READ, rule: None, resource: () }],
    others: &[],
};

fn listen(connections_max: usize) -> Listen {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let seats = Seats::new(100);
    Listen {
        address,
        tls: None,
        connections_max,
        seats,
        hosts: Hosts::Any,
        access_log: true,
        routes: &ROUTES,
    }
}

/// An answer that lasts for ever without a byte.
struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "x".repeat(2_000) }))
        .route("/endless", get(async || axum::body::Body::new(Endless)))
}

/// Starts a server; it ends with the sender.
fn start(listen: &Listen) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = Listener::bind(listen).unwrap();
    let address = listener.address();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(listener.serve(router(), async { _ = stopped.await }));
    (address, stop)
}

/// A connection in the middle of an answer: its seat is not given away.
async fn busy(address: SocketAddr) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET /endless HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    connection.read_exact(&mut [0; 9]).await.unwrap();
    connection
}

/// Sends two requests on one connection and returns everything that came back.
async fn twice(address: SocketAddr, headers: &str) -> String {
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let one = format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
    let two = format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}connection: close\r\n\r\n");
    connection.write_all(format!("{one}{two}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_connection_is_kept_and_answers_are_compressed_on_request() {
    let (address, _stop) = start(&listen(9));
    let plain = twice(address, "").await;
    assert_eq!(plain.matches("HTTP/1.1 200 OK").count(), 2, "{plain}");
    let packed = twice(address, "accept-encoding: gzip\r\n").await;
    assert!(packed.contains("content-encoding: gzip") && packed.len() < plain.len() / 2, "{packed}");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_while_all_others_are_busy() {
    let (address, _stop) = start(&listen(1));
    let mut first = busy(address).await;
    assert_eq!(twice(address, "").await, "");
    first.shutdown().await.unwrap();
    drop(first);
    tokio::time::timeout(Duration::from_secs(10), async {
        while twice(address, "").await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one() {
    let (address, _stop) = start(&listen(1));
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 9]).await.unwrap();
    assert_eq!(twice(address, "").await.matches("HTTP/1.1 200 OK").count(), 2);
    // What it was sent before it had to leave, and then the end.
    _ = idle.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn servers_of_one_process_share_its_seats() {
    let seats = Seats::new(2);
    let (pages, _stop) = start(&Listen { seats: seats.clone(), ..listen(9) });
    let (status, _stop_too) = start(&Listen { seats, ..listen(9) });
    let _busy = busy(pages).await;
    let mut idle = TcpStream::connect(pages).await.unwrap();
    assert_eq!(twice(status, "").await.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(idle.read(&mut [0; 9]).await.unwrap_or(0), 0, "the idle one had to leave");
}

#[tokio::test]
async fn a_server_without_authentication_answers_to_its_own_names_only() {
    let hosts = Hosts::Only { names: Vec::new(), key: "`hosts` in [api]" };
    let (address, _stop) = start(&Listen { hosts, ..listen(9) });
    let answer = twice(address, "").await; // host: h
    assert!(answer.starts_with("HTTP/1.1 421 Misdirected Request"), "{answer}");
    assert!(answer.contains("add the name to `hosts` in [api]"), "{answer}");
}

#[tokio::test]
async fn a_taken_port_reports_it() {
    let taken = Listener::bind(&listen(1)).unwrap();
    let error = Listener::bind(&Listen { address: taken.address(), ..listen(1) }).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is already in use", taken.address()));
    assert_eq!(usual_resident(5000), " (5000 is also used by Keystone)");
}

#[tokio::test]
async fn shutdown_ends_the_server() {
    let listener = Listener::bind(&listen(1)).unwrap();
    let served = tokio::time::timeout(Duration::from_secs(5), listener.serve(router(), async {})).await;
    served.unwrap().unwrap();
}

/// Writes a certificate for localhost with this serial number, and its key.
fn write_pair(lab: &std::path::Path, serial: u64) -> ServerTls {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.serial_number = Some(serial.into());
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let tls = ServerTls { certificate: lab.join("cert.pem"), key: lab.join("key.pem") };
    std::fs::write(&tls.certificate, parameters.self_signed(&signing_key).unwrap().pem()).unwrap();
    std::fs::write(&tls.key, signing_key.serialize_pem()).unwrap();
    tls
}

/// Connects and trusts the certificate that is in the file now.
async fn connect(address: SocketAddr, tls: &ServerTls) -> io::Result<TlsStream<TcpStream>> {
    use rustls_pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_file(&tls.certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
}

/// Sends one request on a connection that is kept, and returns the head of the answer.
async fn request(connection: &mut TlsStream<TcpStream>) -> String {
    connection.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with("x".repeat(2_000).as_bytes()) {
        assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "the server hung up");
    }
    String::from_utf8(answer).unwrap().split("\r\n").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_and_no_connection_is_dropped() {
    let lab = tempfile::tempdir().unwrap();
    let old = write_pair(lab.path(), 1);
    let listener = Listener::bind(&Listen { tls: Some(old.clone()), ..listen(9) }).unwrap();
    let (address, certificates) =
        (listener.address(), listener.secured.as_ref().unwrap().certificates.clone());
    tokio::spawn(listener.serve(router(), std::future::pending()));
    let mut kept = connect(address, &old).await.unwrap();
    assert_eq!(request(&mut kept).await, "HTTP/1.1 200 OK");

    let new = write_pair(lab.path(), 2);
    assert!(connect(address, &new).await.is_err(), "the new one is not in use yet");
    (0..2).for_each(|_| certificates.refresh());
    assert_eq!(request(&mut kept).await, "HTTP/1.1 200 OK");
    let mut fresh = connect(address, &new).await.unwrap();
    assert_eq!(request(&mut fresh).await, "HTTP/1.1 200 OK");

    std::fs::write(&new.key, "no key").unwrap();
    (0..3).for_each(|_| certificates.refresh());
    let mut after_a_broken_one = connect(address, &new).await.unwrap();
    assert_eq!(request(&mut after_a_broken_one).await, "HTTP/1.1 200 OK");
    assert_eq!(request(&mut kept).await, "HTTP/1.1 200 OK");
}

/// Everything that comes back for `request`, over TLS.
async fn send_over_tls(address: SocketAddr, tls: &ServerTls, request: &[u8]) -> String {
    let mut connection = connect(address, tls).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_over_tls_and_over_tcp_as_well() {
    let lab = tempfile::tempdir().unwrap();
    let tls = write_pair(lab.path(), 1);
    let (secure, _stop) = start(&Listen { tls: Some(tls.clone()), ..listen(9) });
    let (plain, _stop_too) = start(&listen(9));
    let long = "x".repeat(200_000);
    for (request, expected) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: h\r\n\r\n"), "HTTP/1.1 414 URI Too Long"),
        (format!("GET / HTTP/1.1\r\nhost: h\r\nx: {long}\r\n\r\n"), "HTTP/1.1 431 "),
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("GET /nowhere HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_owned(), "HTTP/1.1 404 "),
    ] {
        let over_tls = send_over_tls(secure, &tls, request.as_bytes()).await;
        let mut connection = TcpStream::connect(plain).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut over_tcp = String::new();
        connection.read_to_string(&mut over_tcp).await.unwrap();
        for answer in [over_tls, over_tcp] {
            assert!(answer.starts_with(expected) && answer.contains("{\"error\":{\"code\":4"), "{answer}");
        }
    }
}

#[tokio::test]
async fn http_on_a_tls_port_gets_an_explanation_and_what_is_neither_is_counted() {
    let lab = tempfile::tempdir().unwrap();
    let tls = write_pair(lab.path(), 1);
    let listener = Listener::bind(&Listen { tls: Some(tls.clone()), ..listen(9) }).unwrap();
    let (address, counts) = (listener.address(), listener.counts.clone());
    tokio::spawn(listener.serve(router(), std::future::pending()));
    let answer = twice(address, "").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("This port requires TLS"), "{answer}");
    let mut garbled = TcpStream::connect(address).await.unwrap();
    garbled.write_all(&[22, 3, 1, 0, 5, 9, 9, 9, 9, 9]).await.unwrap();
    _ = garbled.read_to_end(&mut Vec::new()).await;
    let mut out = Exposition::default();
    counts.collect(&mut out);
    let text = out.prometheus();
    assert!(text.contains("refused_total{server=\"test\",cause=\"tls_handshake\"} 1\n"), "{text}");
}

#[tokio::test]
async fn connections_are_counted_while_they_are_open_and_when_there_is_no_room() {
    let listener = Listener::bind(&listen(1)).unwrap();
    let (address, metrics) = (listener.address(), listener.metrics());
    tokio::spawn(listener.serve(router(), std::future::pending()));
    let _first = busy(address).await;
    assert_eq!(twice(address, "").await, "");
    let mut out = Exposition::default();
    metrics.collect(&mut out);
    let text = out.prometheus();
    assert!(text.contains("kwapi_http_connections{server=\"test\"} 1\n"), "{text}");
    assert!(text.contains("refused_total{server=\"test\",cause=\"full\"} 1\n"), "{text}");
}

#[tokio::test]
async fn tls_is_served_with_the_given_certificate_and_a_wrong_file_is_named() {
    let lab = tempfile::tempdir().unwrap();
    let tls = write_pair(lab.path(), 1);
    let ServerTls { certificate, key } = tls.clone();
    let (address, _stop) = start(&Listen { tls: Some(tls), ..listen(9) });
    if kwapi_peers::need(&["curl"]) {
        let answer = tokio::task::spawn_blocking(move || {
            #[expect(clippy::disallowed_methods, reason = "curl is the client here")]
            kwapi_peers::output(
                std::process::Command::new("curl")
                    .args(["-sS", "--cacert"])
                    .arg(&certificate)
                    .arg("--connect-to")
                    .arg(format!("localhost:443:{address}"))
                    .arg("https://localhost/"),
            )
        });
        assert_eq!(answer.await.unwrap().len(), 2_000);
    }
    let swapped = ServerTls { certificate: key.clone(), key };
    let error = Listener::bind(&Listen { tls: Some(swapped), ..listen(9) }).unwrap_err().to_string();
    assert!(error.ends_with("key.pem: no certificate found in the file"), "{error}");
}
