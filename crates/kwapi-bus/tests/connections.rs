//! How many connections a process lets in. Alone in its process, all of which the bound is for.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what tests share states what it expects by failing"
)]

#[allow(dead_code, reason = "the rest of it is for the tests of the bus")]
mod zmtp;

use kwapi_bus::{BusContext, EndpointConfig, Publisher, PublisherConfig, Scheme};
use kwapi_peers::wait_until;
use std::time::Duration;
use zmtp::Zmtp;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn those_beyond_the_bound_are_closed_at_once_and_make_room_when_they_go() {
    let context = BusContext::new();
    context.limit_connections(50);
    let config = PublisherConfig {
        endpoints: vec![EndpointConfig::new("tcp://127.0.0.1:*"), EndpointConfig::new("tcp://127.0.0.1:*")],
        signature: Scheme::None,
        keys: Vec::new(),
        high_water: None,
    };
    let publisher = Publisher::start(&context, &config, 10).expect("free endpoints");
    let come = |number: usize| Zmtp::connect(&publisher.bound()[number % 2], "SUB");
    let inside: Vec<_> = (0..50).map(|number| come(number).expect("it is let in")).collect();
    assert!((0..20).all(|number| come(number).is_err()));
    let counters = context.counters();
    assert_eq!((counters.connections, counters.connections_refused), (50, 20));
    drop(inside);
    wait_until("they are gone", LIMIT, || (context.counters().connections == 0).then_some(()));
    assert!(come(0).is_ok());
}
