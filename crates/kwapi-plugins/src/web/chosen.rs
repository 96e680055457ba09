//! The probes a visitor has chosen, kept in a cookie of theirs.

use axum::http::{HeaderMap, header};
use kwapi_core::ProbeId;

use crate::http::percent::{decode, encode};

const COOKIE: &str = "kwapi-chosen";
/// Between two of them. It needs no encoding in a cookie, and is encoded in a name.
const SEPARATOR: char = '~';
/// Browsers keep 4 096 bytes of a cookie, name and attributes included. Full: the first chosen is dropped.
const VALUE_BYTES_MAX: usize = 3_800;

/// Chosen probes, in the order of choosing. Some may be gone by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen(Vec<ProbeId>);

impl Chosen {
    /// Reads the cookie; whatever in it is no probe id is left out.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let value = cookies
            .flat_map(|cookies| cookies.split(';'))
            .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        let Some(value) = value.filter(|value| value.len() <= VALUE_BYTES_MAX) else {
            return Self::default();
        };
        let mut chosen = Self::default();
        for name in value.split(SEPARATOR) {
            if let Some(Ok(probe)) = decode(name).map(ProbeId::new)
                && !chosen.contains(&probe)
            {
                chosen.0.push(probe);
            }
        }
        chosen
    }

    pub(super) fn contains(&self, probe: &ProbeId) -> bool {
        self.0.contains(probe)
    }

    /// Takes the probe in, or out if it is in.
    pub(super) fn toggle(&mut self, probe: ProbeId) {
        let before = self.0.len();
        self.0.retain(|other| *other != probe);
        if self.0.len() == before {
            self.0.push(probe);
        }
    }

    /// The `Set-Cookie` that keeps them for a year.
    pub(super) fn to_cookie(&self) -> String {
        let mut value = String::new();
        for probe in self.0.iter().rev() {
            let name = encode(probe.as_str()).replace(SEPARATOR, "%7E");
            if value.len() + name.len() + 1 > VALUE_BYTES_MAX {
                break;
            }
            let rest = if value.is_empty() { String::new() } else { format!("{SEPARATOR}{value}") };
            value = name + &rest;
        }
        format!("{COOKIE}={value}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly")
    }
}
