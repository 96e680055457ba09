//! The text in which exporters show their samples.
//!
//! Source: Prometheus, *Exposition formats*, text 0.0.4; OpenMetrics 1.0, section 5 (`_created`, exemplars, stamps in
//! seconds).

/// More labels than any exporter gives; a sample with more is passed over.
const LABELS_MAX: usize = 64;

/// One line that carries a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExpositionSample<'a> {
    /// The metric's name.
    pub(crate) name: &'a str,
    /// Its labels, values unescaped.
    pub(crate) labels: Vec<(&'a str, String)>,
    /// The value; NaN where the exporter sends that.
    pub(crate) value: f64,
    /// When it was measured, in Unix seconds, if the exporter states it.
    pub(crate) seconds: Option<f64>,
}

impl ExpositionSample<'_> {
    /// The value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one line; `None` for a comment, an empty line or what is no sample.
pub(crate) fn parse_sample(line: &str, is_openmetrics: bool) -> Option<ExpositionSample<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, rest) = line.split_at_checked(line.find(['{', ' ', '\t'])?)?;
    let is_name = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':'))
    };
    if !is_name(name) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (Vec::new(), rest),
    };
    // What follows a sharp is an exemplar.
    let mut words = rest.split('#').next()?.split_whitespace();
    let value = parse_value(words.next()?)?;
    let seconds = match words.next() {
        None => None,
        Some(word) if is_openmetrics => Some(word.parse::<f64>().ok()?),
        Some(word) => Some(word.parse::<i64>().ok()? as f64 / 1e3),
    };
    words.next().is_none().then_some(ExpositionSample { name, labels, value, seconds })
}

fn parse_value(word: &str) -> Option<f64> {
    match word {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        number => number.parse().ok(),
    }
}

type Labels<'a> = (Vec<(&'a str, String)>, &'a str);

fn parse_labels(mut rest: &str) -> Option<Labels<'_>> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        if labels.len() >= LABELS_MAX {
            return None;
        }
        let (name, quoted) = rest.split_once('=')?;
        let quoted = quoted.trim_start().strip_prefix('"')?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name.trim(), value));
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let parsed = |is_openmetrics| {
            parse_sample(line, is_openmetrics).map_or_else(
                || "no sample".to_owned(),
                |ExpositionSample { name, labels, value, seconds }| {
                    format!("{name} {labels:?} {value} {seconds:?}")
                },
            )
        };
        assert_eq!(parsed(line.contains("OM")), expected, "{line}");
    }

    #[test]
    fn lines_of_real_exporters_are_read() {
        check("node_load1 0.21", "node_load1 [] 0.21 None");
        check(
            r#"node_rapl_package_joules_total{index="0",path="/sys/class/powercap/intel-rapl:0"} 83518.86"#,
            r#"node_rapl_package_joules_total [("index", "0"), ("path", "/sys/class/powercap/intel-rapl:0")] 83518.86 None"#,
        );
        check(
            "go_gc_duration_seconds{quantile=\"0.5\",} 1.3e-05",
            "go_gc_duration_seconds [(\"quantile\", \"0.5\")] 0.000013 None",
        );
        check(
            r#"w{a="x \"y\" \\ \n}"} 4 1795430400250"#,
            r#"w [("a", "x \"y\" \\ \n}")] 4 Some(1795430400.25)"#,
        );
        check("w_OM_total{} 17.0 1795430400.25 # {trace=\"a\"} 0.67", "w_OM_total [] 17 Some(1795430400.25)");
        check("w NaN", "w [] NaN None");
        check("w +Inf", "w [] inf None");
    }

    #[test]
    fn what_is_no_sample_is_none() {
        for line in [
            "",
            "# HELP a b",
            "a",
            "a{",
            "a{b} 1",
            "a{b=c} 1",
            "a{b=\"c} 1",
            "a{b=\"c\"}",
            "a x",
            "a 1 x",
            "a 1 2 3",
            "1a 1",
            "{a=\"b\"} 1",
            "é 1",
        ] {
            check(line, "no sample");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in ".{0,200}") {
            _ = parse_sample(&noise, false);
            _ = parse_sample(&format!("a{{{noise}"), true);
        }
    }
}
