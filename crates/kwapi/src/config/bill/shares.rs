//! Labels with shares and dates: `department = [{ value = "physics", share = 0.6, from = "2026-10-12" }]` in `[labels]`, or
//! rows of a CSV file.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::tz::TimeZone;
use kwapi_core::{Decimal, ProbeId, Share, Shares, SharesError};
use kwapi_plugins::bills::SharesOf;
use serde::Deserialize;
use toml::Value;

use super::super::document::{Document, DocumentError, Step};
use super::is_shares;

/// The keys of a share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareKeys {
    value: String,
    #[serde(default = "whole")]
    share: Decimal,
    from: Option<String>,
    until: Option<String>,
}

fn whole() -> Decimal {
    Decimal::ONE
}

impl ShareKeys {
    fn share(self, zone: &TimeZone) -> Result<Share, (&'static str, String)> {
        let valid = super::valid(self.from.as_deref(), self.until.as_deref(), zone)?;
        if self.value.is_empty() {
            return Err(("value", "`value` must not be empty".to_owned()));
        }
        Ok(Share { value: self.value, share: self.share, valid })
    }
}

/// Reads those of `[labels]` and of the file.
///
/// # Errors
/// At the first thing that makes no sense, with file and line.
pub(super) fn read(
    document: &Document,
    zone: &TimeZone,
    file: Option<&Path>,
) -> Result<SharesOf, DocumentError> {
    let mut all = SharesOf::new();
    for (id, labels) in document.tables.get("labels").and_then(Value::as_table).into_iter().flatten() {
        for (name, value) in labels.as_table().into_iter().flatten().filter(|(_, value)| is_shares(value)) {
            let path = ["labels", id, name].map(|key| Step::Key(key.to_owned()));
            let probe = ProbeId::new(id).map_err(|error| document.error(&path, error.to_string()))?;
            let mut shares = Vec::new();
            for (index, keys) in value.as_array().into_iter().flatten().enumerate() {
                let path = [&path[..], &[Step::Index(index)]].concat();
                let keys: ShareKeys = document.typed(&path, keys.clone(), &[])?;
                let wrong = |(key, message): (&str, String)| {
                    document.error(&[&path[..], &[Step::Key(key.to_owned())]].concat(), message)
                };
                shares.push(keys.share(zone).map_err(wrong)?);
            }
            let shares = Shares::new(shares).map_err(|error: SharesError| {
                let path = [&path[..], &[Step::Index(error.place())]].concat();
                document.error(&path, format!("`{name}` of `{id}`: {error}"))
            })?;
            all.entry(probe).or_default().insert(name.clone(), shares);
        }
    }
    if let Some(file) = file {
        let path = ["bill", "shares"].map(|key| Step::Key(key.to_owned()));
        add_file(&mut all, file, zone).map_err(|message| document.error(&path, message))?;
    }
    Ok(all)
}

/// Shares of one label of one probe, each with its line.
type OfLabel = (Vec<Share>, Vec<u64>);

fn add_file(all: &mut SharesOf, file: &Path, zone: &TimeZone) -> Result<(), String> {
    let mut of_file: BTreeMap<(ProbeId, String), OfLabel> = BTreeMap::new();
    super::csv_rows(file, &["probe", "label", "value", "share", "from", "until"], |line, cells| {
        let [probe, label, value, share, from, until] = cells else {
            return Err("a row has probe, label, value, share, from and until".to_owned());
        };
        let probe = ProbeId::new(*probe).map_err(|error| format!("{probe:?}: {error}"))?;
        if label.is_empty() {
            return Err("label must not be empty".to_owned());
        }
        if all.get(&probe).is_some_and(|labels| labels.contains_key(*label)) {
            return Err(format!("`{label}` of `{probe}` has shares in [labels] already"));
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let share = match some(share) {
            Some(share) => share.parse().map_err(|error| format!("{share:?} {error}"))?,
            None => Decimal::ONE,
        };
        let keys = ShareKeys { value: (*value).to_owned(), share, from: some(from), until: some(until) };
        let share = keys.share(zone).map_err(|(_, message)| message)?;
        let (shares, lines) = of_file.entry((probe, (*label).to_owned())).or_default();
        shares.push(share);
        lines.push(line);
        Ok(())
    })?;
    for ((probe, label), (shares, lines)) in of_file {
        let shares = Shares::new(shares).map_err(|error| {
            let line = lines.get(error.place()).copied().unwrap_or_default();
            format!("{}:{line}: `{label}` of `{probe}`: {error}", file.display())
        })?;
        all.entry(probe).or_default().insert(label, shares);
    }
    Ok(())
}
