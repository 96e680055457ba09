//! A recorded walk of a device, as somebody sends it in, under every profile.

#![no_main]

use kwapi_drivers::snmp::{Catalogue, evaluate, parse_snmprec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let (Ok(walk), Ok(catalogue)) = (parse_snmprec(text), Catalogue::built_in()) {
        for profile in catalogue.iter() {
            evaluate(profile, &walk);
        }
    }
});
