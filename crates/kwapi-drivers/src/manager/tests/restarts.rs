//! A manager that ends and starts again, beside a meter whose register continues.

mod site;

use std::sync::atomic::Ordering;

use kwapi_core::{Accounting, Energy, NotBridged, ProbeId, Watts};
use tokio::time::sleep;

use super::super::*;
use super::SECOND;
use site::{DEVICES, Device, Site, TICK, WATTS, change, reader};

/// Where a message stands on its curve, in joules.
fn stands_at(accounting: &Accounting) -> f64 {
    let begin = accounting.curve.map_or(0.0, |curve| curve.begin.joules());
    begin + accounting.totals.energy.joules()
}

/// The curve continues over a stop, and what it gives is the truth to within two ticks.
#[track_caller]
fn continues(messages: &[Accounting], runs: u32) {
    let (first, last) = (messages.first().unwrap(), messages.last().unwrap());
    assert_eq!(last.curve.expect("a curve").id, first.curve.expect("a curve").id);
    assert_eq!(last.curve.unwrap().run, runs, "{last:?}");
    let used = WATTS * last.timestamp.since(first.timestamp).as_secs_f64();
    assert!((stands_at(last) - used).abs() <= 2.0 * TICK, "{} J of {used} J", stands_at(last));
    assert!(messages.iter().all(|message| message.totals.unknown_ms == 0));
    assert!(messages.iter().all(|message| message.totals.is_sound()));
}

