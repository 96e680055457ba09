//! The chips of a machine: which there are, what they are called, and which of their sensors are parts of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::file::{Item, Quantity, parse_name, read_start, read_text};
use super::scope::SensorScope;
use super::sensor::HwmonSensor;
use crate::driver::DriverError;
use crate::parts::printable;

/// No machine has as many; a directory that does is not hwmon's.
const CHIPS_MAX: usize = 1_024;
/// Files of one chip that are looked at. The largest have some hundreds.
const FILES_MAX: usize = 4_096;
/// Sensors of a machine that are kept.
const SENSORS_MAX: usize = 4_096;
/// Chips that measure the processor, whose energy RAPL counts as well.
const PROCESSORS: [&str; 4] = ["amd_energy", "fam15h_power", "zenpower", "zenergy"];
/// Chips that measure the whole machine: ACPI power meters (ACPI 4.0, chapter 10.4), supplies connected over USB.
const MACHINES: [&str; 2] = ["power_meter", "corsairpsu"];

/// All sensors of power and energy below `root`, by chip.
///
/// # Errors
/// `NothingToRead` when there are none.
pub(super) fn find(root: &Path) -> Result<Vec<HwmonSensor>, DriverError> {
    let none = || {
        DriverError::NothingToRead(format!(
            "no power or energy sensors in {}; virtual machines have none; on real hardware load the chip's kernel module",
            root.display()
        ))
    };
    let entries = fs::read_dir(root).map_err(|_| none())?;
    let names = entries.take(CHIPS_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| name.strip_prefix("hwmon")?.parse().ok()).collect();
    numbers.sort_unstable();
    let mut sensors: Vec<HwmonSensor> = Vec::new();
    let mut taken = BTreeSet::new();
    for number in numbers {
        let directory = root.join(format!("hwmon{number}"));
        let Some((files, name)) = named(&directory) else { continue };
        let mut chip = format!("{name}-{}", place(&directory));
        if !taken.insert(chip.clone()) {
            chip = format!("{chip}-hwmon{number}");
        }
        sensors.extend(of_chip(&files, &directory.join("device"), &name, &chip));
    }
    sensors.truncate(SENSORS_MAX);
    if sensors.is_empty() { Err(none()) } else { Ok(sensors) }
}

/// Where a chip's files are, and its name: beside its number, or, of older drivers, with its device.
fn named(directory: &Path) -> Option<(PathBuf, String)> {
    [directory.to_owned(), directory.join("device")].into_iter().find_map(|files| {
        let name = read_text(&files.join("name")).ok()?;
        let name = printable(name.trim()).replace('.', "-");
        (!name.is_empty()).then_some((files, name))
    })
}

/// Where a chip is on its bus, as lm-sensors writes it, without dots: they would make a path of a probe's name.
fn place(directory: &Path) -> String {
    let device = fs::read_link(directory.join("device")).ok();
    let device = device.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let Some(device) = device else { return "virtual-0".to_owned() };
    bus_address(&device).unwrap_or_else(|| printable(&device).replace(['.', ':', '/'], "-"))
}

/// `pci-0300` of `0000:03:00.0`, `i2c-1-40` of `1-0040`, `acpi-0` of `ACPI000D:00`, `hid-3-1` of `0003:1B1C:1C05.0001`.
pub(super) fn bus_address(device: &str) -> Option<String> {
    let hex = |text: &str, digits: usize| {
        let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(text, 16).ok().filter(|_| is_hex)
    };
    let parts: Vec<&str> = device.split([':', '.']).collect();
    match parts.as_slice() {
        [domain, bus, slot, function] if domain.len() == 4 && bus.len() == 2 => {
            let (domain, bus) = (hex(domain, 4)?, hex(bus, 2)?);
            let address = domain << 16 | bus << 8 | hex(slot, 2)? << 3 | hex(function, 1)?;
            Some(format!("pci-{address:04x}"))
        }
        [bus, vendor, product, number] => {
            let (bus, number) = (hex(bus, 4)?, hex(number, 4)?);
            hex(vendor, 4).and(hex(product, 4))?;
            Some(format!("hid-{bus}-{number:x}"))
        }
        [kind, number] if kind.starts_with("ACPI") => Some(format!("acpi-{}", hex(number, 2)?)),
        [alone] => {
            let (bus, address) = alone.split_once('-')?;
            Some(format!("i2c-{}-{:02x}", bus.parse::<u32>().ok()?, hex(address, 4)?))
        }
        _ => None,
    }
}

