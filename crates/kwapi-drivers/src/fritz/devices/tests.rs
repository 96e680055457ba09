use proptest::prelude::*;

use super::*;

/// A list of a plug, one that is unplugged, a thermostat and a meter of two directions.
const LIST: &str = r#"<devicelist version="1" fwversion="8.02">
<device identifier="08761 0000434" id="17" functionbitmask="35712" manufacturer="AVM" productname="FRITZ!DECT 200">
<present>1</present><txbusy>0</txbusy><name>Rack &amp; &lt;lab&gt;</name>
<switch><state>1</state></switch>
<powermeter><voltage>231420</voltage><power>148930</power><energy>73120</energy></powermeter>
<temperature><celsius>245</celsius></temperature></device>
<device identifier="11657 0240192" productname="FRITZ!DECT 210"><present>0</present><name>garden</name>
<powermeter><voltage></voltage><power></power><energy>12</energy></powermeter></device>
<device identifier="09995 0000001" productname="FRITZ!DECT 301"><present>1</present><name>heating</name></device>
<device identifier="11630 0412345-1" productname="FRITZ!Smart Energy 250"><present>1</present><name>grid</name>
<powermeter><voltage>0</voltage><power>-412000</power><energy>5120034</energy></powermeter></device>
</devicelist>"#;

#[test]
fn devices_with_a_meter_are_read_and_others_passed_over() {
    let plugs = parse(LIST).unwrap();
    let texts: Vec<_> = plugs
        .iter()
        .map(|plug| {
            let watts = plug.watts().map(|watts| watts.map_err(|error| error.to_string()));
            let joules = plug.counter().map(|counter| counter.unwrap().value.joules());
            (plug.ain.as_str(), plug.name.as_str(), plug.is_present, watts, joules)
        })
        .collect();
    assert_eq!(
        texts,
        [
            ("087610000434", "Rack & <lab>", true, Some(Ok(148.93)), Some(263_232_000.0)),
            ("116570240192", "garden", false, None, Some(43_200.0)),
            ("116300412345-1", "grid", true, Some(Ok(-412.0)), Some(18_432_122_400.0)),
        ]
    );
    assert_eq!(plugs[0].volts(), Some(Volts(231.42)));
    assert_eq!(plugs[0].counter().unwrap().unwrap().resolution.joules(), 3_600.0);
    assert_eq!(plugs[0].product, "FRITZ!DECT 200");
}

#[test]
fn what_is_no_list_is_none_and_an_empty_one_has_no_devices() {
    assert_eq!(parse("<html></html>"), None);
    assert_eq!(parse("<devicelist version=\"1\">"), None, "cut short");
    assert_eq!(parse("<devicelist version=\"1\"></devicelist>"), Some(Vec::new()));
    assert_eq!(parse("<devicelist version=\"1\" />"), Some(Vec::new()));
    let hostile = LIST.replace("garden", "a\u{1b}[2Jb").replace("73120", "soon");
    let plugs = parse(&hostile).unwrap();
    assert_eq!(plugs[1].name, "a[2Jb");
    assert!(matches!(plugs[0].counter(), Some(Err(NoReading::Implausible(_)))));
    let many = "<device identifier=\"1\"><powermeter></powermeter></device>".repeat(2_000);
    let many = format!("<devicelist>{many}</devicelist>");
    assert_eq!(parse(&many).unwrap().len(), DEVICES_MAX);
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}", cut in 0..1_300_usize) {
        _ = parse(&noise);
        _ = parse(&format!("<devicelist><device {noise}</device></devicelist>"));
        _ = parse(&LIST.chars().take(cut).collect::<String>());
    }
}
