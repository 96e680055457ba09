use proptest::prelude::*;

use super::*;

/// `snmpget -v2c -c public … 1.3.6.1.2.1.1.3.0`, as Net-SNMP 5.9.3 sends it.
const NET_SNMP_GET: &[u8] = &[
    0x30, 0x29, 0x02, 0x01, 0x01, 0x04, 0x06, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 0x1c, 0x02, 0x04,
    0x0a, 0x2b, 0x3c, 0x4d, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x30, 0x0e, 0x30, 0x0c, 0x06, 0x08, 0x2b,
    0x06, 0x01, 0x02, 0x01, 0x01, 0x03, 0x00, 0x05, 0x00,
];

fn answer(fault: Option<AgentFault>, bytes: &[u8]) -> Option<Vec<u8>> {
    let layout = Layout::of(2, false);
    let value = |_| Value::TimeTicks(300);
    AgentView { layout: &layout, community: "public", fault, value: &value }.answer(bytes)
}

#[test]
fn a_get_is_answered_with_its_own_id() {
    let request = Request::parse(NET_SNMP_GET).unwrap();
    assert_eq!(request.request_id, 0x0a2b_3c4d);
    assert_eq!(request.oids, [[1, 3, 6, 1, 2, 1, 1, 3, 0]]);
    let answer = answer(None, NET_SNMP_GET).unwrap();
    let expected = [&[0x30, 0x2b][..], &NET_SNMP_GET[2..13], &[0xa2, 0x1e], &NET_SNMP_GET[15..27]].concat();
    let varbind = [&[0x30, 0x10, 0x30, 0x0e][..], &NET_SNMP_GET[31..41], &[0x43, 0x02, 0x01, 0x2c]].concat();
    assert_eq!(answer, [expected, varbind].concat());
}

#[test]
fn a_wrong_community_and_silence_get_no_answer() {
    assert_eq!(
        answer(
            None,
            &NET_SNMP_GET.iter().map(|byte| if *byte == b'p' { b'q' } else { *byte }).collect::<Vec<_>>()
        ),
        None
    );
    assert_eq!(answer(Some(AgentFault::Silence), NET_SNMP_GET), None);
    assert_eq!(answer(Some(AgentFault::SilentAbove(0)), NET_SNMP_GET), None);
}

#[test]
fn numbers_and_oids_survive_their_encoding() {
    for number in [0, 1, -1, 127, 128, -128, -129, 255, 256, i32::MAX, i32::MIN] {
        assert_eq!(Reader(&ber::number(ber::INTEGER, i64::from(number))).integer(), Some(number));
    }
    let oid = [1, 3, 6, 1, 4, 1, 13742, 6, 0, u32::MAX];
    assert_eq!(Reader(&ber::oid(&oid)).oid(), Some(oid.to_vec()));
    let long = vec![7; 300];
    assert_eq!(Reader(&ber::wrap(ber::OCTET_STRING, &long)).expect(ber::OCTET_STRING), Some(long.as_slice()));
}

proptest! {
    #[test]
    fn noise_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), place in 0..43_usize, byte: u8) {
        _ = answer(None, &bytes);
        bytes = NET_SNMP_GET.to_vec();
        bytes[place] = byte;
        _ = answer(None, &bytes);
    }
}
