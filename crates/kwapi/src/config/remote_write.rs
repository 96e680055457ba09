//! `[[remote_write]]`: servers that measurements are sent to.

use kwapi_plugins::remote_write::{RemoteWriteConfig, RemoteWriteConfigError};

use super::document::{Document, DocumentError, Step};

/// Reads them.
///
/// # Errors
/// At the first key that makes no sense.
pub(super) fn read(document: &Document) -> Result<Vec<RemoteWriteConfig>, DocumentError> {
    let all: Vec<RemoteWriteConfig> = document.section("remote_write")?;
    RemoteWriteConfig::check_all(&all).map_err(|(index, error)| error_at(document, index, &error))?;
    Ok(all)
}

/// What is wrong with one of them, with its line.
fn error_at(document: &Document, index: usize, error: &RemoteWriteConfigError) -> DocumentError {
    document.error(&path(index, error.key), error.to_string())
}

/// Where a key of one of them stands.
pub(crate) fn path(index: usize, key: &str) -> Vec<Step> {
    vec![Step::Key("remote_write".to_owned()), Step::Index(index), Step::Key(key.to_owned())]
}

/// Measurements that are sent to another machine unencrypted.
pub(super) fn in_clear(document: &Document, all: &[RemoteWriteConfig]) -> Vec<String> {
    let in_clear = all.iter().enumerate().filter(|(_, config)| config.is_in_clear());
    in_clear
        .map(|(index, config)| {
            let what = if config.bearer_token.is_some() || !config.headers.is_empty() {
                "measurements and credentials are"
            } else {
                "measurements are"
            };
            let message = format!("url = {:?}: {what} sent unencrypted; use https://", config.url);
            document.error(&path(index, "url"), message).to_string()
        })
        .collect()
}
