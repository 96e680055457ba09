//! The HTTP client for servers that are sent to: object storage, remote write.

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Url};

/// A client for the server at `url`, which follows no redirect (it would receive what is meant for this server) and
/// uses no proxy. It trusts the authorities in `ca_file`, or otherwise the system's.
///
/// # Errors
/// When the file cannot be read, with its name.
pub(crate) fn sender(url: &Url, timeout: Duration, ca_file: Option<&Path>) -> Result<ClientBuilder, String> {
    /// Who cannot be reached by then is away.
    const CONNECT_MAX: Duration = Duration::from_secs(10);
    // The error is that there is a provider already, which is as good.
    _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .connect_timeout(timeout.min(CONNECT_MAX))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("kwapi/", env!("CARGO_PKG_VERSION")));
    let Some(path) = ca_file else {
        // Without TLS the system's authorities are not needed, and may not be there.
        return Ok(if url.scheme() == "http" { client.tls_certs_only([]) } else { client });
    };
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| named(&error))?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| named(&error))?;
    Ok(client.tls_certs_only(authorities))
}
