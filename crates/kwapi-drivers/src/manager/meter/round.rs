//! One round of a meter: what each outlet reported is taken, recorded in the state where it must be, and published.

use kwapi_core::{Energy, Keep, MeterFacts, NoReading, ProbeId, Reading};

use super::MeterTask;
use crate::driver::Readings;
use crate::manager::pace::OwnPace;
use crate::manager::probes::MeterProbe;
use crate::manager::published::{Draft, Now, Outcome, PublishedProbe};
use crate::manager::stamps::NewestStamps;
use crate::manager::status::Visible;

/// More probes than this on one meter are refused and counted: labels from outside must not fill the memory.
pub(super) const PROBES_MAX: usize = 65_536;

impl MeterTask {
    /// Publishes what a round has returned `now`; whether anything was reported at all. An outlet that comes more than
    /// once, with a block of values, has each of them published before the next one is taken.
    pub(super) async fn round(&mut self, readings: &mut Readings, now: Now<'_>) -> bool {
        if readings.is_empty() {
            return false;
        }
        let outflow = self.outflow.clone();
        let mut is_good = false;
        let mut problem = None;
        let has_sums = outflow.has_sums();
        let newest = NewestStamps::of(readings.stamped(), now.wall, self.spec.assumptions.device_clock);
        let mut all = readings.drain();
        let mut again = None;
        loop {
            let mut part = RoundPart::default();
            {
                let mut visible = self.visible.lock();
                // Probes come in the order of their numbers, round for round. What is out of it may have come before.
                let mut next = 0;
                while let Some((id, reading)) = again.take().or_else(|| all.next()) {
                    let number = match self.number(&mut visible, &id) {
                        Ok(number) if number >= next => number,
                        Ok(_) => {
                            again = Some((id, reading));
                            break;
                        }
                        Err(refused) => {
                            problem = Some(refused);
                            continue;
                        }
                    };
                    next = number + 1;
                    let tick = reading.as_ref().ok().and_then(|reading| reading.counter);
                    match self.measure(&mut visible, number, reading, &newest, now, &mut part.keeps) {
                        Ok(ReadingOutcome::Counted) => {
                            is_good = true;
                            let tick = tick.map(|counter| counter.resolution).filter(|_| has_sums);
                            part.standing.extend(tick.map(|tick| (number, tick)));
                        }
                        Ok(ReadingOutcome::New(draft)) => {
                            is_good = true;
                            part.drafts.push((number, draft));
                        }
                        Ok(ReadingOutcome::Nothing) => is_good = true,
                        Err(no_reading) => problem = Some(no_reading),
                    }
                }
            }
            self.publish(part, has_sums, now).await;
            if again.is_none() {
                break;
            }
        }
        if is_good {
            self.good(now);
        } else if let Some(problem) = problem {
            self.missed(&format!("no reading from any outlet; last: {problem}"));
        }
        true
    }

    /// Publishes what was taken of a round, once the state has what it must.
    async fn publish(&self, part: RoundPart, has_sums: bool, now: Now<'_>) {
        let RoundPart { drafts, keeps, standing } = part;
        let outflow = &self.outflow;
        outflow.state.keep(self.spec.outlets.template(), keeps).await;
        let mut parts = Vec::new();
        let mut counters = Vec::new();
        {
            let mut visible = self.visible.lock();
            let Visible { probes, accuracy, .. } = &mut *visible;
            for (number, draft) in drafts {
                let Some(probe) = probes.get_mut(number) else { continue };
                let Some(measurement) = probe.publish(draft, outflow, now) else { continue };
                let facts = MeterFacts {
                    driver: self.spec.driver.name(),
                    interval: Some(self.spec.interval),
                    max_gap: probe.source.max_gap(),
                    accuracy_percent: accuracy.get(&measurement.probe).copied(),
                };
                if has_sums {
                    parts.push((measurement, facts));
                } else {
                    outflow.pass(measurement, facts);
                }
            }
            for (number, tick) in standing {
                let probe = visible.probes.get_mut(number);
                counters.extend(probe.and_then(|probe| probe.standing(tick, outflow)));
            }
        }
        for (measurement, facts) in parts {
            outflow.send(measurement, facts, now).await;
        }
        for counter in counters {
            outflow.note(&counter, now).await;
        }
    }

    /// The number of a probe, which it gets when it is first reported.
    fn number(&self, visible: &mut Visible, id: &ProbeId) -> Result<usize, NoReading> {
        let Visible { status, probes, accuracy: _ } = visible;
        if let Some(number) = probes.number(id) {
            return Ok(number);
        }
        if probes.len() >= PROBES_MAX {
            status.probes_refused += 1;
            let message = format!("more than {PROBES_MAX} probes on one meter; ignored");
            return Err(NoReading::NotAvailable(message));
        }
        let source = PublishedProbe::new(id.clone(), self.spec.limits(), self.outflow.state.past(id));
        Ok(probes.add(MeterProbe { source, pace: OwnPace::default(), latest: None, problem: None }))
    }

    /// Takes what one outlet reported.
    fn measure(
        &self,
        visible: &mut Visible,
        number: usize,
        reading: Result<Reading, NoReading>,
        newest: &NewestStamps,
        now: Now<'_>,
        keeps: &mut Vec<Keep>,
    ) -> Result<ReadingOutcome, NoReading> {
        let Visible { status, probes, accuracy: _ } = visible;
        let Some(probe) = probes.get_mut(number) else { return Ok(ReadingOutcome::Nothing) };
        let mut counts_only = false;
        let outcome = match reading {
            Ok(reading) => {
                counts_only = reading.counter.is_some() && reading.power.is_none();
                if self.spec.max_gap_follows {
                    probe.pace.note_reading(now.monotonic, reading.measured_at);
                    probe.source.set_max_gap(probe.pace.gap(self.spec.max_gap));
                }
                let newest = newest.get(probe.source.probe());
                probe.source.take_one_of(newest, &reading, now, &self.spec.assumptions, &self.place)
            }
            Err(no_reading) => Outcome::Nothing(no_reading, None),
        };
        match outcome {
            Outcome::New(draft, keep) => {
                keeps.extend(keep.map(|keep| *keep));
                probe.problem = None;
                Ok(ReadingOutcome::New(draft))
            }
            Outcome::Held(power, timestamp) => {
                probe.latest = Some((power, timestamp));
                probe.problem = None;
                self.outflow.report_held(now);
                Ok(ReadingOutcome::Nothing)
            }
            Outcome::Unchanged => Ok(ReadingOutcome::Nothing),
            // A counter that stands still is well: it has counted nothing yet.
            Outcome::Nothing(no_reading @ NoReading::NotReady(_), keep) if counts_only => {
                keeps.extend(keep.map(|keep| *keep));
                probe.problem = Some(Box::new(no_reading));
                Ok(ReadingOutcome::Counted)
            }
            Outcome::Nothing(no_reading, keep) => {
                keeps.extend(keep.map(|keep| *keep));
                status.no_readings.add(&no_reading);
                probe.problem = Some(Box::new(no_reading.clone()));
                Err(no_reading)
            }
        }
    }
}

/// What was taken of a round, no probe twice: by their numbers what is to be published, and the counters that gave no
/// power.
#[derive(Default)]
struct RoundPart {
    drafts: Vec<(usize, Draft)>,
    keeps: Vec<Keep>,
    standing: Vec<(usize, Energy)>,
}

/// What became of what an outlet reported.
enum ReadingOutcome {
    New(Draft),
    /// A counter that gives no power now.
    Counted,
    /// The device has not measured again, or it is held.
    Nothing,
}
