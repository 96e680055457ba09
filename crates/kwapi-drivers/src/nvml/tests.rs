//! The driver with a stand-in for NVIDIA's library, loaded as the real one is: this is no GPU, and judges the calls, the
//! structures and what becomes of errors. What an H100 reports is in the manual.

use kwapi_peers::need;
use kwapi_peers::nvml::{StandInGpu, StandInNvml};

use super::*;
use crate::testing::{by_key, round};

fn gpu(bus: u32, energy: u64, power: u64) -> StandInGpu {
    StandInGpu {
        uuid: format!("GPU-0f4e1d2c-{bus:04x}"),
        serial: Some(format!("16508{bus}")),
        bus,
        energy_millijoules: Some(energy),
        power_milliwatts: Some(power),
        code: 0,
    }
}

fn named(keys: &[&str]) -> Outlets {
    let probes: Vec<String> = keys.iter().map(|key| format!("p{key}")).collect();
    by_key(keys.iter().copied().zip(probes.iter().map(String::as_str)))
}

async fn open(library: &StandInNvml, outlets: &Outlets) -> Result<Nvml, DriverError> {
    Nvml::open(&NvmlConfig { library: library.library() }, outlets, &Arc::default()).await
}

/// One round as text.
async fn read(meter: &mut Nvml) -> Result<String, DriverError> {
    Ok(round(meter).await?.join("; "))
}

#[tokio::test]
async fn a_gpu_reports_its_register_and_its_present_power_by_each_of_its_names() {
    if !need(&["cc"]) {
        return;
    }
    let library = StandInNvml::build(false);
    library.set(0, &[gpu(0x3b, 41_526_500, 70_818), gpu(0xd8, 9_000, 700_250)]);
    let mut meter = open(&library, &Outlets::all("n.{outlet}")).await.unwrap();
    let expected = "n.nvidia-pci-3b00: 70.818 W, 41526.5 J; n.nvidia-pci-d800: 700.25 W, 9 J";
    assert_eq!(read(&mut meter).await.unwrap(), expected);
    let findings = meter.findings();
    assert_eq!((findings[0].what.as_str(), findings[0].value.as_str()), ("driver", "999.1"));
    let why =
        "NVIDIA Stand-in, gpu1, GPU-0f4e1d2c-00d8, serial 16508216; its energy register takes precedence";
    assert_eq!(findings[2].why, why);
    for key in ["nvidia-pci-d800", "gpu1", "GPU-0f4e1d2c-00d8", "16508216", "2"] {
        let mut meter = open(&library, &named(&[key])).await.unwrap();
        assert_eq!(read(&mut meter).await.unwrap(), format!("p{key}: 700.25 W, 9 J"));
    }
    let error = open(&library, &named(&["gpu2"])).await.unwrap_err();
    assert!(matches!(error, DriverError::NothingToRead(_)), "{error:?}");
    assert!(error.to_string().contains("nvidia-pci-3b00 (GPU-0f4e1d2c-003b)"), "{error}");
}

#[tokio::test]
async fn the_register_is_known_by_the_gpu_and_not_beyond_the_boot() {
    if !need(&["cc"]) {
        return;
    }
    let library = StandInNvml::build(false);
    library.set(0, &[gpu(0x3b, 5, 70_000)]);
    let mut meter = open(&library, &named(&["1"])).await.unwrap();
    let mut readings = Readings::default();
    meter.read(&mut readings).await.unwrap();
    let reading = readings.drain().next().unwrap().1.unwrap();
    assert_eq!(reading.counter, Some(MeterCounter::new(Energy::from_millijoules(5), RESOLUTION)));
    let register = reading.register.unwrap();
    assert_eq!(register.serial.as_deref(), Some("GPU-0f4e1d2c-003b"));
    assert!(register.is_in_host && !register.is_of_session);
}

