use proptest::prelude::*;

use super::*;

/// A repository of `count` records.
fn catalogue(count: u16) -> SensorCatalogue {
    let mut version = [1; 10];
    version[..2].copy_from_slice(&count.to_le_bytes());
    SensorCatalogue::of(version, CHUNK_MAX)
}

fn supply(number: u8) -> Content {
    let conversion = Err("not needed here");
    Content::Power(IpmiSensor {
        name: format!("PS{number}"),
        owner: 0x20,
        number,
        lun: 0,
        entity: 10,
        conversion,
    })
}

/// Reads records in order, each with the id it names as the next, until nothing is left.
#[track_caller]
fn check(count: u16, records: &[(u16, Content)], sensors: &[u8], unread: u16) {
    let mut catalogue = catalogue(count);
    for (next, content) in records {
        assert!(!catalogue.is_complete(), "ended before {next:#06x}");
        catalogue.add(*next, content.clone());
    }
    let found: Vec<u8> = catalogue.sensors().expect("complete").iter().map(|sensor| sensor.number).collect();
    assert_eq!((found.as_slice(), catalogue.unread), (sensors, unread));
}

#[test]
fn a_chain_that_goes_back_ends_and_each_sensor_counts_once() {
    check(2, &[(7, supply(1)), (0, supply(2))], &[1, 2], 0);
    check(2, &[(7, supply(1)), (7, supply(2))], &[1, 2], 0);
    check(3, &[(7, supply(1)), (9, supply(2)), (7, Content::Other)], &[1, 2], 0);
    check(3, &[(7, supply(1)), (9, supply(1)), (LAST, supply(2))], &[1, 2], 0);
}

#[test]
fn what_is_missing_at_a_premature_end_is_counted() {
    check(5, &[(7, supply(1)), (0, Content::Other)], &[1], 3);
    check(2, &[(7, supply(1)), (LAST, Content::Unread)], &[1], 1);
    let short = catalogue(9);
    assert!(short.would_end_early(0) && short.would_end_early(FIRST) && !short.would_end_early(1));
    assert!(!short.would_end_early(LAST), "the card itself ends it");
}

proptest! {
    #[test]
    fn any_chain_ends(nexts in prop::collection::vec(any::<u16>(), 0..200)) {
        let mut catalogue = catalogue(3);
        let mut steps = 0_u32;
        for next in nexts.iter().cycle().take(10_000) {
            if catalogue.is_complete() {
                break;
            }
            catalogue.add(*next, Content::Other);
            steps += 1;
        }
        prop_assert!(steps <= 202 && (nexts.is_empty() || catalogue.is_complete()), "{}", steps);
    }
}
