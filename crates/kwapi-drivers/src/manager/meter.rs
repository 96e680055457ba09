//! The task that keeps one meter measured: opens, reads at its pace, and reopens after every kind of trouble.

mod round;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{sleep, sleep_until, timeout};

use super::catch_panic::catch_panic;
use super::health::{Health, SessionEnd};
use super::outflow::Outflow;
use super::pace::{MeterPace, hash, mix, share};
use super::place::RegisterPlace;
use super::published::Now;
use super::sampler;
use super::spec::MeterSpec;
use super::status::{MeterState, Visible};
use super::ticks::Ticks;
use crate::deadline::since_last_answer;
use crate::driver::{BLOCK, Cadence, DriverError, ReadRequest, Readings};
use crate::registry::{Connector, MeterSession};

/// So many rounds in a row that return nothing are a state of the meter, not an accident.
const FAILING_AFTER: u64 = 3;
/// After so many malformed answers in a row the framing is lost for good: the session is reopened.
const MALFORMED_MAX: u32 = 30;
/// A meter that pushes and returns with nothing is read again after this: a driver in a loop cannot take a core.
const EMPTY_PAUSE: Duration = Duration::from_millis(10);
/// A meter that sends when it likes and has sent nothing for so long since it was opened is waiting, not starting.
const WAITING_AFTER: Duration = Duration::from_secs(1);

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

    /// Polls at the meter's pace.
    async fn poll(&mut self, session: &mut MeterSession) -> SessionEnd {
        let outflow = self.outflow.clone();
        let mut readings = Readings::default();
        let mut malformed = 0;
        let (mut tick, mut has_accuracy) = (None, false);
        loop {
            let Now { monotonic: started, wall, .. } = outflow.now();
            readings.request(ReadRequest { at: wall, ..ReadRequest::default() });
            let result = since_last_answer(self.spec.deadline, session.read(&mut readings)).await;
            let now = outflow.now();
            let finished = now.monotonic;
            self.visible.lock().status.last_latency = Some(finished.saturating_sub(started));
            let is_received = self.round(&mut readings, now).await;
            if is_received && !std::mem::replace(&mut has_accuracy, true) {
                self.note_accuracy(session);
            }
            if let (true, Some(tick)) = (is_received, tick) {
                self.outflow.lateness.count(finished.saturating_sub(tick));
            }
            if let Some(trouble) = self.judge(result.map_err(|silent| silent.to_string()), &mut malformed) {
                return trouble;
            }
            let next = self.pace.next(started, finished);
            self.visible.lock().note_pace(&self.pace, self.spec.interval);
            sleep_until(self.outflow.instant(next)).await;
            tick = Some(next);
        }
    }

    /// Polls once in a block for what was measured at the meter's pace meanwhile.
    async fn poll_blocks(&mut self, session: &mut MeterSession) -> SessionEnd {
        let outflow = self.outflow.clone();
        let mut readings = Readings::default();
        let mut malformed = 0;
        let mut ticks = Ticks::new(self.spec.interval);
        let mut next = outflow.now().monotonic;
        loop {
            let now = outflow.now();
            let Some((request, missed)) = ticks.due(now) else {
                sleep(self.spec.interval).await;
                continue;
            };
            readings.request(request);
            let result = since_last_answer(self.spec.deadline, session.read(&mut readings)).await;
            let finished = outflow.now().monotonic;
            if self.round(&mut readings, now).await {
                outflow.lateness.count(finished.saturating_sub(next));
            }
            {
                let mut visible = self.visible.lock();
                visible.status.ticks_missed = visible.status.ticks_missed.saturating_add(missed);
                visible.status.last_latency = Some(finished.saturating_sub(now.monotonic));
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
        let mut last_received = self.outflow.now().monotonic;
        let mut has_accuracy = false;
        loop {
            let result = timeout(silence, session.read(&mut readings)).await;
            let is_received = self.round(&mut readings, outflow.now()).await;
            if let Some(trouble) =
                self.judge(result.map_err(|_| format!("timed out after {silence:?}")), &mut malformed)
            {
                return trouble;
            }
            if is_received {
                if !std::mem::replace(&mut has_accuracy, true) {
                    self.note_accuracy(session);
                }
                last_received = self.outflow.now().monotonic;
                tokio::task::yield_now().await;
            } else {
                self.quiet(last_received, silence);
                sleep(EMPTY_PAUSE).await;
            }
        }
    }

    /// Notes what the device reports of its own accuracy; what is no percentage means nothing.
    fn note_accuracy(&self, session: &MeterSession) {
        let is_possible = |percent: f64| percent > 0.0 && percent < 100.0;
        let accuracies = session.accuracy().into_iter().filter(|(_, percent)| is_possible(*percent));
        self.visible.lock().accuracy = accuracies.take(round::PROBES_MAX).collect();
    }

    /// Whether the session continues after a read with this result; the outer error is a deadline passed.
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

    /// A round returned at least one reading.
    fn good(&mut self, now: Now<'_>) {
        self.health.good(now.monotonic);
        let state = if self.health.is_tripped() { MeterState::Trial } else { MeterState::Running };
        let mut visible = self.visible.lock();
        visible.status.reads += 1;
        visible.status.consecutive_failures = 0;
        visible.status.last_reading = Some(now.wall);
        visible.enter(state, now.wall);
    }

    /// A meter that sends when it likes has sent nothing since `last_received`: the link stands, so that is no fault of it.
    fn quiet(&self, last_received: Duration, silence: Duration) {
        let now = self.outflow.now();
        let mut visible = self.visible.lock();
        let longest = visible.probes.iter().map(|probe| probe.source.max_gap()).max();
        let silence = silence.max(longest.unwrap_or_default());
        let limit = match visible.status.state {
            MeterState::Waiting => return,
            MeterState::Starting => WAITING_AFTER,
            // A meter that has been read, or is just back, is given time.
            MeterState::Running
            | MeterState::Trial
            | MeterState::Failing
            | MeterState::Backoff
            | MeterState::Hung
            | MeterState::Crashed
            | MeterState::Refused
            | MeterState::Tripped => silence,
        };
        if now.monotonic.saturating_sub(last_received) >= limit {
            visible.enter(MeterState::Waiting, now.wall);
        }
    }

    /// A round returned nothing, but the session stands.
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
