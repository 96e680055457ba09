//! The `pm_counters` driver against a node of files: the kernel itself has no simulator.

use std::fs;

use tempfile::TempDir;

use crate::suite::{Device, Fault, complies};

struct Node(TempDir);

fn plant() -> Node {
    let root = tempfile::tempdir().expect("a scratch directory");
    for (file, text) in [("power", "412 W"), ("energy", "918273 J"), ("power_cap", "0 W")] {
        fs::write(root.path().join(file), text).expect("a file");
    }
    Node(root)
}

impl Device for Node {
    const DRIVER: &'static str = "pm_counters";

    fn keys(&self) -> String {
        format!("root = '{}'", self.0.path().display())
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let write = |text: &str| {
            ["power", "energy"].into_iter().all(|file| fs::write(self.0.path().join(file), text).is_ok())
        };
        match fault {
            Fault::Garbage => write("\u{0}soon"),
            Fault::HalfAnswer => write("41"),
            Fault::Disconnect => {
                ["power", "energy"].into_iter().all(|file| fs::remove_file(self.0.path().join(file)).is_ok())
            }
            // The kernel answers or the file is not there.
            Fault::Hang | Fault::WrongSecret | Fault::NoPower => false,
        }
    }
}

#[tokio::test]
async fn pm_counters_complies() {
    complies(async || plant()).await;
}
