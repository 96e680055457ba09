use proptest::prelude::*;

use super::*;

/// Which of these sequence numbers are let in.
fn admitted(sequence: &[u32]) -> Vec<u32> {
    let mut window = Window::default();
    sequence.iter().copied().filter(|number| window.admits(*number)).collect()
}

#[test]
fn a_number_comes_once() {
    assert_eq!(admitted(&[5, 5, 6, 5, 6, 7]), [5, 6, 7]);
}

#[test]
fn packets_that_overtook_each_other_are_let_in_and_old_ones_are_not() {
    assert_eq!(admitted(&[40, 42, 41, 41]), [40, 42, 41]);
    assert_eq!(admitted(&[40, 9, 8]), [40, 9], "32 numbers are remembered");
}

#[test]
fn numbers_continue_after_their_largest() {
    assert_eq!(admitted(&[u32::MAX - 1, u32::MAX, 1, 2, u32::MAX]), [u32::MAX - 1, u32::MAX, 1, 2]);
    assert_eq!(after(u32::MAX), 1, "0 is for packets outside a session");
}

#[test]
fn a_card_that_does_not_count_is_let_in_until_it_counts() {
    assert_eq!(admitted(&[0, 0, 1, 0]), [0, 0, 1]);
}

proptest! {
    #[test]
    fn no_number_but_zero_is_let_in_twice(sequence in prop::collection::vec(1_u32..60, 0..200)) {
        let mut admitted = admitted(&sequence);
        let count = admitted.len();
        admitted.sort_unstable();
        admitted.dedup();
        prop_assert_eq!(admitted.len(), count);
    }

    #[test]
    fn rising_numbers_are_all_let_in(start in 1_u32.., steps in prop::collection::vec(1_u32..1_000, 0..50)) {
        let mut number = start;
        let mut window = Window::default();
        prop_assert!(window.admits(number));
        for step in steps {
            number = number.wrapping_add(step);
            prop_assert!(number == 0 || window.admits(number));
        }
    }
}
