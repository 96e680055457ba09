//! The fuzz targets without the fuzzer: each over its seeds and mutations of them, the same at every run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state what they expect by failing"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

#[allow(unreachable_pub, reason = "it is the fuzzer's library too")]
#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

/// Enough to pass over each field of a seed many times.
const MUTATIONS: usize = 50_000;
/// Slow targets get fewer.
const TIME_MAX: Duration = Duration::from_secs(1);
/// What parsers compare with and count by.
const TRICKY: [&[u8]; 12] = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\"",
    b"{",
    b"]",
    b"-",
    b"1e999",
    b"18446744073709551616",
    "é".as_bytes(),
];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

/// Overwrites, inserts, cuts, doubles or joins, a few times.
fn mutate(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..=4) {
        let from = random.random_range(0..=bytes.len());
        let to = random.random_range(from..=bytes.len().min(from + 16));
        match random.random_range(0..6) {
            0 => bytes.truncate(from),
            1 => drop(bytes.drain(from..to)),
            2 => drop(bytes.splice(from..to, bytes[from..to].repeat(2))),
            3 => drop(bytes.splice(from..to, TRICKY.choose(random).into_iter().copied().flatten().copied())),
            4 => {
                let other = seeds.choose(random).map(Vec::as_slice).unwrap_or_default();
                bytes.splice(from.., other.get(to..).unwrap_or_default().iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
    bytes
}

#[test]
fn no_parser_panics_on_its_seeds_and_what_is_near_them() {
    for (name, run) in targets::TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let mut random = StdRng::seed_from_u64(1);
        let began = Instant::now();
        let mutations = std::iter::repeat_with(|| mutate(&mut random, &seeds)).take(MUTATIONS);
        for bytes in seeds.iter().cloned().chain(mutations) {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&bytes)));
            assert!(outcome.is_ok(), "{name} panics on \"{}\"", bytes.escape_ascii());
            if began.elapsed() > TIME_MAX {
                break;
            }
        }
    }
}
