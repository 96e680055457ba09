use super::*;

/// Reads a configuration and shows `what` of it, or the error without its folder.
#[track_caller]
fn check(toml: &str, what: impl Fn(&Config) -> String, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.toml");
    std::fs::write(&file, toml).unwrap();
    let shown = match Config::read(&file) {
        Ok(config) => what(&config),
        Err(error) => error.to_string().replace(&format!("{}/", folder.path().display()), ""),
    };
    assert_eq!(shown, expected);
}

#[track_caller]
fn refused(toml: &str, expected: &str) {
    check(toml, |_| "accepted".to_owned(), expected);
}

#[test]
fn an_unknown_table_and_an_unknown_driver_name_their_nearest() {
    refused("[apu]\n", "k.toml:1: unknown key `apu`; did you mean `api`?");
    refused(
        "[[meter]]\nprobe='x'\ndriver='dumy'\n",
        "k.toml:3: there is no driver `dumy`; did you mean `dummy`?",
    );
}

#[test]
fn a_drivers_own_key_is_checked_before_anything_starts() {
    refused(
        "[[meter]]\nprobe='x'\ndriver='wattsup'\ndevise='/dev/ttyUSB0'\n",
        "k.toml:4: unknown key `devise`; did you mean `device`? (meter `wattsup#1`, driver `wattsup`)",
    );
    refused(
        "[[meter]]\nprobe='x'\ndriver='wattsup'\n",
        "k.toml:1: `device` is missing (meter `wattsup#1`, driver `wattsup`)",
    );
}

#[test]
fn an_endpoint_is_a_url_or_a_table_and_inherits_what_it_does_not_say() {
    let toml = "[bus]\nkey = { id = 'own', secret = '0123456789abcdef' }\n[api]\n\
        subscribe = ['tcp://a:1', { url = 'tcp://b:2', signature = 'none' }]\n";
    check(
        toml,
        |config| {
            let sources = config.bus.subscriber(&config.api.subscribe, &[]).endpoints;
            let shown = |source: &kwapi_bus::SourceConfig| {
                format!("{} {:?} {}", source.url, source.signature, source.keys.len())
            };
            sources.iter().map(shown).collect::<Vec<_>>().join(", ")
        },
        "tcp://a:1 Kwapi1 1, tcp://b:2 None 0",
    );
}

#[test]
fn pages_and_api_are_not_opened_to_the_world_by_accident() {
    refused(
        "[rrd]\nlisten = '0.0.0.0:8080'\n",
        "k.toml:2: [rrd] listen = \"0.0.0.0:8080\" is open to other machines and the pages have no authentication: \
         listen on 127.0.0.1 behind a proxy, or set insist_without_auth = true",
    );
    check(
        "[rrd]\nlisten = '0.0.0.0:8080'\ninsist_without_auth = true\n",
        |_| "accepted".to_owned(),
        "accepted",
    );
}

#[test]
fn a_sum_of_something_nobody_measures_is_refused() {
    refused(
        "[[meter]]\nprobe='web1'\ndriver='dummy'\n[[virtual]]\nprobe='s'\nsum=['web2']\n",
        "k.toml:4: no meter measures `web2`; did you mean `web1`?",
    );
}

#[test]
fn a_secret_comes_from_its_file_and_a_missing_one_is_named() {
    refused(
        "[bus]\nkey = { id = 'k', secret = { env = 'KWAPI_TEST_NOT_SET' } }\n",
        "k.toml:2: the environment variable KWAPI_TEST_NOT_SET is not set, or is no text",
    );
}
