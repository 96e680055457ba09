//! A CSV file of NetBox: of devices or of cables, by its header. Columns are named as in the table on the screen (`Device A`)
//! or as for an import (`side_a_device`).

/// More rows than this are no site.
const ROWS_MAX: usize = 1_000_000;

/// What the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum SheetKind {
    Devices,
    Cables,
}

/// A file.
#[derive(Clone, Debug)]
pub(in super::super) struct Sheet {
    pub(super) kind: SheetKind,
    pub(super) rows: Vec<Row>,
    names: Vec<String>,
}

/// A row: its cells by the names of their columns, in lower case with `_` for spaces.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    cells: Vec<(String, String)>,
}

impl Sheet {
    /// Reads a file; `None` where it is no export of devices or cables.
    pub(in super::super) fn read(text: &str) -> Option<Result<Self, String>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let first = text.lines().next()?;
        let separator = if first.matches(';').count() > first.matches(',').count() { b';' } else { b',' };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(text.as_bytes());
        let header = reader.headers().ok()?.clone();
        let names: Vec<String> =
            header.iter().map(|name| name.trim().to_ascii_lowercase().replace(' ', "_")).collect();
        let has = |name: &str| names.iter().any(|known| known == name);
        let is_cables =
            ["side_a_device", "device_a", "termination_a", "termination_a_id"].iter().any(|name| has(name));
        let is_devices = has("name")
            && ["role", "device_role", "type", "device_type", "site", "rack"].iter().any(|name| has(name));
        let kind = match (is_cables, is_devices) {
            (true, _) => SheetKind::Cables,
            (false, true) => SheetKind::Devices,
            (false, false) => return None,
        };
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = match record {
                Ok(record) if rows.len() < ROWS_MAX => record,
                Ok(_) => return Some(Err(format!("more than {ROWS_MAX} rows"))),
                Err(error) => return Some(Err(error.to_string())),
            };
            let line = record.position().map_or(0, csv::Position::line);
            let cells = names.iter().cloned().zip(record.iter().map(|cell| cell.trim().to_owned())).collect();
            rows.push(Row { line, cells });
        }
        Some(Ok(Self { kind, rows, names }))
    }

    /// Whether its ends are named by numbers of the database alone.
    pub(super) fn is_by_id(&self) -> bool {
        let has = |name: &str| self.names.iter().any(|known| known == name);
        self.kind == SheetKind::Cables && !has("side_a_device") && !has("device_a")
    }
}

impl Row {
    /// The cell of the first of these columns that has one; a dash is none.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        let cell =
            |name: &&str| self.cells.iter().find(|(known, _)| known == name).map(|(_, cell)| cell.as_str());
        names.iter().filter_map(cell).find(|cell| !cell.is_empty() && *cell != "—" && *cell != "-")
    }
}
