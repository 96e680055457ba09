use std::fs;
use std::path::Path;

use bytes::Bytes;
use kwapi_peers::wait_until;
use proptest::prelude::*;
use tempfile::TempDir;

use super::state::UNWRITTEN_MAX;
use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const LIMIT: Duration = Duration::from_secs(20);
/// The first number of the first start.
const FIRST: u64 = (1_790_000_000 << 32) + 1;

fn config(directory: &Path, bytes_max: u64) -> SpoolConfig {
    let clock = WallClock::new(|| NOW);
    SpoolConfig { directory: directory.to_owned(), bytes_max, age_max: Duration::from_secs(86_400), clock }
}

fn open(directory: &Path) -> SpoolWriter {
    SpoolWriter::start(config(directory, 1 << 30), 1).unwrap()
}

fn message(number: u64) -> Outgoing {
    Outgoing::from_parts("lyon.a.".to_owned(), Bytes::from(format!("{number:0>100}")))
}

fn put_in(writer: &SpoolWriter, messages: std::ops::Range<u64>) {
    writer.spool().extend(messages.map(message));
}

/// All that can be read after a number: each message's own number.
fn all(spool: &Spool, after: u64) -> Vec<u64> {
    let is_readable = || (spool.readable() == spool.newest()).then_some(());
    wait_until("all can be read", LIMIT, is_readable);
    let mut cursor = SpoolCursor::after(after);
    let mut all = Vec::new();
    let mut newest = after;
    loop {
        let read = spool.read(&mut cursor, 7);
        if read.is_empty() {
            return all;
        }
        for spooled in read {
            assert!(spooled.number > newest, "{} after {newest}", spooled.number);
            newest = spooled.number;
            all.push(str::from_utf8(spooled.message.payload()).unwrap().parse().unwrap());
        }
    }
}

fn segments(directory: &Path) -> Vec<std::path::PathBuf> {
    segment::list(directory).unwrap().into_iter().map(|first| segment::path(directory, first)).collect()
}

/// A folder with a spool of a hundred messages, closed, and its one segment.
fn filled() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    put_in(&open(folder.path()), 0..100);
    let [segment] = segments(folder.path()).try_into().unwrap();
    (folder, segment)
}

#[test]
fn what_was_kept_is_there_after_a_start_with_its_numbers_and_what_comes_has_greater_ones() {
    let (folder, _) = filled();
    let (first, second) = {
        let writer = open(folder.path());
        let mut cursor = SpoolCursor::default();
        let read = writer.spool().read(&mut cursor, 1);
        put_in(&writer, 100..150);
        assert_eq!(all(writer.spool(), 0), (0..150).collect::<Vec<_>>());
        (read[0].number, writer.spool().newest())
    };
    assert_eq!(first, FIRST);
    assert!(second > FIRST + (1 << 32), "not those that a power failure may have taken");
    let writer = open(folder.path());
    assert_eq!(all(writer.spool(), 0), (0..150).collect::<Vec<_>>());
    assert_eq!(all(writer.spool(), FIRST + 9), (10..150).collect::<Vec<_>>());
    assert_eq!(all(writer.spool(), second), [0; 0]);
    assert!(writer.spool().newest() > second);
}

#[test]
fn what_the_system_does_not_have_yet_is_not_read_unless_the_disk_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path());
    put_in(&writer, 0..10);
    assert_eq!(all(writer.spool(), 0).len(), 10);
    let written = writer.spool().newest();
    // As if the writer were at the disk with those that come.
    let read = |since: Option<Instant>| {
        let mut state = writer.spool().0.state.lock();
        let number = state.next;
        state.recent.push_back(Arc::new(Spooled { number, message: message(10) }));
        (state.next, state.busy_since) = (number + 1, since);
        let read = state.after(written, 10).len();
        state.recent.pop_back();
        state.next = number;
        read
    };
    assert_eq!(read(Some(Instant::now())), 0);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(60));
    assert_eq!(read(long_ago), 1);
}

#[test]
fn a_number_that_was_sent_and_never_came_to_the_disk_is_not_given_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let (newest, id) = {
        let writer = open(folder.path());
        put_in(&writer, 0..100);
        (writer.spool().newest(), writer.spool().id().to_owned())
    };
    // A power failure took all that was written after the segment was begun.
    let [segment] = segments(folder.path()).try_into().unwrap();
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(44).unwrap();
    let writer = open(folder.path());
    assert_eq!(writer.spool().id(), id);
    put_in(&writer, 100..101);
    assert_eq!(all(writer.spool(), 0), [100]);
    assert!(writer.spool().newest() > newest);
}

#[test]
fn of_a_torn_tail_what_is_whole_is_read() {
    let (folder, segment) = filled();
    let whole = fs::read(&segment).unwrap();
    let record = (whole.len() - 44) / 100;
    for cut in [1, 7, 8, 9, record - 1, record, record + 1, 50 * record + 3] {
        let other = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join("identity"), other.path().join("identity")).unwrap();
        let torn = other.path().join(segment.file_name().unwrap());
        fs::write(&torn, &whole[..whole.len() - cut]).unwrap();
        let writer = open(other.path());
        let expected = (100 * record - cut) / record;
        assert_eq!(all(writer.spool(), 0), (0..expected as u64).collect::<Vec<_>>(), "{cut}");
    }
}

