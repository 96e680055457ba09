//! Which of many numbered things comes next, guessed by what came after the same thing last time.
//!
//! Meters report the same outlets in the same order, round after round, and all that follows them receives the probes
//! in nearly that order too. Whoever keeps its probes in a vector looks here first: a guess that is right costs a
//! comparison, where finding a name among a hundred thousand is a hash and several lines that no cache holds. A wrong
//! guess costs no more than the looking up there would have been.

/// The order in which things have come, which the caller numbers from 0 as it puts them in a vector. Four bytes for each.
#[derive(Clone, Debug)]
pub struct Succession {
    /// By the number of a thing, the number of the one that came after it last.
    next: Vec<u32>,
    last: u32,
}

/// Before anything has come.
const NOTHING: u32 = u32::MAX;

impl Default for Succession {
    fn default() -> Self {
        Self { next: Vec::new(), last: NOTHING }
    }
}

impl Succession {
    /// What is likely to come next. There need not be a thing of this number.
    pub fn guess(&self) -> u32 {
        let next = self.next.get(self.last as usize).copied();
        next.unwrap_or_else(|| self.last.wrapping_add(1)) // As they were numbered.
    }

    /// Notes what has come.
    pub fn note(&mut self, number: u32) {
        if self.last != NOTHING && self.guess() != number {
            while self.next.len() <= self.last as usize {
                self.next.push(u32::try_from(self.next.len() + 1).unwrap_or(0));
            }
            if let Some(next) = self.next.get_mut(self.last as usize) {
                *next = number;
            }
        }
        self.last = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the last round are guessed right.
    #[track_caller]
    fn check(rounds: &[&[u32]], right: usize) {
        let mut succession = Succession::default();
        let mut guessed = 0;
        for (round, numbers) in rounds.iter().enumerate() {
            for number in *numbers {
                guessed += usize::from(round + 1 == rounds.len() && succession.guess() == *number);
                succession.note(*number);
            }
        }
        assert_eq!(guessed, right, "{rounds:?}");
    }

    #[test]
    fn the_order_of_numbers_is_guessed_from_the_start_and_another_from_its_second_time_on() {
        check(&[&[0, 1, 2, 3]], 4);
        check(&[&[0, 1, 2, 3], &[0, 1, 2, 3], &[0, 1, 2, 3]], 4);
        check(&[&[2, 0, 1, 3], &[2, 0, 1, 3]], 3);
        check(&[&[2, 0, 1, 3], &[2, 0, 1, 3], &[2, 0, 1, 3]], 4);
    }

    #[test]
    fn one_that_is_left_out_costs_a_guess_and_so_does_its_return() {
        let all = [0, 1, 2, 3, 4];
        check(&[&all, &all, &[0, 1, 3, 4]], 3);
        check(&[&all, &all, &[0, 1, 3, 4], &all], 4);
    }
}
