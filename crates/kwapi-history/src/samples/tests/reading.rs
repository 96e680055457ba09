//! What is read back of samples: pages of a probe, and files of them.

use super::*;

#[test]
fn a_page_names_where_it_continues() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    append(&journal, &world.records);
    let samples = open(&journal);
    samples.catch_up(wall(0));
    let probe = ProbeId::new("lyon.late").unwrap();
    let (mut from, end) = (wall(1_000), wall(8_000));
    let mut pages = Vec::new();
    loop {
        let page = samples.page(&probe, from, end, 37).unwrap();
        assert!(page.samples.len() == 37 || page.next.is_none());
        pages.extend(page.samples);
        let Some(next) = page.next else { break };
        from = next;
    }
    let whole = samples.page(&probe, wall(1_000), end, 10_000).unwrap();
    assert_eq!((pages.len() > 200, &pages), (true, &whole.samples));
    assert_eq!(whole.position, journal.end());
    assert!(pages.iter().all(|sample| (wall(1_000)..end).contains(&sample.at)));
    assert_eq!(samples.page(&probe, end, end, 1), Err(SamplesError::Reversed));
    let nobody = ProbeId::new("nobody").unwrap();
    assert_eq!(samples.page(&nobody, wall(0), end, 1).unwrap().samples, []);
}

#[test]
fn a_file_of_a_probe_s_samples_has_those_of_its_time_and_no_others() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let samples = open(&journal);
    // Most lie in files, the rest waits in memory.
    let (written, waiting) = world.records.split_at(world.records.len() * 3 / 4);
    for (records, is_written) in [(written, true), (waiting, false)] {
        append(&journal, records);
        samples.catch_up(wall(0));
        if is_written {
            samples.write(wall(0)).unwrap();
        }
    }
    let truth = world.truth();
    let probe = truth[0].0.clone();
    let of_probe: Rows = truth.into_iter().filter(|(id, _)| *id == probe).collect();
    let (first, last) = (of_probe[0].1.at, of_probe[of_probe.len() - 1].1.at);
    let middle = of_probe[of_probe.len() / 2].1.at;
    for (start, end) in [(first, last.after(Duration::from_secs(1))), (first, middle), (middle, last)] {
        let of_time: Rows =
            of_probe.iter().filter(|(_, sample)| (start..end).contains(&sample.at)).cloned().collect();
        let file = samples.parquet(&probe, start, end, of_time.len() as u64).unwrap();
        assert_eq!((file.rows, &*file.unreadable), (of_time.len() as u64, &[][..]));
        let path = lab.join("download.parquet");
        std::fs::write(&path, &file.bytes).unwrap();
        assert_same(&rows_of(&path), &of_time, "the file");
        let few = of_time.len() as u64 - 1;
        assert_eq!(samples.parquet(&probe, start, end, few), Err(SamplesError::TooMany { max: few }));
    }
    assert_eq!(samples.parquet(&probe, last, first, 9), Err(SamplesError::Reversed));
    let nobody = samples.parquet(&ProbeId::new("nobody").unwrap(), first, last, 9).unwrap();
    assert_eq!((nobody.rows, nobody.bytes.starts_with(b"PAR1")), (0, true));
}
