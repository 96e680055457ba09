//! The keys of a driver that requests one URL a round: each is declared here, and a driver adds its own.

/// Declares such a driver's configuration: its own fields stand between `url` and those that all of them have, and so do
/// its own keys. It is a macro as an error in a field below serde's `flatten` would not name which key is at fault.
macro_rules! url_config {
    (
        $(#[$about:meta])*
        pub struct $name:ident { $($field:tt)* }
        const KEYS = [url: $url:literal, $($key:expr),* $(,)?];
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// What to request: `http://host:9290/metrics`.
            pub url: String,
            $($field)*
            /// Values whose own stamp is older than this are stale.
            #[serde(default = "crate::http::stale_seconds")]
            pub stale_seconds: u64,
            /// Headers to send, a token for instance.
            #[serde(default)]
            pub headers: std::collections::BTreeMap<String, kwapi_core::Secret>,
            /// A user, where the server requires one (Basic or Digest, as it requests).
            pub username: Option<String>,
            /// Its password.
            pub password: Option<kwapi_core::Secret>,
            /// Whom to trust, over HTTPS.
            #[serde(default)]
            pub tls: crate::tls::DeviceTls,
        }

        impl $name {
            const KEYS: &'static [crate::config::DriverKey] = {
                use crate::config::{DriverKey, Names};
                &[
                    DriverKey::required("url", $url),
                    $($key,)*
                    DriverKey::new("stale_seconds", "values whose own time is older are stale")
                        .login()
                        .in_unit("s")
                        .or("120"),
                    DriverKey::new("headers", "headers to send").secret(),
                    DriverKey::new("username", "user, if the server requires one").login(),
                    DriverKey::new("password", "its password").secret(),
                    DriverKey::new("tls", "certificate verification over HTTPS")
                        .login()
                        .or("system")
                        .naming(Names::Authority),
                ]
            };

            /// How the server is reached; it may answer in any format.
            fn access(&self) -> crate::http::Access<'_> {
                crate::http::Access {
                    tls: &self.tls,
                    username: self.username.as_deref(),
                    password: self.password.as_ref(),
                    headers: Some(&self.headers),
                    ..crate::http::Access::new("url", &self.url, "http")
                }
            }

            const fn stale_after(&self) -> std::time::Duration {
                std::time::Duration::from_secs(self.stale_seconds)
            }
        }
    };
}

pub(crate) use url_config;

/// The default of `stale_seconds`.
pub(crate) const fn stale_seconds() -> u64 {
    120
}
