//! What `kwapi check` reports of the files that a configuration names.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::commands::{fails, folder, succeeds};

/// The pair of the ZeroMQ manual, `zmq_curve(7)`, and its server's public key.
const PUBLIC: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
const SECRET: &str = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";
const SERVER: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

/// A configuration beside files of these names and contents, which only their owner may read.
fn lab(toml: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let lab = folder(&format!("state_directory = 'state'\n{toml}"));
    for (name, text) in files {
        std::fs::write(lab.path().join(name), text).unwrap();
        allow(lab.path(), name, 0o600);
    }
    lab
}

fn allow(lab: &Path, name: &str, mode: u32) {
    std::fs::set_permissions(lab.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Checks that this is what is found, and that it is an error.
#[track_caller]
fn check_error(lab: &tempfile::TempDir, expected: &str) {
    let output = fails(&["check"], lab.path());
    assert!(output.contains(&format!("\nerror: {expected}")), "{output}");
    assert!(output.ends_with("kwapi: 1 error\n") && output.contains(" 1 error.\n"), "{output}");
    assert!(succeeds(&["check", "--no-files"], lab.path()).contains("named probe"), "{output}");
}

/// Checks that this is warned of, or nothing if it is empty.
#[track_caller]
fn check_warning(lab: &tempfile::TempDir, expected: &str) {
    let output = succeeds(&["check"], lab.path());
    let expected = if expected.is_empty() { String::new() } else { format!("warning: {expected}") };
    let found = output.lines().find(|line| line.starts_with("warning: ")).unwrap_or_default();
    assert_eq!(found.starts_with(&expected), !expected.is_empty() || found.is_empty(), "{output}");
}

#[test]
fn curve_keys_must_be_keys_and_belong_together() {
    let toml = |secret: &str, public: &str| {
        format!(
            "[bus]\nsignature = 'none'\n[api]\nsubscribe = [\n  {{ url = 'tcp://far:5556', curve = {{ secret_key = '{secret}', \
             public_key = '{public}', server_key = '{SERVER}' }} }},\n]\n"
        )
    };
    check_warning(&lab(&toml(SECRET, PUBLIC), &[]), "");
    check_error(
        &lab(&toml("short", PUBLIC), &[]),
        "kwapi.toml:6: curve.secret_key: a key must be 40 Z85 characters",
    );
    check_error(
        &lab(&toml(SECRET, SERVER), &[]),
        "kwapi.toml:6: curve.public_key: does not match secret_key; `kwapi keys public` prints the one that does",
    );
}

#[test]
fn a_secret_that_every_user_can_read_is_an_error() {
    let toml = "[bus]\nkey = { id = 'k', secret = { file = 'bus.secret' } }\n";
    let lab = lab(toml, &[("bus.secret", "0123456789abcdef\n")]);
    check_warning(&lab, "");
    allow(lab.path(), "bus.secret", 0o640);
    check_warning(&lab, "");
    allow(lab.path(), "bus.secret", 0o644);
    check_error(
        &lab,
        "kwapi.toml:3: bus.secret is accessible to all users of this machine; run chmod o-rwx bus.secret",
    );
}

/// A certificate that ends on this day, and its key.
fn pair(begin: (i32, u8, u8), end: jiff::civil::Date) -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(begin.0, begin.1, begin.2);
    let [month, day] = [end.month(), end.day()].map(|part| u8::try_from(part).unwrap());
    parameters.not_after = rcgen::date_time_ymd(end.year().into(), month, day);
    let key = rcgen::KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_certificate_must_fit_its_key_and_be_valid() {
    let toml = "[api]\ntls = { certificate = 'cert.pem', key = 'key.pem' }\n";
    let today = jiff::Zoned::now().date();
    let lab =
        |(certificate, key): &(String, String)| lab(toml, &[("cert.pem", certificate), ("key.pem", key)]);
    let good = pair((2020, 1, 1), jiff::civil::date(2090, 1, 1));
    check_warning(&lab(&good), "");
    let soon = today.checked_add(jiff::Span::new().days(9)).unwrap();
    check_warning(
        &lab(&pair((2020, 1, 1), soon)),
        &format!("kwapi.toml:3: cert.pem expires on {soon}; renew it"),
    );
    check_error(
        &lab(&pair((2020, 1, 1), jiff::civil::date(2021, 2, 3))),
        "kwapi.toml:3: cert.pem expired on 2021-02-03; renew it",
    );
    check_error(
        &lab(&pair((2089, 1, 1), jiff::civil::date(2090, 1, 1))),
        "kwapi.toml:3: cert.pem is not valid before 2089-01-01; check this machine's clock",
    );
    let another_key = pair((2020, 1, 1), jiff::civil::date(2090, 1, 1)).1;
    check_error(
        &lab(&(good.0.clone(), another_key)),
        "kwapi.toml:3: key.pem: key does not match the certificate",
    );
    check_error(&lab(&("no certificate".to_owned(), good.1.clone())), "kwapi.toml:3: cert.pem: ");
    let open = lab(&good);
    allow(open.path(), "key.pem", 0o604);
    check_error(
        &open,
        "kwapi.toml:3: key.pem is accessible to all users of this machine; run chmod o-rwx key.pem",
    );
}

#[test]
fn policy_tokens_and_passwords_must_be_there_and_make_sense() {
    let token = "[[api.auth.token]]\nname = 'me'\nsha256 = '0011'\n";
    check_error(
        &lab(token, &[]),
        "kwapi.toml:4: token \"me\": sha256 is not 64 hex digits; printf %s \"$TOKEN\" | sha256sum prints them",
    );
    let good = token.replace("0011", &"0".repeat(64));
    let policy = format!("[api.auth]\npolicy_file = 'policy.yaml'\n{good}");
    check_warning(&lab(&policy, &[("policy.yaml", "'kwapi:read': role:reader\n")]), "");
    check_error(&lab(&policy, &[]), "kwapi.toml:3: policy.yaml: cannot be read: No such file");
    check_error(
        &lab(&policy, &[("policy.yaml", "a: role:b\n  nested: c\n")]),
        "kwapi.toml:3: policy.yaml: line 2: only `name: rule` on one line is supported",
    );
    let keystone =
        "[api.auth.keystone]\nurl = 'http://k:5000/v3'\nusername = 'kwapi'\npassword_file = 'password'\n";
    check_warning(&lab(keystone, &[("password", "secret\n")]), "");
    check_error(&lab(keystone, &[]), "kwapi.toml:5: password_file: password: No such file");
    let elsewhere = keystone.replace("password_file = 'password'", "password_env = 'KWAPI_NOT_THERE'");
    check_warning(
        &lab(&elsewhere, &[]),
        "kwapi.toml:5: password_env: environment variable KWAPI_NOT_THERE is not set",
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let lab = folder("state_directory = 'file/state'\n[rrd]\ndirectory = 'other/rrd'\n");
    std::fs::write(lab.path().join("file"), "").unwrap();
    check_error(&lab, "kwapi.toml:1: cannot create file/state: file is not a directory");
    let lab = folder("state_directory = 'state'\n[rrd]\ndirectory = 'file/rrd'\n");
    std::fs::write(lab.path().join("file"), "").unwrap();
    check_error(&lab, "kwapi.toml:3: cannot create file/rrd: file is not a directory");
}

#[test]
fn a_file_of_history_that_cannot_be_written_is_an_error() {
    let lab = lab("[api]\n", &[]);
    let file = lab.path().join("state/history/rrd/9759785f-95f6-554a-ba7a-c3e586ec5609.rrd");
    std::fs::create_dir_all(&file).unwrap(); // Nothing can be written to a directory, not even by root.
    let shown = "state/history/rrd/9759785f-95f6-554a-ba7a-c3e586ec5609.rrd: not writable by this user";
    let output = fails(&["check"], lab.path());
    assert!(output.contains("\nerror: ") && output.contains(shown), "{output}");
}

#[test]
fn what_a_meter_names_must_be_there_and_be_nobody_elses_to_change() {
    let meter = |keys: &str| format!("[[meter]]\nprobe = 'rack7'\ndriver = {keys}\n");
    let map = include_str!("../../../../kwapi-drivers/src/modbus/maps/eastron-sdm120.toml");
    let modbus = meter("'modbus'\nhost = 'gw7'\nmap = 'own'\nmaps = 'maps'");
    let lab = lab(&modbus, &[]);
    std::fs::create_dir(lab.path().join("maps")).unwrap();
    std::fs::write(lab.path().join("maps/own.toml"), map).unwrap();
    allow(lab.path(), "maps/own.toml", 0o644);
    check_warning(&lab, "");
    allow(lab.path(), "maps/own.toml", 0o646);
    check_error(
        &lab,
        "kwapi.toml:7: maps/own.toml is writable for all users of this machine: chmod o-w maps/own.toml",
    );
}

#[test]
fn a_serial_device_may_come_later_and_is_no_other_file() {
    let wattsup =
        |device: &str| format!("[[meter]]\nprobe = 'desk'\ndriver = 'wattsup'\ndevice = '{device}'\n");
    check_warning(&lab(&wattsup("/dev/null"), &[]), "");
    check_warning(
        &lab(&wattsup("/dev/serial/by-id/none"), &[]),
        "kwapi.toml:5: /dev/serial/by-id/none does not exist; check that the meter is plugged in",
    );
    check_error(
        &lab(&wattsup("log.txt"), &[("log.txt", "")]),
        "kwapi.toml:5: log.txt is not a serial device",
    );
}

#[test]
fn a_socket_needs_a_directory_to_be_made_in() {
    let lab = lab("", &[]);
    let push = |socket: &Path| {
        let socket = socket.display();
        let toml = format!(
            "state_directory = 'state'\n[[meter]]\nprobe = 'boiler'\ndriver = 'push'\nlisten = 'unix:{socket}'\n"
        );
        std::fs::write(lab.path().join("kwapi.toml"), toml).unwrap();
    };
    push(&lab.path().join("boiler.sock"));
    check_warning(&lab, "");
    push(&lab.path().join("not/yet/boiler.sock"));
    check_warning(&lab, "kwapi.toml:5: directory not/yet does not exist; create it");
}

#[test]
fn a_variable_that_a_command_lacks_is_read_where_the_services_have_it_from() {
    let toml = "[bus]\nkey = { id = 'k', secret = { env = 'KWAPI_TEST_OF_SERVICES' } }\n";
    let wrong = |lab: &tempfile::TempDir, expected: &str| {
        for arguments in [&["check"][..], &["check", "--quiet", "--no-files"]] {
            let text = fails(arguments, lab.path());
            assert_eq!(
                text,
                format!("kwapi: kwapi.toml:3: environment variable {expected}\n"),
                "{arguments:?}"
            );
        }
    };
    wrong(&lab(toml, &[]), "KWAPI_TEST_OF_SERVICES is not set");
    wrong(
        &lab(toml, &[("environment", "KWAPI_TEST=1\n")]),
        "KWAPI_TEST_OF_SERVICES is not set, and environment does not set it",
    );
    let set =
        lab(toml, &[("environment", "# Of the services.\nKWAPI_TEST_OF_SERVICES='0123456789abcdef'\n")]);
    check_warning(&set, "");
    assert_eq!(succeeds(&["check", "--quiet", "--no-files"], set.path()), "");
}
