use std::io::Write as _;

use proptest::prelude::*;

use super::super::Table;
use super::*;

/// A row as `text`, or what is wrong.
fn read(bytes: &[u8], columns: &[&str], layout: Layout) -> Vec<Result<String, String>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut table = match Table::open(file.path(), &columns, layout) {
        Ok(table) => table,
        Err(error) => return vec![Err(error.to_string().replace(&file.path().display().to_string(), "F"))],
    };
    let mut rows = Vec::new();
    loop {
        rows.push(match table.next_row() {
            Ok(Some(row)) => {
                let cells: Vec<String> =
                    row.cells.iter().map(|cell| cell.text().unwrap_or_default().into_owned()).collect();
                Ok(format!("{}: {}", row.number, cells.join(" ")))
            }
            Ok(None) => break,
            Err(RowError::Row { number, why }) => Err(format!("{number}: {why}")),
            Err(RowError::File(why)) => return vec![Err(why)],
        });
    }
    assert!((table.progress() - 1.0).abs() < 1e-9);
    rows
}

#[track_caller]
fn check(text: &str, columns: &[&str], expected: &[Result<&str, &str>]) {
    let expected: Vec<_> = expected.iter().map(|row| row.map(str::to_owned).map_err(str::to_owned)).collect();
    assert_eq!(read(text.as_bytes(), columns, Layout::default()), expected);
}

#[test]
fn columns_are_found_by_name_whatever_separates_them() {
    check("at,id,wh\n10,a,5\n", &["wh", "at"], &[Ok("2: 5 10")]);
    check("at;id;wh\r\n10;a;5,5\r\n", &["wh", "at"], &[Ok("2: 5,5 10")]);
    check("\u{feff}at\tid\twh\n10\ta\t5\n", &["at", "wh"], &[Ok("2: 10 5")]);
    check("\"at\" | \"the id\"|wh\n10|a|5", &["the id"], &[Ok("2: a")]);
}

#[test]
fn a_wrong_line_costs_itself_and_is_reported_by_its_number() {
    check(
        "at,wh\n1,2\n\n3\n4,5,6\n\"7,8\n9,\"1\"\"0\"\n11,\n",
        &["at", "wh"],
        &[
            Ok("2: 1 2"),
            Err("4: 1 fields; the first line has 2"),
            Err("5: 3 fields; the first line has 2"),
            Err("6: a quote is not closed"),
            Ok("7: 9 1\"0"),
            Ok("8: 11 "),
        ],
    );
    let long = format!("at,wh\n{},1\n2,3\n", "x".repeat(200_000));
    check(&long, &["at"], &[Err("2: the line is longer than 65536 bytes"), Ok("3: 2")]);
    let rows = read(b"at,wh\n\xff,1\n2,3\n", &["at"], Layout::default());
    assert_eq!(rows, [Err("2: the line is not UTF-8".to_owned()), Ok("3: 2".to_owned())]);
}

#[test]
fn a_file_without_the_column_shows_what_it_has() {
    check("at;wh\n1;2\n", &["watts"], &[Err("F has no column \"watts\"; it has at, wh")]);
    check("", &["at"], &[Err("F: the file is empty")]);
    let layout = Layout { has_header: false, separator: None };
    let rows = read(b"1,2\n3,4\n", &["2"], layout);
    assert_eq!(rows, [Ok("1: 2".to_owned()), Ok("2: 4".to_owned())]);
}

proptest! {
    #[test]
    fn what_was_quoted_comes_out_as_it_was(texts in prop::collection::vec("[a-z\",; ]{0,8}", 1..6)) {
        let quoted: Vec<String> = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
        let fields = fields(&quoted.join(";"), ';').map(|fields| fields.into_iter().map(Cow::into_owned).collect());
        prop_assert_eq!(fields, Some(texts));
    }

    #[test]
    fn no_bytes_end_the_process(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&[b"a,b\n", bytes.as_slice()].concat(), &["a"], Layout::default());
        read(&bytes, &["a"], Layout::default());
    }
}
