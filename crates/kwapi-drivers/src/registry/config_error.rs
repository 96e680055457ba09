//! What is wrong with a meter's own keys, with what the configuration layer needs to point at it.

/// A driver's keys are wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (driver {driver:?})")]
pub struct ConfigError {
    /// The driver that refused them.
    pub driver: &'static str,
    /// The offending key, dotted below the `[[meter]]` table; none where the table as a whole is wrong.
    pub key: Option<String>,
    /// What is wrong, in serde's words; a value of the wrong type is not repeated, it may be a secret.
    pub message: String,
    /// The keys or values that would have been right, where there is a list of them.
    pub expected: Vec<String>,
}

impl ConfigError {
    pub(super) fn new(driver: &'static str, error: &toml::de::Error) -> Self {
        let message = without_value(error.message());
        let path = in_path(&error.to_string());
        let named = ["unknown field `", "missing field `"]
            .iter()
            .find_map(|start| message.strip_prefix(start))
            .and_then(|rest| rest.split('`').next());
        let key = match (path, named) {
            (Some(path), Some(named)) if path != named && !path.ends_with(&format!(".{named}")) => {
                Some(format!("{path}.{named}"))
            }
            (Some(path), _) => Some(path),
            (None, named) => named.map(str::to_owned),
        };
        Self { driver, key, expected: expected(&message), message }
    }
}

/// The dotted path of toml's last line, ``in `auth.password` ``.
fn in_path(text: &str) -> Option<String> {
    let line = text.trim_end().lines().last()?;
    line.strip_prefix("in `")?.strip_suffix('`').map(str::to_owned)
}

/// ``invalid type: integer `12345`, expected a string`` without the value.
fn without_value(message: &str) -> String {
    for start in ["invalid type: ", "invalid value: "] {
        let Some(rest) = message.strip_prefix(start) else { continue };
        let Some((found, wanted)) = rest.rsplit_once(", expected ") else {
            return start.trim_end().to_owned();
        };
        let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
        return format!("{start}{kind}, expected {wanted}");
    }
    message.to_owned()
}

/// The names between backticks after "expected".
fn expected(message: &str) -> Vec<String> {
    let Some((_, list)) = message.split_once(", expected ") else { return Vec::new() };
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
