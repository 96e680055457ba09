//! A stream that drops its oldest messages before a history has them, since it is at its limit: energy is what was used, what is
//! lost is reported, and nothing is lost where the site keeps its messages.

use super::energy::{RegisterMeter, TICKS_MAX, check_plain, metered, number, probe};
use super::spool::{keeping, until_stored};
use super::*;

/// Many more messages than a stream of a megabyte takes.
const MISSED: f64 = 8_000.0;

/// A site whose stream of a megabyte was full while its history was away: the history, once it has caught up.
fn caught_up(site: impl Fn(&str) -> String) -> Kwapi {
    let (lab, meter) = (Lab::empty(), RegisterMeter::start());
    let server = NatsServer::start(&lab, free_port(), "");
    let url = server.url("power");
    let toml = centre(&url) + "[ledger]\nwrite_interval_seconds = 1\n";
    let file = written(&lab, "centre.toml", &toml);
    succeeds(&["nats-setup", "--megabytes-max", "1", "-c", &file], lab.path());
    let load =
        "[[meter]]\ndriver = 'dummy'\nprobe = 'load.{outlet}'\noutlets = 40\ninterval_seconds = 0.05\n";
    let site = Kwapi::start(&["drivers"], &(metered(&site(&url), &meter) + load));
    let centre = Kwapi::start(&["run"], &toml);
    for name in ["lyon.plain", "lyon.register"] {
        centre.probe(name);
    }
    // From then on it has a position, where the site keeps messages for it.
    wait_until("the history is on the disk", PATIENCE, || {
        let keeps = metric(site.status, "kwapi_spool_lacking{").is_some_and(|lacking| lacking > 0.0);
        let received = get(site.status, "/metrics")?.1.contains("kwapi_spool_heard_seconds{");
        (received || !keeps).then_some(())
    });
    let Kwapi { lab: home, process, .. } = centre;
    drop(process);
    until_stored(&site, MISSED);
    let centre = Kwapi::start_in(home, &["run"], &toml);
    let used = meter.stop();
    let joules = wait_until("/v1/ has all that was used", 3 * PATIENCE, || {
        let (status, body) =
            get(centre.api, "/v1/probes/lyon.register/").filter(|(status, _)| *status == 200)?;
        let probe: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status} {body}"));
        let joules = probe["lyon.register"]["kwh"].as_f64()? * 3.6e6;
        (joules >= used - TICKS_MAX).then_some(joules)
    });
    assert!((joules - used).abs() <= TICKS_MAX, "{joules} J, not {used}");
    wait_until("the history keeps up", 3 * PATIENCE, || {
        metric(centre.status, "kwapi_nats_lag_seconds{").filter(|lag| *lag < 2.0)
    });
    drop((site, server));
    let registered = probe(&centre, "lyon.register");
    let joules = number(&registered, "joules");
    assert!((joules - used).abs() <= TICKS_MAX, "{joules} J, not {used}");
    // What was lost is in the totals of the messages that followed.
    let plain = probe(&centre, "lyon.plain");
    check_plain(&plain);
    assert_eq!(number(&plain["time"], "unknown_seconds"), 0.0, "{plain}");
    centre
}

fn lost(centre: &Kwapi) -> f64 {
    ["lyon.plain", "lyon.register"].iter().map(|name| number(&probe(centre, name), "messages_lost")).sum()
}

#[test]
fn what_a_full_stream_dropped_is_reported_and_its_energy_is_in_what_followed() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let centre = caught_up(super::site);
    let dropped = metric(centre.status, "kwapi_nats_lost_total{").unwrap();
    assert!(dropped > 20.0 && lost(&centre) > 0.0, "{dropped}");
    let address = format!("127.0.0.1:{}", centre.status);
    let text = run(&["status", "--address", &address], centre.lab.path()).1;
    let expected = format!("the stream dropped {dropped} messages before they were received");
    assert!(text.contains(&expected) && text.contains("STREAM"), "{text}");
    assert!(centre.process.log().contains("the stream dropped messages before this history received them"));
}

#[test]
fn what_a_full_stream_dropped_is_sent_again_by_a_site_that_keeps_its_messages() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let centre = caught_up(keeping);
    assert_eq!(lost(&centre), 0.0);
    assert!(metric(centre.status, "kwapi_nats_lost_total{").is_some_and(|dropped| dropped > 20.0));
}
