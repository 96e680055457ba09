//! RRD files from anywhere.
#![no_main]

use kwapi_core::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| kwapi_history::rrd::exercise(bytes, Timestamp::from_seconds(1_700_000_000)));
