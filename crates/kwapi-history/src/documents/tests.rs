use super::*;

fn texts(documents: &Documents, folder: &str) -> Vec<String> {
    let read = documents.read(folder).unwrap();
    read.into_iter().map(|document| String::from_utf8(document.text).unwrap()).collect()
}

#[test]
fn documents_are_read_as_they_were_kept_and_each_number_is_taken_once() {
    let state = tempfile::tempdir().unwrap();
    let documents = Documents::new(state.path());
    assert_eq!(documents.folders().unwrap(), [""; 0]);
    let first = documents.add("2026-10", 0, b"{\"a\":1}").unwrap();
    let taken = documents.add("2026-10", 0, b"{\"a\":2}").unwrap_err();
    assert!(matches!(taken, DocumentsError::Taken(_)), "{taken}");
    documents.add("2026-10", 1, b"{\"a\":3}").unwrap();
    documents.add("2026-11", 0, b"[]").unwrap();
    assert_eq!(texts(&documents, "2026-10"), ["{\"a\":1}", "{\"a\":3}"]);
    assert_eq!(documents.folders().unwrap(), ["2026-10", "2026-11"]);
    assert_eq!(documents.read("2026-10").unwrap()[0], first);
    // What anybody reads and checks with programs of their own.
    let file = fs::read_to_string(state.path().join("bills/2026-10/1.json")).unwrap();
    assert_eq!(
        file,
        "{\"sha256\":\"015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862\",\"document\":{\"a\":1}}\n"
    );
}

#[test]
fn any_changed_byte_is_found() {
    let state = tempfile::tempdir().unwrap();
    let documents = Documents::new(state.path());
    documents.add("2026-10", 0, b"{\"amount\":1234}").unwrap();
    let path = state.path().join("bills/2026-10/1.json");
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = documents.read("2026-10").unwrap_err();
        assert!(matches!(error, DocumentsError::Corrupt(_)), "{place}: {error}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(documents.read("2026-10").is_err(), "{length}");
    }
}

#[test]
fn what_a_kill_left_unfinished_is_no_document() {
    let state = tempfile::tempdir().unwrap();
    let documents = Documents::new(state.path());
    fs::create_dir_all(state.path().join("bills/2026-10")).unwrap();
    fs::write(state.path().join("bills/2026-10/.77.new"), b"{\"sha256\":\"").unwrap();
    assert_eq!(texts(&documents, "2026-10"), [""; 0]);
    documents.add("2026-10", 0, b"{}").unwrap();
    assert_eq!(texts(&documents, "2026-10"), ["{}"]);
}