/// What a chip has, by quantity and number.
#[derive(Debug, Default)]
struct Listing {
    labels: BTreeMap<(Quantity, u32), String>,
    inputs: BTreeMap<(Quantity, u32), PathBuf>,
}

impl Listing {
    fn of(files: &Path) -> Self {
        let mut listing = Self::default();
        let Ok(entries) = fs::read_dir(files) else { return listing };
        for entry in entries.take(FILES_MAX).filter_map(Result::ok) {
            let Some((quantity, number, item)) = entry.file_name().to_str().and_then(parse_name) else {
                continue;
            };
            let of = (quantity, number);
            match item {
                // A second's mean is more useful than an instant of it.
                Item::Average => _ = listing.inputs.insert(of, entry.path()),
                Item::Input => _ = listing.inputs.entry(of).or_insert_with(|| entry.path()),
                Item::Label => {
                    let label = read_text(&entry.path()).map(|text| printable(text.trim()));
                    listing
                        .labels
                        .extend(label.ok().filter(|label| !label.is_empty()).map(|text| (of, text)));
                }
            }
        }
        listing
    }

    fn numbers(&self, quantity: Quantity) -> Vec<u32> {
        let all = self.inputs.keys().filter(|(found, _)| *found == quantity);
        all.map(|(_, number)| *number).collect()
    }

    fn has(&self, quantity: Quantity, number: u32) -> bool {
        self.inputs.contains_key(&(quantity, number))
    }

    /// The number of the sensor of `quantity` that is another side of `number` of `beside`: the same label, or the same
    /// number where neither has one. A chip counts each quantity for itself, so that numbers alone mean nothing.
    fn twin(&self, quantity: Quantity, beside: Quantity, number: u32) -> Option<u32> {
        let Some(label) = self.labels.get(&(beside, number)).map(|label| plain(label)) else {
            let is_plain = self.has(quantity, number) && !self.labels.contains_key(&(quantity, number));
            return is_plain.then_some(number);
        };
        let is_same =
            |other: &u32| self.labels.get(&(quantity, *other)).is_some_and(|other| plain(other) == label);
        self.numbers(quantity).into_iter().find(is_same)
    }
}

/// A label without the letter for its quantity, as `PMBus` has it: `vin`, `iin` and `pin` are one input.
fn plain(label: &str) -> String {
    let label = label.to_lowercase();
    let rest =
        label.strip_prefix(['v', 'i', 'p']).filter(|rest| rest.starts_with("in") || rest.starts_with("out"));
    rest.map_or_else(|| label.clone(), str::to_owned)
}

