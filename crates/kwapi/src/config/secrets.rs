//! Secrets by file or by environment: `password = { file = "/etc/kwapi/bmc.secret" }`, `{ env = "BMC_PASSWORD" }`. A variable
//! that a command does not have is looked for where systemd has it from for the services.

use std::env::VarError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Value;

use super::document::{Document, DocumentError, Step};
use super::environment;

/// The longest secret read from a file, in bytes: a certificate chain fits.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Replaces every table that is exactly `{ file = … }` or `{ env = … }` by the secret it names.
///
/// # Errors
/// When the file cannot be read or the variable is not set; the secret itself is never part of the message.
pub(crate) fn resolve(document: &mut Document) -> Result<(), DocumentError> {
    let mut tables = Value::Table(std::mem::take(&mut document.tables));
    let base = document.folder().to_owned();
    let mut files = Vec::new();
    let resolved = walk(&mut tables, &mut Vec::new(), &base, document, &mut files);
    if let Value::Table(tables) = tables {
        document.tables = tables;
    }
    files.into_iter().for_each(|file| document.note_source(file));
    resolved
}

fn walk(
    value: &mut Value,
    path: &mut Vec<Step>,
    base: &Path,
    document: &Document,
    files: &mut Vec<PathBuf>,
) -> Result<(), DocumentError> {
    if let Some(secret) = named_secret(value, base, files).map_err(|message| document.error(path, message))? {
        *value = Value::String(secret);
        return Ok(());
    }
    match value {
        Value::Table(table) => {
            for (key, inner) in table.iter_mut() {
                path.push(Step::Key(key.clone()));
                walk(inner, path, base, document, files)?;
                path.pop();
            }
        }
        Value::Array(array) => {
            for (index, inner) in array.iter_mut().enumerate() {
                path.push(Step::Index(index));
                walk(inner, path, base, document, files)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// The files it looks into are added to `files`, also where they are not there.
fn named_secret(value: &Value, base: &Path, files: &mut Vec<PathBuf>) -> Result<Option<String>, String> {
    let Some(table) = value.as_table().filter(|table| table.len() == 1) else { return Ok(None) };
    if let Some(file) = table.get("file").and_then(Value::as_str) {
        let file = base.join(file);
        files.push(file.clone());
        let size = std::fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?.len();
        if size > SECRET_BYTES_MAX {
            return Err(format!("{}: too large for a secret", file.display()));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        return Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if let Some(name) = table.get("env").and_then(Value::as_str) {
        return match std::env::var(name) {
            Ok(secret) => Ok(Some(secret)),
            Err(VarError::NotUnicode(_)) => Err(format!("environment variable {name} is not valid UTF-8")),
            Err(VarError::NotPresent) => {
                let file = base.join(environment::FILE);
                files.push(file.clone());
                from_file(&file, name).map(Some)
            }
        };
    }
    Ok(None)
}

/// A variable of the services, of which this process has not got it.
fn from_file(file: &Path, name: &str) -> Result<String, String> {
    let not_set = format!("environment variable {name} is not set");
    match environment::read(file, name) {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => Err(format!("{not_set}, and {} does not set it", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(not_set),
        Err(error) => Err(format!("{not_set}, and {}: {error}", file.display())),
    }
}
