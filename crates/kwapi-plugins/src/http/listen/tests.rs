use std::time::Duration;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;

fn listen(connections_max: usize) -> Listen {
    Listen { address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: None, connections_max, access_log: true }
}

fn router() -> Router {
    Router::new().route("/", get(|| async { "x".repeat(2_000) }))
}

/// Starts a server; it ends with the sender.
fn start(listen: &Listen) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = Listener::bind(listen).unwrap();
    let address = listener.address();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(listener.serve(router(), async { _ = stopped.await }));
    (address, stop)
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
async fn a_connection_is_kept_and_answers_are_compressed_for_who_asks() {
    let (address, _stop) = start(&listen(9));
    let plain = twice(address, "").await;
    assert_eq!(plain.matches("HTTP/1.1 200 OK").count(), 2, "{plain}");
    let packed = twice(address, "accept-encoding: gzip\r\n").await;
    assert!(packed.contains("content-encoding: gzip") && packed.len() < plain.len() / 2, "{packed}");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_room_is_made_by_leaving() {
    let (address, _stop) = start(&listen(1));
    let mut first = tokio::net::TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut some = [0; 9];
    first.read_exact(&mut some).await.unwrap();
    assert_eq!(twice(address, "").await, "");
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
async fn a_taken_port_says_so() {
    let taken = Listener::bind(&listen(1)).unwrap();
    let error = Listener::bind(&Listen { address: taken.address(), ..listen(1) }).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is already in use", taken.address()));
    assert_eq!(usual_resident(5000), " (5000 is also Keystone's port)");
}

#[tokio::test]
async fn shutdown_ends_the_server() {
    let listener = Listener::bind(&listen(1)).unwrap();
    let served = tokio::time::timeout(Duration::from_secs(5), listener.serve(router(), async {})).await;
    served.unwrap().unwrap();
}

#[tokio::test]
async fn tls_is_served_with_the_given_certificate_and_a_wrong_file_is_named() {
    let lab = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (lab.path().join("cert.pem"), lab.path().join("key.pem"));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let tls = Tls { certificate: certificate.clone(), key: key.clone() };
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
    let swapped = Tls { certificate: key.clone(), key };
    let error = Listener::bind(&Listen { tls: Some(swapped), ..listen(9) }).unwrap_err().to_string();
    assert!(error.ends_with("key.pem: there is no certificate in it"), "{error}");
}
