//! The library in memory: its functions, under the types of `nvml.h`.

use std::ffi::{CStr, CString, c_char, c_int, c_longlong, c_uint, c_ulonglong, c_void};
use std::fmt;

use crate::error::{Error, ErrorCode};

type NoArguments = unsafe extern "C" fn() -> c_int;
type SystemText = unsafe extern "C" fn(*mut c_char, c_uint) -> c_int;
type Count = unsafe extern "C" fn(*mut c_uint) -> c_int;
type HandleByIndex = unsafe extern "C" fn(c_uint, *mut *mut c_void) -> c_int;
pub(crate) type DeviceText = unsafe extern "C" fn(*mut c_void, *mut c_char, c_uint) -> c_int;
type DevicePci = unsafe extern "C" fn(*mut c_void, *mut PciInfo) -> c_int;
type DeviceWord = unsafe extern "C" fn(*mut c_void, *mut c_uint) -> c_int;
type DeviceLong = unsafe extern "C" fn(*mut c_void, *mut c_ulonglong) -> c_int;
type DeviceFields = unsafe extern "C" fn(*mut c_void, c_int, *mut FieldValue) -> c_int;
type ErrorText = unsafe extern "C" fn(c_int) -> *const c_char;

/// `nvmlPciInfo_t` of `nvmlDeviceGetPciInfo_v3`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct PciInfo {
    bus_id_legacy: [c_char; 16],
    pub(crate) domain: c_uint,
    pub(crate) bus: c_uint,
    pub(crate) device: c_uint,
    pci_device_id: c_uint,
    pci_subsystem_id: c_uint,
    bus_id: [c_char; 32],
}

/// `nvmlFieldValue_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldValue {
    pub(crate) field_id: c_uint,
    scope_id: c_uint,
    timestamp: c_longlong,
    latency_usec: c_longlong,
    value_type: c_uint,
    pub(crate) nvml_return: c_int,
    /// A union of all types there are; the smaller ones lie at its beginning.
    value: [u8; 8],
}

impl FieldValue {
    pub(crate) fn of(field_id: c_uint) -> Self {
        // A field that the library leaves alone is not supported.
        Self {
            field_id,
            scope_id: 0,
            timestamp: 0,
            latency_usec: 0,
            value_type: c_uint::MAX,
            nvml_return: 3,
            value: [0; 8],
        }
    }

    /// Its value where it is a whole number that is not negative, by `nvmlValueType_t`.
    pub(crate) fn whole(&self) -> Option<u64> {
        let [a, b, c, d, ..] = self.value;
        match self.value_type {
            1 => Some(u32::from_ne_bytes([a, b, c, d]).into()),
            2 if size_of::<libc::c_ulong>() == 4 => Some(u32::from_ne_bytes([a, b, c, d]).into()),
            2 | 3 => Some(u64::from_ne_bytes(self.value)),
            4 => u64::try_from(i64::from_ne_bytes(self.value)).ok(),
            5 => u64::try_from(i32::from_ne_bytes([a, b, c, d])).ok(),
            6 => Some(u16::from_ne_bytes([a, b]).into()),
            _ => None,
        }
    }
}

/// The functions of a library that is loaded and initialised. Those that older drivers lack are options.
pub(crate) struct Loaded {
    library: *mut c_void,
    shutdown: NoArguments,
    error_string: Option<ErrorText>,
    pub(crate) system_get_driver_version: Option<SystemText>,
    pub(crate) device_get_count: Count,
    pub(crate) device_get_handle_by_index: HandleByIndex,
    pub(crate) device_get_uuid: DeviceText,
    pub(crate) device_get_serial: Option<DeviceText>,
    pub(crate) device_get_name: Option<DeviceText>,
    pub(crate) device_get_pci_info: Option<DevicePci>,
    pub(crate) device_get_field_values: Option<DeviceFields>,
    pub(crate) device_get_total_energy: Option<DeviceLong>,
    pub(crate) device_get_power_usage: Option<DeviceWord>,
}

// SAFETY: the library may be called from any thread, and the pointer is used by `drop` alone.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NVML")
    }
}