/// What a stop costs where it is not bridged: nothing of it is counted, and nothing twice.
#[track_caller]
fn check_afresh(messages: &[Accounting]) {
    let (first, last) = (messages.first().unwrap(), messages.last().unwrap());
    let (begun, fresh) = (first.curve.expect("a curve").id, last.curve.expect("a curve"));
    assert!(fresh.id > begun && fresh.run == 1 && fresh.begin == Energy::ZERO, "{last:?}");
    assert!(last.totals.energy.joules() <= WATTS * 60.0 + TICK, "{last:?}");
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_manager_is_bridged_by_the_register() {
    let mut site = Site::new("stopped");
    site.run(vec![reader("p", "stopped")], 60).await;
    site.stop().await;
    sleep(HOUR).await;
    site.run(vec![reader("p", "stopped")], 60).await;
    assert_eq!(site.not_bridged("p"), None);
    continues(&site.of("p"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_killed_again_and_again_continues_each_time() {
    let mut site = Site::new("killed");
    for _ in 0..20 {
        site.run(vec![reader("p", "killed")], 33).await;
        site.kill().await;
        sleep(300 * SECOND).await;
    }
    site.run(vec![reader("p", "killed")], 30).await;
    continues(&site.of("p"), 21);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_of_the_host_is_bridged_and_not_for_a_register_in_it() {
    let mut site = Site::new("booted");
    site.run(vec![reader("p", "booted")], 60).await;
    site.kill().await;
    site.boot("second");
    sleep(HOUR).await;
    site.run(vec![reader("p", "booted")], 60).await;
    continues(&site.of("p"), 2);
    site.kill().await;
    change("booted", |device| device.is_in_host = true);
    site.boot("third");
    site.run(vec![reader("p", "booted")], 60).await;
    assert_eq!(site.not_bridged("p"), Some(NotBridged::HostBooted));
    check_afresh(&site.of("p"));
}

/// What happens to the device in a stop of an hour that must not be bridged, and what the manager reports of it.
async fn fresh(device: &str, happens: impl FnOnce(&mut Device), expected: NotBridged) {
    let mut site = Site::new(device);
    change(device, |device| device.serial = Some("SN-0417".to_owned()));
    site.run(vec![reader("p", device)], 60).await;
    site.stop().await;
    change(device, happens);
    sleep(HOUR).await;
    site.run(vec![reader("p", device)], 60).await;
    assert_eq!(site.not_bridged("p"), Some(expected), "{device}");
    check_afresh(&site.of("p"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_same_register_or_did_not_continue_starts_afresh() {
    fresh("reset", |device| device.offset -= 380_000.0, NotBridged::Fell).await;
    fresh("swapped", |device| device.serial = Some("SN-2233".to_owned()), NotBridged::AnotherMeter).await;
    fresh("moved", |device| device.path = Some("outlet 9".to_owned()), NotBridged::NoState).await;
    fresh("jumped", |device| device.offset += 60_000.0, NotBridged::Jumped).await;
}

#[tokio::test(start_paused = true)]
async fn within_the_bound_a_swapped_meter_without_a_serial_number_cannot_be_detected() {
    // As in the manual: a tenth over the largest watts seen, times the stop and an interval, and a tick.
    let most = WATTS * 1.1 * 3_602.0 + TICK;
    for (device, excess, expected) in [
        ("below", most - WATTS * 3_600.0 - 300.0, None),
        ("above", most - WATTS * 3_600.0 + 300.0, Some(NotBridged::Jumped)),
    ] {
        let mut site = Site::new(device);
        site.run(vec![reader("p", device)], 60).await;
        site.stop().await;
        change(device, |device| device.offset += excess);
        sleep(HOUR).await;
        site.run(vec![reader("p", device)], 10).await;
        assert_eq!(site.not_bridged("p"), expected, "{device}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_its_state_a_manager_starts_afresh() {
    let mut site = Site::new("lost");
    site.run(vec![reader("p", "lost")], 60).await;
    site.stop().await;
    std::fs::remove_dir_all(site.directory.path().join("drivers")).unwrap();
    sleep(HOUR).await;
    site.run(vec![reader("p", "lost")], 60).await;
    check_afresh(&site.of("p"));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_used_leaves_measuring_as_it_was() {
    let mut site = Site::new("unwritable");
    let file = site.directory.path().join("a file");
    std::fs::write(&file, "").unwrap();
    site.run_in(&file, vec![reader("p", "unwritable")], 60).await;
    let messages = site.of("p");
    assert!(messages.len() >= 58 && messages.iter().all(|message| message.curve.is_none()));
    assert_eq!(messages.last().unwrap().seq, messages.len() as u64 - 1, "one session");
    assert!(!site.manager.as_ref().unwrap().troubles().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_probe_renamed_and_back_shares_no_joule_with_the_other() {
    let mut site = Site::new("renamed");
    for (probe, seconds) in [("x", 60), ("y", 60), ("x", 60)] {
        site.run(vec![reader(probe, "renamed")], seconds).await;
        site.stop().await;
    }
    let of_x = site.of("x");
    let curves: std::collections::BTreeSet<_> =
        of_x.iter().map(|message| message.curve.unwrap().id).collect();
    assert_eq!(curves.len(), 2, "the second x does not continue where the first ended");
    assert!(of_x.last().unwrap().totals.energy.joules() <= WATTS * 60.0 + TICK);
}

#[tokio::test(start_paused = true)]
async fn two_probes_of_one_register_are_named_until_one_is_gone() {
    let mut site = Site::new("shared");
    let other = Device { ..DEVICES.lock()["shared"].clone() };
    DEVICES.lock().insert("of its own".to_owned(), other);
    let all = || vec![reader("a", "shared"), reader("b", "shared"), reader("c", "of its own")];
    site.run(all(), 60).await;
    let named = [("a", "b"), ("b", "a")].map(|(probe, other)| (probe.to_owned(), other.to_owned()));
    assert_eq!(site.shared(), named);
    site.stop().await;
    sleep(HOUR).await;
    site.run(all(), 60).await;
    assert_eq!(site.shared(), named);
    let has_gone_on = |probe: &&str| site.of(probe).last().unwrap().curve.unwrap().run == 2;
    assert_eq!(["a", "b"].iter().filter(|probe| has_gone_on(probe)).count(), 1, "only one is bridged");
    continues(&site.of("c"), 2);
    site.manager.as_ref().unwrap().apply(vec![reader("b", "shared"), reader("c", "of its own")]);
    assert_eq!(site.shared(), []);
    sleep(60 * SECOND).await;
    assert_eq!(site.shared(), []);
}

#[tokio::test(start_paused = true)]
async fn probes_that_change_places_share_no_register() {
    let mut site = Site::new("left");
    let other = Device { ..DEVICES.lock()["left"].clone() };
    DEVICES.lock().insert("right".to_owned(), other);
    site.run(vec![reader("a", "left"), reader("b", "right")], 60).await;
    site.manager.as_ref().unwrap().apply(vec![reader("b", "left"), reader("a", "right")]);
    for _ in 0..4 {
        sleep(15 * SECOND).await;
        assert_eq!(site.shared(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_after_a_boot_holds_the_first_message_and_shows_its_watts() {
    let mut site = Site::new("wrong clock");
    site.run(vec![reader("p", "wrong clock")], 60).await;
    site.kill().await;
    site.boot("second");
    site.offset.store(-1_799_000_000, Ordering::Relaxed);
    let before = site.of("p").len();
    site.run(vec![reader("p", "wrong clock")], 120).await;
    assert_eq!(site.of("p").len(), before, "nothing is published");
    let statuses = site.manager.as_ref().unwrap().statuses();
    assert!(statuses[0].probes[0].is_held && statuses[0].probes[0].power == Some(Watts(WATTS)));
    assert!(
        site.manager.as_ref().unwrap().troubles()[0]
            .contains("earlier than the release date of this program")
    );
    site.offset.store(0, Ordering::Relaxed);
    sleep(60 * SECOND).await;
    continues(&site.of("p"), 2);
    assert!(site.manager.as_ref().unwrap().troubles().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_restarts_a_meter_continues_with_its_curve() {
    let mut site = Site::new("reloaded");
    site.run(vec![reader("p", "reloaded")], 60).await;
    let slower = MeterSpec { interval: 2 * SECOND, ..reader("p", "reloaded") };
    site.manager.as_ref().unwrap().apply(vec![slower]);
    sleep(60 * SECOND).await;
    continues(&site.of("p"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sum_continues_over_a_stop_only_if_all_its_parts_do() {
    let mut site = Site::new("feed one");
    let other = Device { ..DEVICES.lock()["feed one"].clone() };
    DEVICES.lock().insert("feed two".to_owned(), other);
    let id = |name: &str| ProbeId::new(name).unwrap();
    let sum = || VirtualSpec {
        probe: id("sum"),
        parts: vec![id("a"), id("b")],
        max_gap: 10 * SECOND,
        max_gap_follows: false,
    };
    let meters = || vec![reader("a", "feed one"), reader("b", "feed two")];
    for _ in 0..2 {
        site.run(Vec::new(), 0).await;
        site.manager.as_ref().unwrap().apply_virtual(vec![sum()]).unwrap();
        site.manager.as_ref().unwrap().apply(meters());
        sleep(60 * SECOND).await;
        site.stop().await;
        sleep(HOUR).await;
    }
    let messages = site.of("sum");
    let (first, last) = (messages.first().unwrap(), messages.last().unwrap());
    assert_eq!((last.curve.unwrap().id, last.curve.unwrap().run), (first.curve.unwrap().id, 2));
    let used = 2.0 * WATTS * last.timestamp.since(first.timestamp).as_secs_f64();
    assert!((stands_at(last) - used).abs() <= 5.0 * TICK, "{} J of {used} J", stands_at(last));

    change("feed two", |device| device.offset -= 590_000.0);
    site.run(Vec::new(), 0).await;
    site.manager.as_ref().unwrap().apply_virtual(vec![sum()]).unwrap();
    site.manager.as_ref().unwrap().apply(meters());
    sleep(60 * SECOND).await;
    let fresh = *site.of("sum").last().unwrap();
    assert_eq!((fresh.curve.unwrap().run, fresh.curve.unwrap().begin), (1, Energy::ZERO));
    assert!(fresh.totals.energy.joules() <= 2.0 * WATTS * 62.0 + 5.0 * TICK, "{fresh:?}");
}
