//! Meters that are found by the chain of their `SunSpec` models; raw bytes are the meters.

use super::*;

/// A device of `SunSpec` whose chain begins at 40000, as its registers.
async fn sunspec_port(chain: &'static [u16]) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 12];
        while stream.read_exact(&mut request).await.is_ok() {
            let [t1, t2, _, _, _, _, unit, function, at1, at2, _, count] = request;
            let first = usize::from(u16::from_be_bytes([at1, at2])).checked_sub(40_000);
            let words = first.and_then(|first| chain.get(first..first + usize::from(count)));
            let pdu = match words {
                Some(words) => {
                    let bytes = words.iter().flat_map(|word| word.to_be_bytes());
                    [function, 2 * count].into_iter().chain(bytes).collect()
                }
                None => vec![function | 0x80, 2],
            };
            let length = u8::try_from(pdu.len() + 1).expect("short");
            let frame = [&[t1, t2, 0, 0, 0, length, unit][..], &pdu].concat();
            if stream.write_all(&frame).await.is_err() {
                return;
            }
        }
    });
    port
}

async fn sunspec(chain: &'static [u16]) -> String {
    let port = sunspec_port(chain).await;
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"sunspec-meter\"");
    let outcome = match open(&keys, &one(), &Arc::default()).await {
        Ok(mut meter) => round(&mut meter).await,
        Err(error) => error.to_string(),
    };
    outcome.replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn a_sunspec_meter_is_found_in_its_chain() {
    static METER: [u16; 69] = {
        let mut chain = [0; 69];
        let mut set =
            [(0, 0x5375), (1, 0x6e53), (2, 1), (3, 4), (8, 203), (9, 57), (26, 64), (30, 1)].as_slice();
        while let [(at, word), rest @ ..] = set {
            chain[*at] = *word;
            set = rest;
        }
        chain[55] = 9;
        chain[67] = 0xffff;
        chain
    };
    static ENDLESS: [u16; 400] = {
        let mut chain = [0; 400];
        (chain[0], chain[1]) = (0x5375, 0x6e53);
        chain
    };
    assert_eq!(sunspec(&METER).await, "A: 640 W, 32400 J");
    let none = "refused: 127.0.0.1:PORT: unit 1 has SunSpec models [1], but none of [201, 202, 203, 204]";
    assert_eq!(sunspec(&[0x5375, 0x6e53, 1, 0, 0xffff, 0]).await, none);
    // A chain that continues for ever ends.
    assert!(sunspec(&ENDLESS).await.contains("but none of"));
    let other = "refused: 127.0.0.1:PORT: unit 1 does not support SunSpec; no marker at [40000, 0, 50000]";
    assert_eq!(sunspec(&[1, 2, 3]).await, other);
}

#[tokio::test]
async fn the_counter_of_a_sunspec_meter_is_known_by_its_serial_number() {
    // The mark, the common model of 66 registers with a serial number in it, the meter, the end.
    static METER: [u16; 140] = {
        let mut chain = [0; 140];
        let mut set = [
            (0, 0x5375),
            (1, 0x6e53),
            (2, 1),
            (3, 66),
            (52, 0x4b57),
            (53, 0x2d37),
            (54, 0x3100),
            (70, 203),
            (71, 57),
            (88, 64),
            (92, 1),
            (117, 9),
            (129, 0xffff),
        ]
        .as_slice();
        while let [(at, word), rest @ ..] = set {
            chain[*at] = *word;
            set = rest;
        }
        chain
    };
    let port = sunspec_port(&METER).await;
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"sunspec-meter\"");
    let mut meter = open(&keys, &one(), &Arc::default()).await.expect("a meter");
    let mut readings = Readings::default();
    meter.read(&mut readings).await.expect("an answer");
    let (_, reading) = readings.drain().next().expect("an outlet");
    let register = reading.expect("a reading").register.expect("a counter");
    assert_eq!((register.serial.as_deref(), register.path.as_deref()), (Some("KW-71"), Some("total")));
}
