//! The `fritz` driver against a `FRITZ!Box` that is not there.

use std::sync::Arc;

use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};
use parking_lot::Mutex;

use crate::suite::{Device, Fault, complies};

const PASSWORD: &str = "s3cr3tOfTheMeter";
const SID: &str = "9c977765016899f8";
/// What `hashlib.pbkdf2_hmac` of Python makes of challenge and password.
const RESPONSE: &str = "e5f60718$b5678133c9df3ccf426d47bd3a7c964d59cb9c89ef6e4ff9788fbf150f33dbd2";
const SESSION: &str = "<?xml version=\"1.0\"?><SessionInfo><SID>0000000000000000</SID>\
    <Challenge>2$1000$a1b2c3d4$100$e5f60718</Challenge><BlockTime>0</BlockTime><Rights></Rights></SessionInfo>";

struct FritzBox {
    device: Option<HttpDevice>,
    address: String,
    fault: Arc<Mutex<Option<Fault>>>,
}

fn respond(fault: Option<Fault>, request: &HttpRequest) -> HttpAnswer {
    let target = request.target.replace("%24", "$");
    let is_login = target.starts_with("/login_sid.lua");
    match fault {
        Some(Fault::Hang) => return HttpAnswer::Silence,
        Some(Fault::Garbage) => return HttpAnswer::ok("\u{0}{]<html>"),
        Some(Fault::WrongSecret) if is_login => return HttpAnswer::ok(SESSION),
        Some(Fault::WrongSecret) => return HttpAnswer::status(403),
        _ => {}
    }
    let body = if is_login && target.contains(&format!("response={RESPONSE}")) {
        SESSION
            .replace("0000000000000000", SID)
            .replace("<Rights>", "<Rights><Name>HomeAuto</Name><Access>2</Access>")
    } else if is_login {
        SESSION.to_owned()
    } else if target.contains(&format!("sid={SID}")) {
        let power = if fault == Some(Fault::NoPower) { "" } else { "41250" };
        let energy = if fault == Some(Fault::NoPower) { "" } else { "7313" };
        format!(
            "<devicelist version=\"1\"><device identifier=\"08761 0000434\" productname=\"plug\"><present>1</present>\
             <name>desk</name><powermeter><voltage>231000</voltage><power>{power}</power><energy>{energy}</energy>\
             </powermeter></device></devicelist>"
        )
    } else {
        return HttpAnswer::status(403);
    };
    if fault == Some(Fault::HalfAnswer) { HttpAnswer::Half(body.into()) } else { HttpAnswer::ok(body) }
}

async fn start() -> FritzBox {
    let fault = Arc::new(Mutex::new(None));
    let present = Arc::clone(&fault);
    let device = HttpDevice::start(move |request| respond(*present.lock(), request)).await.expect("a port");
    let address = device.address().to_string();
    FritzBox { device: Some(device), address, fault }
}

impl Device for FritzBox {
    const DRIVER: &'static str = "fritz";

    fn keys(&self) -> String {
        format!("host = '{}'\nusername = 'kwapi'\npassword = '{PASSWORD}'", self.address)
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned(), RESPONSE.to_owned(), SID.to_owned()]
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        *self.fault.lock() = Some(fault);
        if fault == Fault::Disconnect {
            self.device = None;
        }
        true
    }
}

#[tokio::test]
async fn fritz_complies() {
    complies(start).await;
}
