//! A device with HTTP/1.1, with the faults real ones will not show on demand: silence, half an answer, a
//! changed password, a value from yesterday.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Longer bodies end the connection: our drivers send none.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// A request to the device.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// `GET`
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// Lower-case names, values as they came.
    pub headers: Vec<(String, String)>,
    /// What was sent along.
    pub body: String,
}

impl HttpRequest {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What the device answers.
#[derive(Clone, Debug)]
pub enum HttpAnswer {
    /// A status, headers and a body.
    Whole(u16, Vec<(String, String)>, Vec<u8>),
    /// The headers and half of a body that promised to be whole, then the end of the connection.
    Half(Vec<u8>),
    /// These bytes as they are, a whole answer or not, then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, then others without end.
    Endless(Vec<u8>),
    /// These bytes, then one more each second without end.
    Trickle(Vec<u8>),
    /// Nothing, for as long as the other end waits.
    Silence,
}

impl HttpAnswer {
    /// A plain 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(200, Vec::new(), body.into())
    }

    /// A bare status.
    pub fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), Vec::new())
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Whole(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A device on a loopback port of its own, gone when dropped.
#[derive(Debug)]
pub struct HttpDevice {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<HttpRequest>>>,
    server: JoinHandle<()>,
}

impl HttpDevice {
    /// Starts a device that answers each request with `respond`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(
        respond: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let respond: Arc<dyn Fn(&HttpRequest) -> HttpAnswer + Send + Sync> = Arc::new(respond);
        let server = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (respond, seen) = (Arc::clone(&respond), Arc::clone(&seen));
                connections.spawn(async move { serve(stream, &*respond, &seen).await });
            }
        });
        Ok(Self { address, requests, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.requests.lock().clone()
    }
}

impl Drop for HttpDevice {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    stream: TcpStream,
    respond: &(dyn Fn(&HttpRequest) -> HttpAnswer + Send + Sync),
    seen: &Mutex<Vec<HttpRequest>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream).await? {
        seen.lock().push(request.clone());
        let (status, headers, body, cut) = match respond(&request) {
            HttpAnswer::Whole(status, headers, body) => (status, headers, body, false),
            HttpAnswer::Half(body) => (200, Vec::new(), body, true),
            HttpAnswer::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            HttpAnswer::Trickle(bytes) => {
                stream.write_all(&bytes).await?;
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    stream.write_all(b" ").await?;
                }
            }
            HttpAnswer::Endless(bytes) => {
                stream.write_all(&bytes).await?;
                loop {
                    stream.write_all(&[b' '; 1024]).await?;
                }
            }
            HttpAnswer::Silence => return std::future::pending().await,
        };
        let mut head = format!("HTTP/1.1 {status} Simulated\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([&name, ": ", &value, "\r\n"]);
        }
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(b"\r\n").await?;
        let sent = if cut { body.len() / 2 } else { body.len() };
        stream.write_all(body.get(..sent).unwrap_or_default()).await?;
        stream.flush().await?;
        if cut {
            return Ok(());
        }
    }
    Ok(())
}

async fn receive(stream: &mut BufReader<TcpStream>) -> io::Result<Option<HttpRequest>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut request = HttpRequest {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        ..HttpRequest::default()
    };
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse::<u64>().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Ok(None);
    }
    stream.take(length).read_to_string(&mut request.body).await?;
    Ok(Some(request))
}
