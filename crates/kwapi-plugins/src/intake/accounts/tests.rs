use kwapi_bus::{Batch, Received};
use kwapi_core::{Accounting, Energy, Measurement, MonotonicClock, Quality, Timestamp, Totals, Watts};
use kwapi_history::journal::JournalConfig;

use super::*;
use crate::intake::Intake;
use crate::live::LiveConfig;

/// A process that keeps its accounts in a directory.
struct House {
    journal: Journal,
    live: Live,
    intake: Intake,
}

fn wall() -> WallClock {
    WallClock::new(|| Timestamp::from_seconds(1_800_000_000))
}

impl House {
    /// Starts in `directory`, as the binary does.
    fn open(directory: &Path) -> Self {
        let known = Kept::position_in(directory);
        let config = JournalConfig { known, ..JournalConfig::default() };
        let (journal, _) = Journal::open(directory, config, wall().now()).unwrap();
        let kept = Kept::read(directory, &directory.join("former.log")).unwrap();
        let accounts = kept.fold(&journal).unwrap();
        let clock = MonotonicClock::new(|| Duration::from_secs(1_000));
        let live = Live::open(LiveConfig::default(), accounts, wall(), clock);
        let appending = journal.clone();
        let append = move |records: &_, now| appending.append(records, now);
        let intake = Intake::new(live.clone(), Some(Box::new(append)));
        Self { journal, live, intake }
    }

