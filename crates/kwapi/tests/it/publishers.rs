//! Two driver managers that publish the same probe at the same time.

use kwapi_peers::wait_until;
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, run};

const KEYS: &str = "{ id = 'old-host', secret = '0123456789abcdef0123456789abcdef' }, \
                    { id = 'new-host', secret = 'fedcba9876543210fedcba9876543210' }";

fn manager(place: &str, key: &str, watts: u32) -> Kwapi {
    let key = KEYS.split_inclusive('}').find(|table| table.contains(key)).unwrap();
    let key = key.trim_start_matches([',', ' ']);
    let toml = format!(
        "state_directory = '@DIR@/state'\n[bus]\nkey = {key}\n[drivers]\npublish = ['{place}']\ninterval_seconds = 0.2\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n[[meter]]\ndriver = 'dummy'\nwatts = {watts}\nprobe = 'lyon.web1'\n"
    );
    Kwapi::start(&["drivers"], &toml)
}

#[test]
fn two_managers_of_one_probe_are_named_and_one_of_them_counts() {
    let bus = tempfile::tempdir().unwrap();
    let place = |name: &str| format!("ipc://{}/{name}", bus.path().display());
    let (old, new) = (place("old"), place("new"));
    let _first = manager(&old, "old-host", 100);
    let service = Kwapi::start(
        &["api"],
        &format!(
            "state_directory = '@DIR@/state'\n[bus]\nmax_gap_seconds = 2\nkeys = [{KEYS}]\n[api]\nlisten = '127.0.0.1:@API@'\n\
             subscribe = ['{old}', '{new}']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n"
        ),
    );
    assert_eq!(service.probe("lyon.web1")["w"].as_f64(), Some(100.0));
    assert_eq!(get(service.status, "/troubles").unwrap().1, "[]");

    let _second = manager(&new, "new-host", 5_000);
    let alarm = wait_until("both named", PATIENCE, || {
        let (_, troubles) = get(service.status, "/troubles")?;
        let troubles: Vec<String> = serde_json::from_str(&troubles).ok()?;
        troubles.into_iter().find(|trouble| trouble.contains(" is credited, "))
    });
    // The second may have looked like the first, started again: then it is the one that counts. It never changes back.
    let (credited, refused) = alarm.split_once(" is credited, ").unwrap();
    let named = |text: &str| text.contains("key old-host, session of ");
    assert!(credited.starts_with("lyon.web1: two publishers at the same time; key "), "{alarm}");
    assert!(refused.ends_with(" is refused; stop one of them"), "{alarm}");
    assert!(named(credited) != named(refused) && alarm.contains("key new-host, session of "), "{alarm}");
    let (is_well, output) =
        run(&["status", "--address", &format!("127.0.0.1:{}", service.status)], service.lab.path());
    assert!(is_well && output.starts_with("no meters in this process; ready\n"), "{output}");
    assert!(output.contains("trouble: lyon.web1: two publishers at the same time"), "{output}");
    assert!(service.process.log().contains("two publishers at the same time"), "{}", service.process.log());
    let (_, body) = get(service.api, "/v2/probes/lyon.web1/").unwrap();
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["conflicting_publisher"], true, "{body}");
    // What is credited is one of them: neither the other's watts nor both added.
    let credited_watts = if named(credited) { 100.0 } else { 5_000.0 };
    assert_eq!(service.probe("lyon.web1")["w"].as_f64(), Some(credited_watts));
}
