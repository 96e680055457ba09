//! The hwmon driver against a chip of files: the kernel itself has no simulator.

use std::fs;

use tempfile::TempDir;

use crate::suite::{Device, Fault, complies};

struct Chip(TempDir);

fn plant() -> Chip {
    let root = tempfile::tempdir().expect("a scratch directory");
    let chip = root.path().join("hwmon0");
    fs::create_dir(&chip).expect("a chip");
    for (file, text) in [("name", "ina219"), ("power1_input", "4250000"), ("in1_input", "5020")] {
        fs::write(chip.join(file), text).expect("a file");
    }
    Chip(root)
}

impl Device for Chip {
    const DRIVER: &'static str = "hwmon";

    fn keys(&self) -> String {
        format!("root = '{}'", self.0.path().display())
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let power = self.0.path().join("hwmon0/power1_input");
        match fault {
            Fault::Garbage => fs::write(power, "\u{0}soon").is_ok(),
            Fault::Disconnect => fs::remove_dir_all(self.0.path().join("hwmon0")).is_ok(),
            Fault::HalfAnswer => fs::write(power, "").is_ok(),
            // A driver that gives no value gives an error, which a file cannot.
            Fault::Hang | Fault::WrongSecret | Fault::NoPower => false,
        }
    }
}

#[tokio::test]
async fn hwmon_complies() {
    complies(async || plant()).await;
}
