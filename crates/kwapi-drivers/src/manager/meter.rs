//! The task that keeps one meter measured: opens, reads at its pace, and reopens after every kind of trouble.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Energy, Keep, NoReading, ProbeId, Reading};
use parking_lot::Mutex;
use tokio::time::{sleep, sleep_until, timeout};

use super::catch_panic::catch_panic;
use super::health::{Health, SessionEnd};
use super::outflow::Outflow;
use super::pace::{MeterPace, OwnPace, hash, mix, share};
use super::place::RegisterPlace;
use super::probes::MeterProbe;
use super::published::{Draft, Now, Outcome, PublishedProbe};
use super::sampler;
use super::spec::MeterSpec;
use super::stamps::NewestStamps;
use super::status::{MeterState, Visible};
use super::ticks::Ticks;
use crate::deadline::since_last_answer;
use crate::driver::{Asked, BLOCK, Cadence, DriverError, Readings};
use crate::registry::{Connector, MeterSession};

/// So many rounds in a row that bring nothing are a state of the meter, not an accident.
const FAILING_AFTER: u64 = 3;
/// After so many malformed answers in a row the framing is lost for good: the session is reopened.
const MALFORMED_MAX: u32 = 30;
/// A meter that pushes and returns with nothing is asked again after this: a driver in a loop cannot take a core.
const EMPTY_PAUSE: Duration = Duration::from_millis(10);
/// A meter that sends when it likes and has sent nothing for so long since it was opened is waiting, not starting.
const WAITING_AFTER: Duration = Duration::from_secs(1);
/// More probes than this on one meter are refused and counted: labels from outside must not fill the memory.
const PROBES_MAX: usize = 65_536;

/// One meter's task.
pub(super) struct MeterTask {
    spec: Arc<MeterSpec>,
    connector: Connector,
    outflow: Arc<Outflow>,
    visible: Arc<Mutex<Visible>>,
    place: RegisterPlace,
    pace: MeterPace,
    health: Health,
    chance: u64,
}

impl MeterTask {
    pub(super) fn new(
        spec: Arc<MeterSpec>,
        connector: Connector,
        outflow: Arc<Outflow>,
        visible: Arc<Mutex<Visible>>,
    ) -> Self {
        let pace = MeterPace::new(&spec.name, spec.interval);
        let chance = hash(&spec.name);
        let place = RegisterPlace::of(&spec);
        Self { spec, connector, outflow, visible, place, pace, health: Health::default(), chance }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let first = self.pace.first(self.outflow.now().monotonic);
        sleep_until(self.outflow.instant(first)).await;
        self.outflow.state.ready().await;
        loop {
            let trouble = match catch_panic(self.session()).await {
                Ok(trouble) => trouble,
                Err(message) => SessionEnd::Crashed(message),
            };
            sleep(self.ended(&trouble)).await;
        }
    }

    /// One session, from opening it to whatever ends it.
    async fn session(&mut self) -> SessionEnd {
        let deadline = self.spec.deadline;
        let mut session = match since_last_answer(deadline, self.connector.open(&self.spec.outlets)).await {
            Ok(Ok(session)) => session,
            Ok(Err(
                DriverError::Refused(message)
                | DriverError::Locked(message)
                | DriverError::NothingToRead(message),
            )) => return SessionEnd::Refused(message),
            Ok(Err(error)) => return SessionEnd::Link(error.into_message()),
            Err(silent) => {
                return SessionEnd::Hung(format!(
                    "opening the session timed out after {deadline:?}{}",
                    silent.advice()
                ));
            }
        };
        self.visible.lock().status.sessions += 1;
        let is_fast = self.spec.interval < BLOCK && self.spec.driver.entry().interval_min < BLOCK;
        match self.spec.driver.cadence() {
            Cadence::Polled if is_fast && self.spec.driver.entry().is_sampled => self.sample(session).await,
            Cadence::Polled if is_fast => self.poll_blocks(&mut session).await,
            Cadence::Polled => self.poll(&mut session).await,
            Cadence::Pushed => self.listen(&mut session).await,
        }
    }

    /// Asks at the meter's pace.
    async fn poll(&mut self, session: &mut MeterSession) -> SessionEnd {
        let outflow = self.outflow.clone();
        let mut readings = Readings::default();
        let mut malformed = 0;
        let mut tick = None;
        loop {
            let Now { monotonic: started, wall, .. } = outflow.now();
            readings.ask(Asked { at: wall, ..Asked::default() });
            let result = since_last_answer(self.spec.deadline, session.read(&mut readings)).await;
            let now = outflow.now();
            let finished = now.monotonic;
            self.visible.lock().status.last_latency = Some(finished.saturating_sub(started));
            let is_heard = self.round(&mut readings, now).await;
            if let (true, Some(tick)) = (is_heard, tick) {
                self.outflow.lateness.count(finished.saturating_sub(tick));
            }
            if let Some(trouble) = self.judge(result.map_err(|silent| silent.to_string()), &mut malformed) {
                return trouble;
            }
            let next = self.pace.next(started, finished);
            self.visible.lock().note_pace(&self.pace, self.spec.interval);
            sleep_until(self.outflow.instant(next)).await;
            let late = self.outflow.now().monotonic.saturating_sub(next);
            self.visible.lock().status.last_lateness = Some(late);
            tick = Some(next);
        }
    }

