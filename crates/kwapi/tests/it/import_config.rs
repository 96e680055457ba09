//! `kwapi import-config`: files of other programs in, a configuration that `kwapi check` accepts out, with what it lacks.

use std::fs;
use std::path::Path;

use kwapi_peers::Lab;

use crate::harness::kwapi;

/// The configuration that is printed, and the remarks; `kwapi check` has accepted it, with the files that it names.
#[track_caller]
fn import(lab: &Lab, files: &[&str]) -> (String, String) {
    let output = kwapi().arg("import-config").args(files).current_dir(lab.path()).output().unwrap();
    let (text, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}\n{text}");
    fs::write(lab.join("kwapi.toml"), &text).unwrap();
    let checked = kwapi()
        .args(["--config", "kwapi.toml", "check"])
        .current_dir(lab.path())
        .env("HOME", lab.path())
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap();
    let of_check =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{of_check}\n{text}");
    (format!("{text}\n{of_check}"), stderr)
}

#[track_caller]
fn refused(lab: &Lab, files: &[&str]) -> String {
    let output = kwapi().arg("import-config").args(files).current_dir(lab.path()).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

fn write(lab: &Lab, name: &str, text: &str) {
    let path = lab.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn the_four_files_of_the_original_become_one() {
    let lab = Lab::empty();
    let rrd = lab.join("rrd");
    fs::create_dir(&rrd).unwrap();
    // uuid5 of "A" in the name space of DNS names, and of nobody.
    fs::write(rrd.join("9759785f-95f6-554a-ba7a-c3e586ec5609.rrd"), "").unwrap();
    fs::write(rrd.join("00000000-0000-5000-8000-000000000000.rrd"), "").unwrap();
    write(
        &lab,
        "etc/drivers.conf",
        "[DEFAULT]\nprobes_endpoint = ipc:///run/kwapi/drivers\nenable_signing = true\nmetering_secret = not a secret\ncheck_drivers_interval = 60\nlog_file = /var/log/d.log\n\
        [left strip]\nprobes = ['A', None, 'B']\ndriver = Snmp\nparameters = {'protocol': 'v2c', 'community': 'machines', 'ip': 'strip1.example.org', 'oid': '1.3.6.1.4.1.99999.1'}\n\
        [blade]\nprobes = ['C']\ndriver = Ipmi\nparameters = {'interface': 'lanplus', 'host': 'blade-bmc',\n    'username': 'monitor', 'password': 'pass\"word', 'sensor': 'System Level'}\n\
        [desk]\nprobes = [u'D']\ndriver = Wattsup\nparameters = {'device': '/dev/ttyUSB7'}\n\
        [made up]\nprobes = ['E', 'F']\ndriver = Dummy\nparameters = {'min': 100, 'max': 120}\n\
        [twice]\nprobes = ['A']\ndriver = Dummy\n\
        [other]\nprobes = ['G']\ndriver = Clamp\n\
        [broken]\nprobes = ['H'\ndriver = Dummy\n",
    );
    write(
        &lab,
        "etc/forwarder.conf",
        "[DEFAULT]\nforwarder_endpoint = tcp://*:5600\nprobes_endpoint = ipc:///run/kwapi/drivers\n",
    );
    write(
        &lab,
        "etc/api.conf",
        "[DEFAULT]\napi_port = 5055\nprobes_endpoint = tcp://127.0.0.1:5600\nwatch_probe = A\nwatch_probe = C\nsignature_checking = true\ndriver_metering_secret = not a secret\nacl_enabled = true\npolicy_file = /nowhere/policy.json\ncleaning_interval = 120\n\
        [keystone_authtoken]\nauth_host = keystone.example.org\nauth_protocol = https\nadmin_user = meter\nadmin_password = hidden\nadmin_tenant_name = services\n",
    );
    write(
        &lab,
        "etc/rrd.conf",
        &format!(
            "[DEFAULT]\nrrd_port = 8088\nprobes_endpoint = tcp://127.0.0.1:5600\nsignature_checking = true\ndriver_metering_secret = not a secret\nrrd_dir = {}\npng_dir = /tmp/png\ncurrency = CHF\nkwh_price = 0.31\nhue = 120\nmax_watts = 300\nrefresh_interval = 7\ncolour = blue\n",
            rrd.display()
        ),
    );
    let (text, stderr) = import(&lab, &["etc"]);
    has(
        &text,
        &[
            "publish = [\"ipc:///run/kwapi/drivers\"]",
            "signature = \"legacy\"",
            "secret = \"not a secret\"",
            "community = \"machines\"",
            "probes = [\"A\", \"\", \"B\"]",
            "watts = 110.0\njitter_watts = 10.0",
            "sensor = \"System Level\"",
            "publish = [\"tcp://*:5600\"]",
            "listen = \"127.0.0.1:5055\"",
            "probes = [\"A\", \"C\"]",
            "url = \"https://keystone.example.org:5000/v3\"",
            "username = \"meter\"",
            "project_name = \"services\"",
            "cleaning_interval_seconds = 120",
            "currency = \"CHF\"",
            "kwh_price = 0.31",
            "refresh_interval_seconds = 7",
            "'pass\"word'",
            "# It contains secrets",
            "4 meters, 6 named probes",
        ],
    );
    assert!(
        !text.contains("hidden") && !stderr.contains("hidden"),
        "Keystone's password is not for the file"
    );
    has(
        &stderr,
        &[
            "etc/drivers.conf:5: check_drivers_interval: not needed",
            "oid 1.3.6.1.4.1.99999.1",
            "[twice]: probe \"A\" is measured by another meter already",
            "there is no driver like \"Clamp\"",
            "[broken]: probes: it ends too early",
            "policy_file /nowhere/policy.json",
            "KWAPI_KEYSTONE_PASSWORD",
            "colour: unknown",
            "1 RRD files are of no probe",
            "api_port: the original listens on all addresses",
        ],
    );
}

#[test]
fn a_configuration_without_signing_and_a_named_rrd_directory_are_taken() {
    let lab = Lab::empty();
    write(&lab, "old/9759785f-95f6-554a-ba7a-c3e586ec5609.rrd", "");
    write(
        &lab,
        "drivers.conf",
        "[DEFAULT]\nprobes_endpoint = ipc:///run/kwapi/drivers\nenable_signing = false\n[a]\nprobes = ['A']\ndriver = Dummy\n",
    );
    let (text, stderr) = import(&lab, &["drivers.conf", "old"]);
    has(&text, &["signature = \"none\"", "directory = \"old\"", "1 meter, 1 named probe"]);
    has(&stderr, &["messages are not signed"]);
    assert!(!stderr.contains("RRD files"), "{stderr}");
}

#[test]
fn prometheus_targets_become_ranges_with_the_exporters_logins() {
    let lab = Lab::empty();
    write(
        &lab,
        "prometheus.yml",
        "global: { scrape_interval: 30s }\nscrape_configs:\n\
        - job_name: bmcs\n  metrics_path: /ipmi\n  params: { module: [racks] }\n  file_sd_configs:\n  - files: ['targets/*.yml']\n\
        - job_name: strips\n  metrics_path: /snmp\n  scrape_interval: 1m\n  params:\n    module: [raritan]\n    auth: [private_v3]\n  static_configs:\n  - targets: [strip1.example.org, 'strip2.example.org:1161']\n\
        - job_name: switches\n  metrics_path: /snmp\n  params: { module: [if_mib] }\n  static_configs:\n  - targets: [switch1]\n\
        - job_name: machines\n  static_configs:\n  - targets: ['node1:9100']\n\
        - job_name: cards\n  metrics_path: /redfish\n  static_configs:\n  - targets: ['https://card1:8443']\n\
        - job_name: found\n  metrics_path: /ipmi\n  http_sd_configs:\n  - url: http://inventory/\n",
    );
    write(
        &lab,
        "targets/racks.yml",
        "- targets:\n  - node01-bmc\n  - node02-bmc\n  - node03-bmc\n  - 'bad host'\n  labels: { room: north }\n",
    );
    write(
        &lab,
        "ipmi.yml",
        "modules:\n  racks:\n    user: watcher\n    pass: 'seven words'\n    driver: LAN_2_0\n    privilege: user\n    timeout: 8000\n    collectors: [dcmi]\n",
    );
    write(
        &lab,
        "snmp.yml",
        "auths:\n  private_v3:\n    version: 3\n    username: watcher\n    security_level: authPriv\n    password: long enough one\n    auth_protocol: SHA256\n    priv_protocol: AES\n    priv_password: long enough two\nmodules:\n  raritan:\n    walk: [1.3.6.1.4.1.13742]\n",
    );
    let (text, stderr) = import(&lab, &["prometheus.yml", "ipmi.yml", "snmp.yml"]);
    has(
        &text,
        &[
            "[credentials.ipmi-racks]",
            "username = \"watcher\"\npassword = \"seven words\"\nprivilege = \"user\"\ntimeout_seconds = 8.0",
            "hosts = \"node[01-03]-bmc\"",
            "interval_seconds = 30.0",
            "[credentials.snmp-private_v3]",
            "auth_protocol = \"SHA-256\"",
            "privacy_password = \"long enough two\"",
            "port = 1161",
            "interval_seconds = 60.0",
            "host = \"{host}:8443\"",
            "6 meters",
        ],
    );
    has(
        &stderr,
        &[
            "job switches: module if_mib has no power: 1 targets",
            "target \"bad host\" is no host",
            "complete [credentials.redfish]",
            "http_sd_configs",
            "1 jobs of Prometheus are not of",
        ],
    );
    // Without the exporters' files the logins are to be completed, and it is a configuration all the same.
    let (text, stderr) = import(&lab, &["prometheus.yml"]);
    has(&text, &["hosts = \"node[01-03]-bmc\"", "[credentials.ipmi-racks]"]);
    has(&stderr, &["name ipmi_exporter's file as well", "name snmp_exporter's file as well"]);
}

#[test]
fn labels_addresses_and_single_targets_of_prometheus_jobs_are_taken() {
    let lab = Lab::empty();
    write(
        &lab,
        "prometheus.yml",
        "scrape_configs:\n\
        - job_name: hall\n  metrics_path: /ipmi\n  static_configs:\n  - targets: [blade1, blade2]\n    labels: { row: k, __param_module: hall }\n  \
        - targets: [blade3]\n    labels: { row: m, note: '{unset}', __param_module: hall }\n\
        - job_name: single\n  metrics_path: /snmp\n  params: { module: [apcups], target: [ups7.hall] }\n  static_configs: [{ targets: ['exporter:9116'] }]\n\
        - job_name: rewritten\n  metrics_path: /ipmi\n  params: { module: [hall] }\n  static_configs: [{ targets: [web1] }]\n  \
        relabel_configs: [{ source_labels: [__address__], target_label: __param_target, replacement: '${1}-mgmt' }]\n\
        - job_name: cards\n  metrics_path: /redfish\n  static_configs: [{ targets: ['https://[2001:db8::7]:8443', '2001:db8::8'] }]\n",
    );
    write(&lab, "ipmi.yml", "modules:\n  hall:\n    user: watcher\n    pass: 'pa$$word'\n");
    write(&lab, "snmp.yml", "auths:\n  public_v2:\n    version: 2\n    community: '${HALL_COMMUNITY}'\n");
    let (text, stderr) = import(&lab, &["prometheus.yml", "ipmi.yml", "snmp.yml"]);
    has(
        &text,
        &[
            "hosts = \"blade[1,2]\"\ncredentials = \"ipmi-hall\"\nprobe = \"{host}\"\ninterval_seconds = 60.0\nlabels = { row = \"k\" }",
            "labels = { row = \"m\" }",
            "hosts = \"ups7.hall\"",
            "password = \"pa$$word\"",
            "hosts = \"2001:db8::8\"",
            "host = \"[{host}]:8443\"",
        ],
    );
    assert!(!text.contains("9116"), "the exporter itself: {text}");
    has(
        &stderr,
        &[
            "job hall: label note = \"{unset}\"",
            "job rewritten: relabel_configs make the target \"${1}-mgmt\"",
            "community is of snmp_exporter's environment: { env = \"HALL_COMMUNITY\" }",
        ],
    );
}

#[test]
fn tags_privileges_and_addresses_of_telegraf_are_taken_and_its_environment_is_reported() {
    let lab = Lab::empty();
    write(
        &lab,
        "telegraf.conf",
        "[global_tags]\nhall = \"east\"\n\
        [[inputs.ipmi_sensor]]\nservers = [\"watcher:pw@lanplus(blade7)\", \"${BMC_USER}:pw@lanplus(blade8)\"]\nprivilege = \"USER\"\n[inputs.ipmi_sensor.tags]\nrow = \"k\"\n\
        [[inputs.redfish]]\naddress = \"https://[2001:db8::9]\"\nusername = \"watcher\"\npassword = \"pw\"\n\
        [[inputs.redfish]]\naddress = \"https://[2001:db8::a]:8443\"\nusername = \"watcher\"\npassword = \"pw\"\n\
        [[inputs.upsd]]\nserver = \"$UPSD\"\n",
    );
    let (text, stderr) = import(&lab, &["telegraf.conf"]);
    has(
        &text,
        &[
            "privilege = \"user\"\nprobe = \"blade7\"\ninterval_seconds = 10.0\nlabels = { hall = \"east\", row = \"k\" }",
            "host = \"blade8\"\npassword = \"pw\"",
            "host = \"2001:db8::9\"",
            "host = \"[2001:db8::a]:8443\"",
            "4 meters",
        ],
    );
    has(&stderr, &["the user = \"${BMC_USER}\" is not in the file", "server \"$UPSD\" names no host"]);
}

#[test]
fn inputs_of_telegraf_become_meters() {
    let lab = Lab::empty();
    write(
        &lab,
        "telegraf.conf",
        "[agent]\ninterval = \"20s\"\n[[inputs.cpu]]\n[[inputs.ipmi_sensor]]\nservers = [\"watcher:with@sign@lan(10.1.0.5)\", \"watcher:${BMC}@lanplus(10.1.0.6)\"]\n\
        [[inputs.redfish]]\naddress = \"https://card9\"\nusername = \"watcher\"\npassword = \"pw\"\ninsecure_skip_verify = true\n\
        [[inputs.snmp]]\nagents = [\"udp://strip7:161\"]\nversion = 3\nsec_name = \"watcher\"\nauth_protocol = \"SHA512\"\nauth_password = \"long enough\"\n[[inputs.snmp.field]]\nname = \"outletPower\"\noid = \"1.2.3\"\n\
        [[inputs.snmp]]\nagents = [\"switch1\", \"switch2\"]\n[[inputs.snmp.table]]\nname = \"interfaces\"\n\
        [[inputs.upsd]]\nserver = \"upshost\"\n[[inputs.nvidia_smi]]\n[[inputs.apcupsd]]\nservers = [\"tcp://ups2:3551\"]\n",
    );
    let (text, stderr) = import(&lab, &["telegraf.conf"]);
    has(
        &text,
        &[
            "host = \"10.1.0.5\"\nusername = \"watcher\"\npassword = \"with@sign\"",
            "host = \"10.1.0.6\"\nusername = \"watcher\"\nprobe",
            "interval_seconds = 20.0",
            "host = \"card9\"",
            "auth_protocol = \"SHA-512\"",
            "driver = \"nut\"",
            "driver = \"nvml\"",
            "6 meters",
        ],
    );
    has(
        &stderr,
        &[
            "${BMC}",
            "insecure_skip_verify",
            "no field is a power: 2 agents",
            "apcupsd-ups",
            "read no meter: cpu",
        ],
    );
}

const DEVICES: &str = "Name,Status,Tenant,Site,Rack,Role,Type,IP Address,OOB IP\n\
    strip-a,Active,,Lyon,R1,Rack PDU,AP8000,10.2.0.1/24,\n\
    strip-b,Active,,Lyon,R1,PDU,AP8000,,\n\
    old-strip,Offline,,Lyon,R1,PDU,AP8000,10.2.0.9/24,\n\
    web1.example.org,Active,physics,Lyon,R1,Server,X1,10.2.1.1/24,10.2.2.1/24\n\
    web2,Active,biology,Lyon,R1,Server,X1,10.2.1.2/24,10.2.2.2/24\n\
    web3,Active,,Lyon,R1,Server,X1,,10.2.2.3/24\n\
    sw1,Active,,Lyon,R1,Switch,S1,,\n";

#[test]
fn power_cables_of_netbox_name_the_outlets() {
    let as_on_screen = "Device A,Termination A,Device B,Termination B,Type\n\
        strip-a,Outlet 07,web1.example.org,PSU 1,Power\n\
        web1.example.org,PSU 2,strip-b,Outlet 7,Power\n\
        strip-a,Outlet 8,web2,PSU1,Power\n\
        strip-a,Outlet 8,sw1,PSU1,Power\n\
        old-strip,Outlet 1,web2,PSU9,Power\n\
        strip-a,eth0,sw1,GE1,CAT6\n\
        web2,eth0,sw1,GE2,CAT6\n";
    let as_for_import = "side_a_device,side_a_type,side_a_name,side_b_device,side_b_type,side_b_name\n\
        strip-a,dcim.poweroutlet,Outlet 07,web1.example.org,dcim.powerport,PSU 1\n\
        web1.example.org,dcim.powerport,PSU 2,strip-b,dcim.poweroutlet,Outlet 7\n\
        strip-a,dcim.poweroutlet,Outlet 8,web2,dcim.powerport,PSU1\n\
        strip-a,dcim.poweroutlet,Outlet 8,sw1,dcim.powerport,PSU1\n\
        old-strip,dcim.poweroutlet,Outlet 1,web2,dcim.powerport,PSU9\n\
        strip-a,dcim.interface,eth0,sw1,dcim.interface,GE1\n\
        web2,dcim.interface,eth0,sw1,dcim.interface,GE2\n";
    for cables in [as_on_screen, as_for_import] {
        let lab = Lab::empty();
        write(&lab, "devices.csv", DEVICES);
        write(&lab, "cables.csv", cables);
        let (text, stderr) = import(&lab, &["devices.csv", "cables.csv"]);
        has(
            &text,
            &[
                "host = \"10.2.0.1\"",
                "\"Lyon.R1.web1-example-org.PSU-1\"",
                "\"Lyon.R1.web1-example-org.PSU-2\"",
                "tenant = \"physics\"",
                "2 meters",
                "outlet 7 ",
                "outlet 8 ",
            ],
        );
        has(
            &stderr,
            &[
                "PDU strip-b: no address; its name is used",
                "outlet Outlet 8 of strip-a has another cable",
                "PDU old-strip: its status is Offline",
                "kwapi discover 10.2.2.3",
                "set them in [credentials.pdu]",
            ],
        );
    }
}

#[test]
fn cables_by_id_and_files_of_no_known_kind_are_refused() {
    let lab = Lab::empty();
    write(
        &lab,
        "cables.csv",
        "termination_a_type,termination_a_id,termination_b_type,termination_b_id\ndcim.poweroutlet,1,dcim.powerport,2\n",
    );
    has(&refused(&lab, &["cables.csv"]), &["names devices by id only"]);
    fs::write(lab.join("bytes.conf"), [0xff, 0xfe, 0]).unwrap();
    write(&lab, "empty.conf", "");
    write(&lab, "words.yml", "a: [b\n");
    write(&lab, "grafana.yml", "apiVersion: 1\nproviders: []\n");
    for (file, why) in [
        ("missing.conf", "No such file"),
        ("bytes.conf", "UTF-8"),
        ("empty.conf", "not a configuration of"),
        ("words.yml", "not a configuration of"),
        ("grafana.yml", "not a configuration of"),
    ] {
        let stderr = refused(&lab, &[file]);
        assert!(stderr.contains(why) && stderr.contains(file), "{file}: {stderr}");
    }
    fs::create_dir(lab.join("folder")).unwrap();
    has(&refused(&lab, &["folder"]), &["has no file of a known kind"]);
}

/// What an operator has is longer and stranger than what we thought of: whatever is cut out of it, it ends in a configuration
/// or one line, never in a panic.
#[test]
fn files_cut_anywhere_are_read_or_refused() {
    let lab = Lab::empty();
    let whole = [
        (
            "drivers.conf",
            "[DEFAULT]\nprobes_endpoint=ipc:///x\n[é]\nprobes=['A',None]\ndriver=Ipmi\nparameters={'host':'h','username':'u'}\n",
        ),
        (
            "prometheus.yml",
            "scrape_configs:\n- job_name: é\n  metrics_path: /ipmi\n  static_configs:\n  - targets: ['a1', 'a2:7']\n",
        ),
        ("telegraf.conf", "[[inputs.ipmi_sensor]]\nservers=['u:p@lan(h)']\n"),
        ("devices.csv", DEVICES),
    ];
    for (name, text) in whole {
        for end in (0..text.len()).step_by(7).filter(|end| text.is_char_boundary(*end)) {
            write(&lab, name, &text[..end]);
            let output = kwapi().args(["import-config", name]).current_dir(lab.path()).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(
                !stderr.contains("panicked") && matches!(output.status.code(), Some(0 | 1)),
                "{name} {end}: {stderr}"
            );
            assert_eq!(output.status.success(), !output.stdout.is_empty(), "{name} {end}");
        }
    }
    assert!(Path::new(&lab.join("drivers.conf")).exists());
}
