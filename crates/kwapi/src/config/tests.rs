mod bills;

use proptest::prelude::*;

use super::*;

/// A text in which some pieces are cut out or replaced.
pub(crate) fn spoiled(text: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof!["[-0-9.:,eT+]{0,12}", "[\\[\\]{}'\"#&*|\n;= ]{0,4}", "\\PC{0,4}"];
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..9, piece), 0..4).prop_map(move |edits| {
        edits.into_iter().fold(text.to_owned(), |text, (at, length, piece)| {
            let at = at.index(text.chars().count() + 1);
            let head: String = text.chars().take(at).collect();
            let tail: String = text.chars().skip(at + length).collect();
            head + &piece + &tail
        })
    })
}

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
        "k.toml:3: unknown driver `dumy`; did you mean `dummy`?",
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
fn an_endpoint_is_a_url_or_a_table_and_inherits_what_it_does_not_state() {
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
        "k.toml:2: [rrd] listen = \"0.0.0.0:8080\" is reachable from other machines, and the pages are unauthenticated; configure [rrd.auth], listen on 127.0.0.1 and use ssh -L, or set insist_without_auth = true",
    );
    check(
        "[rrd]\nlisten = '0.0.0.0:8080'\ninsist_without_auth = true\n",
        |_| "accepted".to_owned(),
        "accepted",
    );
    let login = format!("[rrd.auth]\n{TOKEN}");
    check(&login, |config| format!("{:?}", config.rrd.auth.is_some()), "true");
    refused(
        &format!("[rrd]\nlisten = '0.0.0.0:8080'\n{login}"),
        "k.toml:2: [rrd] listen = \"0.0.0.0:8080\" is reachable from other machines without TLS, and a login needs it; set tls, or trusted_proxies in [rrd.auth]",
    );
    for way in [
        "tls = { certificate = 'c', key = 'k' }\n[rrd.auth]\n",
        "[rrd.auth]\ntrusted_proxies = ['10.0.0.7']\n",
    ] {
        let toml = format!("[rrd]\nlisten = '0.0.0.0:8080'\n{way}{TOKEN}");
        check(&toml, |_| "accepted".to_owned(), "accepted");
    }
    refused(
        "[rrd.auth]\nidle_hours = 3\n",
        "k.toml:1: [rrd.auth] user: nobody could log in; add tokens or keystone to [api.auth], or users of a trusted proxy here",
    );
    refused("[rrd.auth]\nidle_hour = 3\n", "k.toml:2: unknown key `idle_hour`; did you mean `idle_hours`?");
    refused(
        "[rrd.auth]\ntrusted_proxies = ['proxy']\n",
        "k.toml:2: `trusted_proxies`: invalid IP address syntax",
    );
}

#[test]
fn object_storage_that_makes_no_sense_is_refused_with_its_line() {
    let with = |line: &str| {
        let keys = [
            "endpoint = 'http://127.0.0.1:9000'",
            "bucket = 'energy'",
            "access_key = 'a'",
            "secret_key = 's'",
        ];
        let name = line.split(' ').next().unwrap_or_default();
        let rest = keys.into_iter().filter(|key| !key.starts_with(name)).collect::<Vec<_>>().join("\n");
        format!("[samples.s3]\n{line}\n{rest}\n")
    };
    for (line, problem) in [
        ("endpoint = 'minio:9000'", "endpoint: must be an http:// or https:// URL"),
        ("endpoint = 'https://u:p@s3.example.org'", "endpoint: must have neither a query nor a user name"),
        ("bucket = 'a/b'", "bucket: must be a name of letters, digits, dots and hyphens"),
        (
            "region = 'eu west'",
            "region: must be a name of letters, digits and hyphens, such as \"eu-west-3\"",
        ),
        (
            "prefix = 'a/../b'",
            "prefix: must not begin or end with a slash, nor have an empty part, `.` or `..`",
        ),
        ("prefix = '/a'", "prefix: must not begin or end with a slash, nor have an empty part, `.` or `..`"),
        ("access_key = ''", "access_key: must be printable ASCII characters without blanks"),
        ("secret_key = 'two words'", "secret_key: must be printable ASCII characters without blanks"),
    ] {
        refused(&with(line), &format!("k.toml:2: [samples.s3] {problem}"));
    }
    let warned = |line: &str, expected: &str| {
        check(
            &with(line),
            |config| config.warnings.iter().map(|warning| warning.split_once("k.toml:").unwrap().1).collect(),
            expected,
        );
    };
    warned(
        "endpoint = 'http://s3.example.org'",
        "2: endpoint = \"http://s3.example.org\": samples are sent unencrypted; use https://",
    );
    warned("endpoint = 'http://127.0.0.1:9000'", "");
    warned("endpoint = 'https://s3.eu-west-3.amazonaws.com'", "");
}

