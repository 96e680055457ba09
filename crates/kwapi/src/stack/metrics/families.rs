//! The families of metrics that this room fills: names, kinds and help stand in `families.txt`, one a line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kwapi_plugins::metrics::{Exposition, Family, Kind};

/// `KIND NAME HELP`. A name, once released, keeps its kind and its meaning.
const LINES: &str = include_str!("families.txt");

static FAMILIES: LazyLock<BTreeMap<&'static str, (Kind, &'static str)>> =
    LazyLock::new(|| LINES.lines().filter_map(parse).collect());

fn parse(line: &'static str) -> Option<(&'static str, (Kind, &'static str))> {
    let mut words = line.splitn(3, ' ');
    let kind = match words.next()? {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        _ => return None,
    };
    Some((words.next()?, (kind, words.next()?)))
}

/// The family of a name; a test holds that each name used here has its line.
pub(super) fn family<'a>(out: &'a mut Exposition, name: &'static str) -> &'a mut Family {
    let (kind, help) = FAMILIES.get(name).copied().unwrap_or((Kind::Gauge, ""));
    out.family(name, kind, help)
}

/// Adds a count to the family of a name.
pub(super) fn count(out: &mut Exposition, name: &'static str, labels: &[(&str, &str)], count: u64) {
    family(out, name).count(labels, count);
}

/// Adds a value to the family of a name.
pub(super) fn sample(out: &mut Exposition, name: &'static str, labels: &[(&str, &str)], value: f64) {
    family(out, name).sample(labels, value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The files that name families.
    const USERS: [&str; 4] = [
        include_str!("../metrics.rs"),
        include_str!("nats.rs"),
        include_str!("records.rs"),
        include_str!("samples.rs"),
    ];

    #[test]
    fn each_family_that_is_filled_has_its_line_and_each_line_is_used() {
        let texts = USERS.iter().flat_map(|code| code.split('"').skip(1).step_by(2));
        let used: BTreeSet<&str> = texts.filter(|text| text.starts_with("kwapi_")).collect();
        let listed: BTreeSet<&str> = FAMILIES.keys().copied().collect();
        assert_eq!(used, listed);
        assert_eq!(
            FAMILIES.len(),
            LINES.lines().count(),
            "a line is not `KIND NAME HELP`, or a name stands twice"
        );
    }
}
