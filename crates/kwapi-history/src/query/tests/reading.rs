//! What is read to answer a question.

use super::*;

#[test]
fn weeks_are_days_and_at_their_ends_quarter_hours_and_minutes() {
    let house = house(records("a", 0, 20 * 86_400, 40));
    let probes = [probe("a")];
    // From 06:07 of the second day to 17:23 of the sixteenth.
    let (from, to) = ((86_400 + 22_020) * 1_000, (15 * 86_400 + 62_580) * 1_000);
    let (from, to) = (DAY * 1_000 + from, DAY * 1_000 + to);
    let sight = house.query.sight(&probes, from, to);
    let mut cover = Cover::default();
    cover.span(0, from, to, sight.kept_from);
    let mut rows = [0; 3];
    let seen = sight.rows(&probes, &cover.ranges(), |_, row| match row.step {
        RowStep::Minute => rows[0] += 1,
        RowStep::Quarter => rows[1] += 1,
        RowStep::Day => rows[2] += 1,
    });
    assert_eq!(rows, [8 + 8, 71 + 69, 13]);
    // A file of each day, and two of quarter hours and minutes.
    assert_eq!(seen.files_read, 13 + 2 + 2);
    assert_eq!(seen.rows_read, 13 + 2 * 96 + 2 * 1_440);
}
