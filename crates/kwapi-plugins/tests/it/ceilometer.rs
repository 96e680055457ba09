//! A real Ceilometer reading us by way of Keystone's catalogue and tokens, through both ways of `packaging/ceilometer`.

use std::time::Duration;

use kwapi_core::Timestamp;
use kwapi_peers::free_port;
use kwapi_peers::openstack::{Ceilometer, CeilometerSample, Way};

use crate::cloud::Cloud;
use crate::keystone::auth;
use crate::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_ceilometer_publishes_our_values_by_pollsters_and_by_plugin() {
    if !kwapi_peers::need_python("keystone") || !kwapi_peers::need_python("ceilometer") {
        return;
    }
    let api_port = free_port();
    let cloud = tokio::task::block_in_place(|| Cloud::start(api_port));
    let stand = Stand::start(api_port, Some(auth(&cloud)));
    let measured = stand.receive("lyon.rack3.taurus-7", 97.5, 4_320_000);
    stand.receive("a/b é", 80.0, 1_584);

    for way in [Way::Pollsters, Way::Plugin] {
        let ceilometer = Ceilometer::start(&cloud.keystone, way);
        let samples = tokio::task::block_in_place(|| ceilometer.samples_within(Duration::from_secs(90), 4));
        let text: Vec<String> = samples
            .iter()
            .map(|(name, CeilometerSample { volume, unit, kind, .. })| {
                format!("{name} = {volume:?} {unit} ({kind})")
            })
            .collect();
        let expected = [
            "a/b é energy = 0.00044 kWh (cumulative)",
            "a/b é power = 80.0 W (gauge)",
            "lyon.rack3.taurus-7 energy = 1.2 kWh (cumulative)",
            "lyon.rack3.taurus-7 power = 97.5 W (gauge)",
        ];
        assert_eq!(text, expected, "{way:?}");
        let sample = &samples["lyon.rack3.taurus-7 power"];
        assert_eq!(sample.measured, measured.seconds_f64(), "{way:?}");
        if matches!(way, Way::Plugin) {
            let time: jiff::civil::DateTime = sample.timestamp.parse().unwrap();
            let time = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_microsecond();
            assert_eq!(Timestamp::from_micros(u64::try_from(time).unwrap()), measured);
        }
    }
}