#[test]
fn samples_that_would_be_kept_for_no_time_are_refused() {
    check("[samples]\nenabled = false\ndays = 0\n", |_| "accepted".to_owned(), "accepted");
    refused(
        "[samples]\ndays = 0\n",
        "k.toml:2: [samples] days = 0 keeps no samples; set enabled = false instead",
    );
    refused(
        "[samples]\nmegabytes_max = 0\n",
        "k.toml:2: [samples] megabytes_max = 0 keeps no samples; set enabled = false instead",
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
        "k.toml:2: environment variable KWAPI_TEST_NOT_SET is not set",
    );
}

#[test]
fn sums_of_sums_come_down_to_what_is_measured() {
    const METERS: &str =
        "[[meter]]\ndriver='dummy'\noutlets=3\nprobes=['a','b','c']\n[[virtual]]\nprobe='x'\nsum=['a','b']\n";
    let sums = |config: &Config| {
        let shown = config.virtual_probes.iter().map(|sum| format!("{}={:?} ", sum.probe, sum.parts.len()));
        shown.collect::<String>()
    };
    check(&format!("{METERS}[[virtual]]\nprobe='y'\nsum=['x','c']\n"), sums, "x=2 y=3 ");
    refused(&format!("{METERS}[[virtual]]\nprobe='y'\nsum=['x','a']\n"), "k.toml:8: `y` counts `a` twice");
    refused(&format!("{METERS}[[virtual]]\nprobe='x'\nsum=['c']\n"), "k.toml:8: duplicate sum `x`");
    refused(
        "[[virtual]]\nprobe='x'\nsum=['y']\n[[virtual]]\nprobe='y'\nsum=['x']\n",
        "k.toml:1: circular sum: `x` contains `y` contains `x`",
    );
}

#[test]
fn labels_of_a_probe_that_nobody_measures_are_a_warning() {
    check(
        "[[meter]]\ndriver='dummy'\nprobe='web1'\n[[meter]]\ndriver='dummy'\nname='n'\nprobe='rack.{outlet}'\n\
         [labels]\nweb1={owner='me'}\n'rack.7'={owner='me'}\nweb2={owner='me'}\n",
        |config| config.warnings.iter().map(|warning| warning.rsplit_once('/').unwrap().1).collect(),
        "k.toml:11: labels for `web2`, which no meter measures; did you mean `web1`?",
    );
}

#[test]
fn an_outlet_that_two_meters_read_is_a_warning() {
    let pdu = |keys: &str| format!("[[meter]]\ndriver='snmp'\n{keys}\n");
    let warnings = |config: &Config| {
        config.warnings.iter().map(|warning| warning.rsplit_once('/').unwrap().1.to_owned()).collect()
    };
    let first = pdu("host='pdu1'\nprobes=['a','b','c']");
    let two =
        first.clone() + &pdu("host='pdu1'\nname='again'\ninterval_seconds=5\nprobes={ 2='x', 3='y', 4='z' }");
    check(
        &two,
        warnings,
        "k.toml:5: `x` is the same outlet of the same device as `b` of meter `snmp:pdu1` (and 1 more): sums count its power twice, and its energy counter is bridged across restarts for one of them only",
    );
    // Whoever gets at it otherwise still gets at the same; another device, or its other outlets, are none of that.
    let login = first.clone() + &pdu("host='pdu1'\nname='again'\ncommunity='other'\nprobe='x'");
    check(&login, |config| config.warnings.len().to_string(), "1");
    let others = first + &pdu("host='pdu2'\nprobe='x'") + &pdu("host='pdu1'\nname='n'\nprobes={ 7='y' }");
    let dummies = "[[meter]]\ndriver='dummy'\nprobe='d'\n[[meter]]\ndriver='dummy'\nname='e'\nprobe='e'\n";
    check(&(others + dummies), warnings, "");
}

#[test]
fn a_devices_clock_can_be_distrusted() {
    check(
        "[[meter]]\ndriver='dummy'\nprobe='a'\ndevice_clock=false\n[[meter]]\ndriver='dummy'\nprobe='b'\n",
        |config| config.meters.iter().map(|meter| format!("{} ", meter.assumptions.device_clock)).collect(),
        "false true ",
    );
}

#[test]
fn what_an_outlet_can_draw_is_taken_from_its_meter_and_must_be_power() {
    check(
        "[[meter]]\ndriver='dummy'\nprobe='a'\nmax_watts=3680\n[[meter]]\ndriver='dummy'\nprobe='b'\n",
        |config| {
            config.meters.iter().map(|meter| format!("{:?} ", meter.max_watts.map(|watts| watts.0))).collect()
        },
        "Some(3680.0) None ",
    );
    for wrong in ["0", "-5.0", "nan", "2e9"] {
        let meter = format!("[[meter]]\ndriver='dummy'\nprobe='a'\nmax_watts={wrong}\n");
        let expected = format!(
            "k.toml:4: `max_watts` must be more than 0 and at most 1000000000, not {}",
            match wrong {
                "nan" => "NaN",
                "2e9" => "2000000000",
                "-5.0" => "-5",
                other => other,
            }
        );
        refused(&meter, &expected);
    }
}

