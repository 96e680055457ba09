use kwapi_core::{Decision, Energy, Totals, Watts};
use kwapi_history::journal::Taken;

use super::*;

const END: Position = Position { segment: 1, offset: 9 };
const MAX_GAP: Duration = Duration::from_secs(10);

/// A record, `at_ms` milliseconds after a full hour, with a total of as many joules as watts.
fn record(probe: &str, at_ms: u64, watts: u32) -> Credited {
    let energy = Energy::from_millijoules(u64::from(watts) * 1_000);
    Credited {
        probe: ProbeId::new(probe).unwrap(),
        at: Timestamp::from_micros((3_600_000 + at_ms) * 1_000 + 7),
        power: Watts(watts.into()),
        voltage: None,
        current: None,
        accounting: None,
        taken: Some(Taken { decision: Decision::Continue, register: Totals { energy, ..Totals::default() } }),
    }
}

fn tracker() -> Tracker {
    Tracker::new(Vec::new(), Gaps::new(MAX_GAP))
}

fn now(at_ms: u64) -> Timestamp {
    record("x", at_ms, 0).at
}

/// Pieces as text: a line each, of probe, milliseconds after the hour, watts and joules.
fn text(pieces: &[Piece]) -> String {
    let number =
        |value: f64| if value.to_bits() == STALE.to_bits() { "end".to_owned() } else { value.to_string() };
    let mut text = String::new();
    for piece in pieces {
        let samples = piece.iter().map(|(probe, Sample { at_ms, power, energy })| {
            let energy = energy.map_or("-".to_owned(), number);
            format!("{probe}@{} {} {energy}", at_ms - 3_600_000, number(*power))
        });
        text += &samples.collect::<Vec<_>>().join(", ");
        text.push('\n');
    }
    text
}

#[test]
fn what_is_late_goes_apart_and_without_its_total() {
    let (mut batch, mut tracker) = (Batch::default(), tracker());
    batch.add(&[record("a", 0, 5), record("a", 2_000, 6), record("b", 1_000, 1)], END, &mut tracker);
    batch.add(&[record("a", 1_500, 8), record("a", 1_000, 7), record("b", 2_000, 2)], END, &mut tracker);
    assert_eq!(text(&batch.pieces), "a@0 5 5, a@2000 6 6, b@1000 1 1\nb@2000 2 2\n");
    assert_eq!(text(&batch.late), "a@1500 8 -, a@1000 7 -\n");
    let sorted = by_probe(&batch.late).remove(0).1;
    assert_eq!(sorted.iter().map(|sample| sample.at_ms - 3_600_000).collect::<Vec<_>>(), [1_000, 1_500]);
    assert_eq!(batch.end, Some(END));
}

#[test]
fn a_series_has_one_sample_a_millisecond() {
    let (mut batch, mut tracker) = (Batch::default(), tracker());
    let other = Credited { at: Timestamp::from_micros(3_600_005_999), ..record("a", 5, 3) };
    batch.add(&[record("a", 5, 1), other, record("a", 6, 2)], END, &mut tracker);
    assert_eq!(text(&batch.pieces), "a@5 1 1, a@6 2 2\n");
    assert_eq!(batch.same_stamp, 1);
}

#[test]
fn a_record_without_a_total_is_a_power_alone_and_other_probes_are_left_out() {
    let mut tracker = Tracker::new(vec![Pattern::new("lyon.*").unwrap()], Gaps::new(MAX_GAP));
    let mut batch = Batch::default();
    let old = Credited { taken: None, ..record("lyon.a", 0, 5) };
    batch.add(&[old, record("paris.a", 0, 5)], END, &mut tracker);
    assert_eq!(text(&batch.pieces), "lyon.a@0 5 -\n");
}

#[test]
fn a_probe_that_fell_silent_before_the_start_ends_where_it_was() {
    let mut tracker = Tracker::new(vec![Pattern::new("lyon.*").unwrap()], Gaps::new(MAX_GAP));
    let mut batch = Batch::default();
    // What the journal still had to be sent.
    batch.add(&[record("lyon.here", 20_000, 1)], END, &mut tracker);
    let probe = |name: &str| ProbeId::new(name).unwrap();
    let before = [("lyon.here", 500), ("lyon.gone", 1_000), ("lyon.back", 15_000), ("paris.gone", 1_000)];
    tracker.resume(before.map(|(name, at_ms)| (probe(name), now(at_ms))).to_vec(), now(21_000));
    assert_eq!(text(&[tracker.silent(now(21_000))]), "lyon.gone@1001 end end\n");
    assert_eq!(tracker.silent(now(21_000)), Piece::new(), "once");
    // One that is received in time has continued, and one that comes back later is in order.
    let mut batch = Batch::default();
    batch.add(&[record("lyon.back", 22_000, 2), record("lyon.gone", 23_000, 3)], END, &mut tracker);
    assert_eq!(text(&batch.pieces), "lyon.back@22000 2 2, lyon.gone@23000 3 3\n");
}

