use async_snmp::{Value as Wire, VarBind};

use super::*;

#[test]
fn values_are_matched_by_oid_and_never_by_row_order() {
    let oids: Vec<Oid> = (1..=3).map(|row| Oid::from_slice(&[1, 3, 6, row])).collect();
    let varbind = |row: u32| VarBind::new(Oid::from_slice(&[1, 3, 6, row]), Wire::Gauge32(row * 10));
    let number = |number| ObjectValue::Integer(number);
    let taken = |varbinds: &[VarBind]| {
        let mut values = vec![ObjectValue::Absent; 3];
        let missing = take(&oids, &[0, 1, 2], varbinds, &mut values);
        let failed = (0..3).filter(|place| values[*place] == ObjectValue::Failed).collect::<Vec<_>>();
        assert_eq!(missing, failed);
        values
    };
    assert_eq!(taken(&[varbind(1), varbind(2), varbind(3)]), [number(10), number(20), number(30)]);
    assert_eq!(taken(&[varbind(3), varbind(1), varbind(2)]), [number(10), number(20), number(30)]);
    assert_eq!(taken(&[varbind(2), varbind(9)]), [ObjectValue::Failed, number(20), ObjectValue::Failed]);
    assert_eq!(taken(&[]), [ObjectValue::Failed, ObjectValue::Failed, ObjectValue::Failed]);
}
