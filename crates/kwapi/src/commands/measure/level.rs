//! Which level of the Energy Efficient HPC Working Group's power measurement methodology (EEHPCWG, version 2.0, as used by
//! the Green500) a measurement meets, as far as its readings show, and what it lacks for the next.

use serde::Serialize;

use super::tally::Used;

/// The levels' bounds: accuracy of the meter in percent, in order of the levels.
const ACCURACY_MAX: [f64; 3] = [5.0, 2.0, 1.0];
/// The shortest core phase, in seconds.
const CORE_SECONDS_MIN: f64 = 60.0;
/// Readings in the core phase, of levels 2 and 3.
const READINGS_MIN: u64 = 10;
/// A reading may take this share of the core phase at most.
const INTERVAL_SHARE_MAX: f64 = 0.1;
/// Level 3: seconds uncovered at each end.
const UNCOVERED_MAX: f64 = 5.0;

/// What a level requires beyond what is measured here.
const OPEN: [&str; 3] = [
    "how much of the system is measured (level 1: 2 kW, a tenth or 15 nodes; level 2: 10 kW, an eighth or 15 nodes; level 3: all)",
    "network and other subsystems (levels 1 and 2: measured or bounded above; level 3: measured)",
    "that the whole command is the core phase, and where in the power chain the meters are",
];

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// The highest level whose requirements are met as far as readings show; 0: none.
    pub(crate) level: u8,
    /// What is missing for the next.
    pub(crate) lacks: Vec<String>,
    /// What readings cannot show.
    pub(crate) open: Vec<String>,
}

/// Judges a measurement of `seconds`. `accuracy`: of all meters together, in percent; `is_register`: whether the energy is of
/// the meters' own registers, as far as that is known.
pub(crate) fn judge(
    probes: &[Used],
    seconds: f64,
    accuracy: Option<f64>,
    is_register: Option<bool>,
) -> Verdict {
    let readings = probes.iter().map(|probe| probe.readings).min().unwrap_or(0);
    let gap = probes.iter().map(|probe| probe.longest_gap_seconds).fold(0.0, f64::max);
    let unknown: f64 = probes.iter().map(|probe| probe.parts.unknown_seconds).fold(0.0, f64::max);
    let uncovered = probes
        .iter()
        .map(|probe| probe.uncovered_begin_seconds.max(probe.uncovered_end_seconds))
        .fold(0.0, f64::max);
    let lacks = |level: usize| {
        let mut lacks = Vec::new();
        if probes.is_empty() || readings == 0 {
            lacks.push("readings during the run".to_owned());
        }
        if seconds < CORE_SECONDS_MIN {
            lacks.push(format!("a core phase of {CORE_SECONDS_MIN} s or more (it was {seconds:.1} s)"));
        }
        if gap > seconds * INTERVAL_SHARE_MAX {
            lacks.push(format!(
                "readings at least every tenth of the core phase (the longest gap was {gap:.1} s)"
            ));
        }
        if level >= 1 && readings < READINGS_MIN {
            lacks.push(format!("{READINGS_MIN} readings or more of each meter (the fewest were {readings})"));
        }
        let most = ACCURACY_MAX.get(level).copied().unwrap_or(0.0);
        match accuracy {
            Some(accuracy) if accuracy <= most => {}
            Some(accuracy) => lacks.push(format!("meters of {most} % (these have {accuracy:.2} %)")),
            None => {
                lacks
                    .push(format!("the meters' accuracy, {most} % or better: set `accuracy` for each meter"));
            }
        }
        if level >= 2 {
            if is_register == Some(false) {
                lacks.push("energy by the meters' own registers (these were watts, integrated)".to_owned());
            }
            if uncovered > UNCOVERED_MAX || unknown > 2.0 * UNCOVERED_MAX {
                lacks.push(format!(
                    "no more than {UNCOVERED_MAX} s uncovered at each end (it was {:.1} s)",
                    uncovered.max(unknown)
                ));
            }
        } else if unknown > 0.0 && unknown > seconds * INTERVAL_SHARE_MAX {
            lacks.push(format!("readings over all of the run ({unknown:.1} s are unknown)"));
        }
        lacks
    };
    let met = (0..3).take_while(|level| lacks(*level).is_empty()).count();
    let mut open: Vec<String> = OPEN.map(str::to_owned).into();
    if is_register.is_none() {
        open.push("whether the energy is of the meters' own registers (level 3)".to_owned());
    }
    Verdict {
        level: u8::try_from(met).unwrap_or(0),
        lacks: if met < 3 { lacks(met) } else { Vec::new() },
        open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(readings: u64, gap: f64) -> Used {
        Used { readings, longest_gap_seconds: gap, ..Used::default() }
    }

    #[track_caller]
    fn check(
        probe: Used,
        seconds: f64,
        accuracy: Option<f64>,
        is_register: Option<bool>,
        level: u8,
        lacks: &[&str],
    ) {
        let verdict = judge(&[probe], seconds, accuracy, is_register);
        assert_eq!((verdict.level, verdict.lacks.len()), (level, lacks.len()), "{verdict:?}");
        for (found, expected) in verdict.lacks.iter().zip(lacks) {
            assert!(found.contains(expected), "{found}: {expected}");
        }
    }

    #[test]
    fn each_level_requires_more_and_what_is_missing_is_reported() {
        check(probe(600, 1.0), 600.0, Some(1.0), Some(true), 3, &[]);
        check(probe(600, 1.0), 600.0, Some(1.0), Some(false), 2, &["own registers"]);
        check(probe(600, 1.0), 600.0, Some(1.5), Some(true), 2, &["meters of 1 %"]);
        check(probe(600, 1.0), 600.0, Some(3.0), Some(true), 1, &["meters of 2 %"]);
        check(probe(9, 59.0), 600.0, Some(1.0), Some(true), 1, &["10 readings"]);
        check(probe(600, 1.0), 600.0, None, Some(true), 0, &["accuracy"]);
        check(probe(30, 1.0), 30.0, Some(1.0), Some(true), 0, &["60 s"]);
        check(probe(600, 61.0), 600.0, Some(1.0), Some(true), 0, &["every tenth"]);
        check(probe(0, 0.0), 600.0, Some(1.0), Some(true), 0, &["readings during"]);
    }

    #[test]
    fn level_three_bounds_what_is_uncovered_at_the_ends() {
        let late = Used { uncovered_begin_seconds: 5.1, ..probe(600, 1.0) };
        check(late, 600.0, Some(1.0), Some(true), 2, &["uncovered"]);
        let in_time = Used { uncovered_begin_seconds: 4.9, ..probe(600, 1.0) };
        check(in_time, 600.0, Some(1.0), Some(true), 3, &[]);
    }
}
