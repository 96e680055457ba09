use std::io::Write as _;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::super::{Layout, Table};
use super::*;

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) {
    let mut writer = group.next_column().unwrap().unwrap();
    writer.typed::<T>().write_batch(values, levels, None).unwrap();
    writer.close().unwrap();
}

/// A file of `groups` groups of three rows, in all the types that a reading may come in.
fn file(groups: usize, compression: Compression) -> Vec<u8> {
    let schema = "message m {
        required binary id (UTF8);
        optional double energy;
        required int64 at (TIMESTAMP(NANOS,true));
        required int64 local (TIMESTAMP(MILLIS,false));
        required int96 old;
        required int32 day (DATE);
        required int64 cents (DECIMAL(18,2));
        required int32 small (INTEGER(32,false));
        required float f;
        required boolean on;
        optional group deep { optional int64 x; }
    }";
    let properties = WriterProperties::builder().set_compression(compression).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for _ in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        column::<ByteArrayType>(&mut group, &["a", " b ", ""].map(ByteArray::from), None);
        column::<DoubleType>(&mut group, &[14_328_358.5, 0.1], Some(&[1, 0, 1]));
        column::<Int64Type>(&mut group, &[1_713_899_470_123_456_789; 3], None);
        column::<Int64Type>(&mut group, &[1_713_899_470_123; 3], None);
        let mut old = Int96::new();
        old.set_data(0, 0, 2_440_589); // The Julian day of 1970-01-02.
        column::<Int96Type>(&mut group, &[old; 3], None);
        column::<Int32Type>(&mut group, &[1; 3], None);
        column::<Int64Type>(&mut group, &[12_345; 3], None);
        column::<Int32Type>(&mut group, &[-1; 3], None);
        column::<FloatType>(&mut group, &[0.1; 3], None);
        column::<BoolType>(&mut group, &[true; 3], None);
        column::<Int64Type>(&mut group, &[], Some(&[0, 0, 0]));
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn open(bytes: &[u8], columns: &[&str]) -> Result<Table, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let name = file.path().display().to_string();
    Table::open(file.path(), &columns, Layout::default())
        .map_err(|error| error.to_string().replace(&name, "F"))
}

#[test]
fn each_type_comes_as_what_it_reports() {
    let columns = ["id", "energy", "at", "local", "old", "day", "cents", "small", "f"];
    let mut table = open(&file(1, Compression::UNCOMPRESSED), &columns).unwrap();
    let row = table.next_row().unwrap().unwrap();
    let expected = [
        Cell::Text("a".to_owned()),
        Cell::Number(14_328_358.5),
        Cell::Instant(1_713_899_470_123_456),
        Cell::Civil(1_713_899_470_123_000),
        Cell::Instant(86_400_000_000),
        Cell::Civil(86_400_000_000),
        Cell::Number(123.45),
        Cell::Integer(i64::from(u32::MAX)),
        Cell::Number(0.1),
    ];
    assert_eq!((row.number, row.cells.as_slice()), (1, expected.as_slice()));
    let second = table.next_row().unwrap().unwrap();
    assert_eq!(second.cells[..2], [Cell::Text("b".to_owned()), Cell::Empty]);
    let third = table.next_row().unwrap().unwrap();
    assert_eq!(third.cells[..2], [Cell::Empty, Cell::Number(0.1)]);
    assert_eq!(table.next_row(), Ok(None));
}

#[test]
fn all_row_groups_are_read_whatever_compresses_them() {
    for compression in
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())]
    {
        let mut table = open(&file(5, compression), &["id"]).unwrap();
        let mut count = 0;
        while let Some(row) = table.next_row().unwrap() {
            count += 1;
            assert_eq!(row.number, count);
        }
        assert_eq!((count, table.progress()), (15, 1.0));
    }
}

#[test]
fn a_column_of_another_type_is_refused_and_a_missing_one_is_reported() {
    let bytes = file(1, Compression::UNCOMPRESSED);
    let error = open(&bytes, &["on"]).unwrap_err();
    assert_eq!(error, "F: column \"on\" is BOOLEAN, which is neither number, text nor stamp");
    assert!(open(&bytes, &["deep.x"]).unwrap_err().contains("deep.x"));
    let error = open(&bytes, &["watts"]).unwrap_err();
    assert!(error.contains("no column \"watts\"; it has id, energy, at"), "{error}");
}

#[test]
fn a_damaged_or_cut_file_ends_with_a_message_and_not_with_the_process() {
    let bytes = file(3, Compression::ZSTD(ZstdLevel::default()));
    for at in (4..bytes.len()).step_by(7) {
        let mut spoiled = bytes.clone();
        spoiled[at] ^= 0x55;
        if let Ok(mut table) = open(&spoiled, &["id", "energy", "at"]) {
            while let Ok(Some(_)) = table.next_row() {}
        }
        assert!(open(&bytes[..at], &["id"]).is_err(), "cut at {at}");
    }
}
