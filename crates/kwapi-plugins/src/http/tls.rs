//! Certificates: loaded at the start, and again when their files change, without a restart and without a dropped
//! connection: connections that stand keep the one they began with.

mod validity;

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

pub use validity::Validity;

use super::ServeError;
use crate::metrics::Exposition;

/// How often the files are looked at. They are loaded once they have looked the same twice: whoever renews them writes
/// one after the other.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// `tls = { certificate = "…", key = "…" }`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file with the certificate chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

impl ServerTls {
    /// Loads certificate and key, as a server does at its start, and returns how long they are valid (as far as that can
    /// be read).
    ///
    /// # Errors
    /// With the file at fault, when one cannot be read or they do not belong together.
    pub fn check(&self) -> Result<Option<Validity>, ServeError> {
        self.load().map(|pair| pair.validity)
    }

    fn load(&self) -> Result<Pair, ServeError> {
        let failed = |path: &Path, message: String| ServeError::Tls { path: path.to_owned(), message };
        let in_certificate = |error: &dyn std::fmt::Display| failed(&self.certificate, error.to_string());
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate)
            .map_err(|error| in_certificate(&error))?
            .collect::<Result<_, _>>()
            .map_err(|error| in_certificate(&error))?;
        let Some(own) = chain.first() else {
            return Err(in_certificate(&"no certificate found in the file"));
        };
        let validity = Validity::of(own);
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| failed(&self.key, error.to_string()))?;
        let key = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
            .map_err(|error| failed(&self.key, in_words(&error)))?;
        Ok(Pair { key: Arc::new(key), validity })
    }
}

fn in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "key does not match the certificate".to_owned(),
        error => error.to_string(),
    }
}

/// A certificate chain with its key.
#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    validity: Option<Validity>,
}

/// The pair in use, and the files it comes from.
#[derive(Debug)]
pub(super) struct Certificates {
    tls: ServerTls,
    current: ArcSwap<Pair>,
    watch: Mutex<Watch>,
    failures: AtomicU64,
}

/// How the two files looked.
type Looks = [Option<Look>; 2];

/// What changes when a file does; nothing, for one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    bytes: u64,
}

#[derive(Debug)]
struct Watch {
    /// At the last look.
    last: Looks,
    /// When they were last loaded, or failed to be.
    tried: Looks,
}

impl Certificates {
    /// Loads them.
    ///
    /// # Errors
    /// As [`ServerTls::check`].
    pub(super) fn open(tls: &ServerTls) -> Result<Self, ServeError> {
        // Looked at first: what changes while they are loaded is seen as a change.
        let looks = look(tls);
        let pair = tls.load()?;
        Ok(Self {
            tls: tls.clone(),
            current: ArcSwap::from_pointee(pair),
            watch: Mutex::new(Watch { last: looks, tried: looks }),
            failures: AtomicU64::new(0),
        })
    }

    /// A server's configuration that always uses the present pair.
    ///
    /// # Errors
    /// When rustls supports no protocol version, which it does.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(self.clone())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Looks at the files from time to time, for ever.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let certificates = self.clone();
            // A file may be on a disk that is slow.
            if let Err(error) = tokio::task::spawn_blocking(move || certificates.refresh()).await {
                tracing::error!(%error, "certificate is no longer watched for changes");
                return;
            }
        }
    }

    /// Loads the files if they have changed and settled. A pair that cannot be used is reported once; the old one stays.
    pub(super) fn refresh(&self) {
        let looks = look(&self.tls);
        let mut watch = self.watch.lock();
        let has_settled = std::mem::replace(&mut watch.last, looks) == looks;
        if !has_settled || watch.tried == looks {
            return;
        }
        watch.tried = looks;
        let certificate = self.tls.certificate.display();
        match self.tls.load() {
            Ok(pair) => {
                let until = pair.validity.map(|validity| in_iso(validity.end)).unwrap_or_default();
                tracing::info!(%certificate, until, "new certificate loaded");
                self.current.store(Arc::new(pair));
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "cannot load the new certificate; keeping the old one");
            }
        }
    }

    /// When the present certificate ends, and how often a new one could not be used.
    pub(super) fn collect(&self, server: &str, out: &mut Exposition) {
        let labels = [("server", server)];
        if let Some(validity) = self.current.load().validity {
            out.sample("kwapi_tls_certificate_expiry_timestamp_seconds", &labels, validity.end.seconds_f64());
        }
        out.count("kwapi_tls_certificate_reload_failures", &labels, self.failures.load(Ordering::Relaxed));
    }
}

/// A stamp for people.
fn in_iso(stamp: kwapi_core::Timestamp) -> String {
    let micros = i64::try_from(stamp.micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map(|stamp| stamp.to_string()).unwrap_or_default()
}

fn look(tls: &ServerTls) -> Looks {
    [&tls.certificate, &tls.key].map(|file| std::fs::metadata(file).map(|metadata| Look::of(&metadata)).ok())
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            bytes: metadata.len(),
        }
    }
}

/// Gives every handshake the present pair, whatever name is requested.
#[derive(Debug)]
struct Resolver(Arc<Certificates>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load().key.clone())
    }
}

/// Whether a client that has just connected to a TLS port sends something else (RFC 8446, section 5.1: a handshake's
/// records have type 22).
pub(super) async fn is_plaintext(stream: &tokio::net::TcpStream) -> io::Result<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first != [HANDSHAKE])
}

#[cfg(test)]
mod tests;