#[test]
fn what_ended_long_before_the_start_is_not_touched() {
    let mut tracker = tracker();
    let probe = ProbeId::new("a").unwrap();
    tracker.resume(vec![(probe, now(0))], now(3_000_000));
    assert_eq!(tracker.silent(now(3_000_000)), Piece::new());
}

#[test]
fn a_silent_probe_ends_once_and_continues() {
    let (mut batch, mut tracker) = (Batch::default(), tracker());
    batch.add(&[record("a", 0, 1), record("a", 1_000, 1), record("b", 9_000, 2)], END, &mut tracker);
    assert_eq!(text(&[tracker.silent(now(11_000))]), "\n");
    assert_eq!(text(&[tracker.silent(now(11_001))]), "a@1001 end end\n");
    assert_eq!(text(&[tracker.silent(now(12_000))]), "\n");
    let mut batch = Batch::default();
    batch.add(&[record("a", 1_001, 4), record("a", 30_000, 3)], END, &mut tracker);
    assert_eq!(text(&batch.pieces), "a@30000 3 3\n", "1001 is the marker's");
    // Forgotten after a day, and started afresh.
    assert_eq!(text(&[tracker.silent(now(86_400_000))]).lines().count(), 1);
    tracker.silent(now(2 * 86_400_000));
    assert!(tracker.probes.is_empty());
}

#[test]
fn a_gap_that_is_read_later_ends_the_series_where_it_began() {
    let (mut batch, mut tracker) = (Batch::default(), tracker());
    let records = [0, 1_000, 2_000, 20_000, 21_000].map(|at_ms| record("a", at_ms, 1));
    batch.add(&records, END, &mut tracker);
    assert_eq!(
        text(&batch.pieces),
        "a@0 1 1, a@1000 1 1, a@2000 1 1, a@2001 end end, a@20000 1 1, a@21000 1 1\n"
    );
}

#[test]
fn a_probe_that_measures_seldom_is_not_silent_in_between() {
    let (mut batch, mut tracker) = (Batch::default(), tracker());
    let records: Vec<_> = (0..5).map(|minute| record("a", minute * 60_000, 1)).collect();
    batch.add(&records, END, &mut tracker);
    assert!(!text(&batch.pieces).contains("end"), "{}", text(&batch.pieces));
    assert_eq!(text(&[tracker.silent(now(4 * 60_000 + 60_000))]), "\n");
}

#[test]
fn what_was_lost_ends_every_series() {
    let (mut batch, mut tracker) = (Batch::default(), tracker());
    batch.add(&[record("a", 0, 1), record("b", 0, 1)], END, &mut tracker);
    let mut markers = tracker.lost();
    markers.sort_by(|(left, _), (right, _)| left.cmp(right));
    assert_eq!(text(&[markers]), "a@1 end end, b@1 end end\n");
    assert!(tracker.lost().is_empty());
}

#[test]
fn a_request_is_of_whole_pieces_and_no_larger_than_it_may_be() {
    let sizes = |counts: &[usize]| {
        let sample = || (ProbeId::new("a").unwrap(), Sample { at_ms: 1, power: 0.0, energy: None });
        let pieces: Vec<Piece> = counts.iter().map(|count| (0..*count).map(|_| sample()).collect()).collect();
        let requests = requests(&pieces);
        requests.iter().map(|request| request.iter().map(Vec::len).sum()).collect::<Vec<usize>>()
    };
    assert_eq!(sizes(&[]), [0_usize; 0]);
    assert_eq!(sizes(&[1, 2, 3]), [6]);
    assert_eq!(sizes(&[3_999, 1, 1, 4_000, 1]), [4_000, 1, 4_000, 1]);
}

#[test]
fn an_append_is_cut_the_same_way_whatever_it_is_read_with() {
    let many: Vec<_> = (0..9_000).map(|number| record("a", number, 1)).collect();
    let cut = |before: &[Credited]| {
        let (mut batch, mut tracker) = (Batch::default(), tracker());
        batch.add(before, END, &mut tracker);
        batch.add(&many, END, &mut tracker);
        batch.pieces.iter().map(Vec::len).skip(usize::from(!before.is_empty())).collect::<Vec<_>>()
    };
    assert_eq!(cut(&[]), [4_000, 4_000, 1_000]);
    assert_eq!(cut(&[record("b", 0, 1)]), cut(&[]));
}
