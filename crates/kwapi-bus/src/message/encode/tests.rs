use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(number: f64) {
    let mut written = Vec::new();
    write_number(&mut written, "w", number);
    let expected = if number.fract() == 0.0 && number.abs() < 1e15 {
        format!(",\"w\":{}", number + 0.0)
    } else {
        format!(",\"w\":{number:?}")
    };
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn a_number_is_the_shortest_text_that_reads_back() {
    let around = |number: f64| [number.next_down(), number, number.next_up()];
    for number in
        [0.0, -0.0, 1e-5, 1e-4, 0.01, 0.3, 97.5, 230.1, 1_000.05, 123_456_789.123_4, 1e9, 1e15, 1e16]
    {
        around(number).into_iter().for_each(check);
    }
    [0.1 + 0.2, 0.421_739_130_434_782_6, 1e-300, 1e300, f64::MAX, -1.5].into_iter().for_each(check);
}

proptest! {
    #[test]
    fn any_number_is_written_as_the_long_way_writes_it(
        number in prop_oneof![any::<f64>(), 0.0..1e6, (0_u64..1 << 40).prop_map(|tenths| tenths as f64 / 1e4)]
    ) {
        if number.is_finite() {
            check(number);
        }
    }

    #[test]
    fn an_integer_has_its_digits_and_zeros_before_them_as_written(integer in any::<u64>(), width in 1_usize..=20) {
        let mut written = Vec::new();
        write_digits(&mut written, integer, width);
        prop_assert_eq!(String::from_utf8(written).unwrap(), format!("{integer:0width$}"));
    }
}
