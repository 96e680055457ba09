use super::*;
use crate::ipmi::packet::{payload, plus};

fn address(last: u8) -> SocketAddr {
    ([127, 0, 0, last], 623).into()
}

/// A packet of a session, as far as routing looks at it.
fn packet_to(session: u32) -> Vec<u8> {
    plus(payload::ENCRYPTED | payload::AUTHENTICATED | payload::IPMI, session, 1, &[0; 16])
}

#[test]
fn a_datagram_of_another_card_or_session_reaches_nobody() {
    let routes = Routes::default();
    let inbox = routes.add(address(1)).unwrap();
    routes.deliver(address(2), &packet_to(inbox.console));
    routes.deliver(address(1), &packet_to(inbox.console.wrapping_add(1)));
    assert!(inbox.queue.lock().is_empty());
    assert_eq!(routes.strays.load(Ordering::Relaxed), 2);
    routes.deliver(address(1), &packet_to(inbox.console));
    assert_eq!(inbox.queue.lock().len(), 1);
}

#[test]
fn a_flood_keeps_its_newest_datagrams_and_reaches_no_other_session() {
    let routes = Routes::default();
    let (flooded, other) = (routes.add(address(1)).unwrap(), routes.add(address(2)).unwrap());
    for number in 0..10_000_u32 {
        let mut noise = b"noise".to_vec();
        noise.extend(number.to_le_bytes());
        routes.deliver(address(1), &noise);
    }
    let queue = flooded.queue.lock();
    assert_eq!(queue.len(), INBOX_MAX);
    assert!(queue.back().is_some_and(|newest| newest.ends_with(&9_999_u32.to_le_bytes())));
    assert!(other.queue.lock().is_empty());
}