    /// Asks once in a block for what was measured at the meter's pace meanwhile.
    async fn poll_blocks(&mut self, session: &mut MeterSession) -> SessionEnd {
        let outflow = self.outflow.clone();
        let mut readings = Readings::default();
        let mut malformed = 0;
        let mut ticks = Ticks::new(self.spec.interval);
        let mut next = outflow.now().monotonic;
        loop {
            let now = outflow.now();
            let Some((asked, missed)) = ticks.due(now) else {
                sleep(self.spec.interval).await;
                continue;
            };
            readings.ask(asked);
            let result = since_last_answer(self.spec.deadline, session.read(&mut readings)).await;
            let finished = outflow.now().monotonic;
            if self.round(&mut readings, now).await {
                outflow.lateness.count(finished.saturating_sub(next));
            }
            {
                let mut visible = self.visible.lock();
                visible.status.ticks_missed = visible.status.ticks_missed.saturating_add(missed);
                visible.status.last_latency = Some(finished.saturating_sub(now.monotonic));
                visible.status.last_lateness = Some(now.monotonic.saturating_sub(next));
            }
            if let Some(trouble) = self.judge(result.map_err(|silent| silent.to_string()), &mut malformed) {
                return trouble;
            }
            next = (next + BLOCK).max(outflow.now().monotonic);
            sleep_until(outflow.instant(next)).await;
        }
    }

    /// Takes what a thread reads at the meter's pace.
    async fn sample(&mut self, session: MeterSession) -> SessionEnd {
        let outflow = self.outflow.clone();
        let deadline = self.spec.deadline;
        let mut blocks = match sampler::start(session, self.spec.interval, outflow.clone()) {
            Ok(blocks) => blocks,
            Err(error) => return SessionEnd::Link(format!("no thread: {error}")),
        };
        let mut malformed = 0;
        loop {
            let mut block = match timeout(deadline, blocks.recv()).await {
                Ok(Some(block)) => block,
                Ok(None) => return SessionEnd::Link("the thread that reads it has ended".to_owned()),
                Err(_) => return SessionEnd::Hung(format!("timed out after {deadline:?}")),
            };
            let now = block.came(&outflow);
            self.round(&mut block.readings, now).await;
            {
                let mut visible = self.visible.lock();
                visible.status.ticks_missed = visible.status.ticks_missed.saturating_add(block.missed);
                visible.status.last_latency = Some(block.latency);
            }
            match block.result {
                Ok(result) => {
                    if let Some(trouble) = self.judge(Ok(result), &mut malformed) {
                        return trouble;
                    }
                }
                Err(panicked) => return SessionEnd::Crashed(panicked),
            }
        }
    }

    /// Takes what comes, when it comes.
    async fn listen(&mut self, session: &mut MeterSession) -> SessionEnd {
        let outflow = self.outflow.clone();
        let mut readings = Readings::default();
        let mut malformed = 0;
        let silence = self.spec.deadline.max(self.spec.max_gap);
        let mut last_heard = self.outflow.now().monotonic;
        loop {
            let result = timeout(silence, session.read(&mut readings)).await;
            let heard = self.round(&mut readings, outflow.now()).await;
            if let Some(trouble) =
                self.judge(result.map_err(|_| format!("timed out after {silence:?}")), &mut malformed)
            {
                return trouble;
            }
            if heard {
                last_heard = self.outflow.now().monotonic;
                tokio::task::yield_now().await;
            } else {
                self.quiet(last_heard, silence);
                sleep(EMPTY_PAUSE).await;
            }
        }
    }

    /// Whether the session goes on after a read with this result; the outer error is a deadline passed.
    fn judge(
        &self,
        result: Result<Result<(), DriverError>, String>,
        malformed: &mut u32,
    ) -> Option<SessionEnd> {
        match result {
            Ok(Ok(())) => *malformed = 0,
            Ok(Err(error @ DriverError::Malformed { .. })) => {
                *malformed += 1;
                if *malformed >= MALFORMED_MAX {
                    return Some(SessionEnd::Link(format!(
                        "{malformed} consecutive malformed responses; last: {error}"
                    )));
                }
                self.missed(&error.to_string());
            }
            Ok(Err(error @ DriverError::Busy(_))) => self.missed(&error.to_string()),
            Ok(Err(error @ (DriverError::Link(_) | DriverError::Untrusted(_)))) => {
                return Some(SessionEnd::Link(error.into_message()));
            }
            Ok(Err(
                DriverError::Refused(message)
                | DriverError::Locked(message)
                | DriverError::NothingToRead(message),
            )) => return Some(SessionEnd::Refused(message)),
            Err(silent) => return Some(SessionEnd::Hung(silent)),
        }
        None
    }

