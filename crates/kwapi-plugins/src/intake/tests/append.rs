//! When the journal takes nothing: nothing is lost, nothing counts twice, and what is shown is marked as what it is.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::sync::atomic::AtomicUsize;

use kwapi_history::journal::{Journal, JournalConfig};
use kwapi_history::{History, HistoryConfig};
use proptest::prelude::*;

use super::*;

/// A process whose journal refuses the next `refusals` appends.
struct Refusing {
    bench: Bench,
    refusals: Arc<AtomicUsize>,
    journal: Journal,
    lab: kwapi_peers::Lab,
}

impl Refusing {
    fn new() -> Self {
        let lab = kwapi_peers::Lab::empty();
        let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), wall().now()).unwrap();
        let refusals = Arc::new(AtomicUsize::new(0));
        let (left, appending) = (Arc::clone(&refusals), journal.clone());
        let append: Append = Box::new(move |records, now| {
            let refuse = |left: usize| left.checked_sub(1);
            match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse) {
                Ok(_) => Err(io::Error::from(io::ErrorKind::StorageFull)),
                Err(_) => appending.append(records, now),
            }
        });
        let bench = Bench::with_append(LiveConfig::default(), Some(append));
        Self { bench, refusals, journal, lab }
    }

    fn refuse(&self, times: usize) {
        self.refusals.store(times, Ordering::Relaxed);
    }

    /// Lets half a second pass, after which what is held is tried again.
    fn retry(&self) {
        self.bench.millis.fetch_add(600, Ordering::Relaxed);
        self.bench.intake.lock().turn();
    }

    /// The records of a probe, and the register of the last.
    fn journalled(&self, probe: &str) -> (usize, f64) {
        let (mut count, mut register) = (0, 0.0);
        self.journal
            .replay(kwapi_history::journal::Position::default(), |record| {
                if record.probe.as_str() == probe {
                    count += 1;
                    register = record.taken.unwrap().register.energy.joules();
                }
            })
            .unwrap();
        (count, register)
    }

    /// The RRD files that are made of the journal, by name.
    fn files(&self) -> BTreeMap<OsString, Vec<u8>> {
        let directory = self.lab.join("files");
        let config = HistoryConfig { rrd_directory: Some(directory.clone()), ..HistoryConfig::default() };
        let history = History::open(config, &self.journal).unwrap();
        assert!(history.flush_all());
        let counters = history.counters();
        assert_eq!((counters.late, counters.samples_dropped), (0, 0));
        let files = std::fs::read_dir(directory).unwrap().flatten();
        let files = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rrd"));
        files.map(|file| (file.file_name(), std::fs::read(file.path()).unwrap())).collect()
    }

    fn joules(&self, probe: &str) -> f64 {
        self.bench.live.probe(probe).map_or(0.0, |(_, view)| view.totals.energy.joules())
    }
}

#[test]
fn while_the_disk_takes_nothing_totals_stand_and_present_watts_show_beside_them() {
    let refusing = Refusing::new();
    refusing.bench.receive("A", 0, 0);
    refusing.bench.receive("A", 1, 100);
    refusing.refuse(usize::MAX);
    refusing.bench.receive_watts("A", 2, 200, 55.0);
    let (_, view) = refusing.bench.live.probe("A").unwrap();
    assert_eq!((view.power.0, view.timestamp.seconds(), view.totals.energy.joules()), (97.0, 101, 100.0));
    assert_eq!((view.present.power.0, view.present.timestamp.seconds()), (55.0, 102));
    let trouble = refusing.bench.intake.lock().trouble().now().unwrap();
    assert!(trouble.contains("1 measurements queued"), "{trouble}");
    refusing.refuse(0);
    refusing.retry();
    let (_, view) = refusing.bench.live.probe("A").unwrap();
    assert_eq!((view.power.0, view.timestamp.seconds(), view.totals.energy.joules()), (55.0, 102, 200.0));
    assert_eq!(view.present.power.0, 55.0);
    assert_eq!(refusing.bench.intake.lock().trouble().now(), None);
    assert_eq!(refusing.journalled("A"), (3, 200.0));
}

