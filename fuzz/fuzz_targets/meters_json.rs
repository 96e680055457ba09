//! JSON of every device that speaks it: Redfish, Shelly, Tasmota, and documents of the operator's own.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    kwapi_drivers::redfish::resource::parse_anything(bytes);
    kwapi_drivers::shelly::status::parse_anything(bytes);
    kwapi_drivers::tasmota::parse_anything(bytes);
    kwapi_drivers::json_values::parse_anything(bytes);
});
