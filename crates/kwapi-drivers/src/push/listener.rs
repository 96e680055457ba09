//! The socket and its connections: each has a task, a bounded line, and an answer to a line that is wrong.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{ProbeId, Reading};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::line::parse_line;
use crate::config::ConfigError;
use crate::error::DriverError;
use crate::outlets::Outlets;

/// What a connection sends on.
pub(super) type Pushed = (ProbeId, Reading);

/// A longer line is answered with an error, and its connection closed.
const LINE_BYTES_MAX: u64 = 4_096;
/// More connections than this at a time are closed as they come.
const CONNECTIONS_MAX: usize = 64;
/// How long to leave a listening socket alone that cannot accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that senders connect to.
pub(super) enum Listener {
    Unix { listener: UnixListener, _file: SocketFile },
    Tcp(TcpListener),
}

/// The file of a Unix socket, removed with it.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(super) async fn bind(listen: &str) -> Result<Self, DriverError> {
        if let Some(path) = listen.strip_prefix("unix:") {
            return Self::bind_unix(Path::new(path)).await.map_err(|error| cannot_listen(listen, &error));
        }
        let address = loopback(listen)?;
        let listener = TcpListener::bind(address).await.map_err(|error| cannot_listen(listen, &error))?;
        Ok(Self::Tcp(listener))
    }

    async fn bind_unix(path: &Path) -> io::Result<Self> {
        // A socket that nobody listens on was left by a process that was killed.
        let is_socket = std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
        let nobody_listens = || async {
            UnixStream::connect(path).await.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        };
        if is_socket && nobody_listens().await {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        Ok(Self::Unix { listener, _file: SocketFile(path.to_owned()) })
    }

    /// Serves senders until it is aborted, and they with it.
    pub(super) async fn accept(self, outlets: Outlets, queue: mpsc::Sender<Pushed>) {
        let outlets = Arc::new(outlets);
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let (outlets, queue) = (outlets.clone(), queue.clone());
            let has_room = connections.len() < CONNECTIONS_MAX;
            let accepted = match &self {
                Self::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| {
                    has_room.then(|| connections.spawn(serve(stream, outlets, queue)));
                }),
                Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    has_room.then(|| connections.spawn(serve(stream, outlets, queue)));
                }),
            };
            if accepted.is_err() {
                sleep(ACCEPT_PAUSE).await; // Out of file descriptors: it would fail again at once.
            }
        }
    }
}

/// Checks the value of `listen`, without listening.
pub(super) fn check(listen: &str) -> Result<(), ConfigError> {
    match listen.strip_prefix("unix:") {
        Some(path) if Path::new(path).is_absolute() => Ok(()),
        Some(path) => Err(ConfigError::of("listen", format!("use an absolute path, not unix:{path}"))),
        None => loopback(listen).map(drop),
    }
}

fn loopback(listen: &str) -> Result<SocketAddr, ConfigError> {
    let refused = |why: String| ConfigError::of("listen", why);
    let address: SocketAddr = listen
        .parse()
        .map_err(|_| refused(format!("must be unix:/path or 127.0.0.1:port, not {listen:?}")))?;
    if !address.ip().is_loopback() {
        return Err(refused(format!("{address} is not a loopback address; the socket is unauthenticated")));
    }
    Ok(address)
}

fn cannot_listen(listen: &str, error: &io::Error) -> DriverError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::NotFound => DriverError::Refused(format!(
            "cannot listen on {listen}: {error}; the directory must exist and be writable by the user that runs kwapi"
        )),
        kind => DriverError::Link(io::Error::new(kind, format!("cannot listen on {listen}: {error}"))),
    }
}

/// Takes lines from one sender until it leaves.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    outlets: Arc<Outlets>,
    queue: mpsc::Sender<Pushed>,
) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let is_cut = line.last() != Some(&b'\n') && line.len() as u64 >= LINE_BYTES_MAX;
        let answer = if is_cut {
            Err(format!("line longer than {LINE_BYTES_MAX} bytes"))
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            parse_line(&line).and_then(|(key, reading)| {
                let probe =
                    outlets.probe(&key, None).ok_or_else(|| format!("no outlet {key:?} configured"))?;
                Ok((probe, reading))
            })
        };
        match answer {
            Ok(pushed) => {
                if queue.send(pushed).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                let answer = format!("{}\n", serde_json::json!({ "error": error }));
                if stream.write_all(answer.as_bytes()).await.is_err() || is_cut {
                    return;
                }
            }
        }
    }
}
