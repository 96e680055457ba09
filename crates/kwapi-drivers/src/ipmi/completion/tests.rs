use super::*;

#[test]
fn each_code_has_its_remedy() {
    for (code, expected) in [
        (0xC0, Remedy::Later),
        (0xC1, Remedy::Unsupported),
        (0xC3, Remedy::Later),
        (0xC5, Remedy::Reserve),
        (0xCA, Remedy::Fewer),
        (0xCB, Remedy::Absent),
        (0xD2, Remedy::Later),
        (0xD4, Remedy::Privilege),
        (0xD5, Remedy::State),
        (0xFF, Remedy::Later),
        (0x80, Remedy::Unsupported),
    ] {
        assert_eq!(remedy(code), expected, "{code:#04x}");
    }
}

#[test]
fn every_code_has_words() {
    for code in 0x01..=0xFF {
        assert!(!meaning(code).is_empty());
    }
}
