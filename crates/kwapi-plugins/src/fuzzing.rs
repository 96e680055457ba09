//! What the fuzz targets call: the parsers of bytes from outside, each of which must return, whatever it is given.

use std::str::from_utf8;

/// An access rule's path, and on the next line a request's.
pub fn access_rule(bytes: &[u8]) {
    let Some((rule, path)) = from_utf8(bytes).ok().and_then(|text| text.split_once('\n')) else { return };
    _ = crate::auth::path_matches(rule, path);
}

/// A file or a snapshot of accounts.
pub fn account_record(bytes: &[u8]) {
    crate::live::read_accounts(bytes, |_| ());
}

/// A server's certificate, in DER.
pub fn certificate(bytes: &[u8]) {
    _ = crate::http::Validity::of(bytes);
}

/// Keystone's answer about a token.
pub fn keystone_token(bytes: &[u8]) {
    _ = crate::auth::is_token(bytes);
}

/// A policy file of oslo.policy's.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    _ = crate::auth::parse_policy(text);
}

/// A stored bill, printed in every form.
pub fn bill_document(bytes: &[u8]) {
    crate::bills::print_anything(bytes);
}

/// What a server of object storage answers: a list, or a refusal.
pub fn object_list(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    crate::object_storage::read_anything(text);
}
