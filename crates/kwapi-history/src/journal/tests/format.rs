//! The bytes: what is written is read, whole batches only, and how many it takes.

use super::*;

#[test]
fn what_was_appended_is_read_in_order_even_after_a_kill() {
    let lab = Lab::empty();
    let batches: Vec<Vec<Credited>> =
        (0..5).map(|n| vec![credited("A", n, 97.25), credited("nœud-é", n, 0.1 + 0.2)]).collect();
    for (n, batch) in batches.iter().enumerate() {
        let journal = open(&lab); // Each time another process; none shuts down cleanly.
        append(&journal, batch);
        assert_eq!(journal.end().segment, n as u64);
    }
    assert_eq!(read_all(&open(&lab)), batches.concat());
}

#[test]
fn a_process_that_starts_over_and_over_leaves_no_trail() {
    let lab = Lab::empty();
    for _ in 0..5 {
        drop(open(&lab));
    }
    assert_eq!(segment::list(&folder(&lab)).unwrap(), [4]);
}

#[test]
fn a_batch_larger_than_a_block_is_there_whole_or_not_at_all() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let first = append(&journal, &[credited("before", 0, 1.0)]);
    let batch: Vec<_> = (0..20_000).map(|n| credited(&format!("node-{n}"), 7, 5.0)).collect();
    let end = append(&journal, &batch);
    assert!(end.offset - first.offset > 2 * block::PAYLOAD_BYTES_MAX as u64);
    drop(journal);
    let path = segment::path(&folder(&lab), 0);
    let bytes = std::fs::read(&path).unwrap();
    for keep in [end.offset - 1, end.offset - 5_000, first.offset + 70_000, first.offset + 1] {
        damage::only_the_first_segment(&lab, &bytes[..keep as usize]);
        let (journal, opened) = open_with(&lab, JournalConfig::default(), NOW);
        assert_eq!(opened.torn_bytes, keep - first.offset, "{keep}");
        assert_eq!(read_all(&journal).len(), 1, "{keep}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), first.offset);
    }
}

/// Bytes a record of `probes` probes at 1 Hz, a second a batch.
fn bytes_a_record(probes: u64, seconds: u64) -> f64 {
    let lab = Lab::empty();
    let journal = open(&lab);
    for second in 0..seconds {
        let batch: Vec<_> = (0..probes)
            .map(|n| {
                let mut record = credited(
                    &format!("site.rack-{}.node-{n}", n / 40),
                    3_600 + second,
                    97.25 + (n % 9) as f64,
                );
                let accounting = record.accounting.as_mut().unwrap();
                accounting.session = NOW.after(Duration::from_micros(n * 2_111));
                accounting.timestamp = record.at.after(Duration::from_micros(n * 137));
                accounting.totals.energy =
                    Energy::from_millijoules(accounting.totals.energy.millijoules() + n * n);
                record.at = accounting.timestamp;
                record.taken.as_mut().unwrap().register = accounting.totals;
                record
            })
            .collect();
        append(&journal, &batch);
    }
    (journal.counters().bytes - HEADER_BYTES) as f64 / (probes * seconds) as f64
}

#[test]
fn a_record_takes_two_dozen_bytes_names_included() {
    for (probes, seconds, expected) in [(100, 20, 24.0), (20_000, 2, 24.0)] {
        let bytes = bytes_a_record(probes, seconds);
        assert!(bytes < expected, "{probes} probes: {bytes}");
    }
}

fn any_totals() -> impl Strategy<Value = Totals> {
    (any::<[u64; 3]>(), prop_oneof![2 => Just([0; 4]), 1 => any::<[u64; 4]>()]).prop_map(
        |([energy, measured_ms, unknown_ms], [estimated, bridged, estimated_ms, bridged_ms])| Totals {
            energy: Energy::from_millijoules(energy),
            estimated: Energy::from_millijoules(estimated),
            bridged: Energy::from_millijoules(bridged),
            measured_ms,
            estimated_ms,
            bridged_ms,
            unknown_ms,
        },
    )
}

fn any_decision() -> impl Strategy<Value = Decision> {
    let kind = prop_oneof![Just(SegmentKind::First), Just(SegmentKind::Follower), Just(SegmentKind::Rival)];
    prop_oneof![
        Just(Decision::Continue),
        Just(Decision::Present),
        Just(Decision::Insert),
        (kind, any::<u64>(), any::<u64>()).prop_map(|(kind, begin, base)| Decision::Begin {
            kind,
            begin: Timestamp::from_micros(begin),
            base: Energy::from_millijoules(base),
        }),
        any::<(u64, u64)>().prop_map(|(gained, covered_ms)| Decision::Legacy {
            gained: Energy::from_millijoules(gained),
            covered_ms,
        }),
    ]
}

fn any_accounting() -> impl Strategy<Value = Accounting> {
    let curve = (any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(id, run, begin)| CurvePoint {
        id: Timestamp::from_micros(id),
        run,
        begin: Energy::from_millijoules(begin),
    });
    let meter = (any::<u64>(), prop::option::of(any::<u64>())).prop_map(|(energy, since)| MeterTotal {
        energy: Energy::from_millijoules(energy),
        since: since.map(Timestamp::from_micros),
    });
    let numbers = (any::<[u64; 3]>(), any_totals(), any::<bool>());
    (numbers, prop::option::of(curve), prop::option::of(meter)).prop_map(
        |(([timestamp, session, seq], totals, estimated), curve, meter)| Accounting {
            timestamp: Timestamp::from_micros(timestamp),
            session: Timestamp::from_micros(session),
            seq,
            totals,
            curve,
            meter,
            quality: if estimated { Quality::Estimated } else { Quality::Measured },
        },
    )
}

fn any_quantity() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..=1e9, (0_u32..10_000_000).prop_map(|thousandths| f64::from(thousandths) / 1e3)]
}

pub(super) fn any_credited() -> impl Strategy<Value = Credited> {
    let taken = (any_decision(), prop_oneof![Just(None), any_totals().prop_map(Some)]);
    let quantities = (any_quantity(), prop::option::of(any_quantity()), prop::option::of(-1e9..=1e9));
    let whose = ("[A-Dé🔌]{1,3}|rack[1-3]\\.[a-c]{0,4}", any::<u64>());
    (whose, quantities, prop::option::of(any_accounting()), prop::option::of(taken)).prop_map(
        |((probe, at), (power, voltage, current), accounting, taken)| {
            let totals = accounting.map(|accounting| accounting.totals).unwrap_or_default();
            Credited {
                probe: ProbeId::new(probe).unwrap(),
                at: Timestamp::from_micros(at),
                power: Watts(power),
                voltage: voltage.map(Volts),
                current: current.map(Amperes),
                accounting,
                taken: taken
                    .map(|(decision, register)| Taken { decision, register: register.unwrap_or(totals) }),
            }
        },
    )
}

proptest! {
    #[test]
    fn any_records_are_read_as_they_were_written(batches in prop::collection::vec(
            prop::collection::vec(any_credited(), 0..40), 0..6)) {
        let lab = Lab::empty();
        let journal = open(&lab);
        for batch in &batches {
            append(&journal, batch);
        }
        let (read, replayed) = read_from(&journal, Position::default());
        prop_assert_eq!(read, batches.concat());
        prop_assert_eq!((replayed.end, replayed.lost), (journal.end(), vec![]));
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&noise);
        let mut bytes = segment::header(0, NOW);
        bytes.extend(noise);
        exercise(&bytes);
    }
}
