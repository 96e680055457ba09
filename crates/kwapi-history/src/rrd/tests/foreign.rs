//! Files we would not create: several sources, limits, every consolidation; and some we cannot update.

use super::*;

/// What `rrdtool create` is given.
const CREATED: &[&str] = &[
    "-s 1 DS:one:GAUGE:20:U:U DS:two:GAUGE:12:-10:2000 RRA:LAST:0.1:1:7 RRA:AVERAGE:0.3:4:5 RRA:MIN:0:3:9 \
     RRA:MAX:0.99:7:3 RRA:LAST:0.5:6:4 RRA:AVERAGE:0.5:12:100",
    "-s 1 DS:w:GAUGE:120:0:U RRA:AVERAGE:0.5:1:10 RRA:MIN:0.5:5:10 RRA:MAX:0.5:5:10 RRA:LAST:0.5:5:10",
    "-s 1 DS:w:GAUGE:600:0:100 RRA:LAST:0.5:10:10 RRA:MAX:0:2:10",
];

fn created(arguments: &str, file: &Path) {
    let start = START.to_string();
    output(rrdtool().arg("create").arg(file).args(["-b", &start]).args(arguments.split_whitespace()));
}

fn several() -> impl Strategy<Value = Vec<(u64, [Option<f64>; 2])>> {
    let value =
        || prop_oneof![5 => (-2_000..300_000_i32).prop_map(|n| Some(f64::from(n) / 100.0)), 1 => Just(None)];
    let spacing = prop_oneof![5 => 1_u64..9_000_000, 2 => (1_u64..20).prop_map(|n| n * 1_000_000), 1 => 1_u64..900_000_000];
    prop::collection::vec((spacing, value(), value()), 1..100).prop_map(|steps| {
        let mut at = START * 1_000_000;
        let mut next = |spacing| {
            at += spacing;
            at
        };
        steps.into_iter().map(|(spacing, one, two)| (next(spacing), [one, two])).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_gauges_are_updated_as_rrdtool_does(updates in several(), which in 0..CREATED.len()) {
        if need(&["rrdtool"]) {
            let lab = Lab::empty();
            let (ours, theirs) = (lab.join("ours.rrd"), lab.join("theirs.rrd"));
            created(CREATED[which], &ours);
            std::fs::copy(&ours, &theirs).unwrap();
            let sources = read(&ours).unwrap().source_count();
            let text = |value: &Option<f64>| value.map_or("U".to_owned(), format::value_text);
            let arguments = updates.iter().map(|(at, values)| {
                let values: Vec<_> = values[..sources].iter().map(text).collect();
                format!("{}.{:06}5:{}", at / 1_000_000, at % 1_000_000, values.join(":"))
            });
            output(rrdtool().arg("update").arg(&theirs).args(arguments));
            amend(&ours, |rrd| {
                for (at, values) in &updates {
                    rrd.update(Timestamp::from_micros(*at), &values[..sources]).unwrap();
                }
            })
            .unwrap();
            let (ours, theirs) = (std::fs::read(&ours).unwrap(), std::fs::read(&theirs).unwrap());
            let at = ours.chunks(8).zip(theirs.chunks(8)).position(|(our, their)| !same_but_for_the_sign_of_nan(our, their));
            prop_assert_eq!((ours.len(), at), (theirs.len(), None));
        }
    }
}

#[test]
fn what_cannot_be_updated_can_still_be_read() {
    if !need(&["rrdtool"]) {
        return;
    }
    let lab = Lab::empty();
    let file = lab.join("foreign.rrd");
    for arguments in [
        "-s 10 DS:c:COUNTER:600:0:U RRA:AVERAGE:0.5:1:20",
        "-s 10 DS:w:GAUGE:600:0:U RRA:AVERAGE:0.5:1:20",
        "-s 10 DS:a:GAUGE:600:0:U DS:b:COMPUTE:a,2,* RRA:AVERAGE:0.5:1:20",
        "-s 10 DS:w:GAUGE:600:0:U RRA:AVERAGE:0.5:1:20 RRA:HWPREDICT:40:0.1:0.0035:10",
    ] {
        created(arguments, &file);
        output(
            rrdtool()
                .arg("update")
                .arg(&file)
                .args([format!("{}:5", START + 20), format!("{}:9", START + 40)]),
        );
        let mut rrd = read(&file).unwrap_or_else(|error| panic!("{arguments}: {error:?}"));
        assert_eq!(rrd.to_bytes(), std::fs::read(&file).unwrap(), "{arguments}");
        assert_eq!(rrd.rows(0, START, 4, None).unwrap().values.len(), 4);
        let values = vec![Some(1.0); rrd.source_count()];
        assert_eq!(rrd.update(Timestamp::from_seconds(START + 60), &values), Err(UpdateError::Unsupported));
    }
}
