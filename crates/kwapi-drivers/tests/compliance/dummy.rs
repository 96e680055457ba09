//! The dummy, which no fault can befall.

use crate::suite::{Device, Fault, complies};

struct Nothing;

impl Device for Nothing {
    const DRIVER: &'static str = "dummy";

    fn keys(&self) -> String {
        "watts = 80.0".to_owned()
    }

    async fn inflict(&mut self, _: Fault) -> bool {
        false
    }
}

#[tokio::test]
async fn dummy_complies() {
    complies(async || Nothing).await;
}