    fn receive(&mut self, probe: &str, seq: u64, joules: u64) {
        let session = Timestamp::from_seconds(1_700_000_000);
        let accounting = Accounting {
            timestamp: session.after(Duration::from_secs(seq)),
            session,
            seq,
            totals: Totals {
                energy: Energy::from_millijoules(joules * 1_000),
                measured_ms: seq * 1_000,
                ..Totals::default()
            },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let measurement = Measurement {
            probe: ProbeId::new(probe).unwrap(),
            power: Watts(50.0),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        };
        let received = Received {
            measurement,
            key: None,
            description: None,
            arrived: session,
            received_at: Duration::from_secs(1_000),
        };
        self.intake.take(Batch { measurements: vec![received] }, Box::new(|| ()));
    }

    /// Writes a snapshot as the keeper does.
    fn keep(&self) {
        let keeper = Keeper::start(self.journal.clone(), wall()).unwrap();
        keeper.keep_last(&self.live);
    }

    /// The total of a probe, which need not be shown.
    fn joules(&self, probe: &str) -> f64 {
        let mut record = AccountsWriter::file();
        self.live.record_all(&mut record);
        let mut found = f64::NAN;
        read_accounts(record.bytes(), |entry| {
            if let AccountsEntry::Account(id, account) = entry
                && id.as_str() == probe
            {
                found = account.totals().energy.joules();
            }
        });
        found
    }
}

#[test]
fn a_start_takes_again_what_the_journal_has_beyond_the_snapshot() {
    let lab = kwapi_peers::Lab::empty();
    let mut house = House::open(lab.path());
    house.receive("A", 0, 0);
    house.receive("A", 1, 100);
    house.keep();
    house.receive("A", 2, 250);
    house.receive("B", 0, 0);
    house.receive("B", 1, 70);
    drop(house);
    let house = House::open(lab.path());
    assert_eq!((house.joules("A"), house.joules("B")), (250.0, 70.0));
}

#[test]
fn the_first_snapshot_is_written_also_where_its_thread_begins_late() {
    for _ in 0..20 {
        let lab = kwapi_peers::Lab::empty();
        let mut house = House::open(lab.path());
        house.receive("A", 0, 0);
        let mut keeper = Keeper::start(house.journal.clone(), wall()).unwrap();
        keeper.keep_if_due(&house.live);
        let snapshot = lab.join(NAME);
        kwapi_peers::wait_until("the snapshot", Duration::from_secs(10), || snapshot.exists().then_some(()));
    }
}

#[test]
fn a_process_killed_before_its_first_snapshot_has_its_accounts_from_the_journal() {
    let lab = kwapi_peers::Lab::empty();
    let mut house = House::open(lab.path());
    house.receive("A", 0, 0);
    house.receive("A", 1, 100);
    drop(house);
    let mut house = House::open(lab.path());
    assert_eq!(house.joules("A"), 100.0);
    house.receive("A", 2, 130);
    drop(house);
    assert_eq!(House::open(lab.path()).joules("A"), 130.0);
}

#[test]
fn accounts_of_the_version_before_are_taken_over_once_and_continue() {
    let lab = kwapi_peers::Lab::empty();
    let mut former = AccountsWriter::file();
    let mut account = Account::default();
    for second in 1..=2 {
        let now = Timestamp::from_seconds(second);
        account.credit_legacy(Watts(40.0), now, Duration::from_secs(second), Duration::from_secs(9)).unwrap();
    }
    former.account(&ProbeId::new("A").unwrap(), &account);
    fs::write(lab.join("former.log"), former.bytes()).unwrap();
    let mut house = House::open(lab.path());
    assert_eq!(house.joules("A"), 40.0);
    house.receive("A", 0, 0);
    house.receive("A", 1, 60);
    let before = house.joules("A");
    drop(house); // Killed before the first snapshot: taken over again, and the journal on top.
    let house = House::open(lab.path());
    assert_eq!(house.joules("A"), before);
    house.keep();
    drop(house);
    assert_eq!(House::open(lab.path()).joules("A"), before);
}

/// Each bit of the newest snapshot: its account is made again from the one before and the journal.
#[test]
fn a_flipped_bit_of_the_snapshot_costs_nothing_while_the_one_before_is_there() {
    let lab = kwapi_peers::Lab::empty();
    let mut house = House::open(lab.path());
    for (seq, joules) in [(0, 0), (1, 100), (2, 200)] {
        house.receive("A", seq, joules);
        house.receive("B", seq, 2 * joules);
        if seq == 1 {
            house.keep();
        }
    }
    house.receive("C", 0, 0);
    house.receive("C", 1, 5);
    house.keep();
    house.receive("B", 3, 900);
    drop(house);
    let whole = fs::read(lab.join(NAME)).unwrap();
    for bit in (0..whole.len() * 8).step_by(7) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(lab.join(NAME), &flipped).unwrap();
        let house = House::open(lab.path());
        let all = [house.joules("A"), house.joules("B"), house.joules("C")];
        assert_eq!(all, [200.0, 900.0, 5.0], "bit {bit}");
    }
    assert!(lab.join("accounts.damaged").exists());
}

#[test]
fn a_snapshot_beyond_the_journals_end_stands_as_it_is() {
    let lab = kwapi_peers::Lab::empty();
    let mut house = House::open(lab.path());
    house.receive("A", 0, 0);
    house.receive("A", 1, 100);
    house.keep();
    let position = house.journal.end();
    drop(house);
    fs::remove_dir_all(lab.join("journal")).unwrap();
    let mut house = House::open(lab.path());
    assert_eq!(house.joules("A"), 100.0);
    assert!(house.journal.end() >= position, "positions are not used again");
    house.receive("A", 2, 150);
    drop(house);
    assert_eq!(House::open(lab.path()).joules("A"), 150.0);
}

#[test]
fn an_unfinished_snapshot_counts_for_nothing() {
    let lab = kwapi_peers::Lab::empty();
    let mut house = House::open(lab.path());
    house.receive("A", 0, 0);
    house.receive("A", 1, 100);
    house.keep();
    drop(house);
    fs::write(lab.join(NAME_NEW), b"kwapi accounts 3\nhalf of it").unwrap();
    assert_eq!(House::open(lab.path()).joules("A"), 100.0);
    // Between the two renames only the one before has its name.
    fs::rename(lab.join(NAME), lab.join(NAME_BEFORE)).unwrap();
    assert_eq!(House::open(lab.path()).joules("A"), 100.0);
}
