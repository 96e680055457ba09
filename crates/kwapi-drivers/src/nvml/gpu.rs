//! The library with the GPUs it finds, and what each is called.

use std::thread;

use nvml_sys::{Device, Error, GpuSample, Library};

use crate::parts::printable;

/// The library and its GPUs; by default none.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    library: Option<Library>,
    pub(super) driver: String,
    pub(super) gpus: Vec<Gpu>,
    /// GPUs that the library counts and cannot open, by number.
    pub(super) missing: Vec<(usize, Error)>,
}

impl Loaded {
    /// Loads the library and looks at every GPU. Blocks.
    ///
    /// # Errors
    /// When the library is not there or does not reach the driver, or none of the GPUs can be opened.
    pub(super) fn open(name: &str) -> Result<Self, Error> {
        let library = Library::load(name)?;
        let driver = library.driver_version().unwrap_or_else(|error| error.to_string());
        let (mut gpus, mut missing) = (Vec::new(), Vec::new());
        for (index, device) in library.devices()?.into_iter().enumerate() {
            match device.and_then(|device| Gpu::of(index, device)) {
                Ok(gpu) => gpus.push(gpu),
                Err(error) => missing.push((index, error)),
            }
        }
        match missing.first() {
            Some((_, error)) if gpus.is_empty() => Err(error.clone()),
            Some(_) | None => Ok(Self { library: Some(library), driver: printable(&driver), gpus, missing }),
        }
    }
}

impl Loaded {
    /// Shuts the library down. Blocks.
    pub(super) fn close(mut self) {
        self.gpus.clear();
        self.library = None;
    }
}

impl Drop for Loaded {
    /// Shutting down the library blocks: on a thread of its own, which nobody waits for.
    fn drop(&mut self) {
        let held = (self.library.take(), std::mem::take(&mut self.gpus));
        if held.0.is_none() {
            return;
        }
        let thread = thread::Builder::new().name("kwapi-nvml".to_owned());
        _ = thread.spawn(move || drop(held));
    }
}

/// One GPU, and what it is called.
#[derive(Debug)]
pub(super) struct Gpu {
    /// `nvidia-pci-3b00`; by its number where the library does not report its place.
    pub(super) key: String,
    pub(super) uuid: String,
    /// The product.
    pub(super) name: Option<String>,
    serial: Option<String>,
    index: usize,
    device: Device,
}

impl Gpu {
    fn of(index: usize, device: Device) -> Result<Self, Error> {
        let uuid = printable(&device.uuid()?);
        let place = |(domain, bus, slot): (u32, u32, u32)| {
            let address = u64::from(domain) << 16 | u64::from(bus & 0xff) << 8 | u64::from(slot & 0x1f) << 3;
            format!("nvidia-pci-{address:04x}")
        };
        let key = device.pci().map_or_else(|_| format!("gpu{index}"), place);
        let known = |text: Result<String, Error>| {
            text.ok().map(|text| printable(text.trim())).filter(|text| !text.is_empty())
        };
        let (name, serial) = (known(device.name()), known(device.serial()));
        Ok(Self { key, uuid, name, serial, index, device })
    }

    /// Whether `key` is one of its names.
    pub(super) fn is_called(&self, key: &str) -> bool {
        key == self.key
            || key == self.uuid
            || self.serial.as_deref() == Some(key)
            || key.strip_prefix("gpu").and_then(|number| number.parse().ok()) == Some(self.index)
            || key.parse().ok() == self.index.checked_add(1)
    }

    /// `NVIDIA H100 80GB HBM3, gpu0, GPU-…, serial …`.
    pub(super) fn describe(&self) -> String {
        let name = self.name.as_deref().unwrap_or("GPU");
        let serial = self.serial.as_ref().map_or_else(String::new, |serial| format!(", serial {serial}"));
        format!("{name}, gpu{}, {}{serial}", self.index, self.uuid)
    }

    /// What it measures now. Blocks.
    pub(super) fn sample(&self) -> GpuSample {
        self.device.sample()
    }
}
