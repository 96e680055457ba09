//! The nvml driver with a stand-in for NVIDIA's library.

use kwapi_peers::need;
use kwapi_peers::nvml::{StandInGpu, StandInNvml};

use crate::suite::{Device, Fault, complies};

struct Machine(StandInNvml);

fn gpu() -> StandInGpu {
    StandInGpu {
        uuid: "GPU-6b0d".to_owned(),
        serial: None,
        bus: 0x17,
        energy_millijoules: Some(77_000),
        power_milliwatts: Some(310_000),
        code: 0,
    }
}

fn boot() -> Machine {
    let library = StandInNvml::build(false);
    library.set(0, &[gpu()]);
    Machine(library)
}

impl Device for Machine {
    const DRIVER: &'static str = "nvml";

    fn keys(&self) -> String {
        format!("library = '{}'", self.0.library().display())
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Disconnect => self.0.set(9, &[StandInGpu { code: 15, ..gpu() }]),
            Fault::NoPower => {
                self.0.set(0, &[StandInGpu { power_milliwatts: None, energy_millijoules: None, ..gpu() }]);
            }
            // A library answers in numbers or not at all.
            Fault::Garbage | Fault::HalfAnswer | Fault::Hang | Fault::WrongSecret => return false,
        }
        true
    }
}

#[tokio::test]
async fn nvml_complies() {
    if need(&["cc"]) {
        complies(async || boot()).await;
    }
}