#[test]
fn what_would_fail_at_the_start_is_refused_before() {
    refused(
        "[bus]\nkey = { id = 'k', secret = 'short' }\n",
        "k.toml:2: the secret of key \"k\" is too short: 5 bytes, minimum 16",
    );
    refused(
        "[api]\nsubscribe = ['host:5556']\n",
        "k.toml:2: host:5556: an endpoint must start with tcp://, ipc://, inproc://, nats:// or tls://",
    );
    refused(
        "[[meter]]\ndriver='snmp'\nhost='p'\nprobe='a'\nversion='3'\n",
        "k.toml:1: SNMP version 3 requires `user` (meter `snmp:p`, driver `snmp`)",
    );
}

#[test]
fn labels_are_filled_in_by_host_and_outlet_and_reach_the_probes_of_a_template() {
    let toml = "[[meter]]\ndriver='ipmi'\nhosts='n[1-2]-bmc'\nusername='u'\npassword='p'\nprobe='lyon.{host}'\n\
        labels={host='{host}',number='{1}',room='7'}\n\
        [[meter]]\ndriver='snmp'\nhosts='pdu[1-2]'\nprobe='lyon.{host}.{outlet}'\nlabels={pdu='{host}',outlet='{outlet}'}\n\
        [[meter]]\ndriver='snmp'\nhost='pdu3'\nprobes={ 7='web1' }\nlabels={outlet='{outlet}'}\n";
    let labels_of = |probe: &'static str| {
        move |config: &Config| {
            let probe = ProbeId::new(probe).unwrap();
            let labels = config.labels.get(&probe).cloned().or_else(|| config.template_labels.of(&probe));
            format!("{:?}", labels.unwrap_or_default())
        }
    };
    check(toml, labels_of("lyon.n2-bmc"), r#"{"host": "n2-bmc", "number": "2", "room": "7"}"#);
    check(toml, labels_of("lyon.pdu2.13"), r#"{"outlet": "13", "pdu": "pdu2"}"#);
    check(toml, labels_of("web1"), r#"{"outlet": "7"}"#);
    check(toml, labels_of("lyon.pdu3.13"), "{}");
}

#[test]
fn the_gap_of_a_probe_is_its_meters_and_the_default_that_of_the_bus_or_the_longest() {
    let meters = "[[meter]]\ndriver='dummy'\nprobe='own'\nmax_gap_seconds=20\n\
        [[meter]]\ndriver='dummy'\nname='s'\nprobe='slow'\ninterval_seconds=300\n";
    let gaps = |config: &Config| {
        let gaps = kwapi_core::Gaps::configured(config.gaps());
        let described = ["own", "slow", "other"].map(|id| ProbeId::new(id).unwrap());
        let before: Vec<_> = described.iter().map(|probe| gaps.of(probe).as_secs()).collect();
        described.iter().for_each(|probe| gaps.describe(probe, std::time::Duration::from_secs(70)));
        let after: Vec<_> = described.iter().map(|probe| gaps.of(probe).as_secs()).collect();
        format!("{before:?} {after:?}")
    };
    check(meters, gaps, "[20, 3000, 3000] [20, 70, 70]");
    check(&format!("[bus]\nmax_gap_seconds=60\n{meters}"), gaps, "[20, 3000, 60] [20, 70, 70]");
}

const TOKEN: &str = "[[api.auth.token]]\nname='n'\nsha256='00'\n";

#[test]
fn a_scope_that_shows_nothing_to_anybody_is_refused_with_its_line() {
    refused(
        &format!(
            "{TOKEN}[[api.auth.scope]]\ntoken='n'\nprobes=['a']\n[[api.auth.scope]]\ntoken='m'\nprobes=['a']\n"
        ),
        "k.toml:7: [api.auth]: scope 2: there is no [[api.auth.token]] with name = \"m\"",
    );
    refused(
        &format!("{TOKEN}[[api.auth.scope]]\ntoken='n'\nprobs=['a']\n"),
        "k.toml:6: unknown key `probs`; did you mean `probes`?",
    );
}

#[test]
fn scopes_tokens_and_who_logs_in_are_taken_up_by_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let read = |toml: &str| {
        let file = folder.path().join("k.toml");
        std::fs::write(&file, toml).unwrap();
        Config::read(&file).unwrap()
    };
    let scope = format!("{TOKEN}[[api.auth.scope]]\ntoken='n'\nprobes=['a']\n");
    let (plain, scoped) = (read(TOKEN), read(&scope));
    let seen_by_all = read(&format!("[api.auth]\nsee_all=['boss']\n{scope}"));
    assert_eq!(plain.fixed_differences(&scoped), [""; 0]);
    assert_eq!(scoped.fixed_differences(&seen_by_all), [""; 0]);
    assert_eq!(plain.fixed_differences(&read(&TOKEN.replace("00", "11"))), [""; 0], "it is revoked");
    let login = read(&format!("{TOKEN}[rrd.auth]\n"));
    let shorter = read(&format!("{TOKEN}[rrd.auth]\nidle_hours = 1\n"));
    assert_eq!(login.fixed_differences(&shorter), [""; 0]);
    assert_eq!(plain.fixed_differences(&login), ["rrd"], "whether there is a login takes a restart");
}
