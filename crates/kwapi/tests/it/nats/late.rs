//! Two sites in one stream, of one group, the second of which was cut off for most of an hour and sends then what it kept: the
//! energy of the group is that of its members, to the millijoule, and its rows are filled.

use kwapi_peers::need;

use super::backlog::{MEMBERS, STOP_SECONDS, Site, TICK, TICKS_MAX, now, rows, used};
use super::*;

const HOUR: u64 = 3_600;
/// Until then both are connected…
const CUT: u64 = 600;
/// …and from then on again.
const BACK: u64 = 3_000;
const END: u64 = 3_400;

/// Passes the time at both, as two sites that are connected.
fn pass(sites: [&mut Site; 2], from: u64, until: u64) {
    let [near, far] = sites;
    for second in (from..=until).step_by(10) {
        near.pass(second);
        far.pass(second);
    }
    near.stored();
    far.stored();
}

fn received(history: &Kwapi, sites: [&Site; 2]) {
    let published: u64 = sites.iter().map(|site| site.published).sum();
    wait_until("all is received", 4 * PATIENCE, || {
        let count = metric(history.status, "kwapi_collector_messages_total{")?;
        (count >= published as f64).then_some(())
    });
}

/// The rows of an answer's subject, in millijoules, with the milliseconds of each status.
fn of(answer: &Value, kind: &str, name: &str) -> Vec<(Option<u64>, [u64; 4])> {
    let all = answer["energy"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let of_name = all.iter().find(|of| of[kind] == name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    let thousandths =
        |value: &Value| value.as_f64().map(|value| format!("{:.0}", value * 1e3).parse().unwrap());
    let row = |row: &Value| {
        let statuses = ["measured", "bridged", "unknown", "absent"];
        let time = statuses.map(|status| thousandths(&row[format!("{status}_seconds")]).unwrap());
        (thousandths(&row["joules"]), time)
    };
    of_name["rows"].as_array().unwrap().iter().map(row).collect()
}

/// Up to when a subject's energy is known, in Unix seconds.
fn until(of: &Value) -> Option<u64> {
    let until: jiff::Timestamp = of["until"].as_str()?.parse().ok()?;
    u64::try_from(until.as_second()).ok()
}

fn requested(history: &Kwapi, query: &str) -> Value {
    let (status, body) = get(history.status, &format!("/v2/energy?{query}")).unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn the_energy_of_a_group_is_that_of_its_members_when_one_of_two_sites_in_a_stream_is_late() {
    if !need(&["rrdtool"]) || !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    let toml = centre(&url).replace("[rrd]\n", "[rrd]\nflush_interval_seconds = 1\n")
        + "[ledger]\nwrite_interval_seconds = 1\n";
    succeeds(&["nats-setup", "-c", &written(&lab, "centre.toml", &toml)], lab.path());
    // Its last second is in a minute of its own.
    let begun = (now() - HOUR) / 60 * 60 + 61 - END % 60;
    let (mut near, mut far) = (Site::of(&url, 0..2, begun), Site::of(&url, 2..MEMBERS.len(), begun));
    let history = Kwapi::start(&["rrd"], &toml);
    pass([&mut near, &mut far], 10, CUT);
    received(&history, [&near, &far]);
    // The line of the far site is cut. The near one's rows are written meanwhile.
    near.pass(BACK);
    near.stored();
    received(&history, [&near, &far]);
    // It is back: what the far site kept comes behind what the near one has sent since.
    far.pass(BACK);
    far.stored();
    received(&history, [&near, &far]);
    pass([&mut near, &mut far], BACK + 10, END);
    received(&history, [&near, &far]);

    // Up to the last measurements: a row that begins with them has no energy yet.
    let (start, end) = (begun, begun + END - 1);
    wait_until("the ledger has all of it", PATIENCE, || {
        let answer = requested(&history, &format!("start={start}&end={end}&by=probe"));
        let mut all = answer["energy"].as_array()?.iter();
        all.all(|of| until(of) == Some(end)).then_some(())
    });
    for step in ["", "&step=minute"] {
        wait_until("one position in the journal", PATIENCE, || {
            let answer = requested(&history, &format!("start={start}&end={end}{step}&by=probe"));
            let groups = requested(&history, &format!("start={start}&end={end}{step}&group=hall&by=group"));
            // Of one position in the journal.
            (answer["position"] == groups["position"]).then(|| check_sums(&answer, &groups))
        });
    }
    check_truth(&requested(&history, &format!("start={start}&end={end}&by=probe")));
    // By late folds, a part of the journal at a time.
    for (path, members) in [("/rrd/hall.4/", 3..4), ("/rrd/group/hall/", 0..MEMBERS.len())] {
        let wrong = || {
            let rows = rows(&history, path, 10, (begun + CUT + 60, begun + BACK - 60));
            assert!(rows.len() as u64 >= (BACK - CUT - 120) / 10, "{path}: {} rows", rows.len());
            let of_time =
                |at: u64| members.clone().map(|member| used(member, at - begun)).sum::<u64>() as f64 / 1e3;
            let is_wrong = |(end, watts): &(u64, f64)| {
                let truth = (of_time(*end) - of_time(end - 10)) / 10.0;
                // A sample states what held since the one before: a step comes a second early.
                let step = 60.0 * members.len() as f64 * (1.0 + STOP_SECONDS as f64) / 10.0;
                watts.is_nan() || (watts - truth).abs() > step + 1e-6
            };
            rows.into_iter().filter(is_wrong).collect::<Vec<_>>()
        };
        let begun = std::time::Instant::now();
        while !wrong().is_empty() {
            assert!(begun.elapsed() < 4 * PATIENCE, "{path}: {:?}", wrong());
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// That each row of the group is the sum of those of its members, in energy and in each status of time.
fn check_sums(answer: &Value, groups: &Value) {
    let members = MEMBERS.map(|name| of(answer, "probe", name));
    let group = of(groups, "group", "hall");
    let lengths = members.iter().map(Vec::len);
    assert!(
        lengths.clone().all(|length| length == group.len()),
        "{:?}, {}",
        lengths.collect::<Vec<_>>(),
        group.len()
    );
    for (place, (energy, time)) in group.iter().enumerate() {
        let of_members = || members.iter().map(|rows| rows[place]);
        let sum: u64 =
            of_members().map(|(energy, _)| energy.unwrap_or_else(|| panic!("row {place} has none"))).sum();
        assert_eq!(*energy, Some(sum), "row {place}");
        for (status, millis) in time.iter().enumerate() {
            assert_eq!(
                *millis,
                of_members().map(|(_, time)| time[status]).sum::<u64>(),
                "row {place}: {groups}"
            );
        }
    }
}

/// That each member's energy is what was used, and none of its time unknown.
fn check_truth(answer: &Value) {
    for (member, name) in MEMBERS.iter().enumerate() {
        let [(energy, [_, _, unknown, _])] = of(answer, "probe", name)[..] else { panic!("{answer}") };
        let truth = used(member, END - 1);
        assert!(
            energy.is_some_and(|energy| energy.abs_diff(truth) <= TICKS_MAX * TICK),
            "{name}: {energy:?} of {truth}"
        );
        assert_eq!(unknown, 0, "{name}: {answer}");
    }
}
