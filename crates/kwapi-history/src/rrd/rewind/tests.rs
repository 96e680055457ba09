use super::super::{Consolidation, Definition, Rrd};
use kwapi_core::Timestamp;

/// It shows what a file shows that was never ahead.
#[test]
fn a_rewound_file_has_the_rows_from_before_and_continues() {
    let definition = Definition {
        source: "w",
        step: 1,
        heartbeat: 600,
        min: 0.0,
        archives: &[(Consolidation::Average, 1, 300), (Consolidation::Average, 10, 60)],
        unknown_share_max: 0.5,
    };
    let start = 1_700_000_000;
    let mut rrd = Rrd::new(&definition, start);
    let mut never = Rrd::new(&definition, start);
    for second in 1..=200 {
        let values = [Some(second as f64)];
        rrd.update(Timestamp::from_seconds(start + second), &values).unwrap();
        never.update(Timestamp::from_seconds(start + second), &values).unwrap();
    }
    rrd.update(Timestamp::from_seconds(start + 250), &[Some(7.0)]).unwrap();
    rrd.update(Timestamp::from_seconds(start + 260), &[Some(7.0)]).unwrap();
    rrd.rewind(start + 200);
    let rows = |rrd: &Rrd, archive: usize, step: u64, until: u64| {
        let count = ((until - start) / step) as usize;
        rrd.rows(archive, start, count, None).unwrap().values
    };
    for (archive, step) in [(0, 1), (1, 10)] {
        assert_eq!(rows(&rrd, archive, step, start + 200), rows(&never, archive, step, start + 200));
        assert!(rows(&rrd, archive, step, start + 300).iter().skip(200 / step as usize).all(Option::is_none));
    }
    for second in 201..=290 {
        let values = [Some(second as f64)];
        rrd.update(Timestamp::from_seconds(start + second), &values).unwrap();
        never.update(Timestamp::from_seconds(start + second), &values).unwrap();
    }
    for (archive, step) in [(0, 1), (1, 10)] {
        assert_eq!(rows(&rrd, archive, step, start + 290), rows(&never, archive, step, start + 290));
    }
    assert!(Rrd::parse(&rrd.to_bytes()).is_ok());
    // Further back than an archive reaches: nothing is left of it, and it takes what comes.
    rrd.rewind(start - 10_000);
    assert!(rows(&rrd, 0, 1, start + 290).iter().all(Option::is_none));
    rrd.update(Timestamp::from_seconds(start - 9_999), &[Some(5.0)]).unwrap();
    assert_eq!(rrd.last_value(), Some(5.0));
}
