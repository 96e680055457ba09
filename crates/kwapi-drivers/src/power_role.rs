//! What a sensor of power measures, by its name: cards name as they like, and put a total beside its parts.

/// What a sensor of power measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The whole machine.
    System,
    /// What one power supply draws.
    SupplyInput,
    /// What one power supply delivers, its own losses left out.
    SupplyOutput,
    /// A part of the machine, or a limit, which is no measurement.
    Part,
    /// The name does not show it.
    Unknown,
}

const PARTS: &[&str] = &[
    "cpu",
    "mem",
    "memory",
    "dimm",
    "ddr",
    "gpu",
    "gpus",
    "fan",
    "fans",
    "hdd",
    "ssd",
    "disk",
    "drive",
    "pch",
    "vr",
    "vdd",
    "pcie",
    "soc",
    "riser",
    "core",
    "proc",
    "processor",
    "processors",
    "limit",
    "cap",
    "budget",
    "max",
    "min",
    "thresh",
    "rated",
    "peak",
    "avg",
    "average",
    "avail",
];
const SYSTEMS: &[&str] = &[
    "system",
    "sys",
    "total",
    "chassis",
    "consumption",
    "usage",
    "meter",
    "node",
    "sled",
    "blade",
    "server",
];

/// Judges by name, as vendors give them: Dell "Pwr Consumption" and "System Level", HPE "Power Meter", Lenovo "Sys
/// Power", Cisco `POWER_USAGE`, Inspur `Total_Power`, Huawei "Power"; supplies "PS1 Input Power", `PSU2_PIN`, "PSU1
/// POUT", "Power Supply 1"; NVIDIA `TotalGPU_Power_0`, which is no total. `is_in_supply`: the card states that the
/// sensor is in a power supply, whatever it is called.
pub(crate) fn role(name: &str, is_in_supply: bool) -> Role {
    let words = words(name);
    let has_word = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    if has_word(PARTS) {
        return Role::Part;
    }
    let plain = name.trim().to_lowercase();
    let name = words.join(" ");
    let is_supply = name.starts_with("ps") || name.contains("supply");
    if !is_supply && (has_word(SYSTEMS) || plain == "power" || plain == "pwr") {
        return Role::System;
    }
    if !is_supply && !is_in_supply {
        return Role::Unknown;
    }
    if name.contains("out") { Role::SupplyOutput } else { Role::SupplyInput }
}

/// Whether a name has a word of `wanted`, in small letters.
pub(crate) fn names_any(name: &str, wanted: &[&str]) -> bool {
    words(name).iter().any(|word| wanted.contains(&word.as_str()))
}

/// The words of a name, in small letters and without the digits at their ends; `TotalGPU_Power_0` has three.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        // A capital begins a word after a small letter, and the last of several does before two: PCIe is one.
        let is_before_small = || characters.clone().take(2).filter(|next| next.is_lowercase()).count() == 2;
        let begins = character.is_uppercase()
            && (before.is_lowercase() || (before.is_uppercase() && is_before_small()));
        if begins || !character.is_alphanumeric() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character.is_alphanumeric(), words.last_mut()) {
            word.extend(character.to_lowercase());
        }
        before = character;
    }
    let without_digits =
        |word: String| word.trim_end_matches(|character: char| character.is_ascii_digit()).to_owned();
    words.into_iter().map(without_digits).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Role) {
        assert_eq!(role(name, false), expected, "{name}: {:?}", words(name));
    }

    #[test]
    fn a_total_of_parts_is_a_part() {
        for name in
            ["TotalGPU_Power_0", "Total GPU Power", "Total Fan Power", "total_memory_power", "TotalCPUPower"]
        {
            check(name, Role::Part);
        }
        for name in
            ["TotalHSC_Power_0", "total_power", "Total Power", "System Input Power", "Chassis Power Control"]
        {
            check(name, Role::System);
        }
    }

    #[test]
    fn supplies_are_reported_by_name_or_by_where_they_are() {
        for name in ["PS1 Input Power", "PSU2_PIN", "ps0_input_power", "Power Supply 2", "psu 1 power"] {
            check(name, Role::SupplyInput);
        }
        for name in ["PSU1_POUT", "PS1 Power Out", "PSU1POut"] {
            check(name, Role::SupplyOutput);
        }
        assert_eq!(role("PMB1Power", true), Role::SupplyInput);
        check("PMB1Power", Role::Unknown);
        check("Watts A", Role::Unknown);
        check("HSC_0_Power_0", Role::Unknown);
        check("", Role::Unknown);
    }

    #[test]
    fn words_end_at_signs_and_where_capitals_begin() {
        assert_eq!(words("HGX_Chassis_0_TotalGPU_Power_0"), ["hgx", "chassis", "total", "gpu", "power"]);
        assert_eq!(words("CPU1 Pwr"), ["cpu", "pwr"]);
        assert_eq!(words("GPUTotal"), ["gpu", "total"]);
        assert_eq!(words("PCIe1 Power"), ["pcie", "power"]);
        assert_eq!(words("0"), [""; 0]);
    }
}
