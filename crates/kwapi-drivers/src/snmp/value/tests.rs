use proptest::prelude::*;

use super::*;

#[test]
fn a_number_may_be_spelled_or_wrapped() {
    assert_eq!(ObjectValue::Text(b" 12.5 \0".to_vec()).number(), None);
    assert_eq!(ObjectValue::Text(b" 12.5 ".to_vec()).number(), Some(12.5));
    let wrapped = Wire::Opaque([0x9f, 0x78, 0x04, 0x42, 0xf6, 0xe9, 0x79].to_vec().into());
    assert_eq!(
        ObjectValue::from_wire(&wrapped).number().map(|number| (number * 1000.0).round()),
        Some(123_456.0)
    );
    assert_eq!(ObjectValue::Text(b"inf".to_vec()).number(), None);
    assert_eq!(ObjectValue::from_wire(&Wire::NoSuchInstance), ObjectValue::Absent);
}

#[test]
fn a_padded_name_is_trimmed_and_an_empty_one_is_none() {
    assert_eq!(ObjectValue::Text(b"web 1\0\0 ".to_vec()).text().as_deref(), Some("web 1"));
    assert_eq!(ObjectValue::Text(b"\0 ".to_vec()).text(), None);
}

proptest! {
    #[test]
    fn no_bytes_of_a_value_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        for value in [Wire::OctetString(bytes.clone().into()), Wire::Opaque(bytes.into())] {
            let value = ObjectValue::from_wire(&value);
            _ = (value.number(), value.integer(), value.text(), value.describe());
        }
    }
}
