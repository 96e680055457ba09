//! Host ranges: `node[001-200]-bmc`, `10.0.[0-3].[10-42]`, `rack[a,b,d]`.

/// More hosts than this in one range is a typing mistake.
pub(crate) const HOSTS_MAX: usize = 100_000;

/// One host of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeHost {
    /// Its whole name.
    pub(crate) name: String,
    /// What each bracket stood for, in order.
    pub(crate) parts: Vec<String>,
}

impl RangeHost {
    /// Fills `{host}` and `{1}`, `{2}`, … (the brackets) into a text.
    pub(crate) fn fill_in(&self, text: &str) -> String {
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
/// When a bracket is not closed, a range runs backwards, or there are more than [`HOSTS_MAX`] hosts.
pub(crate) fn expand(pattern: &str) -> Result<Vec<RangeHost>, String> {
    let mut hosts = vec![RangeHost::default()];
    let mut rest = pattern;
    while let Some((literal, after)) = rest.split_once('[') {
        let Some((choices, after)) = after.split_once(']') else {
            return Err(format!("`{pattern}`: unclosed ["));
        };
        let choices = expand_choices(choices).map_err(|problem| format!("`{pattern}`: {problem}"))?;
        if hosts.len().saturating_mul(choices.len()) > HOSTS_MAX {
            return Err(format!("`{pattern}`: more than {HOSTS_MAX} hosts"));
        }
        hosts = hosts
            .iter()
            .flat_map(|host| {
                choices.iter().map(move |choice| RangeHost {
                    name: format!("{}{literal}{choice}", host.name),
                    parts: host.parts.iter().chain([choice]).cloned().collect(),
                })
            })
            .collect();
        rest = after;
    }
    for host in &mut hosts {
        host.name.push_str(rest);
    }
    Ok(hosts)
}

/// The names alone of [`expand`].
///
/// # Errors
/// As [`expand`].
pub(crate) fn expand_names(pattern: &str) -> Result<Vec<String>, String> {
    Ok(expand(pattern)?.into_iter().map(|host| host.name).collect())
}

fn expand_choices(choices: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for choice in choices.split(',') {
        let Some((first, last)) = choice.split_once('-') else {
            all.push(choice.trim().to_owned());
            continue;
        };
        let (first, last) = (first.trim(), last.trim());
        let (Ok(from), Ok(to)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            return Err(format!("[{choice}] is not a range of numbers"));
        };
        if from > to {
            return Err(format!("[{choice}] is a descending range"));
        }
        if to - from >= HOSTS_MAX {
            return Err(format!("[{choice}] has more than {HOSTS_MAX} numbers"));
        }
        let width = if first.starts_with('0') { first.len() } else { 0 };
        all.extend((from..=to).map(|number| format!("{number:0width$}")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &str) {
        let actual = match expand(pattern) {
            Ok(hosts) => hosts.iter().map(|host| host.fill_in("{host}")).collect::<Vec<_>>().join(" "),
            Err(problem) => problem,
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
        let hosts = expand("r[7]n[01-02]-bmc").unwrap();
        assert_eq!(hosts[1].fill_in("lyon.rack{1}.node{2}"), "lyon.rack7.node02");
    }

    #[test]
    fn a_mistyped_range_is_refused() {
        check("n[1-2", "`n[1-2`: unclosed [");
        check("n[9-2]", "`n[9-2]`: [9-2] is a descending range");
        check("n[a-f]", "`n[a-f]`: [a-f] is not a range of numbers");
        check("n[0-99999][0-9]", "`n[0-99999][0-9]`: more than 100000 hosts");
    }
}
