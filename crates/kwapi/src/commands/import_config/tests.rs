//! Files of other programs, whole and spoiled: whatever is in them, there is a configuration or a reason.

use proptest::prelude::*;

use super::*;
use crate::config::tests::spoiled;

const FILES: [&str; 7] = [
    "[DEFAULT]\nprobes_endpoint = ipc:///run/p\nenable_signing = true\nmetering_secret = at least sixteen\n\
     [strip]\nprobes = ['A', None, u'B']\ndriver = Snmp\nparameters = {'protocol': '1', 'community': 'c',\n \
     'ip': 'strip1', 'oid': '1.3.6.1.4.1.9.1'}\n[desk]\nprobes=['C']\ndriver=Wattsup\nparameters={'device':'/dev/ttyUSB0'}\n\
     [load]\nprobes=['D']\ndriver=Dummy\nparameters={'min': 100, 'max': 1e3}\n",
    "scrape_configs:\n- job_name: ipmi\n  scrape_interval: 1m30s\n  metrics_path: /ipmi\n  params: { module: [lan] }\n  \
     static_configs:\n  - targets: &t ['10.0.7.1', 'bmc2:623']\n    labels: { rack: r7 }\n  relabel_configs:\n  \
     - { source_labels: [__address__], target_label: __param_target }\n- job_name: snmp\n  static_configs: [{ targets: *t }]\n  \
     params: { auth: [site], module: [apcups] }\n",
    "modules:\n  lan:\n    user: monitor\n    pass: 'it''s one'\n    driver: LAN_2_0\n    privilege: user\n    timeout: 10000\n",
    "auths:\n  site:\n    version: 3\n    username: u\n    security_level: authPriv\n    password: p\n    \
     auth_protocol: SHA256\n    priv_protocol: AES192C\n    priv_password: q\n",
    "[agent]\ninterval = '10s'\n[[inputs.ipmi_sensor]]\nservers = ['u:p@lan(192.168.0.7)']\n\
     [[inputs.snmp]]\nagents = ['udp://10.0.0.1:161']\nversion = 2\ncommunity = 'c'\n[[inputs.modbus]]\nname = 'm'\n\
     controller = 'tcp://10.0.0.2:502'\nslave_id = 3\n",
    "name,role,device_type,site,rack,ip_address,oob_ip\npdu1,PDU,AP8959,lyon,r7,10.0.0.1/24,\nweb1,Server,R640,lyon,r7,,10.0.1.1/24\n",
    "Device A;Termination A;Device B;Termination B;Status\npdu1;Outlet 7;web1;PSU1;Connected\npdu1;Outlet 8;web1;PSU2;Connected\n",
];

fn converted(texts: &[String]) -> Option<String> {
    let mut inputs = Inputs::default();
    for text in texts {
        if let Ok(kind) = kind_of(text) {
            inputs.add(PathBuf::from("site/file"), kind);
        }
    }
    convert(&inputs, Draft::default()).ok().map(|(text, _)| text)
}

#[test]
fn each_of_these_files_is_known_and_has_meters() {
    for file in FILES {
        assert!(kind_of(file).is_ok(), "{file}");
    }
    let text = converted(&FILES.map(str::to_owned)).unwrap();
    for part in ["driver = \"snmp\"", "driver = \"ipmi\"", "driver = \"wattsup\"", "driver = \"dummy\""] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

proptest! {
    #[test]
    fn what_is_made_of_spoiled_files_is_toml(texts in FILES.map(spoiled)) {
        if let Some(text) = converted(&texts) {
            prop_assert!(text.parse::<toml::Table>().is_ok(), "{}", text);
        }
    }
}
