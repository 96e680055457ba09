//! A stand-in for NVIDIA's management library, built by the C compiler: a shared library that answers from a text file.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("nvml.c");

/// One GPU of the stand-in.
#[derive(Clone, Debug)]
pub struct StandInGpu {
    /// `GPU-…`.
    pub uuid: String,
    /// The board's; `None`: not supported.
    pub serial: Option<String>,
    /// Its number on the PCI bus.
    pub bus: u32,
    /// What its register shows, in millijoules; `None`: it has none.
    pub energy_millijoules: Option<u64>,
    /// Its power, in milliwatts; `None`: it measures none.
    pub power_milliwatts: Option<u64>,
    /// What all its calls return (`nvmlReturn_t`): 0, 15 (lost), …
    pub code: i32,
}

/// The library, and the file it answers from.
#[derive(Debug)]
pub struct StandInNvml {
    directory: tempfile::TempDir,
}

impl StandInNvml {
    /// Builds it. `is_old`: without the calls that came with driver 415.
    ///
    /// # Panics
    /// When the compiler refuses.
    pub fn build(is_old: bool) -> Self {
        let built = Self { directory: tempfile::tempdir().expect("a scratch directory") };
        let source = built.file("nvml.c");
        std::fs::write(&source, SOURCE).expect("a source file");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(built.library()).arg(source);
        compiler.arg(format!("-DSTATE=\"{}\"", built.file("state").display()));
        compiler.args(is_old.then_some("-DOLD"));
        let output = compiler.output().expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built
    }

    /// The library.
    pub fn library(&self) -> PathBuf {
        self.file("libnvidia-ml.so.1")
    }

    /// Sets what it answers from now on. `init` is what `nvmlInit_v2` returns.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set(&self, init: i32, gpus: &[StandInGpu]) {
        let mut text = format!("init {init}\n");
        for gpu in gpus {
            let number =
                |value: Option<u64>| value.map_or_else(|| "-1".to_owned(), |value| value.to_string());
            let (energy, power) = (number(gpu.energy_millijoules), number(gpu.power_milliwatts));
            let serial = gpu.serial.as_deref().unwrap_or("-");
            let (uuid, bus, code) = (&gpu.uuid, gpu.bus, gpu.code);
            _ = writeln!(text, "gpu {uuid} {serial} {bus:x} {energy} {power} {code}");
        }
        // In place at once: the library may be reading.
        std::fs::write(self.file("state.new"), text).expect("a state file");
        std::fs::rename(self.file("state.new"), self.file("state")).expect("a state file");
    }

    /// A letter for each call that opened (`i`) or shut (`s`) it.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("state.log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}