#[tokio::test]
async fn an_older_driver_and_an_older_gpu_are_read_as_far_as_they_measure() {
    if !need(&["cc"]) {
        return;
    }
    let library = StandInNvml::build(true);
    let without = StandInGpu { energy_millijoules: None, serial: None, ..gpu(4, 0, 33_000) };
    let nothing = StandInGpu { energy_millijoules: None, power_milliwatts: None, ..gpu(5, 0, 0) };
    library.set(0, &[gpu(3, 12_000, 70_000), without, nothing]);
    let mut meter = open(&library, &Outlets::all("{outlet}")).await.unwrap();
    // The older call returns the mean of a second, one watt more here.
    let expected = "nvidia-pci-0300: 71 W, 12 J; nvidia-pci-0400: 34 W; nvidia-pci-0500: not available: \
                    NVIDIA Stand-in, gpu2, GPU-0f4e1d2c-0005, serial 165085 does not measure power";
    assert_eq!(read(&mut meter).await.unwrap(), expected);
    assert!(meter.findings()[2].why.ends_with("no energy register; power only"));
    let found = readable(&library.library());
    assert_eq!(found, ["nvidia-pci-0300", "nvidia-pci-0400"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_gpu_costs_itself_alone_and_is_read_again_when_it_is_back() {
    if !need(&["cc"]) {
        return;
    }
    let library = StandInNvml::build(false);
    let lost = StandInGpu { code: 15, ..gpu(0xd8, 0, 0) };
    library.set(0, &[gpu(0x3b, 1_000, 70_000), gpu(0xd8, 2_000, 80_000)]);
    let mut meter = open(&library, &named(&["gpu0", "gpu1"])).await.unwrap();
    library.set(0, &[gpu(0x3b, 1_000, 70_000), lost.clone()]);
    let gone = "pgpu1: not available: NVML: GPU is lost (15); the GPU fell off the bus; check the kernel log for \
                Xid 79; a reboot restores it";
    assert_eq!(read(&mut meter).await.unwrap(), format!("pgpu0: 70 W, 1 J; {gone}"));
    assert_eq!(library.log(), "i");
    tokio::time::advance(LOST_PAUSE).await;
    // Reopened, and still lost: it cannot be opened.
    let outcome = read(&mut meter).await.unwrap();
    assert_eq!(outcome, "pgpu0: 70 W, 1 J; pgpu1: not available: GPU \"gpu1\" is not reported by the driver");
    assert_eq!(library.log(), "isi", "a library that is never shut down does not find it again");
    let left_out = meter.findings().pop().unwrap();
    assert_eq!((left_out.what.as_str(), left_out.is_used), ("gpu1", false));
    library.set(0, &[gpu(0x3b, 1_000, 70_000), gpu(0xd8, 10, 80_000)]);
    tokio::time::advance(LOST_PAUSE).await;
    assert_eq!(read(&mut meter).await.unwrap(), "pgpu0: 70 W, 1 J; pgpu1: 80 W, 0.01 J");
    library.set(0, &[StandInGpu { code: 15, ..gpu(0x3b, 0, 0) }, lost]);
    assert!(matches!(read(&mut meter).await, Err(DriverError::Link(_))), "the manager reopens it");
}

#[tokio::test]
async fn what_is_missing_names_the_remedy() {
    if !need(&["cc"]) {
        return;
    }
    let library = StandInNvml::build(false);
    for (code, is_refused, expected) in [
        (
            4,
            true,
            "refused: NVML: Insufficient Permissions (4); grant the user that runs kwapi access to /dev/nvidia*",
        ),
        (9, false, "the NVIDIA kernel module is not loaded (modprobe nvidia)"),
        (18, false, "the driver was updated but the kernel still runs the previous one"),
    ] {
        library.set(code, &[gpu(3, 1, 1)]);
        let error = open(&library, &named(&["1"])).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(matches!(error, DriverError::Refused(_)), is_refused, "{error:?}");
        assert!(readable(&library.library()).is_empty());
    }
    library.set(0, &[]);
    assert!(matches!(open(&library, &Outlets::all("{outlet}")).await, Err(DriverError::NothingToRead(_))));
}

#[tokio::test]
async fn a_library_that_is_not_there_or_not_nvml_is_refused() {
    for (library, expected) in [
        ("/nowhere/libnvidia-ml.so.1", "it is part of the NVIDIA driver"),
        ("libc.so.6", "not an NVML library"),
    ] {
        let config = NvmlConfig { library: library.into() };
        let error = Nvml::open(&config, &named(&["1"]), &Arc::default()).await.unwrap_err();
        assert!(matches!(&error, DriverError::Refused(why) if why.contains(expected)), "{error:?}");
    }
}

#[tokio::test]
async fn a_session_that_ends_shuts_the_library() {
    if !need(&["cc"]) {
        return;
    }
    let library = StandInNvml::build(false);
    library.set(0, &[gpu(3, 1, 1)]);
    drop(open(&library, &named(&["1"])).await.unwrap());
    kwapi_peers::wait_until("the library is shut", Duration::from_secs(10), || {
        (library.log() == "is").then_some(())
    });
}
