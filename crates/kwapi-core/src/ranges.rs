//! Ranges in brackets: `node[001-200]-bmc`, `10.0.[0-3].[10-42]`, `rack[a,b,d]`. Hosts of a configuration and probes of a
//! question are written so.

/// More names than this in one range is a typing mistake.
pub const NAMES_MAX: usize = 100_000;
/// A longer name is neither a host's (RFC 1123, 2.1) nor a probe's: a short text must not become gigabytes.
const NAME_BYTES_MAX: usize = 255;
/// More brackets than this in one range is a typing mistake.
const BRACKETS_MAX: usize = 16;

/// One name of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeName {
    /// The whole of it.
    pub name: String,
    /// What each bracket stood for, in order.
    pub parts: Vec<String>,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A bracket is not closed.
    #[error("`{0}`: unclosed [")]
    Unclosed(String),
    /// What stands in a bracket is no range of numbers.
    #[error("`{0}`: [{1}] is not a range of numbers")]
    NotNumbers(String, String),
    /// A range runs backwards.
    #[error("`{0}`: [{1}] is a descending range")]
    Descending(String, String),
    /// More names than are allowed here.
    #[error("`{0}`: more than {1} names")]
    TooMany(String, usize),
    /// A name that nothing can have.
    #[error("`{0}`: names of more than {NAME_BYTES_MAX} bytes")]
    TooLong(String),
    /// More brackets than a range can have.
    #[error("`{0}`: more than {BRACKETS_MAX} brackets")]
    Brackets(String),
}

impl RangeName {
    /// Fills `{host}` and `{1}`, `{2}`, … (the brackets) into a text.
    pub fn fill_in(&self, text: &str) -> String {
        let filled = text.replace("{host}", &self.name);
        self.parts
            .iter()
            .zip(1_u32..)
            .fold(filled, |text, (part, number)| text.replace(&format!("{{{number}}}"), part))
    }
}

/// Expands the bracketed parts of `pattern`, leftmost slowest; leading zeros are kept.
///
/// # Errors
/// When it is no range, or stands for more than `names_max` names.
pub fn expand(pattern: &str, names_max: usize) -> Result<Vec<RangeName>, RangeError> {
    let too_many = || RangeError::TooMany(pattern.to_owned(), names_max);
    let mut all = vec![RangeName::default()];
    let mut rest = pattern;
    let (mut brackets, mut longest) = (0, 0_usize);
    while let Some((literal, after)) = rest.split_once('[') {
        brackets += 1;
        if brackets > BRACKETS_MAX {
            return Err(RangeError::Brackets(pattern.to_owned()));
        }
        let Some((choices, after)) = after.split_once(']') else {
            return Err(RangeError::Unclosed(pattern.to_owned()));
        };
        let choices = expand_choices(pattern, choices, names_max)?;
        if all.len().saturating_mul(choices.len()) > names_max {
            return Err(too_many());
        }
        longest += literal.len() + choices.iter().map(String::len).max().unwrap_or_default();
        if longest + after.split('[').next().map_or(0, str::len) > NAME_BYTES_MAX {
            return Err(RangeError::TooLong(pattern.to_owned()));
        }
        all = all
            .iter()
            .flat_map(|named| {
                choices.iter().map(move |choice| RangeName {
                    name: format!("{}{literal}{choice}", named.name),
                    parts: named.parts.iter().chain([choice]).cloned().collect(),
                })
            })
            .collect();
        rest = after;
    }
    for named in &mut all {
        named.name.push_str(rest);
    }
    Ok(all)
}

/// The names alone of [`expand`], [`NAMES_MAX`] at most.
///
/// # Errors
/// As [`expand`].
pub fn expand_names(pattern: &str) -> Result<Vec<String>, RangeError> {
    Ok(expand(pattern, NAMES_MAX)?.into_iter().map(|named| named.name).collect())
}

fn expand_choices(pattern: &str, choices: &str, names_max: usize) -> Result<Vec<String>, RangeError> {
    let mut all = Vec::new();
    for choice in choices.split(',') {
        if let Some((first, last)) = choice.split_once('-') {
            let (first, last) = (first.trim(), last.trim());
            if first.len() > NAME_BYTES_MAX {
                return Err(RangeError::TooLong(pattern.to_owned()));
            }
            let (Ok(from), Ok(to)) = (first.parse::<usize>(), last.parse::<usize>()) else {
                return Err(RangeError::NotNumbers(pattern.to_owned(), choice.to_owned()));
            };
            if from > to {
                return Err(RangeError::Descending(pattern.to_owned(), choice.to_owned()));
            }
            if to - from >= names_max {
                return Err(RangeError::TooMany(pattern.to_owned(), names_max));
            }
            let width = if first.starts_with('0') { first.len() } else { 0 };
            all.extend((from..=to).map(|number| format!("{number:0width$}")));
        } else {
            all.push(choice.trim().to_owned());
        }
        if all.len() > names_max {
            return Err(RangeError::TooMany(pattern.to_owned(), names_max));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &str) {
        let actual = match expand(pattern, NAMES_MAX) {
            Ok(all) => all.iter().map(|named| named.fill_in("{host}")).collect::<Vec<_>>().join(" "),
            Err(problem) => problem.to_string(),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn a_range_keeps_its_leading_zeros() {
        check("node[008-011]-bmc", "node008-bmc node009-bmc node010-bmc node011-bmc");
        check("n[8-11]", "n8 n9 n10 n11");
    }

    #[test]
    fn several_brackets_multiply_and_lists_are_taken_as_they_are() {
        check("r[a,c]n[1-2]", "ran1 ran2 rcn1 rcn2");
        check("plain", "plain");
    }

    #[test]
    fn each_bracket_can_be_named_by_itself() {
        let all = expand("r[7]n[01-02]-bmc", 2).unwrap();
        assert_eq!(all[1].fill_in("lyon.rack{1}.node{2}"), "lyon.rack7.node02");
    }

    #[test]
    fn a_mistyped_range_is_refused() {
        check("n[1-2", "`n[1-2`: unclosed [");
        check("n[9-2]", "`n[9-2]`: [9-2] is a descending range");
        check("n[a-f]", "`n[a-f]`: [a-f] is not a range of numbers");
        check("n[0-99999][0-9]", "`n[0-99999][0-9]`: more than 100000 names");
        check("n[5-200000]", "`n[5-200000]`: more than 100000 names");
        let zeros = format!("n[{}-1]", "0".repeat(70_000));
        assert_eq!(expand(&zeros, NAMES_MAX), Err(RangeError::TooLong(zeros)));
        for long in [format!("{}[1-99999]", "x".repeat(251)), format!("[1-99999]{}", "x".repeat(251))] {
            assert_eq!(expand(&long, NAMES_MAX), Err(RangeError::TooLong(long)));
        }
        assert_eq!(expand(&format!("[1-99999]{}", "x".repeat(250)), NAMES_MAX).unwrap().len(), 99_999);
        let brackets = "[a]".repeat(17);
        assert_eq!(expand(&brackets, NAMES_MAX), Err(RangeError::Brackets(brackets)));
        assert_eq!(expand("n[1-3]", 2), Err(RangeError::TooMany("n[1-3]".to_owned(), 2)));
        assert_eq!(expand("n[a,b,c]", 2), Err(RangeError::TooMany("n[a,b,c]".to_owned(), 2)));
    }
}
