use super::*;

const MINUTE: u64 = 60_000;

fn piece(begin: u64, mj: i64) -> Piece {
    Piece { step: RowStep::Minute, begin, increment: Increment { mj: [mj, 0, 0], ms: [1, 0, 0] } }
}

/// Takes messages (stamp, watts, pieces) and returns the minutes that are written.
fn minutes(messages: &[(u64, f64, &[Piece])]) -> Vec<(u64, i64, Option<f64>, Option<Cause>)> {
    let mut open = OpenRows::default();
    let mut rows = Vec::new();
    for (at, watts, pieces) in messages {
        open.take(*at, Watts(*watts), pieces, Cause::Late, &mut |written| {
            if written.step == RowStep::Minute {
                let row = written.row;
                rows.push((row.begin, row.increment.mj[0], row.peak.map(|peak| peak.0), written.correction));
            }
        });
    }
    rows
}

#[test]
fn a_row_is_written_once_its_end_is_reached() {
    let day = 20_000 * 86_400_000;
    let rows = minutes(&[
        (day + 1_000, 5.0, &[]),
        (day + 59_000, 7.0, &[piece(day, 40)]),
        (day + MINUTE, 6.0, &[piece(day, 2)]),
        (day + MINUTE + 1, 9.0, &[piece(day + MINUTE, 3)]),
    ]);
    assert_eq!(rows, [(day, 42, Some(7.0), None)]);
}

#[test]
fn what_changes_a_closed_row_is_a_correction_of_its_own() {
    let day = 20_000 * 86_400_000;
    let rows = minutes(&[
        (day + 1_000, 5.0, &[]),
        (day + 150_000, 7.0, &[piece(day, 10), piece(day + MINUTE, 20), piece(day + 2 * MINUTE, 1)]),
        (day + 70_000, 8.0, &[piece(day + MINUTE, -3)]),
    ]);
    let late = Some(Cause::Late);
    assert_eq!(
        rows,
        [(day, 10, Some(5.0), None), (day + MINUTE, 20, None, None), (day + MINUTE, -3, Some(8.0), late)]
    );
}

#[test]
fn a_row_nobody_ended_is_closed_two_days_after_its_end() {
    let day = 20_000 * 86_400_000;
    let mut open = OpenRows::default();
    let mut written = Vec::new();
    open.take(day + 30_000, Watts(1.0), &[piece(day, 5)], Cause::Late, &mut |row| written.push(row.step));
    let closes = day + MINUTE + 48 * 3_600_000;
    open.close_silent(closes - 1, &mut |row| written.push(row.step));
    assert_eq!(written, []);
    open.close_silent(closes, &mut |row| written.push(row.step));
    assert_eq!(written, [RowStep::Minute]);
    assert_eq!(open.rows().map(|(step, _)| step).collect::<Vec<_>>(), [RowStep::Quarter, RowStep::Day]);
}

/// A row ends with what is stamped at its end; only the first message of all has no time before it.
#[test]
fn the_peak_of_a_message_at_the_end_of_a_row_is_that_rows() {
    let day = 20_000 * 86_400_000;
    let rows = minutes(&[
        (day, 5.0, &[]),
        (day + MINUTE, 9.0, &[piece(day, 40)]),
        (day + 2 * MINUTE, 7.0, &[piece(day + MINUTE, 3)]),
    ]);
    assert_eq!(rows, [(day, 40, Some(9.0), None), (day + MINUTE, 3, Some(7.0), None)]);
}

/// The clock was set back: what was used lies later than the message is stamped.
#[test]
fn a_peak_before_the_row_that_is_open_is_written() {
    let day = 20_000 * 86_400_000;
    let rows = minutes(&[(day + 1_000, 5.0, &[]), (day + 70_000, 8.0, &[piece(day + 2 * MINUTE, 3)])]);
    assert_eq!(rows, [(day, 0, Some(5.0), None), (day + MINUTE, 0, Some(8.0), None)]);
}
