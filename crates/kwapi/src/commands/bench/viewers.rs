//! People who look at pages while the load runs: clients of the streams, on a thread of their own, so that what they take can be
//! separated from what they cost.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kwapi_plugins::live::{Listing, Live};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What they look at: so many distinct views…
const VIEWS: usize = 50;
/// …of so many probes each.
const PROBES: usize = 50;
/// What the thread is called, and what it takes is listed under.
const THREAD: &str = "viewers";

/// What viewers have got so far.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    connected: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
}

impl Viewers {
    /// Opens `count` streams of what is live at the pages of `address`.
    ///
    /// # Errors
    /// When there is no thread to be had, as one line.
    pub(super) fn open(count: usize, address: SocketAddr, live: &Live) -> Result<Arc<Self>, String> {
        let viewers = Arc::new(Self::default());
        let requests = requests(address, live);
        let kept = Arc::clone(&viewers);
        let look = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime.inspect_err(|error| eprintln!("viewers: {error}")) else { return };
            let all = requests.iter().cycle().take(count).cloned();
            runtime.block_on(async {
                let mut looking = tokio::task::JoinSet::new();
                for request in all {
                    let viewers = Arc::clone(&kept);
                    looking.spawn(async move {
                        if let Err(error) = viewers.look(address, &request).await {
                            eprintln!("a viewer: {error}");
                        }
                    });
                }
                while looking.join_next().await.is_some() {}
            });
        };
        std::thread::Builder::new().name(THREAD.to_owned()).spawn(look).map_err(|error| error.to_string())?;
        Ok(viewers)
    }

    /// Reads one stream to its end.
    async fn look(&self, address: SocketAddr, request: &str) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 64 << 10];
        let mut is_first = true;
        loop {
            let length = connection.read(&mut buffer).await?;
            let read = buffer.get(..length).unwrap_or_default();
            if length == 0 {
                return Ok(());
            }
            if std::mem::take(&mut is_first) {
                if !read.starts_with(b"HTTP/1.1 200") {
                    let head = String::from_utf8_lossy(read);
                    return Err(std::io::Error::other(head.lines().next().unwrap_or_default().to_owned()));
                }
                self.connected.fetch_add(1, Ordering::Relaxed);
            }
            // An event that comes in two pieces begins in one of them.
            let events = read.windows(6).filter(|window| window == b"data: ").count();
            self.events.fetch_add(events as u64, Ordering::Relaxed);
            self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        }
    }

    /// Streams opened, events and bytes got.
    pub(super) fn counts(&self) -> [u64; 3] {
        [&self.connected, &self.events, &self.bytes].map(|count| count.load(Ordering::Relaxed))
    }
}

/// A request for each view.
fn requests(address: SocketAddr, live: &Live) -> Vec<String> {
    let mut ids = Vec::new();
    live.read(Listing::Known, None, |_, probe, _| {
        // No name of the load needs encoding.
        ids.push(format!("id={probe}"));
        if ids.len() < VIEWS * PROBES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let request = |view: &[String]| {
        format!("GET /stream/?{}&total HTTP/1.1\r\nhost: {address}\r\n\r\n", view.join("&"))
    };
    ids.chunks(PROBES).map(request).collect()
}
