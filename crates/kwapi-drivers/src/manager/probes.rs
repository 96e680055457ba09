//! The probes of one meter, in the order they were first received.

use std::collections::HashMap;

use kwapi_core::{Energy, Measurement, NoReading, ProbeId, Succession, Timestamp, Watts};

use super::outflow::{Outflow, Standing};
use super::pace::OwnPace;
use super::published::{Draft, Now, PublishedProbe};

/// One probe of a meter.
#[derive(Debug)]
pub(super) struct MeterProbe {
    pub(super) source: PublishedProbe,
    pub(super) pace: OwnPace,
    pub(super) latest: Option<(Watts, Timestamp)>,
    pub(super) problem: Option<Box<NoReading>>,
}

impl MeterProbe {
    /// The message of what its outlet just reported.
    pub(super) fn publish(&mut self, draft: Draft, outflow: &Outflow, now: Now<'_>) -> Option<Measurement> {
        let measurement = self.source.publish(draft, self.is_kept(outflow))?;
        let timestamp = measurement.accounting.as_ref().map_or(now.wall, |accounting| accounting.timestamp);
        self.latest = Some((measurement.power, timestamp));
        Some(measurement)
    }

    /// What the sums that it is part of receive of its counter, which advances by `tick` and gave no power just now.
    pub(super) fn standing(&self, tick: Energy, outflow: &Outflow) -> Option<Standing> {
        let probe = self.source.probe();
        if !outflow.is_part(probe) {
            return None;
        }
        let accounting = self.source.standing(self.is_kept(outflow))?;
        Some(Standing { probe: probe.clone(), accounting, tick })
    }

    /// Whether the state has what it must have before the next message leaves.
    fn is_kept(&self, outflow: &Outflow) -> bool {
        !self.source.must_be_kept() || outflow.state.has(self.source.probe())
    }
}

/// One meter's probes, each found by its number or, where the order of a round is as it was, without looking.
#[derive(Debug, Default)]
pub(super) struct MeterProbes {
    /// By number. Probes lie side by side with little room to spare: a manager may have a hundred thousand.
    all: Vec<MeterProbe>,
    numbers: HashMap<ProbeId, u32>,
    succession: Succession,
}

impl MeterProbes {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of the probe called `id`, if it is known. To be called in the order of the readings.
    pub(super) fn number(&mut self, id: &ProbeId) -> Option<usize> {
        let guess = self.succession.guess();
        let is_guessed = self.all.get(guess as usize).is_some_and(|probe| probe.source.probe() == id);
        let number = if is_guessed { guess } else { *self.numbers.get(id)? };
        self.succession.note(number);
        usize::try_from(number).ok()
    }

    /// Adds a probe that is not known yet; its number.
    pub(super) fn add(&mut self, probe: MeterProbe) -> usize {
        let number = self.all.len();
        if self.all.len() == self.all.capacity() {
            self.all.reserve_exact(number / 8 + 1);
        }
        let in_short = u32::try_from(number).unwrap_or(u32::MAX); // A meter has some ten thousand probes at most.
        self.numbers.insert(probe.source.probe().clone(), in_short);
        self.succession.note(in_short);
        self.all.push(probe);
        number
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut MeterProbe> {
        self.all.get_mut(number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &MeterProbe> {
        self.all.iter()
    }

    pub(super) fn into_all(self) -> Vec<MeterProbe> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kwapi_core::Limits;

    use super::*;

    fn probe(name: &str) -> MeterProbe {
        let limits =
            Limits { max_gap: Duration::from_secs(10), interval: Duration::from_secs(1), max_watts: None };
        let source = PublishedProbe::new(ProbeId::new(name).unwrap(), limits, Vec::new());
        MeterProbe { source, pace: OwnPace::default(), latest: None, problem: None }
    }

    #[test]
    fn a_probe_keeps_its_number_in_whatever_order_it_is_received() {
        let mut probes = MeterProbes::default();
        let names = ["a", "b", "c", "d"];
        for (number, name) in names.iter().enumerate() {
            assert_eq!(probes.number(&ProbeId::new(name).unwrap()), None, "{name}");
            assert_eq!(probes.add(probe(name)), number);
        }
        for round in ["abcd", "abd", "dcba", "aabbcd", "abcd"] {
            for name in round.chars().map(String::from) {
                let number = probes.number(&ProbeId::new(&name).unwrap()).unwrap();
                assert_eq!(names[number], name, "{round}");
                assert_eq!(probes.get_mut(number).unwrap().source.probe().as_str(), name);
            }
        }
        assert_eq!(probes.number(&ProbeId::new("e").unwrap()), None);
    }

    #[test]
    fn a_probe_of_watts_alone_takes_little_room() {
        let mut probes = MeterProbes::default();
        for outlet in 0..500 {
            probes.add(probe(&format!("rack.{outlet}")));
        }
        let (each, room) = (size_of::<MeterProbe>(), probes.all.capacity());
        println!("{each} bytes a probe, room for {room}");
        assert!(each <= 240 && room <= 570, "{each} {room}");
    }
}
