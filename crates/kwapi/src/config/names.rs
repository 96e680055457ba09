//! "Did you mean …?"

/// The known name most like `unknown`, if one is like it at all.
pub(crate) fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this likeness a suggestion confuses more than it helps; `hots` and `host` score 0.92.
    const LIKENESS_MIN: f64 = 0.75;
    /// One slip of the finger in a short name, which Jaro and Winkler find unlike: `pud` and `pdu`.
    const SLIP: f64 = 0.9;
    let likeness = |name: &str| {
        let is_slip = unknown.chars().count() >= 3 && strsim::osa_distance(unknown, name) == 1;
        strsim::jaro_winkler(unknown, name).max(if is_slip { SLIP } else { 0.0 })
    };
    known
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
