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
    assert_eq!(known, []);
    for known in &written {
        index.add(known).unwrap();
    }
    drop(index);
    let file = lab.join("probes.jsonl");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("{\"probe\":\"B");
    std::fs::write(&file, text).unwrap();
    let (mut index, known) = Index::open(lab.path()).unwrap();
    assert_eq!(known, written);
    index.add(&known_as("B", Some(2))).unwrap();
    assert_eq!(Index::open(lab.path()).unwrap().1.last(), Some(&known_as("B", Some(2))));
}

#[test]
fn an_index_without_first_stamps_is_read() {
    let lab = Lab::empty();
    std::fs::write(lab.join("probes.jsonl"), "{\"probe\":\"A\",\"file\":\"x\"}\n").unwrap();
    let (_, known) = Index::open(lab.path()).unwrap();
    assert_eq!(known, [Known { probe: ProbeId::new("A").unwrap(), since: None }]);
}
