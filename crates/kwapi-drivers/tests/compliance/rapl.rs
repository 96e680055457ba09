//! The RAPL driver against a powercap tree of files: the kernel itself has no simulator.

use std::fs;

use tempfile::TempDir;

use crate::suite::{Device, Fault, complies};

struct Tree(TempDir);

fn plant() -> Tree {
    let root = tempfile::tempdir().expect("a scratch directory");
    let zone = root.path().join("intel-rapl:0");
    fs::create_dir(&zone).expect("a zone");
    for (file, text) in
        [("name", "package-0"), ("energy_uj", "1000000"), ("max_energy_range_uj", "262143328850")]
    {
        fs::write(zone.join(file), text).expect("a file");
    }
    Tree(root)
}

impl Device for Tree {
    const DRIVER: &'static str = "rapl";

    fn keys(&self) -> String {
        format!("root = '{}'", self.0.path().display())
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let counter = self.0.path().join("intel-rapl:0/energy_uj");
        match fault {
            Fault::Garbage => fs::write(counter, "\u{0}soon").is_ok(),
            Fault::Disconnect => fs::remove_file(counter).is_ok(),
            Fault::HalfAnswer => fs::write(counter, "").is_ok(),
            // The kernel neither hangs nor requires secrets, and reports no power anyway.
            Fault::Hang | Fault::WrongSecret | Fault::NoPower => false,
        }
    }
}

#[tokio::test]
async fn rapl_complies() {
    complies(async || plant()).await;
}
