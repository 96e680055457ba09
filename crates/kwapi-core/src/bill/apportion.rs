//! Whole numbers that add up: parts of something are rounded so that their sum is what the whole was rounded to.

/// `parts`, in `unit`ths, as whole numbers that add up to `target`: each is rounded down, and what is left goes to the largest
/// remainders, of equal ones to the first.
pub(super) fn apportion(target: i128, parts: &[i128], unit: i128) -> Vec<i128> {
    let mut whole: Vec<i128> = parts.iter().map(|part| part.div_euclid(unit)).collect();
    let Ok(count @ 1..) = i128::try_from(whole.len()) else { return whole };
    let left = whole.iter().fold(target, |left, part| left.saturating_sub(*part));
    // Of a target that is not the rounded sum of the parts all have the same of the difference.
    let each = left.div_euclid(count);
    let mut by_remainder: Vec<(i128, &mut i128)> =
        parts.iter().map(|part| part.rem_euclid(unit)).zip(&mut whole).collect();
    by_remainder.sort_by_key(|(remainder, _)| std::cmp::Reverse(*remainder));
    let mut more = left.rem_euclid(count);
    for (_, part) in by_remainder {
        *part = part.saturating_add(each).saturating_add(i128::from(more > 0));
        more -= 1;
    }
    whole
}

/// `target` in proportion to `weights`, none of them negative; in equal parts where all are nothing.
pub(super) fn in_proportion(target: i128, weights: &[i128]) -> Vec<i128> {
    let sum = weights.iter().fold(0_i128, |sum, weight| sum.saturating_add(*weight));
    if sum <= 0 {
        return apportion(target, &vec![0; weights.len()], 1);
    }
    let parts: Vec<i128> = weights.iter().map(|weight| weight.saturating_mul(target)).collect();
    apportion(target, &parts, sum)
}

/// `amount`, in `unit`ths, as a whole number; a half goes away from zero.
pub(super) fn rounded(amount: i128, unit: i128) -> i128 {
    let (whole, rest) = (amount / unit, amount % unit);
    if rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2) { whole + amount.signum() } else { whole }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_left_goes_to_the_largest_remainders() {
        assert_eq!(apportion(10, &[333, 333, 334], 100), [3, 3, 4]);
        assert_eq!(apportion(1, &[50, 50], 100), [1, 0]);
        assert_eq!(apportion(-1, &[-30, -70], 100), [0, -1]);
        assert_eq!(apportion(0, &[-30, 30], 100), [0, 0]);
        assert_eq!(apportion(0, &[-70, 70], 100), [-1, 1]);
        assert_eq!(apportion(7, &[100, 200], 100), [3, 4]);
        assert_eq!(apportion(7, &[], 100), []);
        assert_eq!(in_proportion(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(in_proportion(100, &[0, 0]), [50, 50]);
    }

    #[test]
    fn a_half_goes_away_from_zero() {
        let cases = [(149, 1), (150, 2), (-149, -1), (-150, -2), (50, 1), (49, 0), (-50, -1), (0, 0)];
        for (amount, expected) in cases {
            assert_eq!(rounded(amount, 100), expected, "{amount}");
        }
    }

    proptest! {
        #[test]
        fn parts_add_up_and_each_is_within_one(parts in prop::collection::vec(-1_000_000_i128..1_000_000, 1..9), unit in 1_i128..1_000) {
            let sum: i128 = parts.iter().sum();
            let target = rounded(sum, unit);
            let whole = apportion(target, &parts, unit);
            prop_assert_eq!(whole.iter().sum::<i128>(), target);
            for (part, whole) in parts.iter().zip(whole) {
                prop_assert!((part - whole * unit).abs() <= unit, "{part} {whole} {unit}");
            }
        }
    }
}
