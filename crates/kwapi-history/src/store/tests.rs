use kwapi_core::ProbeId;
use kwapi_peers::Lab;

use super::*;

#[test]
fn a_file_has_the_name_the_original_gave_it() {
    // Names written by the original for these ids.
    for (probe, file) in [
        ("A", "9759785f-95f6-554a-ba7a-c3e586ec5609"),
        ("B", "8a0ba01a-b2c2-5f79-a36c-8262f7f0d083"),
        ("C.1", "dfe49bcb-c1bc-518a-a379-e8dcdba7d953"),
        ("node-00001", "c7528743-586c-552a-ad38-749e11e24713"),
        ("é", "ebfe0af8-3997-5ade-b634-ba92cf69f557"),
        ("a/b", "2742fcf2-a7eb-5b73-995b-3b304eecb3d9"),
        ("nœud-é-🔌", "134e0fac-f7f5-546e-9030-9ec346a57cb8"),
        ("lyon.taurus-1", "0fdca13e-056b-5fa3-919e-83a72460c8a7"),
    ] {
        assert_eq!(file_stem(&ProbeId::new(probe).unwrap()).to_string(), file, "{probe}");
    }
}

#[test]
fn the_index_remembers_ids_and_survives_a_torn_line() {
    let lab = Lab::empty();
    let known_as = |id: &str, since| Known { probe: ProbeId::new(id).unwrap(), since };
    let written =
        [known_as("A", Some(1_700_000_000)), known_as("a \"quoted\" id", None), known_as("nœud/é", Some(1))];
    let (mut index, known) = Index::open(lab.path()).unwrap();
    assert_eq!(known, IndexContents::default());
    for known in &written {
        index.add(known.clone());
    }
    drop(index);
    let file = lab.join("probes.jsonl");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("{\"probe\":\"B");
    std::fs::write(&file, text).unwrap();
    let (mut index, known) = Index::open(lab.path()).unwrap();
    assert_eq!(known, IndexContents { known: written.to_vec(), lines_damaged: 0 });
    index.add(known_as("B", Some(2)));
    let (_, found) = Index::open(lab.path()).unwrap();
    // The torn line is in the midst now: of the probe that was added again nothing is lost.
    assert_eq!((found.known.last(), found.known.len()), (Some(&known_as("B", Some(2))), 4));
}

#[test]
fn an_index_without_first_stamps_is_read() {
    let lab = Lab::empty();
    std::fs::write(
        lab.join("probes.jsonl"),
        "{\"probe\":\"A\",\"file\":\"9759785f-95f6-554a-ba7a-c3e586ec5609\"}\n",
    )
    .unwrap();
    let (_, found) = Index::open(lab.path()).unwrap();
    let known = vec![Known { probe: ProbeId::new("A").unwrap(), since: None }];
    assert_eq!(found, IndexContents { known, lines_damaged: 0 });
}

#[test]
fn a_flipped_bit_in_the_index_costs_at_most_its_line_and_is_reported() {
    let lab = Lab::empty();
    let written: Vec<_> = ["A", "a \"quoted\" id", "nœud/é"]
        .iter()
        .zip([Some(1_700_000_000), None, Some(17)])
        .map(|(id, since)| Known { probe: ProbeId::new(id).unwrap(), since })
        .collect();
    let (mut index, _) = Index::open(lab.path()).unwrap();
    for known in &written {
        index.add(known.clone());
    }
    let file = lab.join("probes.jsonl");
    let bytes = std::fs::read(&file).unwrap();
    for at in 0..bytes.len() {
        for bit in [at % 8, (at + 3) % 8] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            std::fs::write(&file, &damaged).unwrap();
            let (_, found) = Index::open(lab.path()).unwrap();
            let line = bytes[..at].split(|byte| *byte == b'\n').count() - 1;
            let lost: Vec<_> = written.iter().filter(|known| !found.known.contains(known)).collect();
            let is_end = bytes[at] == b'\n';
            assert!(lost.is_empty() && is_end || lost == [&written[line]], "byte {at} bit {bit}: {found:?}");
            assert!(
                found.known.iter().all(|known| written.contains(known)),
                "byte {at} bit {bit}: {found:?}"
            );
            if !is_end {
                assert_eq!(found.lines_damaged, 1, "byte {at} bit {bit}");
                let aside = std::fs::read(lab.join("probes.jsonl.damaged")).unwrap();
                assert_eq!(aside, damaged);
                assert_eq!(Index::open(lab.path()).unwrap().1.lines_damaged, 0, "it was made again");
            }
        }
    }
}

#[test]
fn probes_that_the_disk_refused_are_written_down_later() {
    let lab = Lab::empty();
    let known = |id: &str| Known { probe: ProbeId::new(id).unwrap(), since: None };
    let (mut index, _) = Index::open(lab.path()).unwrap();
    std::fs::create_dir(lab.join("probes.jsonl")).unwrap(); // Nothing can be written to a directory.
    index.add(known("A"));
    index.add(known("B"));
    std::fs::remove_dir(lab.join("probes.jsonl")).unwrap();
    index.write();
    index.add(known("C"));
    assert_eq!(Index::open(lab.path()).unwrap().1.known, ["A", "B", "C"].map(known));
}

#[test]
fn a_lock_names_who_has_it() {
    let lab = Lab::empty();
    let _lock = DirectoryLock::take(lab.path()).unwrap();
    let refused = DirectoryLock::take(lab.path()).unwrap_err().to_string();
    assert!(refused.contains(&std::process::id().to_string()), "{refused}");
}

#[test]
fn a_file_that_is_a_directory_cannot_be_written() {
    let lab = Lab::empty();
    assert!(unwritable(lab.path()).unwrap().is_none());
    let path = power_path(lab.path(), file_stem(&ProbeId::new("A").unwrap()));
    std::fs::create_dir(&path).unwrap();
    assert_eq!(unwritable(lab.path()).unwrap().unwrap().0, path);
}