/// A start on a full disk: the account is there, and nothing new can be recorded.
#[test]
fn after_a_start_on_a_full_disk_watts_show_beside_the_total_found() {
    let refusing = Refusing::new();
    refusing.bench.receive("A", 0, 0);
    refusing.bench.receive("A", 1, 100);
    let mut record = crate::live::AccountsWriter::file();
    refusing.bench.live.record_all(&mut record);
    let mut accounts = Vec::new();
    crate::live::read_accounts(record.bytes(), |entry| {
        if let crate::live::AccountsEntry::Account(id, account) = entry {
            accounts.push((id, account));
        }
    });
    let live = Live::open(LiveConfig::default(), accounts, wall(), clock_at(&refusing.bench.millis));
    let append: Append = Box::new(|_, _| Err(io::ErrorKind::StorageFull.into()));
    let mut intake = Intake::new(live.clone(), Some(append));
    assert_eq!(live.probe("A"), None);
    intake.take(refusing.bench.batch("A", 2, 200), Box::new(|| ()));
    let (_, view) = live.probe("A").unwrap();
    assert_eq!((view.present.power.0, view.present.timestamp.seconds()), (97.0, 102));
    assert_eq!((view.totals.energy.joules(), view.timestamp.seconds()), (100.0, 101));
    assert!(!view.is_recorded, "/v1/ has all of one message, or nothing");
}

#[test]
fn what_is_held_is_bounded_and_the_next_totals_contain_its_energy() {
    let refusing = Refusing::new();
    refusing.bench.receive("A", 0, 0);
    refusing.refuse(usize::MAX);
    let count = HELD_MAX as u64 + 50;
    for seq in 1..=count {
        refusing.bench.receive("A", seq, seq);
    }
    assert_eq!(refusing.bench.live.counts().dropped, 50);
    refusing.refuse(0);
    refusing.retry();
    assert_eq!(refusing.joules("A"), count as f64);
    assert_eq!(refusing.journalled("A"), (HELD_MAX + 1, count as f64));
}

#[test]
fn a_receipt_is_given_once_the_batch_is_in_the_journal_and_not_before() {
    let refusing = Refusing::new();
    let given = Arc::new(AtomicUsize::new(0));
    let take = |seq: u64| {
        let given = Arc::clone(&given);
        let batch = refusing.bench.batch("A", seq, seq * 10);
        refusing.bench.intake.lock().take(batch, Box::new(move || _ = given.fetch_add(1, Ordering::Relaxed)));
    };
    take(0);
    assert_eq!(given.load(Ordering::Relaxed), 1);
    refusing.refuse(2);
    take(1);
    take(2);
    assert_eq!(given.load(Ordering::Relaxed), 1);
    refusing.retry();
    refusing.retry();
    assert_eq!(given.load(Ordering::Relaxed), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Appends fail and batches are delivered again in any pattern: journal and accounts hold each message once, what each
    /// gained is the difference of two registers, and the RRD files are, byte for byte, those of a disk without faults.
    #[test]
    fn appends_that_fail_and_batches_that_come_again_count_once(
        steps in prop::collection::vec((0..4_usize, 0..3_usize, any::<bool>()), 1..60),
    ) {
        let (refusing, faultless) = (Refusing::new(), Refusing::new());
        let probes = ["A", "B", "C"];
        let mut sent = [0_u64; 3];
        for (refusals, which, comes_again) in steps {
            refusing.refuse(refusals);
            let seq = sent[which];
            sent[which] += 1;
            let watts = (50 + seq * 37 % 400) as f64;
            faultless.bench.receive_watts(probes[which], seq, seq * 7, watts);
            refusing.bench.receive_watts(probes[which], seq, seq * 7, watts);
            if comes_again {
                refusing.bench.receive_watts(probes[which], seq, seq * 7, watts);
            }
            refusing.retry();
        }
        refusing.refuse(0);
        refusing.retry();
        let mut last: HashMap<String, f64> = HashMap::new();
        refusing.journal.replay(kwapi_history::journal::Position::default(), |record| {
            let register = record.taken.unwrap().register.energy.joules();
            let before = last.insert(record.probe.to_string(), register).unwrap_or(0.0);
            assert!(register >= before, "a register fell from {before} to {register}");
        }).unwrap();
        for (probe, sent) in probes.iter().zip(sent) {
            let expected = sent.saturating_sub(1) as f64 * 7.0;
            let (records, register) = refusing.journalled(probe);
            prop_assert_eq!((records as u64, register), (sent, expected), "{}", probe);
            prop_assert_eq!(refusing.joules(probe), expected);
        }
        let files = refusing.files();
        prop_assert_eq!(files.len(), 2 * sent.iter().filter(|sent| **sent > 0).count());
        prop_assert!(files == faultless.files(), "files differ");
        let counts = refusing.bench.live.counts();
        prop_assert_eq!((counts.credited, counts.dropped, counts.lost), (sent.iter().sum(), 0, 0));
    }
}
