//! What of this machine can be measured without configuration: processors (RAPL), NVIDIA GPUs, hwmon sensors.

use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kwapi_drivers::hwmon::{self, FoundSensor, SensorScope};
use kwapi_drivers::nvml;
use toml::Value;

/// Where meters of this machine are looked for.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) powercap: PathBuf,
    pub(super) hwmon: PathBuf,
    pub(super) nvml: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            powercap: "/sys/class/powercap".into(),
            hwmon: hwmon::ROOT.into(),
            nvml: nvml::NvmlConfig::default().library,
        }
    }
}

/// Its meters, each watt once, and what to report of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// `[[meter]]` tables.
    pub(super) toml: String,
    /// `this machine (…)` or `nothing of this machine (…)`.
    pub(super) words: String,
}

impl Machine {
    /// Looks what can be read here. Blocks while a driver's library is loaded and sensors are read.
    pub(super) fn look(host: &str, places: &Places) -> Self {
        let processors = rapl(&places.powercap);
        let sensors = hwmon::readable(&places.hwmon);
        let gpus = nvml::readable(&places.nvml);
        let mut meters = Meters { host, toml: String::new(), words: Vec::new() };
        if let Some(whole) = sensors.iter().find(|sensor| sensor.scope == SensorScope::Machine) {
            // It contains all the others.
            meters.add("hwmon", &places.hwmon, &[(whole.key.as_str(), host.to_owned())]);
            meters.words.push(format!("the whole of it, by {}", whole.key));
            return meters.done();
        }
        let is_alone = |sensor: &&FoundSensor| match sensor.scope {
            SensorScope::Consumer => true,
            SensorScope::Processor => processors.is_err(),
            SensorScope::Machine | SensorScope::Within | SensorScope::Battery => false,
        };
        let sensors: Vec<&str> = sensors.iter().filter(is_alone).map(|sensor| sensor.key.as_str()).collect();
        if processors.is_ok() {
            // A probe above others on the path would be taken for their sum.
            let is_only = sensors.is_empty() && gpus.is_empty();
            let probe = if is_only { host.to_owned() } else { format!("{host}.cpu") };
            meters.add("rapl", &places.powercap, &[("total", probe)]);
            meters.words.push("processors and memory by RAPL".to_owned());
        }
        let below = |key: &str| format!("{host}.{}", key.replace('.', "-"));
        if !gpus.is_empty() {
            let outlets: Vec<_> = gpus.iter().map(|key| (key.as_str(), below(key))).collect();
            meters.add("nvml", &places.nvml, &outlets);
            let count = gpus.len();
            meters.words.push(format!("{count} NVIDIA GPU{} by NVML", if count == 1 { "" } else { "s" }));
        }
        if !sensors.is_empty() {
            let outlets: Vec<_> = sensors.iter().map(|key| (*key, below(key))).collect();
            meters.add("hwmon", &places.hwmon, &outlets);
            meters.words.push(format!("{} by hwmon", sensors.join(", ")));
        }
        match (processors, meters.words.is_empty()) {
            (Err(why), true) => {
                Self { toml: String::new(), words: format!("nothing of this machine ({why})") }
            }
            _ => meters.done(),
        }
    }
}

struct Meters<'a> {
    host: &'a str,
    toml: String,
    words: Vec<String>,
}

impl Meters<'_> {
    /// Adds a meter with these outlets, by key and probe.
    fn add(&mut self, driver: &str, place: &Path, outlets: &[(&str, String)]) {
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        let key = if driver == "nvml" { "library" } else { "root" };
        let probes: Vec<_> =
            outlets.iter().map(|(key, probe)| format!("{} = {}", quoted(key), quoted(probe))).collect();
        _ = write!(
            self.toml,
            "[[meter]]\nname = 'this machine, {driver}'\ndriver = '{driver}'\n{key} = {}\nprobes = {{ {} }}\n",
            quoted(&place.to_string_lossy()),
            probes.join(", ")
        );
    }

    fn done(self) -> Machine {
        let words = format!("this machine ({}: {})", self.host, self.words.join(", "));
        Machine { toml: self.toml, words }
    }
}

