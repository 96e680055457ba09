//! NVIDIA's management library (NVML), as far as it measures: which GPUs there are, their power and their energy.
//!
//! The library comes with NVIDIA's driver and is loaded when it is wanted, so that one binary runs with and without it.
//! All calls block, some for milliseconds and more when a GPU is in trouble: keep them off an asynchronous runtime.
//! What is safe to call is [`Library`] and [`Device`]; no pointer leaves this crate. Its tests are those of the driver
//! `nvml` in kwapi-drivers, which load a stand-in.
//!
//! Source: `nvml.h` of CUDA 12, *NVML API Reference Guide*.

mod error;
mod loaded;

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::Arc;

pub use error::{Error, ErrorCode};
use loaded::{FieldValue, Loaded, PciInfo};

/// What Linux calls the library; the loader looks for it where the driver has put it.
pub const LIBRARY: &str = "libnvidia-ml.so.1";

/// `NVML_DEVICE_UUID_V2_BUFFER_SIZE` and `NVML_DEVICE_NAME_V2_BUFFER_SIZE`, the largest texts there are.
const TEXT_BYTES: usize = 96;
/// `NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION`: millijoules since the driver was loaded.
const FIELD_ENERGY: c_uint = 83;
/// `NVML_FI_DEV_POWER_INSTANT`: milliwatts now, where `nvmlDeviceGetPowerUsage` is a mean over a second.
const FIELD_POWER: c_uint = 186;

/// The library, loaded and initialised. Dropped with its last [`Device`], it is shut down and unloaded.
#[derive(Clone, Debug)]
pub struct Library(Arc<Loaded>);

impl Library {
    /// Loads the library called `name` (a name for the loader, or a path with a slash) and initialises it.
    ///
    /// # Errors
    /// When it is not there, is no NVML, or does not reach the driver.
    pub fn load(name: &str) -> Result<Self, Error> {
        Loaded::open(name).map(|loaded| Self(Arc::new(loaded)))
    }

    /// The version of the driver: `580.159.04`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn driver_version(&self) -> Result<String, Error> {
        let call = self.0.system_get_driver_version.ok_or(Error::missing("nvmlSystemGetDriverVersion"))?;
        // SAFETY: the library writes at most as many bytes as it is given.
        text(|buffer, length| self.0.check(unsafe { call(buffer, length) }))
    }

    /// The GPUs, in the library's order, which is that of `nvidia-smi`. One that the library cannot open is an error of its
    /// own, so that it costs itself alone. A GPU that is divided (MIG) is one.
    ///
    /// # Errors
    /// When the library does not report how many there are.
    pub fn devices(&self) -> Result<Vec<Result<Device, Error>>, Error> {
        let mut count: c_uint = 0;
        // SAFETY: the pointer is to a number of ours, which outlives the call.
        self.0.check(unsafe { (self.0.device_get_count)(&raw mut count) })?;
        let device = |index| {
            let mut handle: *mut c_void = std::ptr::null_mut();
            // SAFETY: as above. The handle is the library's and stands until it is shut down.
            self.0.check(unsafe { (self.0.device_get_handle_by_index)(index, &raw mut handle) })?;
            Ok(Device { library: Arc::clone(&self.0), handle: Handle(handle) })
        };
        Ok((0..count.min(DEVICES_MAX)).map(device).collect())
    }
}

/// More GPUs of one machine are not looked at.
const DEVICES_MAX: c_uint = 256;

#[derive(Clone, Copy, Debug)]
struct Handle(*mut c_void);
// SAFETY: the library lends a handle to every thread ("NVML is thread-safe", API guide, chapter 1), and it is never
// dereferenced here.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// One GPU.
#[derive(Clone, Debug)]
pub struct Device {
    library: Arc<Loaded>,
    handle: Handle,
}

/// What a GPU measures at one moment. `Err` with [`ErrorCode::NotSupported`] is a GPU that does not measure this.
#[derive(Clone, Debug)]
pub struct GpuSample {
    /// Its energy since the driver was loaded, in millijoules.
    pub energy_millijoules: Result<u64, Error>,
    /// Its power, in milliwatts: the present one where the GPU reports it, otherwise the mean of a second.
    pub power_milliwatts: Result<u64, Error>,
}

