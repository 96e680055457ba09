use proptest::prelude::*;

use super::*;
use crate::snmp::profile::Catalogue;

#[track_caller]
fn check(profile: &str, snmprec: &str, expected: &[&str]) {
    let catalogue = Catalogue::built_in().unwrap();
    let walk = parse_snmprec(snmprec).unwrap();
    let lines: Vec<String> = evaluate(catalogue.get(profile).unwrap(), &walk)
        .into_iter()
        .map(|outlet| {
            let label = outlet.label.map(|label| format!(" ({label})")).unwrap_or_default();
            match outlet.reading {
                Ok(reading) => format!("{}{label}: {reading}", outlet.key),
                Err(reason) => format!("{}{label}: {reason}", outlet.key),
            }
        })
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_profile_yields_the_rows_of_a_walk() {
    check(
        "eaton_epdu",
        "1.3.6.1.4.1.534.6.6.7.6.1.1.3.0.2|4|db1\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.3.0.10|2|-1\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.3.0.2|66|107\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.3.1.2|66:numeric|rate=0,initial=55\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.4.0.2|66|12\n",
        &["2 (db1): 107 W, 43200 J", "10: not available: power reads -1", "1.2: 55 W"],
    );
}

/// One row of every family, with the trap it is known for: units, scales, indexes, columns that look alike.
#[expect(clippy::too_many_lines, reason = "a table of all families")]
#[test]
fn every_family_is_read_in_its_own_units() {
    let enterprise = |rows: &str| {
        rows.lines().map(|row| format!("1.3.6.1.4.1.{}", row.trim())).collect::<Vec<_>>().join("\n")
    };
    for (profile, rows, expected) in [
        // Gen 1: tenths of an ampere per outlet and phase, watts of the whole alone.
        (
            "apc_rpdu",
            "318.1.1.12.3.5.1.1.7.4|66|13\n318.1.1.12.2.3.1.1.2.1|66|42\n318.1.1.12.1.16.0|2|966",
            vec!["4: 1.3 A", "unit: 966 W", "phase: 4.2 A"],
        ),
        // Column 8 is the peak power, column 11 tenths of a kWh; the whole counts hundredths of a kW.
        (
            "apc_rpdu2",
            "318.1.1.26.9.4.3.1.7.9|2|96\n318.1.1.26.9.4.3.1.8.9|2|400\n318.1.1.26.9.4.3.1.11.9|2|2\n\
             318.1.1.26.4.3.1.5.1|2|42\n318.1.1.26.4.3.1.9.1|2|10\n318.1.1.26.6.3.1.7.1|2|14",
            vec!["9: 96 W, 720000 J", "unit: 420 W, 3600000 J", "phase: 140 W"],
        ),
        (
            "apc_easy_epdu",
            "318.1.1.30.2.1.1.7.1|2|812\n318.1.1.30.4.2.1.6.2|2|300",
            vec!["unit: 812 W", "phase.2: 300 W"],
        ),
        // Sensor type 5 is active power and 6 apparent, 1 mA and 4 mV by their own digits.
        (
            "raritan_px2",
            "13742.6.5.4.3.1.4.1.7.5|66|1070\n13742.6.5.4.3.1.4.1.7.6|66|1200\n13742.6.3.5.4.1.7.1.7.5|66|1\n\
             13742.6.3.5.3.1.3.1.7|4|x\n13742.6.5.4.3.1.4.1.7.1|66|465\n13742.6.3.5.4.1.7.1.7.1|66|3\n\
             13742.6.5.2.3.1.4.1.1.5|66|2140\n13742.6.3.3.4.1.7.1.1.5|66|0",
            vec!["7 (x): 107 W, 0.465 A", "inlet: 2140 W"],
        ),
        (
            "raritan_px1",
            "13742.4.1.2.2.1.7.3|66|88\n13742.4.1.20.2.1.9.1|66|900",
            vec!["3: 88 W", "inlet: 900 W"],
        ),
        ("raritan_px1_old", "13742.1.2.2.1.7.3|66|88", vec!["3: 88 W"]),
        // Units are counted from 0, and a Counter32 where the MIB says Gauge32 is no matter.
        (
            "eaton_epdu",
            "534.6.6.7.6.5.1.3.0.3|65|107\n534.6.6.7.6.5.1.4.0.3|66|1\n534.6.6.7.3.5.1.4.0.1|2|2500\n\
             534.6.6.7.3.4.1.4.0.1.4|2|2501\n534.6.6.7.5.5.1.3.2.5|2|640",
            vec!["3: 107 W, 3600 J", "inlet: 2500 W", "phase: 2501 W", "group.2.5: 640 W"],
        ),
        ("eaton_nlogic", "534.7.1.5.1.1.13.1.6|2|70", vec!["6: 70 W"]),
        ("hpe_pdu3_cis", "232.165.11.5.1.1.13.1.6|2|70", vec!["6: 70 W"]),
        (
            "hpe_ipdu_g2",
            "232.165.7.5.1.1.2.0.6|4|web6\n232.165.7.5.1.1.14.0.6|2|70\n232.165.7.5.1.1.15.0.6|2|5\n\
             232.165.7.5.1.1.5.0.6|2|325\n232.165.7.5.1.1.14.1.6|2|-1\n232.165.7.2.1.1.5.0|2|900\n\
             232.165.7.2.1.1.6.0|2|3\n232.165.7.2.2.1.21.0.1|2|900",
            vec![
                "6 (web6): 70 W, 0.325 A, 18000 J",
                "1.6: not available: power reads -1",
                "unit: 900 W, 10800 J",
                "phase.1: 900 W",
            ],
        ),
        (
            "servertech_sentry3",
            "1718.3.2.3.1.14.1.1.5|2|70\n1718.3.2.3.1.14.2.1.5|2|71\n1718.3.2.3.1.18.1.1.5|2|5\n\
             1718.3.2.2.1.12.1.1|2|800\n1718.3.2.2.1.16.1.1|2|3\n1718.3.1.6.0|2|1600",
            vec!["5: 70 W, 18000 J", "2.1.5: 71 W", "inlet: 800 W, 1080000 J", "unit: 1600 W"],
        ),
        (
            "servertech_sentry4",
            "1718.4.1.8.3.1.7.1.2.5|2|70\n1718.4.1.8.3.1.14.1.2.5|2|5\n1718.4.1.3.3.1.3.1.1|2|900\n1718.4.1.3.3.1.10.1.1|2|2",
            vec!["2.5: 70 W, 18000 J", "inlet: 900 W, 720000 J"],
        ),
        (
            "vertiv_geist",
            "21239.5.2.3.6.1.12.5|66|70\n21239.5.2.3.6.1.15.5|66|5\n21239.5.2.3.1.1.9.1|66|900\n21239.5.2.3.1.1.12.1|66|2",
            vec!["5: 70 W, 18000 J", "unit: 900 W, 7200 J"],
        ),
        (
            "cyberpower_epdu2",
            "3808.1.1.6.6.2.4.1.7.5|2|70\n3808.1.1.6.6.2.4.1.11.5|2|5\n3808.1.1.6.3.4.1.18.1|2|900",
            vec!["5: 70 W, 1800000 J", "unit: 900 W"],
        ),
        // The unit's lifetime counter, not the resettable one beside it.
        (
            "enlogic",
            "38446.1.5.9.1.6.1.5|2|70\n38446.1.5.9.1.11.1.5|2|5\n38446.1.2.4.1.4.1|2|900\n\
             38446.1.2.4.1.9.1|2|7\n38446.1.2.4.1.10.1|2|3",
            vec!["5: 70 W, 1800000 J", "unit: 900 W, 2520000 J"],
        ),
        (
            "liebert_mpx",
            "476.1.42.3.8.50.20.1.65.1.2.5|66|70\n476.1.42.3.8.50.20.1.10.1.2.5|4|db5\n\
             476.1.42.3.8.50.20.1.85.1.2.5|66|5\n476.1.42.3.8.30.20.1.65.1.1|66|900\n\
             476.1.42.3.8.30.20.1.50.1.1|66|40\n476.1.42.3.8.30.40.1.63.1.1.2|66|300",
            vec!["2.5 (db5): 70 W, 1800000 J", "inlet: 900 W, 14400000 J", "phase.2: 300 W"],
        ),
        ("avocent_pm", "10418.17.2.5.5.1.60.1.1.5|2|705", vec!["5: 70.5 W"]),
        // Numbers in words, kWh to four decimals, and rows that this model has not.
        (
            "aten_pe",
            "21317.1.3.2.2.2.2.1.1.4.2|4|117.2500\n21317.1.3.2.2.2.2.1.1.4.24|4|not-support\n\
             21317.1.3.2.2.2.2.1.1.5.2|4|12.5000\n21317.1.3.2.2.2.2.1.1.5.24|4|not-support\n\
             21317.1.3.2.2.2.2.10.1.2.2|4|db2",
            vec!["2 (db2): 117.25 W, 45000000 J"],
        ),
        // A PDU for one phase has rows of three.
        (
            "apc_easy_epdu",
            "318.1.1.30.4.2.1.4.1|2|2301\n318.1.1.30.4.2.1.5.1|2|142\n318.1.1.30.4.2.1.6.1|2|310\n\
             318.1.1.30.4.2.1.10.1|2|2000\n318.1.1.30.4.2.1.6.2|2|0\n318.1.1.30.4.2.1.10.2|2|0",
            vec!["phase: 310 W, 230.1 V, 1.42 A, 7200000 J", "phase.2: 0 W, 0 J"],
        ),
        // Outlets as of the models that meter them; B1 and the like are breakers.
        (
            "panduit_g5",
            "19536.10.1.5.1.1.2.1.3|4|web3\n19536.10.1.5.1.1.5.1.3|2|61\n19536.10.1.5.1.1.13.1.3|2|131",
            vec!["3 (web3): 131 W, 0.61 A"],
        ),
        // Phases alone: tenths of a volt, hundredths of an ampere.
        (
            "vertiv_geist",
            "21239.5.2.3.2.1.4.2|66|2310\n21239.5.2.3.2.1.8.2|66|420\n21239.5.2.3.2.1.12.2|66|950\n21239.5.2.3.2.1.15.2|66|77",
            vec!["phase.2: 950 W, 231 V, 4.2 A, 277200 J"],
        ),
        // Phases by hundredths of an ampere; the unit's lifetime counter.
        (
            "enlogic",
            "38446.1.3.4.1.5.1.2|2|311\n38446.1.3.4.1.6.1.2|2|231\n38446.1.3.4.1.7.1.2|2|702",
            vec!["phase.2: 702 W, 231 V, 3.11 A"],
        ),
        (
            "hpe_pdu3_cis",
            "232.165.11.2.1.1.5.1|2|1210\n232.165.11.2.2.1.20.1.3|2|402",
            vec!["unit: 1210 W", "phase.3: 402 W"],
        ),
        (
            "eaton_nlogic",
            "534.7.1.2.1.1.5.2|2|1210\n534.7.1.2.2.1.20.1.3|2|402\n534.7.1.3.1.1.20.1.4|2|77",
            vec!["unit.2: 1210 W", "phase.3: 402 W", "group.4: 77 W"],
        ),
        // Watts of the whole, hundredths of a kWh; three-phase models by output phase as well.
        (
            "apc_ups",
            "318.1.1.1.4.2.8.0|66|731\n318.1.1.1.4.3.6.0|66|41250\n318.1.1.1.9.3.3.1.13.1.1.2|2|244",
            vec!["2: 244 W", "unit: 731 W, 1485000000 J"],
        ),
        (
            "eaton_xups",
            "534.1.4.4.1.2.1|2|229\n534.1.4.4.1.3.1|2|3\n534.1.4.4.1.4.1|2|688\n534.1.3.4.1.4.1|2|740",
            vec!["1: 688 W, 229 V, 3 A", "inlet.1: 740 W"],
        ),
        // The outlet counts watts, the phase tens of them.
        (
            "dell_rpdu",
            "674.10903.200.2.200.130.2.2.1.8.4|2|61\n674.10903.200.2.200.120.2.1.4.1|2|27\n\
             674.10903.200.2.200.120.2.1.5.1|2|231\n674.10903.200.2.200.120.2.1.6.1|2|62",
            vec!["4: 61 W", "phase.1: 620 W, 231 V, 2.7 A"],
        ),
        (
            "tripplite_pdu",
            "850.1.1.3.2.3.3.1.1.2.1.5|4|nas\n850.1.1.3.2.3.3.1.1.7.1.5|66|2310\n850.1.1.3.2.3.3.1.1.8.1.5|66|45\n\
             850.1.1.3.2.3.3.1.1.9.1.5|66|98\n850.1.1.3.2.3.2.1.1.8.1.1|66|300",
            vec!["5 (nas): 98 W, 231 V, 0.45 A", "unit: 300 W"],
        ),
        (
            "tripplite_ups",
            "850.1.1.3.1.3.3.2.1.3.1.1|66|120\n850.1.1.3.1.3.3.2.1.4.1.1|66|240",
            vec!["1: 240 W, 1.2 A"],
        ),
        // V x A comes to the VA beside the watts: 231.00 V, 0.55 A, 130 VA, 110 W.
        (
            "conteg_pdu",
            "28402.12.1.1.2.7.1.1.2.2.9|4|lab\n28402.12.1.1.2.7.2.1.5.2.9|2|55\n28402.12.1.1.2.7.2.1.11.2.9|2|110\n\
             28402.12.1.1.2.6.1.1.2.2.1|2|77\n28402.12.1.1.2.6.1.1.5.2.1|2|55\n28402.12.1.1.2.6.1.1.7.2.1|2|23100\n\
             28402.12.1.1.2.6.1.1.10.2.1|2|110",
            vec!["2.9 (lab): 110 W, 0.55 A", "unit.2.1: 110 W, 231 V, 0.55 A, 277200000 J"],
        ),
        (
            "apc_netshelter",
            "318.1.1.32.2.4.1.4.1|2|3320\n318.1.1.32.3.4.1.5.1.2|2|488\n318.1.1.32.3.4.1.7.1.2|2|1105\n\
             318.1.1.32.4.4.1.3.1.4|4|B4\n318.1.1.32.4.4.1.5.1.4|2|144",
            vec!["unit: 3320 W", "phase.2: 1105 W, 4.88 A", "group.4 (B4): 1.44 A"],
        ),
        (
            "hpe_pdu_module",
            "232.165.2.3.1.1.4.1|2|590\n232.165.2.3.1.1.4.2|2|-1",
            vec!["unit.1: 590 W", "unit.2: not available: power reads -1"],
        ),
        (
            "hpe_ups",
            "232.165.3.4.4.1.2.1|2|230\n232.165.3.4.4.1.4.1|2|415\n232.165.3.3.4.1.4.1|2|460",
            vec!["1: 415 W, 230 V", "inlet.1: 460 W"],
        ),
        // Expired data and none are no data.
        (
            "rnx_updu",
            "55108.2.9.2.1.3.7|4|db7\n55108.2.9.2.1.50.7|2|0\n55108.2.9.2.1.51.7|2|812\n55108.2.9.2.1.52.7|2|230100\n\
             55108.2.9.2.1.53.7|2|178\n55108.2.9.2.1.50.8|2|1\n55108.2.9.2.1.53.8|2|90",
            vec!["7 (db7): 178 W, 230.1 V, 0.812 A", "8: not available: device status is 1"],
        ),
        ("janitza_umg", "34278.2.1.0|2|41250", vec!["unit: 41250 W"]),
        (
            "ipoman",
            "2468.1.4.2.1.3.1.3.1.2.1|2|2305\n2468.1.4.2.1.3.1.3.1.3.1|2|1510\n2468.1.4.2.1.3.2.3.1.3.4|2|260",
            vec!["4: 0.26 A", "inlet.1: 230.5 V, 1.51 A"],
        ),
        // Watts of inlet, phases and banks alone: most APC PDUs in the field meter no outlet.
        (
            "apc_rpdu2",
            "318.1.1.26.4.3.1.3.1|4|rack 9\n318.1.1.26.4.3.1.5.1|2|61\n318.1.1.26.6.3.1.5.1|2|29\n\
             318.1.1.26.6.3.1.6.1|2|229\n318.1.1.26.6.3.1.7.1|2|61\n318.1.1.26.8.3.1.5.1|2|8\n318.1.1.26.8.3.1.5.2|2|21",
            vec!["unit (rack 9): 610 W", "phase: 610 W, 229 V, 2.9 A", "group: 0.8 A", "group.2: 2.1 A"],
        ),
        // A transfer switch: no metered outlets, the whole with its reset stamp.
        (
            "cyberpower_epdu2",
            "3808.1.1.6.3.4.1.3.1|4|ats\n3808.1.1.6.3.4.1.5.1|66|12\n3808.1.1.6.3.4.1.9.1|66|3\n\
             3808.1.1.6.3.4.1.10.1|4|05/06/2026 07:08:09\n3808.1.1.6.3.4.1.18.1|66|251\n\
             3808.1.1.6.4.4.1.6.1|66|2190\n3808.1.1.6.4.4.1.7.1|66|251\n3808.1.1.6.5.4.1.5.1|66|12",
            vec!["unit (ats): 251 W, 1.2 A, 1080000 J", "phase: 251 W, 219 V", "group: 1.2 A"],
        ),
        // The first firmware: a bank's row has the watts of the whole and NULL for a counter.
        (
            "cyberpower_epdu",
            "3808.1.1.3.3.5.1.1.2.1|4|nas\n3808.1.1.3.3.5.1.1.7.1|66|31\n3808.1.1.3.3.5.1.1.8.1|66|352\n\
             3808.1.1.3.2.3.1.1.2.1|66|32\n3808.1.1.3.2.3.1.1.6.1|2|1150\n3808.1.1.3.2.3.1.1.7.1|2|360\n\
             3808.1.1.3.2.3.1.1.10.1|2|2\n3808.1.1.3.2.3.1.1.7.2|2|360\n3808.1.1.3.2.3.1.1.10.2|5|",
            vec!["1 (nas): 352 W, 3.1 A", "phase: 360 W, 115 V, 3.2 A, 720000 J", "phase.2: 360 W"],
        ),
        (
            "panduit_g5",
            "19536.10.1.2.1.1.5.1|2|805\n19536.10.1.2.1.1.6.1|2|3\n19536.10.1.2.1.1.8.1|2|3500\n\
             19536.10.1.3.1.1.2.1.1|4x|423100\n19536.10.1.3.1.1.5.1.1|2|2297\n19536.10.1.3.1.1.12.1.1|2|363\n\
             19536.10.1.3.1.1.20.1.1|2|805\n19536.10.1.3.1.1.2.1.7|4x|00\n19536.10.1.3.1.1.20.1.7|2|0",
            vec!["unit: 805 W, 12600000 J", "group.1 (B1): 805 W, 229.7 V, 3.63 A", "group.7: 0 W"],
        ),
        // Status 0: the channel is there and has no data.
        (
            "gude_8031",
            "28507.81.1.5.1.2.1.2.1|2|1\n28507.81.1.5.1.2.1.3.1|66|4000\n28507.81.1.5.1.2.1.4.1|2|19\n\
             28507.81.1.5.1.2.1.5.1|66|187\n28507.81.1.5.1.2.1.6.1|66|229",
            vec!["inlet: 19 W, 229 V, 0.187 A, 14400000 J"],
        ),
        (
            "gude_1202",
            "28507.43.1.5.1.2.1.2.1|2|0\n28507.43.1.5.1.2.1.4.1|2|19",
            vec!["inlet: not available: device status is 0"],
        ),
        // Meters of inlets alone, with power and without.
        (
            "servertech_sentry3",
            "1718.3.2.2.1.3.1.1|4|feed A\n1718.3.2.2.1.7.1.1|2|371\n1718.3.2.2.1.11.1.1|2|2093\n\
             1718.3.2.2.1.3.2.1|4|feed B\n1718.3.2.2.1.7.2.1|2|-1\n1718.3.2.2.1.11.2.1|2|2061",
            vec![
                // Volts between lines are not handed over with amperes of a line.
                "inlet (feed A): 3.71 A",
                "inlet.2.1 (feed B): not available: current reads -1",
            ],
        ),
        (
            "servertech_sentry4",
            "1718.4.1.3.2.1.3.1.1|4|cord A\n1718.4.1.3.3.1.3.1.1|2|1650\n1718.4.1.3.3.1.4.1.1|2|0\n\
             1718.4.1.3.3.1.10.1.1|2|20\n1718.4.1.5.2.1.4.1.1.1|4|AA:L1-L2\n1718.4.1.5.3.1.2.1.1.1|2|0\n\
             1718.4.1.5.3.1.3.1.1.1|2|2079\n1718.4.1.5.3.1.6.1.1.1|2|209\n1718.4.1.5.3.1.8.1.1.1|2|430\n\
             1718.4.1.5.3.1.2.1.1.2|2|9\n1718.4.1.5.3.1.8.1.1.2|2|430",
            vec![
                "inlet (cord A): 1650 W, 7200000 J",
                "phase.1 (AA:L1-L2): 430 W, 207.9 V, 2.09 A",
                "phase.2: not available: device status is 9",
            ],
        ),
    ] {
        check(profile, &enterprise(rows), &expected);
    }
}

/// Lines of the output and of the input, and what cards say for what they do not measure.
#[test]
fn a_ups_is_read_by_its_lines_and_not_by_what_it_does_not_measure() {
    check(
        "ups_mib",
        "1.3.6.1.2.1.33.1.3.3.1.5.1|2|900\n\
         1.3.6.1.2.1.33.1.4.4.1.2.1|2|229\n1.3.6.1.2.1.33.1.4.4.1.3.1|2|37\n1.3.6.1.2.1.33.1.4.4.1.4.1|2|820\n\
         1.3.6.1.2.1.33.1.4.4.1.4.2|2|65535\n1.3.6.1.2.1.33.1.4.4.1.4.3|2|-4\n1.3.6.1.2.1.33.1.4.4.1.4.4|5|",
        &[
            "1: 820 W, 229 V, 3.7 A",
            "2: not available: power reads 65535",
            "3: not available: power reads -4",
            "inlet.1: 900 W",
        ],
    );
    check("ups_mib_instance", "1.3.6.1.2.1.33.1.4.4.1.4.1.0|2|340", &["1: 340 W"]);
    check("ups_mib", "1.3.6.1.2.1.33.1.4.4.1.4.1.0|2|340", &[]);
}

#[test]
fn a_recorded_walk_names_nobody_and_yields_the_same() {
    let objects = [
        ("1.3.6.1.2.1.1.5.0", Value::Text(b"pdu-lyon-07.example.net".to_vec())),
        ("1.3.6.1.2.1.1.6.0", Value::Text("10.1.2.3\n\u{e9}tage".into())),
        ("1.3.6.1.4.1.13742.4.1.2.2.1.2.7", Value::Text(b"mail server".to_vec())),
        ("1.3.6.1.4.1.13742.4.1.2.2.1.7.7", Value::Integer(107)),
        ("1.3.6.1.4.1.13742.4.1.2.2.1.31.7", Value::Integer(3_000_000_000)),
    ]
    .map(|(oid, value)| (parse_oid(oid).unwrap(), value));
    let text = to_snmprec(&objects);
    for secret in ["lyon", "example", "10.1", "mail"] {
        assert!(!text.contains(secret), "{text}");
    }
    check("raritan_px1", &text, &["7 (xxxx xxxxxx): 107 W, 10800000000000 J"]);
}

#[test]
fn every_form_of_a_value_that_snmpsim_writes_is_read() {
    let text = |text: &[u8]| Value::Text(text.to_vec());
    for (line, expected) in [
        ("2|-7", Value::Integer(-7)),
        ("70|18446744073709551615", Value::Integer(i128::from(u64::MAX))),
        ("66|", Value::Null),
        ("5|", Value::Null),
        ("4|a|b", text(b"a|b")),
        ("4x|00FF", text(&[0, 255])),
        (r"4e|a\x0a\n\\\x27", text(b"a\n\n\\'")),
        ("6|.1.3.6", Value::Oid(parse_oid("1.3.6").unwrap())),
        ("64|10.0.0.1", Value::Other),
        ("64x|0a000001", Value::Other),
        ("68x|9f780442f60000", Value::Float(123.0)),
        (r"68e|\x9fx\x04B\xf6\x00\x00", Value::Float(123.0)),
        ("129|", Value::Absent),
        ("2:numeric|rate=2,initial=40", Value::Integer(40)),
        ("66:numeric|min=3,max=9", Value::Integer(3)),
        ("4:writecache|value=web1", text(b"web1")),
        ("4x:delay|hexvalue=4142,wait=100", text(b"AB")),
        ("2:sql|SELECT", Value::Other),
    ] {
        let walk = parse_snmprec(&format!("1.3.6.1|{line}")).unwrap();
        assert_eq!(walk.values().collect::<Vec<_>>(), [&expected], "{line}");
    }
}

#[test]
fn a_faulty_line_is_named() {
    for (text, expected) in [
        ("1.3.6|2|7\n1.3.6.x|2|7", "line 2"),
        ("1.3.6", "line 1: not OID|TAG|VALUE"),
        ("1.3.6|2|seven", "line 1: no value of type 2"),
        ("1.3.6|4x|abc", "line 1: no value of type 4x"),
        (r"1.3.6|4e|a\q", "line 1: no value of type 4e"),
        ("1.3.6|99|7", "line 1: no value of type 99"),
    ] {
        let message = parse_snmprec(text).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

proptest! {
    #[test]
    fn no_walk_panics(text in "([0-9.]{0,12}\\|[0-9x:a]{0,4}\\|.{0,12}\n){0,5}|.{0,40}") {
        if let Ok(walk) = parse_snmprec(&text) {
            for profile in Catalogue::built_in().unwrap().iter() {
                evaluate(profile, &walk);
            }
        }
    }

    #[test]
    fn any_text_survives_as_a_line_of_its_own(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let oid = parse_oid("1.3.6.1").unwrap();
        let text = to_snmprec(&[(oid.clone(), Value::Text(bytes.clone()))]);
        prop_assert_eq!(text.lines().count(), 1);
        let walk = parse_snmprec(&text).unwrap();
        let Some(Value::Text(read)) = walk.get(&oid) else { return Err(TestCaseError::fail("no text")) };
        prop_assert_eq!(read.len(), bytes.len());
    }
}
