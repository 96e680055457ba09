//! The SNMP driver against a simulated rack.

use kwapi_simulators::snmp::{AgentFault, Rack, RackSettings};

use crate::suite::{Device, Fault, complies};

const COMMUNITY: &str = "s3cr3t-of-the-rack";

struct Pdu {
    rack: Option<Rack>,
    port: u16,
}

async fn start() -> Pdu {
    let settings = RackSettings {
        community: COMMUNITY.to_owned(),
        names: vec!["web1".to_owned(), "web2".to_owned()],
        ..RackSettings::default()
    };
    let rack = Rack::start(settings).await.expect("a port");
    Pdu { port: rack.address().port(), rack: Some(rack) }
}

impl Device for Pdu {
    const DRIVER: &'static str = "snmp";

    fn keys(&self) -> String {
        format!("host = '127.0.0.1'\nport = {}\ncommunity = '{COMMUNITY}'\ntimeout_seconds = 0.5", self.port)
    }

    fn secrets(&self) -> Vec<String> {
        vec![COMMUNITY.to_owned()]
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        let Some(rack) = &self.rack else { return false };
        match fault {
            Fault::Hang => rack.set_fault(Some(AgentFault::Silence)),
            Fault::Garbage => rack.set_fault(Some(AgentFault::Garbage)),
            Fault::HalfAnswer => rack.set_fault(Some(AgentFault::HalfPacket)),
            Fault::Disconnect => self.rack = None,
            Fault::NoPower => rack.remove_outlet(1),
            // An agent does not answer to a wrong community (RFC 3416): it cannot be distinguished from one that is off.
            Fault::WrongSecret => return false,
        }
        true
    }
}

#[tokio::test]
async fn snmp_complies() {
    complies(async || start().await).await;
}