impl Device {
    /// `GPU-…`, which no other GPU has.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn uuid(&self) -> Result<String, Error> {
        text(|buffer, length| {
            // SAFETY: the handle is the library's; it writes at most as many bytes as it is given.
            self.library.check(unsafe { (self.library.device_get_uuid)(self.handle.0, buffer, length) })
        })
    }

    /// The board's serial number; [`ErrorCode::NotSupported`] of most cards for desktops.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn serial(&self) -> Result<String, Error> {
        self.optional_text(self.library.device_get_serial, "nvmlDeviceGetSerial")
    }

    /// The product: `NVIDIA H100 80GB HBM3`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn name(&self) -> Result<String, Error> {
        self.optional_text(self.library.device_get_name, "nvmlDeviceGetName")
    }

    /// Where it is on the PCI bus: domain, bus, device.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn pci(&self) -> Result<(u32, u32, u32), Error> {
        let call = self.library.device_get_pci_info.ok_or(Error::missing("nvmlDeviceGetPciInfo_v3"))?;
        let mut info = PciInfo::default();
        // SAFETY: the structure is that of the call's version, and outlives it.
        self.library.check(unsafe { call(self.handle.0, &raw mut info) })?;
        Ok((info.domain, info.bus, info.device))
    }

    /// Power and energy, in one call where the driver has it.
    pub fn sample(&self) -> GpuSample {
        let fields = self.fields();
        let [energy, power] = match fields {
            Ok(values) => values.map(|value| self.whole(&value)),
            Err(error) => [Err(error.clone()), Err(error)],
        };
        // An older driver does not have the field, or none at all; a GPU that is lost is lost by every call.
        let or = |field: Result<u64, Error>, older: &dyn Fn() -> Result<u64, Error>| match field {
            Err(error) if !error.is_of_the_gpu() => older(),
            field => field,
        };
        GpuSample {
            energy_millijoules: or(energy, &|| self.total_energy()),
            power_milliwatts: or(power, &|| self.power_usage()),
        }
    }

    fn fields(&self) -> Result<[FieldValue; 2], Error> {
        let call = self.library.device_get_field_values.ok_or(Error::missing("nvmlDeviceGetFieldValues"))?;
        let mut values = [FieldValue::of(FIELD_ENERGY), FieldValue::of(FIELD_POWER)];
        let count = c_int::try_from(values.len()).unwrap_or(0);
        // SAFETY: the library writes into as many structures as it is given, which are ours and outlive the call.
        self.library.check(unsafe { call(self.handle.0, count, values.as_mut_ptr()) })?;
        Ok(values)
    }

    fn whole(&self, value: &FieldValue) -> Result<u64, Error> {
        self.library.check(value.nvml_return)?;
        value
            .whole()
            .ok_or(Error::of(ErrorCode::NotSupported, format!("field {} is not a number", value.field_id)))
    }

    fn total_energy(&self) -> Result<u64, Error> {
        let call = self.library.device_get_total_energy;
        let call = call.ok_or(Error::missing("nvmlDeviceGetTotalEnergyConsumption"))?;
        let mut millijoules: c_ulonglong = 0;
        // SAFETY: the pointer is to a number of ours, which outlives the call.
        self.library.check(unsafe { call(self.handle.0, &raw mut millijoules) })?;
        Ok(millijoules)
    }

    fn power_usage(&self) -> Result<u64, Error> {
        let call = self.library.device_get_power_usage.ok_or(Error::missing("nvmlDeviceGetPowerUsage"))?;
        let mut milliwatts: c_uint = 0;
        // SAFETY: as above.
        self.library.check(unsafe { call(self.handle.0, &raw mut milliwatts) })?;
        Ok(milliwatts.into())
    }

    fn optional_text(&self, call: Option<loaded::DeviceText>, name: &'static str) -> Result<String, Error> {
        let call = call.ok_or(Error::missing(name))?;
        // SAFETY: as for `uuid`.
        text(|buffer, length| self.library.check(unsafe { call(self.handle.0, buffer, length) }))
    }
}

/// A text that the library writes into a buffer, up to its zero byte.
fn text(write: impl FnOnce(*mut c_char, c_uint) -> Result<(), Error>) -> Result<String, Error> {
    let mut buffer = [0_u8; TEXT_BYTES];
    write(buffer.as_mut_ptr().cast(), c_uint::try_from(buffer.len()).unwrap_or(0))?;
    let text = buffer.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}