    /// Publishes what a round has brought `now`; whether anything was heard at all. An outlet that comes more than once, with a
    /// block of values, has each of them published before the next one is taken.
    async fn round(&mut self, readings: &mut Readings, now: Now<'_>) -> bool {
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
            for (number, draft) in drafts {
                let Some(probe) = visible.probes.get_mut(number) else { continue };
                let Some(measurement) = probe.publish(draft, outflow, now) else { continue };
                if has_sums {
                    parts.push(measurement);
                } else {
                    outflow.pass(measurement);
                }
            }
            for (number, tick) in standing {
                let probe = visible.probes.get_mut(number);
                counters.extend(probe.and_then(|probe| probe.standing(tick, outflow)));
            }
        }
        for measurement in parts {
            outflow.send(measurement, now).await;
        }
        for counter in counters {
            outflow.note(&counter, now).await;
        }
    }

    /// The number of a probe, which it gets when it is first heard.
    fn number(&self, visible: &mut Visible, id: &ProbeId) -> Result<usize, NoReading> {
        let Visible { status, probes } = visible;
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

    /// Takes what one outlet said.
    fn measure(
        &self,
        visible: &mut Visible,
        number: usize,
        reading: Result<Reading, NoReading>,
        newest: &NewestStamps,
        now: Now<'_>,
        keeps: &mut Vec<Keep>,
    ) -> Result<ReadingOutcome, NoReading> {
        let Visible { status, probes } = visible;
        let Some(probe) = probes.get_mut(number) else { return Ok(ReadingOutcome::Nothing) };
        let mut counts_only = false;
        let outcome = match reading {
            Ok(reading) => {
                counts_only = reading.counter.is_some() && reading.power.is_none();
                if self.spec.max_gap_follows {
                    probe.pace.heard(now.monotonic, reading.measured_at);
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
                self.outflow.tell_held(now);
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

    /// A round brought at least one reading.
    fn good(&mut self, now: Now<'_>) {
        self.health.good(now.monotonic);
        let state = if self.health.is_tripped() { MeterState::Trial } else { MeterState::Running };
        let mut visible = self.visible.lock();
        visible.status.reads += 1;
        visible.status.consecutive_failures = 0;
        visible.status.last_reading = Some(now.wall);
        visible.enter(state, now.wall);
    }

    /// A meter that sends when it likes has sent nothing since `last_heard`: the link stands, so that is no fault of it.
    fn quiet(&self, last_heard: Duration, silence: Duration) {
        let now = self.outflow.now();
        let mut visible = self.visible.lock();
        let longest = visible.probes.iter().map(|probe| probe.source.max_gap()).max();
        let silence = silence.max(longest.unwrap_or_default());
        let limit = match visible.status.state {
            MeterState::Waiting => return,
            MeterState::Starting => WAITING_AFTER,
            // Whoever has been heard, or is just back, is given time.
            MeterState::Running
            | MeterState::Trial
            | MeterState::Failing
            | MeterState::Backoff
            | MeterState::Hung
            | MeterState::Crashed
            | MeterState::Refused
            | MeterState::Tripped => silence,
        };
        if now.monotonic.saturating_sub(last_heard) >= limit {
            visible.enter(MeterState::Waiting, now.wall);
        }
    }

    /// A round brought nothing, but the session stands.
    fn missed(&self, error: &str) {
        let mut visible = self.visible.lock();
        visible.failed(error);
        if visible.status.consecutive_failures >= FAILING_AFTER && visible.status.state != MeterState::Tripped
        {
            visible.enter(MeterState::Failing, self.outflow.now().wall);
        }
    }

    /// A session ended; how long to wait.
    fn ended(&mut self, trouble: &SessionEnd) -> Duration {
        self.chance = mix(self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let pause = self.health.failed(trouble, share(self.chance));
        let state = match trouble {
            SessionEnd::Refused(_) => MeterState::Refused,
            _ if self.health.is_tripped() => MeterState::Tripped,
            SessionEnd::Link(_) => MeterState::Backoff,
            SessionEnd::Hung(_) => MeterState::Hung,
            SessionEnd::Crashed(_) => MeterState::Crashed,
        };
        let mut visible = self.visible.lock();
        visible.failed(trouble.message());
        visible.enter(state, self.outflow.now().wall);
        pause
    }
}

/// What was taken of a round, no probe twice: by their numbers what is to be published, and the counters that told no power.
#[derive(Default)]
struct RoundPart {
    drafts: Vec<(usize, Draft)>,
    keeps: Vec<Keep>,
    standing: Vec<(usize, Energy)>,
}

/// What became of what an outlet said.
enum ReadingOutcome {
    New(Draft),
    /// A counter that tells no power now.
    Counted,
    /// The device has not measured anew, or it is held.
    Nothing,
}