/// A library that is unloaded again unless all goes well.
struct Guard(*mut c_void);

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: the pointer is of `dlopen`, and nothing of the library is in use any more.
        unsafe { libc::dlclose(self.0) };
    }
}

impl Loaded {
    pub(crate) fn open(name: &str) -> Result<Self, Error> {
        let no_library = |message: String| Error::of(ErrorCode::NoLibrary, message);
        let c_name = CString::new(name)
            .map_err(|_| no_library("a library name must not contain a zero byte".into()))?;
        // SAFETY: the name ends in a zero byte. Loading runs the library's own start-up code: which library it is, is the
        // operator's word, or the system's.
        let library = unsafe { libc::dlopen(c_name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(no_library(loader_error()));
        }
        let guard = Guard(library);
        // SAFETY: each name has the type that nvml.h declares for it; `symbol` gives no null pointer.
        let (init, loaded) = unsafe {
            let init: NoArguments = required(library, c"nvmlInit_v2")?;
            let loaded = Self {
                library,
                shutdown: required(library, c"nvmlShutdown")?,
                error_string: symbol(library, c"nvmlErrorString"),
                system_get_driver_version: symbol(library, c"nvmlSystemGetDriverVersion"),
                device_get_count: required(library, c"nvmlDeviceGetCount_v2")?,
                device_get_handle_by_index: required(library, c"nvmlDeviceGetHandleByIndex_v2")?,
                device_get_uuid: required(library, c"nvmlDeviceGetUUID")?,
                device_get_serial: symbol(library, c"nvmlDeviceGetSerial"),
                device_get_name: symbol(library, c"nvmlDeviceGetName"),
                device_get_pci_info: symbol(library, c"nvmlDeviceGetPciInfo_v3"),
                device_get_field_values: symbol(library, c"nvmlDeviceGetFieldValues"),
                device_get_total_energy: symbol(library, c"nvmlDeviceGetTotalEnergyConsumption"),
                device_get_power_usage: symbol(library, c"nvmlDeviceGetPowerUsage"),
            };
            (init, std::mem::ManuallyDrop::new(loaded))
        };
        // SAFETY: the function takes nothing; it may be called again after a failure.
        loaded.check(unsafe { init() })?;
        std::mem::forget(guard);
        Ok(std::mem::ManuallyDrop::into_inner(loaded))
    }

    /// An `nvmlReturn_t` as a result, in the library's words.
    pub(crate) fn check(&self, code: c_int) -> Result<(), Error> {
        if code == 0 {
            return Ok(());
        }
        let text = self.error_string.and_then(|call| {
            // SAFETY: the library gives a text of its own for every number, that stands as long as it is loaded.
            let text = unsafe { call(code) };
            // SAFETY: as above.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        });
        let text = text.unwrap_or_else(|| "failed".to_owned());
        Err(Error::of(ErrorCode::of(code), format!("NVML: {text} ({code})")))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: it was initialised; every device holds the library, so that none is in use.
        unsafe { (self.shutdown)() };
        drop(Guard(self.library));
    }
}

/// Why the loader failed.
fn loader_error() -> String {
    // SAFETY: the text is the loader's, of this thread, and stands until its next call.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "unknown loader error".to_owned();
    }
    // SAFETY: as above; it ends in a zero byte.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The function called `name`, if the library has it.
///
/// # Safety
/// `F` is the type of a pointer to that function.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &CStr) -> Option<F> {
    assert!(size_of::<F>() == size_of::<*mut c_void>(), "a function pointer");
    // SAFETY: the library is loaded, the name ends in a zero byte.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: the address is not null, and that of a function of type `F`, as the caller vouches.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
}

/// As [`symbol`], of a function that every driver has had since 2012.
///
/// # Safety
/// As for [`symbol`].
unsafe fn required<F: Copy>(library: *mut c_void, name: &CStr) -> Result<F, Error> {
    // SAFETY: the caller vouches for the type.
    unsafe { symbol(library, name) }.ok_or_else(|| {
        Error::of(ErrorCode::NoLibrary, format!("not an NVML library: {} is missing", name.to_string_lossy()))
    })
}