#[test]
fn a_file_that_is_no_segment_of_this_spool_is_removed_and_reported() {
    let (folder, segment) = filled();
    let other = tempfile::tempdir().unwrap();
    fs::copy(&segment, other.path().join(segment.file_name().unwrap())).unwrap();
    fs::write(other.path().join("00000000000000ff.spool"), b"kwapi").unwrap();
    fs::write(other.path().join("notes"), b"not ours").unwrap();
    let writer = open(other.path());
    assert_eq!((all(writer.spool(), 0).len(), writer.spool().counters().damaged), (0, 2));
    assert!(other.path().join("notes").exists());
    drop(folder);
}

#[test]
fn beyond_its_size_the_oldest_go_and_what_a_consumer_lacked_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let writer = SpoolWriter::start(config(folder.path(), 16_000), 1).unwrap();
    for turn in 0..30 {
        put_in(&writer, turn * 10..(turn + 1) * 10);
        wait_until("all is written", LIMIT, || {
            let state = writer.spool().0.state.lock();
            (state.written == state.next - 1).then_some(())
        });
    }
    let bounded = wait_until("the oldest are dropped", LIMIT, || {
        Some(writer.spool().counters()).filter(|counters| counters.dropped > 0 && counters.bytes <= 16_000)
    });
    drop(writer);
    let writer = SpoolWriter::start(config(folder.path(), 16_000), 1).unwrap();
    let left = all(writer.spool(), 0);
    assert_eq!(left, (bounded.dropped..300).collect::<Vec<_>>());
    assert!(left.len() > 50, "{left:?}");
    // What every consumer has goes without a word.
    writer.spool().release(0, writer.spool().newest());
    wait_until("what is released goes", LIMIT, || (segments(folder.path()).len() == 1).then_some(()));
    assert_eq!((writer.spool().counters().dropped, all(writer.spool(), 0).len()), (0, 0));
}

#[test]
fn what_is_older_than_a_consumer_takes_is_dropped() {
    let (folder, _) = filled();
    let clock = WallClock::new(|| NOW.after(Duration::from_secs(86_401)));
    let writer = SpoolWriter::start(SpoolConfig { clock, ..config(folder.path(), 1 << 30) }, 1).unwrap();
    // Closed when the next was begun, just now.
    assert_eq!(all(writer.spool(), 0).len(), 100);
    drop(writer);
    let clock = WallClock::new(|| NOW.after(Duration::from_secs(2 * 86_402)));
    let writer = SpoolWriter::start(SpoolConfig { clock, ..config(folder.path(), 1 << 30) }, 1).unwrap();
    let dropped = wait_until("it is dropped", LIMIT, || {
        Some(writer.spool().counters().dropped).filter(|dropped| *dropped > 0)
    });
    assert_eq!((dropped, all(writer.spool(), 0).len()), (100, 0));
}

#[test]
fn a_disk_that_refuses_is_reported_and_messages_are_sent_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("spool");
    fs::write(&directory, "a file").unwrap();
    let writer = open(&directory);
    put_in(&writer, 0..100);
    assert_eq!(all(writer.spool(), 0), (0..100).collect::<Vec<_>>());
    let status = wait_until("it is reported", LIMIT, || {
        Some(writer.spool().counters()).filter(|counters| counters.unwritten == 100)
    });
    assert!(status.trouble.unwrap().starts_with("cannot "));
    fs::remove_file(&directory).unwrap();
    let mut next = 100;
    wait_until("it is written again", LIMIT, || {
        put_in(&writer, next..next + 1);
        next += 1;
        let counters = writer.spool().counters();
        (counters.trouble.is_none() && counters.bytes > 0).then_some(())
    });
    let id = writer.spool().id().to_owned();
    assert_eq!(all(writer.spool(), 0), (0..next).collect::<Vec<_>>());
    drop(writer);
    let writer = open(&directory);
    assert_eq!((writer.spool().id(), all(writer.spool(), 0).last()), (id.as_str(), Some(&(next - 1))));
}

#[test]
fn two_processes_do_not_write_one_spool() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (open(folder.path()), open(folder.path()));
    assert_eq!(first.spool().counters().trouble, None);
    let trouble = second.spool().counters().trouble.unwrap();
    assert!(trouble.contains("is in use by another kwapi"), "{trouble}");
    assert_ne!(first.spool().id(), second.spool().id());
}

#[test]
fn memory_is_bounded_and_what_is_dropped_from_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("spool");
    fs::write(&directory, "a file").unwrap();
    let writer = open(&directory);
    let count = UNWRITTEN_MAX as u64 + 1_000;
    put_in(&writer, 0..count);
    let counters = writer.spool().counters();
    assert_eq!(counters.dropped, 1_000);
    assert_eq!(all(writer.spool(), 0), (1_000..count).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn a_damaged_byte_costs_one_message_at_most(at in 44_usize..100 * 117, flip in 1_u8..) {
        let (folder, segment) = filled();
        let mut bytes = fs::read(&segment).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= flip;
        fs::write(&segment, bytes).unwrap();
        let writer = open(folder.path());
        let left = all(writer.spool(), 0);
        prop_assert!(left.len() >= 99 && left.is_sorted(), "{left:?}");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("segment");
        fs::write(&file, &bytes).unwrap();
        _ = segment::read(&file, None, bytes.len() as u64, 0, usize::MAX);
        _ = segment::read_header(&file, "00112233445566778899aabbccddeeff", 1);
    }
}
