//! When the disk does not answer: the append neither fails nor returns.

use std::sync::atomic::AtomicBool;

use kwapi_bus::{
    BusContext, EndpointConfig, Publisher, PublisherConfig, Scheme, SourceConfig, Subscriber,
    SubscriberConfig,
};
use kwapi_core::ProcessClocks;
use kwapi_history::journal::{Journal, JournalConfig, Position};
use kwapi_peers::wait_until;
use parking_lot::Condvar;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
/// Samples of one batch that is held.
const BATCH: u64 = 1_000;

/// A door that is closed while the disk does not answer.
#[derive(Default)]
struct Disk {
    is_stuck: Mutex<bool>,
    changed: Condvar,
    /// Whether an append waits at the door.
    is_waiting: AtomicBool,
}

impl Disk {
    fn pass(&self) {
        let mut is_stuck = self.is_stuck.lock();
        while *is_stuck {
            self.is_waiting.store(true, Ordering::Relaxed);
            self.changed.wait(&mut is_stuck);
        }
    }

    fn set(&self, is_stuck: bool) {
        *self.is_stuck.lock() = is_stuck;
        self.changed.notify_all();
    }
}

fn measurement(seq: u64, watts: f64) -> Measurement {
    let mut accounting = message(seq, seq);
    accounting.timestamp = Timestamp::from_micros(1_800_000_000_000_000 + seq * 1_000);
    accounting.session = Timestamp::from_seconds(1_799_999_999);
    Measurement {
        probe: ProbeId::new("A").unwrap(),
        power: Watts(watts),
        voltage: None,
        current: None,
        accounting: Some(accounting),
    }
}

fn view(live: &Live) -> Option<crate::live::ProbeView> {
    live.probe("A").map(|(_, view)| view)
}

/// What waits is held by the intake's watcher within its bound, and dropped and counted beyond it; what is shown is
/// marked as what it is, and with the disk's answer all is as if it had come at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_hangs_holds_up_no_live_value_and_loses_nothing_within_the_bound() {
    let lab = kwapi_peers::Lab::empty();
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), wall().now()).unwrap();
    let millis = Arc::new(Clock::new(1_000_000));
    let live = Live::open(LiveConfig::default(), Vec::new(), wall(), clock_at(&millis));
    let disk = Arc::new(Disk::default());
    let (door, appending) = (Arc::clone(&disk), journal.clone());
    let append: Append = Box::new(move |records, now| {
        door.pass();
        appending.append(records, now)
    });
    let intake = Intake::new(live.clone(), Some(append));
    let (trouble, inbox) = (intake.trouble(), Arc::clone(&intake.inbox));

    let bus = BusContext::new();
    let url = "inproc://measurements";
    let publisher = PublisherConfig {
        endpoints: vec![EndpointConfig::new(url)],
        signature: Scheme::None,
        keys: Vec::new(),
        high_water: None,
    };
    let publisher = Publisher::start(&bus, &publisher, 10).unwrap();
    let source = SourceConfig::new(url, Scheme::None, Vec::new());
    let clocks = ProcessClocks { wall: wall(), monotonic: clock_at(&millis) };
    let subscriber = Subscriber::start(&bus, &SubscriberConfig::new(vec![source]), &clocks, 10).unwrap();
    let running = Running::start(intake, Arc::new(subscriber), None).unwrap();
    let shows = |what: &str, is_so: &dyn Fn(&crate::live::ProbeView) -> bool| {
        wait_until(what, PATIENCE, || view(&live).filter(|view| is_so(view)));
    };

    wait_until("the first message", PATIENCE, || {
        publisher.publish(measurement(0, 10.0)); // Received once the subscription is there; more copies are duplicates.
        view(&live)
    });
    disk.set(true);
    publisher.publish(measurement(1, 11.0));
    wait_until("an append that hangs", PATIENCE, || disk.is_waiting.load(Ordering::Relaxed).then_some(()));
    assert_eq!(trouble.now(), None, "a disk may take a moment");
    millis.fetch_add(6_000, Ordering::Relaxed);
    publisher.publish(measurement(2, 12.0));
    shows("present watts", &|view| view.present.power.0 == 12.0);
    let before = view(&live).unwrap();
    assert_eq!(
        (before.power.0, before.totals.energy.joules()),
        (10.0, 0.0),
        "what is not on record is not shown"
    );
    let problem = trouble.now().unwrap();
    assert!(
        problem.starts_with("disk not responding for 6 s") && problem.contains("1 measurements"),
        "{problem}"
    );

    // Up to the bound nothing is dropped; beyond it the oldest batch.
    let batch = |first: u64| Batch {
        measurements: (first..first + BATCH)
            .map(|seq| Received {
                measurement: measurement(seq, 13.0),
                key: None,
                description: None,
                arrived: wall().now(),
                received_at: live.now(),
            })
            .collect(),
    };
    let mut next = 3;
    while next + BATCH <= 2 + HELD_MAX as u64 {
        inbox.hold(batch(next), Box::new(|| ()));
        next += BATCH;
    }
    assert_eq!(live.counts().dropped, 0);
    inbox.hold(batch(next), Box::new(|| ()));
    next += BATCH;
    let dropped = live.counts().dropped;
    assert!((1..=BATCH + 1).contains(&dropped), "{dropped} dropped");

    disk.set(false);
    let last = next - 1;
    shows("the last of all", &|view| view.totals.energy.joules() == last as f64);
    assert_eq!(trouble.now(), None);
    tokio::task::spawn_blocking(move || running.stop()).await.unwrap();
    let (mut records, mut register) = (0, 0.0);
    journal
        .replay(Position::default(), |record| {
            records += 1;
            let now = record.taken.unwrap().register.energy.joules();
            assert!(now >= register, "a register fell from {register} to {now}");
            register = now;
        })
        .unwrap();
    assert_eq!((records, register), (next - dropped, last as f64));
    assert_eq!(live.counts().dropped, dropped);
}
