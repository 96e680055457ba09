//! How long pages take that are requested while the load runs, and how much they are, compressed as for a browser.

use std::fmt::Write;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Each is requested so often: the first time nothing of it is kept.
const TIMES: usize = 3;
/// A page that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(120);
/// What people look at first of very many probes.
const PATHS: [&str; 7] = [
    "/last/minute/",
    "/last/day/",
    "/last/month/",
    "/groups/",
    "/where/",
    "/where/?show=energy",
    "/table/day/?sort=watts",
];

/// Requests the pages at `address`, one after the other; a row for each of a table in Markdown. Nothing without an
/// address.
///
/// # Errors
/// When a page cannot be read, as one line.
pub(super) async fn rows(address: Option<SocketAddr>) -> Result<String, String> {
    let Some(address) = address else { return Ok(String::new()) };
    let measured = tokio::task::spawn_blocking(move || measure(address)).await;
    measured.map_err(|error| error.to_string())?
}

fn measure(address: SocketAddr) -> Result<String, String> {
    let mut rows = String::new();
    for path in PATHS {
        let mut took = Vec::with_capacity(TIMES);
        let mut bytes = 0;
        for _ in 0..TIMES {
            let begin = Instant::now();
            bytes = get(address, path).map_err(|error| format!("{path}: {error}"))?;
            took.push(format!("{:.0}", begin.elapsed().as_secs_f64() * 1e3));
        }
        _ = writeln!(rows, "| `{path}` | {} ms, {:.0} KB |", took.join(", "), bytes as f64 / 1e3);
    }
    Ok(rows)
}

/// The bytes of a page, its head included.
fn get(address: SocketAddr, path: &str) -> std::io::Result<usize> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") {
        return Ok(answer.len());
    }
    let head = String::from_utf8_lossy(&answer);
    Err(std::io::Error::other(head.lines().next().unwrap_or_default().to_owned()))
}
