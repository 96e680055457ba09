//! The HTTP servers of a process. All are bound before anything else starts: what can fail at the start fails before the
//! first meter is touched.

use std::future::Future;
use std::net::SocketAddr;

use kwapi_plugins::http::{Hosts, Listen, Listener, Seats, ServeError};

use super::{Roles, host_name, status};
use crate::config::Config;
use crate::ports;

/// Those that have been bound.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) api: Option<Listener>,
    pub(crate) web: Option<Listener>,
    pub(crate) status: Option<Listener>,
}

/// Where they listen, to report to those who will use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) api: Option<(&'static str, SocketAddr)>,
    pub(crate) web: Option<(&'static str, SocketAddr)>,
    pub(crate) status: Option<SocketAddr>,
}

/// How to look at what listens on loopback from another machine: a command to type there.
pub(crate) fn tunnel(address: SocketAddr) -> Option<String> {
    let port = address.port();
    address.ip().is_loopback().then(|| format!("ssh -L {port}:{address} {}", host_name()))
}

/// What to do about an address that somebody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressInUse {
    /// Report it: it was configured.
    IsAnError,
    /// Take another port, and report it: whoever tries the demonstration did not choose it.
    TakesAnother,
}

impl Listeners {
    /// Binds what `roles` have.
    ///
    /// # Errors
    /// When an address is taken or a certificate unusable, as one line.
    pub(crate) fn bind(
        config: &Config,
        roles: Roles,
        seats: &Seats,
        taken: AddressInUse,
    ) -> Result<Self, String> {
        let api_listen = config.api.config.listen(seats);
        let web_listen = Listen {
            address: config.rrd.listen,
            tls: config.rrd.tls.clone(),
            hosts: match &config.rrd.auth {
                Some(_) => Hosts::Any,
                None => Hosts::Only { names: config.rrd.hosts.clone(), key: "`hosts` in [rrd]" },
            },
            routes: kwapi_plugins::web::ROUTES,
            ..api_listen.clone()
        };
        let status_listen = status::listen(config, roles, seats);
        let bind = |listen: &Listen, key: &str| bind_or_any(listen, key, taken);
        Ok(Self {
            api: roles.api.then(|| bind(&api_listen, "api.listen")).transpose()?,
            web: roles.rrd.then(|| bind(&web_listen, "rrd.listen")).transpose()?,
            status: Some(bind(&status_listen, "status.listen")?),
        })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            api: self.api.as_ref().map(|listener| (listener.scheme(), listener.address())),
            web: self.web.as_ref().map(|listener| (listener.scheme(), listener.address())),
            status: self.status.as_ref().map(Listener::address),
        }
    }
}

fn bind_or_any(listen: &Listen, key: &str, taken: AddressInUse) -> Result<Listener, String> {
    match bind(listen, key) {
        Err(complaint) if taken == AddressInUse::TakesAnother => {
            let anywhere = Listen { address: (listen.address.ip(), 0).into(), ..listen.clone() };
            let listener = bind(&anywhere, key)?;
            // The complaint without the advice, which is for those with a configuration.
            let complaint = complaint.split(';').next().unwrap_or_default();
            println!("{complaint}; using port {} instead", listener.address().port());
            Ok(listener)
        }
        result => result,
    }
}

/// Binds a listener, with an error that states what usually listens there and which `key` moves it.
fn bind(listen: &Listen, key: &str) -> Result<Listener, String> {
    Listener::bind(listen).map_err(|error| match error {
        ServeError::Occupied { address } => {
            ports::cannot_listen(address, key, &std::io::ErrorKind::AddrInUse.into())
        }
        ServeError::Listen { address, source } => ports::cannot_listen(address, key, &source),
        error @ ServeError::Tls { .. } => crate::config::chain(&error),
    })
}

/// An HTTP server in the background: ends on request, after the answers in progress.
#[derive(Debug)]
pub(super) struct Server(tokio::task::JoinHandle<()>);

impl Server {
    pub(super) fn start(
        listener: Listener,
        router: axum::Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let address = listener.address();
        Self(tokio::spawn(async move {
            if let Err(error) = listener.serve(router, shutdown).await {
                tracing::error!(%address, %error, "HTTP server failed");
            }
        }))
    }

    pub(super) async fn ended(self) {
        _ = self.0.await;
    }
}
