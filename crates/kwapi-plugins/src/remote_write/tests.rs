use super::*;

fn config(toml: &str) -> RemoteWriteConfig {
    toml::from_str(&format!("url = 'http://127.0.0.1:9090/api/v1/write'\n{toml}")).unwrap()
}

#[test]
fn what_makes_no_sense_is_reported_by_its_key() {
    assert_eq!(config("").check(), Ok(()));
    let whole =
        "name = 'mimir-2'\nbearer_token = 'x'\nlabels = { site = 'lyon' }\nheaders = { X-Scope-OrgID = '1' }";
    assert_eq!(config(whole).check(), Ok(()));
    for (toml, expected) in [
        ("name = 'Ä'", "name: must be lower-case"),
        ("name = ''", "name: must be lower-case"),
        ("name = '../x'", "name: must be lower-case"),
        ("headers = { Host = 'x' }", "headers: `Host` cannot be set"),
        ("headers = { 'a b' = 'x' }", "headers: `a b` cannot be set"),
        ("headers = { A = \"x\\ny\" }", "headers: the value of `A`"),
        (
            "bearer_token = 'x'\nheaders = { authorization = 'y' }",
            "headers: `authorization` and bearer_token",
        ),
        ("bearer_token = ''", "bearer_token: must be printable ASCII"),
        ("bearer_token = 'a b'", "bearer_token: must be printable ASCII"),
        ("labels = { probe = 'x' }", "labels: `probe` is no label name"),
        ("labels = { __name__ = 'x' }", "labels: `__name__` is no label name"),
        ("labels = { 'a-b' = 'x' }", "labels: `a-b` is no label name"),
        ("labels = { 1a = 'x' }", "labels: `1a` is no label name"),
        ("labels = { a = '' }", "labels: `a` is empty"),
        ("timeout_seconds = 0", "timeout_seconds: must"),
        ("megabytes_max = 0", "megabytes_max: must"),
    ] {
        let error = config(toml).check().unwrap_err().to_string();
        assert!(error.starts_with(&format!("[[remote_write]] {expected}")), "{toml}: {error}");
    }
    for url in ["", "prometheus:9090", "ftp://a/b", "http://user:secret@a/b", "http://a/b#c"] {
        let error = RemoteWriteConfig { url: url.to_owned(), ..config("") }.check().unwrap_err();
        assert_eq!(error.key, "url", "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn each_of_several_has_a_name_of_its_own() {
    let (first, second) = (config(""), config("name = 'mimir'"));
    assert_eq!(RemoteWriteConfig::check_all(&[first.clone(), second]), Ok(()));
    let (index, error) = RemoteWriteConfig::check_all(&[first.clone(), first]).unwrap_err();
    assert_eq!((index, error.key), (1, "name"));
}

#[test]
fn what_other_machines_can_read_is_known() {
    for (url, expected) in [
        ("http://127.0.0.1/w", false),
        ("http://[::1]:1/w", false),
        ("https://a/w", false),
        ("http://a/w", true),
    ] {
        assert_eq!(RemoteWriteConfig { url: url.to_owned(), ..config("") }.is_in_clear(), expected, "{url}");
    }
}
