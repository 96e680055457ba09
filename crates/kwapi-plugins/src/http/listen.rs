//! Listening and serving, with or without TLS, and with bounds on connections and on patience.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::add_extension::AddExtension;
use tower_http::compression::CompressionLayer;
use tower_http::compression::CompressionLevel;

use super::log;

/// A client has this long to send a request's head, and a connection may idle this long between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A client has this long for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// At shutdown, requests under way have this long to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// The largest request head; more is answered with 431.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<Tls>,
    /// Connections beyond this are closed as soon as they come.
    pub connections_max: usize,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// `tls = { certificate = "…", key = "…" }`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken.
    #[error("{address} is already in use{}", usual_resident(address.port()))]
    Occupied {
        /// Which one.
        address: SocketAddr,
    },
    /// The system refuses to listen there.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What it says.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("{path}: {message}")]
    Tls {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// Who usually lives on a port of ours, for an operator who finds it taken.
fn usual_resident(port: u16) -> &'static str {
    match port {
        5000 => " (5000 is also Keystone's port)",
        8080 => " (8080 is also Swift's port, and many a web server's)",
        _ => "",
    }
}

/// A socket that listens but is not served yet: what can fail at the start has not.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<Certified>,
    connections_max: usize,
    access_log: bool,
}

/// Certificate and key in use, with the `Debug` that `RustlsConfig` lacks.
struct Certified(RustlsConfig);

impl std::fmt::Debug for Certified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Listener {
    /// Binds, and loads certificate and key. To be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind(listen: &Listen) -> Result<Self, ServeError> {
        let address = listen.address;
        let tls = listen.tls.as_ref().map(server_config).transpose()?;
        let socket = std::net::TcpListener::bind(address).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::Occupied { address },
            _ => ServeError::Listen { address, source },
        })?;
        let address = socket.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        let tls = tls.map(|config| Certified(RustlsConfig::from_config(Arc::new(config))));
        let (connections_max, access_log) = (listen.connections_max, listen.access_log);
        Ok(Self { socket, address, tls, connections_max, access_log })
    }

    /// Where it listens; tells the port when it was left to the system.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
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
        let router =
            if self.access_log { router.layer(axum::middleware::from_fn(log::log_access)) } else { router };
        let handle = Handle::new();
        let stop = handle.clone();
        tokio::spawn(async move {
            shutdown.await;
            stop.graceful_shutdown(Some(SHUTDOWN_GRACE));
        });
        let mut server: Server<SocketAddr> = axum_server::from_tcp(self.socket)?.http1_only().handle(handle);
        server
            .http_builder()
            .http1()
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(true);
        let limit = Limit(Arc::new(Semaphore::new(self.connections_max)));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        match self.tls {
            Some(Certified(config)) => {
                let tls = RustlsAcceptor::new(config).handshake_timeout(HANDSHAKE_TIMEOUT).acceptor(limit);
                server.acceptor(tls).serve(service).await
            }
            None => server.acceptor(limit).serve(service).await,
        }
    }
}

fn server_config(tls: &Tls) -> Result<ServerConfig, ServeError> {
    let failed = |path: &Path, message: String| ServeError::Tls { path: path.to_owned(), message };
    let in_certificate = |error: &dyn std::fmt::Display| failed(&tls.certificate, error.to_string());
    let chain: Vec<_> = CertificateDer::pem_file_iter(&tls.certificate)
        .map_err(|error| in_certificate(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| in_certificate(&error))?;
    if chain.is_empty() {
        return Err(in_certificate(&"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| failed(&tls.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| in_certificate(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| failed(&tls.key, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts while there is room. Full: the connection is closed at once, so that a client need not wait to learn it.
#[derive(Clone, Debug)]
struct Limit(Arc<Semaphore>);

impl<S> Accept<TcpStream, S> for Limit {
    type Stream = TcpStream;
    /// The connection's service holds the permit for as long as the connection lasts.
    type Service = AddExtension<S, Arc<OwnedSemaphorePermit>>;
    type Future = std::future::Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            return std::future::ready(Err(io::Error::other("too many connections")));
        };
        let service = AddExtension::new(service, Arc::new(permit));
        std::future::ready(stream.set_nodelay(true).map(|()| (stream, service)))
    }
}

#[cfg(test)]
mod tests;
