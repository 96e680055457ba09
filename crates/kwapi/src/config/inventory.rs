//! `[[inventory]] csv = "meters.csv"`: a meter a line.

use std::path::Path;

use toml::{Table, Value};

/// A CSV file beside the configuration, and its first line; cells are trimmed, lines that begin with `#` are comments.
///
/// # Errors
/// When it cannot be read, as one line.
pub(super) fn open(file: &Path) -> Result<(csv::Reader<std::fs::File>, csv::StringRecord), String> {
    let failed = |error: csv::Error| format!("{}: {error}", file.display());
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_path(file).map_err(failed)?;
    let headers = reader.headers().map_err(failed)?.clone();
    Ok((reader, headers))
}

/// The rows of an inventory: the first line names the keys of a `[[meter]]` table, an empty cell leaves its key out,
/// numbers are taken as such of keys that are never text, `probes` lists positions with `;`. Each comes with its line.
pub(super) fn rows(file: &Path) -> Result<Vec<(u64, Table)>, String> {
    let shown = file.display();
    let (mut reader, headers) = open(file)?;
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| format!("{shown}: {error}"))?;
            let mut row = Table::new();
            for (key, cell) in headers.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty()) {
                let value = match key {
                    "probes" => {
                        Value::Array(cell.split(';').map(|id| Value::String(id.trim().to_owned())).collect())
                    }
                    _ => typed_cell(key, cell),
                };
                match key.split_once('.') {
                    Some((table, inner)) => {
                        let table = row.entry(table).or_insert_with(|| Value::Table(Table::new()));
                        if let Some(table) = table.as_table_mut() {
                            table.insert(inner.to_owned(), Value::String(cell.to_owned()));
                        }
                    }
                    None => _ = row.insert(key.to_owned(), value),
                }
            }
            Ok((record.position().map_or(0, csv::Position::line), row))
        })
        .collect()
}

/// A cell is text, unless its key is one of those that never are.
fn typed_cell(key: &str, cell: &str) -> Value {
    let is_number = key.ends_with("_seconds")
        || matches!(key, "port" | "voltage" | "power_factor" | "max_watts" | "unit" | "channel");
    match (is_number, cell.parse::<i64>(), cell.parse::<f64>()) {
        (true, Ok(number), _) => Value::Integer(number),
        (true, Err(_), Ok(number)) => Value::Float(number),
        _ => Value::String(cell.to_owned()),
    }
}