/// Whether RAPL can be read, or why not.
fn rapl(powercap: &Path) -> Result<(), String> {
    let none =
        "it has no RAPL counters, NVIDIA GPUs or hwmon sensors that can be read, or the kernel hides them";
    let zones = std::fs::read_dir(powercap).map_err(|_| none)?;
    let counter = zones
        .filter_map(Result::ok)
        .map(|zone| zone.path().join("energy_uj"))
        .find(|counter| counter.exists())
        .ok_or(none)?;
    match std::fs::read(&counter) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err("its RAPL counters are readable by root only; run kwapi as root".to_owned())
        }
        Err(error) => Err(format!("its RAPL counters cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A machine with these files, each `path value`.
    fn machine(files: &[&str]) -> (TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let (path, value) = file.split_once(' ').unwrap();
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        let below = |name: &str| root.path().join(name);
        let places =
            Places { powercap: below("powercap"), hwmon: below("hwmon"), nvml: below("libnvidia-ml.so.1") };
        (root, places)
    }

    /// What is measured, as `driver outlet probe`, through the configuration an operator would write.
    #[track_caller]
    fn check(files: &[&str], expected: &[&str], words: &str) {
        let (root, places) = machine(files);
        let found = Machine::look("web'7", &places);
        let file = root.path().join("kwapi.toml");
        fs::write(&file, &found.toml).unwrap();
        let config = crate::config::Config::read(&file).unwrap();
        let meters = config.meters.iter().flat_map(|meter| {
            let named = meter.outlets.named().iter();
            named.map(|outlet| format!("{} {} {}", meter.driver.name(), outlet.key, outlet.probe))
        });
        assert_eq!(meters.collect::<Vec<_>>(), expected);
        assert_eq!(found.words, words);
    }

    const RAPL: [&str; 2] = ["powercap/intel-rapl:0/name package-0", "powercap/intel-rapl:0/energy_uj 12"];
    const CARD: [&str; 2] = ["hwmon/hwmon0/name amdgpu", "hwmon/hwmon0/power1_average 9000000"];
    const WHOLE: [&str; 2] = ["hwmon/hwmon1/name power_meter", "hwmon/hwmon1/power1_average 95000000"];

    #[test]
    fn each_watt_of_this_machine_is_measured_once() {
        check(&RAPL, &["rapl total web'7"], "this machine (web'7: processors and memory by RAPL)");
        check(
            &[RAPL, CARD].concat(),
            &["rapl total web'7.cpu", "hwmon amdgpu-virtual-0.power1 web'7.amdgpu-virtual-0-power1"],
            "this machine (web'7: processors and memory by RAPL, amdgpu-virtual-0.power1 by hwmon)",
        );
        check(
            &[RAPL, CARD, WHOLE].concat(),
            &["hwmon power_meter-virtual-0.power1 web'7"],
            "this machine (web'7: the whole of it, by power_meter-virtual-0.power1)",
        );
        let processor = ["hwmon/hwmon2/name zenpower", "hwmon/hwmon2/power1_input 30000000"];
        check(
            &[RAPL, processor].concat(),
            &["rapl total web'7"],
            "this machine (web'7: processors and memory by RAPL)",
        );
        check(
            &processor,
            &["hwmon zenpower-virtual-0.power1 web'7.zenpower-virtual-0-power1"],
            "this machine (web'7: zenpower-virtual-0.power1 by hwmon)",
        );
    }

    #[test]
    fn a_sensor_that_cannot_be_read_is_left_out() {
        let silent = ["hwmon/hwmon0/name amdgpu", "hwmon/hwmon0/power1_average soon"];
        let why = "nothing of this machine (it has no RAPL counters, NVIDIA GPUs or hwmon sensors that can be read, or the kernel \
                   hides them)";
        check(&silent, &[], why);
    }

    #[test]
    fn gpus_are_measured_beside_rapl() {
        if !kwapi_peers::need(&["cc"]) {
            return;
        }
        let library = kwapi_peers::nvml::StandInNvml::build(false);
        let gpu = kwapi_peers::nvml::StandInGpu {
            uuid: "GPU-1".to_owned(),
            serial: None,
            bus: 0x3b,
            energy_millijoules: Some(1),
            power_milliwatts: Some(1),
            code: 0,
        };
        library.set(0, &[gpu]);
        let (_root, places) = machine(&RAPL);
        let found = Machine::look("n1", &Places { nvml: library.library(), ..places });
        assert_eq!(found.words, "this machine (n1: processors and memory by RAPL, 1 NVIDIA GPU by NVML)");
        assert!(
            found.toml.contains("probes = { \"nvidia-pci-3b00\" = \"n1.nvidia-pci-3b00\" }"),
            "{}",
            found.toml
        );
        assert!(found.toml.contains("\"n1.cpu\""), "{}", found.toml);
    }
}
