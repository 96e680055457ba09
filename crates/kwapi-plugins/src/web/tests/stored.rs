use kwapi_core::{Ledgered, Measurement};
use kwapi_history::{Arrival, History, HistoryConfig};

use super::*;

#[tokio::test]
async fn the_store_s_measurements_reach_the_page_the_graph_and_the_file() {
    let scratch = kwapi_peers::Lab::empty();
    let start = Timestamp::from_seconds(NOW - 100);
    let history = History::open(HistoryConfig::new(scratch.path()), start).unwrap();
    for second in 0..100 {
        let at = Timestamp::from_seconds(NOW - 99 + second);
        let ledgered = Ledgered {
            timestamp: at,
            session: start,
            seq: second,
            totals: Totals::default(),
            meter: None,
            quality: Quality::Measured,
        };
        let measurement = Measurement {
            probe: ProbeId::new("a/b").unwrap(),
            power: Watts(80.0 + second as f64),
            voltage: None,
            current: None,
            ledgered: Some(ledgered),
        };
        let heard = Duration::from_secs(second);
        history.record([Arrival { measurement: &measurement, arrived: at, heard }]).unwrap();
    }
    let stored = Stored::new(Arc::new(history), |_| None);
    let clock = WallClock::new(|| Timestamp::from_seconds(NOW));
    let site = router(Arc::new(stored), settings(), clock);
    let list = page(&site, "/last/minute/").await;
    assert!(list.contains("1 of 1 probe reporting") && list.contains("<b>179.0 W</b>"), "{list}");
    for period in ["minute", "hour"] {
        let svg = page(&site, &format!("/graph/{period}/a%2Fb/?format=svg")).await;
        assert!(svg.contains("kw-line"), "{period}: {svg}");
    }
    let file = get(&site, "/rrd/a%2Fb/").await.into_body();
    assert_eq!((file.len(), &file[..4]), (9_752, &b"RRD\0"[..]));
}
