//! Who sees which probes, through the whole configuration and a reload of it.

use kwapi_peers::{Lab, wait_until};

use crate::harness::{Kwapi, PATIENCE, request};

/// The hashes of the tokens `physics-token` and `biology-token`.
const PHYSICS: &str = "60527ae8cf728a305487ae87bedf0b1ce4613ece6caa621df5b06ff282e9fe90";
const BIOLOGY: &str = "31d8359c2201f199cac62b675875f412dbdb3de514e862aa5b1a340fa4015862";

fn ids(kwapi: &Kwapi, token: &str) -> String {
    let head = format!(
        "GET /v1/probe-ids/ HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n"
    );
    let answer = request(kwapi.api, &head);
    answer.map_or_else(String::new, |(status, _, body)| {
        format!("{status} {}", String::from_utf8_lossy(&body).trim())
    })
}

#[track_caller]
fn wait_for(kwapi: &Kwapi, token: &str, expected: &str) {
    let log = || kwapi.process.log();
    let expected = format!("200 {{\"probe_ids\":[{expected}]}}");
    wait_until(&format!("{expected} for {token}, not {}\n{}", ids(kwapi, token), log()), PATIENCE, || {
        (ids(kwapi, token) == expected).then_some(())
    });
}

/// Two tokens and their scopes, and three meters, of which `owned` are those of physics.
fn site(owned: &[&str], scopes: &str) -> String {
    let mut toml = format!(
        "[[api.auth.token]]\nname = 'physics'\nsha256 = '{PHYSICS}'\n\
         [[api.auth.token]]\nname = 'biology'\nsha256 = '{BIOLOGY}'\n{scopes}"
    );
    for probe in ["a", "b", "lyon.a"] {
        let owner = if owned.contains(&probe) { "physics" } else { "nobody" };
        toml += &format!(
            "[[meter]]\ndriver = 'dummy'\nprobe = '{probe}'\nwatts = 40\ninterval_seconds = 0.2\nlabels = {{ owner = '{owner}' }}\n"
        );
    }
    toml
}

const OF_BOTH: &str = "[[api.auth.scope]]\ntoken = 'physics'\nlabels = { owner = 'physics' }\n\
    [[api.auth.scope]]\ntoken = 'biology'\nprobes = ['lyon.*']\n";

#[test]
fn a_reload_of_labels_and_scopes_changes_who_sees_what_without_a_restart() {
    let lab = Lab::empty();
    let file = lab.join("site.toml");
    std::fs::write(&file, site(&["a"], OF_BOTH)).unwrap();
    let toml = "include = ['site.toml']\nstate_directory = '@DIR@/state'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
                [rrd]\nlisten = '127.0.0.1:@WEB@'\n[api]\nlisten = '127.0.0.1:@API@'\n";
    let kwapi = Kwapi::start_in(lab, &["run"], toml);
    wait_for(&kwapi, "physics-token", "\"a\"");
    wait_for(&kwapi, "biology-token", "\"lyon.a\"");

    std::fs::write(&file, site(&["b", "lyon.a"], OF_BOTH)).unwrap();
    wait_for(&kwapi, "physics-token", "\"b\",\"lyon.a\"");
    wait_for(&kwapi, "biology-token", "\"lyon.a\"");

    let swapped = OF_BOTH.replace("'biology'", "'x'").replace("token = 'physics'", "token = 'biology'");
    let swapped = swapped.replace("'x'", "'physics'");
    std::fs::write(&file, site(&["b", "lyon.a"], &swapped)).unwrap();
    wait_for(&kwapi, "physics-token", "\"lyon.a\"");
    wait_for(&kwapi, "biology-token", "\"b\",\"lyon.a\"");

    // A scope that makes no sense is named with its line and changes nothing.
    std::fs::write(&file, site(&["a"], "[[api.auth.scope]]\ntoken = 'chemistry'\nprobes = ['*']\n")).unwrap();
    wait_until("the complaint", PATIENCE, || {
        let complaint =
            "site.toml:7: [api.auth]: scope 1: there is no [[api.auth.token]] with name = \"chemistry\"";
        kwapi.process.log().contains(complaint).then_some(())
    });
    wait_for(&kwapi, "physics-token", "\"lyon.a\"");
    assert!(!kwapi.process.log().contains("a restart is required"), "{}", kwapi.process.log());
}
