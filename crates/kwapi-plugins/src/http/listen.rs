//! Listening and serving, with or without TLS, and with bounds on connections and on patience.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_http::compression::CompressionLayer;
use tower_http::compression::CompressionLevel;

use super::ServeError;
use super::connection::{self, Front, Phase};
use super::counts::{Refused, ServerCounts};
use super::host::Hosts;
use super::routes::ServerRoutes;
use super::seats::{Part, Seat, Seats, Taken};
use super::tls::{self, Certificates, ServerTls};
use crate::metrics::{Exposition, MetricSource};

/// A client has this long for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// At shutdown, requests under way have this long to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// While the system has no descriptors to spare, accepting is tried this often.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<ServerTls>,
    /// The most connections at a time. Full: the one idle for longest is closed; where none is idle, the new one.
    pub connections_max: usize,
    /// The seats that all servers of the process share.
    pub seats: Seats,
    /// The names it answers to.
    pub hosts: Hosts,
    /// Whether each request is logged.
    pub access_log: bool,
    /// What its metrics call it and its routes.
    pub routes: &'static dyn ServerRoutes,
}

/// A socket that listens but is not served yet: what can fail at the start has not.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
    secured: Option<Secured>,
    seats: Part,
    hosts: Hosts,
    access_log: bool,
    counts: Arc<ServerCounts>,
    server: &'static str,
}

/// TLS, and the certificates it uses.
#[derive(Clone)]
struct Secured {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl Secured {
    fn open(tls: &ServerTls) -> Result<Self, ServeError> {
        let certificates = Arc::new(Certificates::open(tls)?);
        let config = certificates
            .server_config()
            .map_err(|error| ServeError::Tls { path: tls.certificate.clone(), message: error.to_string() })?;
        Ok(Self { acceptor: Arc::new(config).into(), certificates })
    }
}

impl Listener {
    /// Binds, and loads certificate and key. To be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind(listen: &Listen) -> Result<Self, ServeError> {
        let address = listen.address;
        let secured = listen.tls.as_ref().map(Secured::open).transpose()?;
        let socket = std::net::TcpListener::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::Occupied { address },
            _ => ServeError::Listen { address, source },
        })?;
        let address = socket.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        let counts = Arc::new(ServerCounts::new(listen.routes));
        Ok(Self {
            socket,
            address,
            secured,
            seats: listen.seats.part(listen.connections_max),
            hosts: listen.hosts.clone(),
            access_log: listen.access_log,
            counts,
            server: listen.routes.server(),
        })
    }

    /// Where it listens; with the actual port when that was left to the system.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.secured.is_some() { "https" } else { "http" }
    }

    /// What it will have counted, and when its certificate ends.
    pub fn metrics(&self) -> impl MetricSource + use<> {
        let (counts, server) = (self.counts.clone(), self.server);
        let certificates = self.secured.as_ref().map(|secured| secured.certificates.clone());
        move |out: &mut Exposition| {
            counts.collect(out);
            if let Some(certificates) = &certificates {
                certificates.collect(server, out);
            }
        }
    }

    /// Serves `router` until `shutdown`; answers under way get a second to end.
    ///
    /// # Errors
    /// When the socket fails as a whole; a failed connection is nobody else's business.
    pub async fn serve(
        self,
        router: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let router = router.layer(CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest));
        let hosts = Arc::new(self.hosts);
        let front = Front {
            router,
            counts: self.counts,
            hosts,
            access_log: self.access_log,
            is_encrypted: self.secured.is_some(),
        };
        self.socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(self.socket)?;
        // The receivers are the connections: when the last is gone, so are they.
        let (phase, _) = watch::channel(Phase::Open);
        let watching = self
            .secured
            .as_ref()
            .map(|secured| tokio::spawn(secured.certificates.clone().keep_fresh()).abort_handle());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if connection::is_exhausted(&error) {
                        tracing::debug!(%error, "cannot accept connections");
                        tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    }
                    continue;
                }
            };
            // Full of busy ones: the connection is closed at once, so that a client need not wait to learn it.
            let Some((taken, someone_left)) = self.seats.take() else {
                front.counts.refused(Refused::Full);
                continue;
            };
            if someone_left {
                front.counts.made_room();
            }
            let secured = self.secured.as_ref().map(|secured| secured.acceptor.clone());
            tokio::spawn(converse(stream, peer, secured, front.clone(), phase.subscribe(), taken));
        }
        drop(socket);
        watching.inspect(tokio::task::AbortHandle::abort);
        phase.send_replace(Phase::Closing);
        if timeout(SHUTDOWN_GRACE, phase.closed()).await.is_err() {
            phase.send_replace(Phase::Over);
        }
        Ok(())
    }
}

/// One connection with its place among those that may be.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    secured: Option<TlsAcceptor>,
    front: Front,
    phase: watch::Receiver<Phase>,
    taken: Taken,
) {
    let _open = front.counts.open();
    // Without it, an answer in two parts waits for the client's acknowledgement. A client that is gone is found out soon.
    _ = stream.set_nodelay(true);
    let seat = taken.seat();
    let conversation = async {
        match secured {
            None => connection::serve(stream, peer, front, seat, phase).await,
            Some(acceptor) => converse_securely(stream, peer, &acceptor, front, seat, phase).await,
        }
    };
    tokio::select! {
        () = conversation => {}
        () = taken.must_leave() => {}
    }
}

async fn converse_securely(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: &TlsAcceptor,
    front: Front,
    seat: Arc<Seat>,
    mut phase: watch::Receiver<Phase>,
) {
    let handshake = async {
        if tls::is_plaintext(&stream).await? {
            return Ok(Err(stream));
        }
        acceptor.accept(stream).await.map(Ok)
    };
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE_TIMEOUT, handshake) => shaken,
        _ = phase.wait_for(|phase| *phase != Phase::Open) => return,
    };
    match shaken {
        Ok(Ok(Ok(stream))) => connection::serve(stream, peer, front, seat, phase).await,
        Ok(Ok(Err(plain))) => connection::refuse_plain(plain, peer, &front).await,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            front.counts.refused(Refused::Handshake);
        }
        Err(_) => front.counts.refused(Refused::Handshake),
    }
}

#[cfg(test)]
mod tests;