/// The sensors of one chip.
fn of_chip(files: &Path, device: &Path, name: &str, chip: &str) -> Vec<HwmonSensor> {
    let listing = Listing::of(files);
    let sleep = sleep_file(device);
    let whole = whole_chip(name, device);
    let sensor = |quantity: Quantity, number: u32| HwmonSensor {
        key: format!("{chip}.{}{number}", quantity.prefix()),
        chip: chip.to_owned(),
        named: listing.labels.get(&(quantity, number)).cloned(),
        sleep: sleep.clone(),
        ..HwmonSensor::default()
    };
    let input = |quantity: Quantity, number: Option<u32>| listing.inputs.get(&(quantity, number?)).cloned();
    let twin = |quantity, number| input(quantity, listing.twin(quantity, Quantity::Power, number));
    let mut sensors = Vec::new();
    for number in listing.numbers(Quantity::Power) {
        sensors.push(HwmonSensor {
            power: input(Quantity::Power, Some(number)),
            energy: twin(Quantity::Energy, number),
            voltage: twin(Quantity::Voltage, number),
            current: twin(Quantity::Current, number),
            ..sensor(Quantity::Power, number)
        });
    }
    let used: Vec<PathBuf> =
        sensors.iter().filter_map(|sensor: &HwmonSensor| sensor.energy.clone()).collect();
    for number in listing.numbers(Quantity::Energy) {
        let energy = input(Quantity::Energy, Some(number)).filter(|energy| !used.contains(energy));
        if energy.is_some() {
            sensors.push(HwmonSensor { energy, ..sensor(Quantity::Energy, number) });
        }
    }
    if sensors.is_empty() {
        for (volts, amperes) in volts_and_amperes(&listing, name) {
            sensors.push(HwmonSensor {
                voltage: input(Quantity::Voltage, Some(volts)),
                current: input(Quantity::Current, Some(amperes)),
                named: listing.labels.get(&(Quantity::Voltage, volts)).cloned(),
                ..sensor(Quantity::Current, amperes)
            });
        }
    }
    let has_total = sensors.iter().any(is_total);
    for sensor in &mut sensors {
        sensor.scope = match whole {
            Some(SensorScope::Battery) => SensorScope::Battery,
            _ if has_total && !is_total(sensor) => SensorScope::Within,
            Some(scope) => scope,
            None if sensor.named.as_deref().is_some_and(is_system) => SensorScope::Machine,
            None => SensorScope::Consumer,
        };
    }
    sensors
}

/// Which volts belong to which amperes on a chip that reports no power: those with one label (`PMBus`), and the three
/// channels of an INA3221, whose other inputs are the shunts' (*Documentation/hwmon/ina3221.rst*).
fn volts_and_amperes(listing: &Listing, name: &str) -> Vec<(u32, u32)> {
    let amperes = listing.numbers(Quantity::Current).into_iter();
    if name == "ina3221" {
        let is_channel = |channel: &u32| *channel <= 3 && listing.has(Quantity::Voltage, *channel);
        return amperes.filter(is_channel).map(|channel| (channel, channel)).collect();
    }
    let labelled = amperes.filter(|number| listing.labels.contains_key(&(Quantity::Current, *number)));
    labelled
        .filter_map(|number| Some((listing.twin(Quantity::Voltage, Quantity::Current, number)?, number)))
        .collect()
}

/// What a chip as a whole measures, where its name or its device shows it.
fn whole_chip(name: &str, device: &Path) -> Option<SensorScope> {
    let is_kind = |kind: &str| read_text(&device.join("type")).is_ok_and(|text| text.trim() == kind);
    if is_kind("Battery") || is_kind("UPS") {
        return Some(SensorScope::Battery);
    }
    if MACHINES.contains(&name) {
        return Some(SensorScope::Machine);
    }
    let is_processor = PROCESSORS.contains(&name) || (name == "amdgpu" && is_apu(device));
    is_processor.then_some(SensorScope::Processor)
}

/// Whether AMD graphics are a part of the processor: the third byte of their `gpu_metrics` is the format, 1 of cards and 2
/// or more of processors (`kgd_pp_interface.h`, `metrics_table_header`). A card that sleeps is left to sleep.
fn is_apu(device: &Path) -> bool {
    let is_asleep = sleep_file(device)
        .is_some_and(|file| read_text(&file).is_ok_and(|status| status.trim() == "suspended"));
    let format = || read_start(&device.join("gpu_metrics")).ok()?.get(2).copied();
    !is_asleep && format().is_some_and(|format| (2..=15).contains(&format))
}

/// The file that shows whether a PCI device sleeps. Others are woken by nobody's reading.
fn sleep_file(device: &Path) -> Option<PathBuf> {
    let file = device.join("power/runtime_status");
    (device.join("vendor").exists() && file.exists()).then_some(file)
}

/// Whether a sensor is the sum of the others of its chip: a supply's input (`pin`), a whole card (Intel's `xe`), a system.
fn is_total(sensor: &HwmonSensor) -> bool {
    sensor.named.as_deref().is_some_and(|label| {
        let label = label.to_lowercase();
        matches!(label.as_str(), "pin" | "card") || is_system(&label) || label.contains("total")
    })
}

fn is_system(label: &str) -> bool {
    label.eq_ignore_ascii_case("system")
}
