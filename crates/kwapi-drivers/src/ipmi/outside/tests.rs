use super::*;

#[test]
fn capabilities_report_version_authentication_and_card_key() {
    // As `ipmi_sim` answers: 1.5 by none, MD2, MD5 and password; 2.0.
    let text =
        |data: &[u8]| capabilities(data).map(|text| (text.is_plus, text.authentications, text.has_card_key));
    assert_eq!(text(&[0x01, 0x97, 0x04, 0x03, 0, 0, 0, 0]), Some((true, 0x17, false)));
    assert_eq!(text(&[0x01, 0x97, 0x24, 0x03, 0, 0, 0, 0]), Some((true, 0x17, true)));
    assert_eq!(text(&[0x01, 0x97, 0x04, 0x01, 0, 0, 0, 0]), Some((false, 0x17, false)), "1.5 only");
    // Without the extension bit the rest is reserved.
    assert_eq!(text(&[0x01, 0x17, 0x24, 0xff, 0, 0, 0, 0]), Some((false, 0x17, false)));
    assert_eq!(text(&[0x01, 0x97, 0x04]), None);
}
