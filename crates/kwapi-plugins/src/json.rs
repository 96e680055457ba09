//! JSON as the original wrote it: sorted keys, floats that look like floats, and ASCII only.

use std::fmt::Write as _;

use kwapi_core::ProbeId;

use crate::live::ProbeView;

/// Appends a string in quotes, all but printable ASCII escaped.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            ' '..='~' => out.push(character as u8),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let mut escape = String::with_capacity(6);
                    _ = write!(escape, "\\u{unit:04x}");
                    out.extend_from_slice(escape.as_bytes());
                }
            }
        }
    }
    out.push(b'"');
}

/// Appends a float: always with a point or an exponent, shortest that reads back the same.
pub(crate) fn float(out: &mut Vec<u8>, value: f64) {
    // What is not finite has no JSON; measurements are checked before they get here.
    if value.is_finite() {
        _ = serde_json::to_writer(out, &value);
    } else {
        out.extend_from_slice(b"0.0");
    }
}

/// Appends `"<probe>":{"kwh":…,"timestamp":…,"w":…}`.
pub(crate) fn probe(out: &mut Vec<u8>, id: &ProbeId, view: &ProbeView) {
    string(out, id.as_str());
    out.extend_from_slice(b":{\"kwh\":");
    float(out, view.totals.energy.kwh());
    out.extend_from_slice(b",\"timestamp\":");
    float(out, view.timestamp.seconds_f64());
    out.extend_from_slice(b",\"w\":");
    float(out, view.power.0);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_watts_are_still_floats() {
        for (value, expected) in
            [(80.0, "80.0"), (0.0, "0.0"), (94.5, "94.5"), (1_795_393_618.857_424, "1795393618.857424")]
        {
            assert_eq!(written(|out| float(out, value)), expected);
        }
    }

    #[test]
    fn names_are_ascii_and_cannot_end_the_string() {
        assert_eq!(written(|out| string(out, "a\"b\\é🔌\n")), r#""a\"b\\\u00e9\ud83d\udd0c\u000a""#);
    }

    proptest! {
        #[test]
        fn any_name_and_number_reads_back(name in any::<String>(), value in 0.0..1e9_f64) {
            let text = written(|out| string(out, &name));
            prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
            let text = written(|out| float(out, value));
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }
}
