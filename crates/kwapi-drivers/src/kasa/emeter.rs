//! What a plug reports of itself and of its meter. Plugs of the first hardware report volts, amperes, watts and
//! kilowatt-hours, later ones thousandths and watt-hours; a strip has a meter for each socket.

use kwapi_core::{Amperes, NoReading, Reading, Register, Volts};
use serde_json::{Value, json};

use crate::parts::{Notes, power_and_counter, printable};
use crate::value::{self, EnergyUnit};

/// More sockets than any strip has are left out.
const SOCKETS_MAX: usize = 32;
/// Counters of both kinds step by a watt-hour.
const STEP_WH: f64 = 1.0;

/// One device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KasaDevice {
    /// `HS110(EU)`.
    pub(super) model: String,
    /// Its hardware address.
    serial: Option<String>,
    /// One, or those of a strip in its order.
    pub(super) sockets: Vec<Socket>,
}

/// One socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Socket {
    /// How a strip calls it; `None` for a plug.
    id: Option<String>,
    /// Its name in the app, or none.
    pub(super) name: String,
}

impl Socket {
    pub(super) fn label(&self) -> Option<&str> {
        Some(self.name.as_str()).filter(|name| !name.is_empty())
    }
}

/// Queries a device for what it is.
pub(super) fn who() -> Value {
    json!({"system": {"get_sysinfo": {}}})
}

/// Queries what a socket draws.
pub(super) fn energy_request(socket: &Socket) -> Value {
    let mut question = json!({"emeter": {"get_realtime": {}}});
    if let (Some(id), Some(question)) = (&socket.id, question.as_object_mut()) {
        question.insert("context".to_owned(), json!({"child_ids": [id]}));
    }
    question
}

impl KasaDevice {
    /// What the response to [`who`] holds; `None` if it is none.
    pub(super) fn parse(answer: &Value) -> Option<Self> {
        let info = answer.pointer("/system/get_sysinfo")?;
        let text = |holder: &Value, name: &str| {
            holder.get(name).and_then(Value::as_str).map(printable).filter(|text| !text.is_empty())
        };
        let model = text(info, "model")?;
        let socket = |holder: &Value, id| Socket { id, name: text(holder, "alias").unwrap_or_default() };
        let children = info.get("children").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let sockets = match children {
            [] => vec![socket(info, None)],
            children => children
                .iter()
                .take(SOCKETS_MAX)
                .map(|child| Some(socket(child, Some(text(child, "id")?))))
                .collect::<Option<_>>()?,
        };
        let serial = text(info, "mac").or_else(|| text(info, "mic_mac")).or_else(|| text(info, "deviceId"));
        Some(Self { model, serial, sockets })
    }

    /// What the counter of a socket is known by after a restart.
    pub(super) fn register(&self, socket: &Socket) -> Register {
        let path = socket.id.clone().unwrap_or_else(|| "emeter".to_owned());
        Register { serial: self.serial.clone(), path: Some(path), ..Register::default() }
    }
}

/// What the response to [`energy_request`] holds; `key` is the socket's, for notes.
///
/// # Errors
/// When the meter reports neither power nor energy, with the device's own reason.
pub(super) fn reading(answer: &Value, key: &str, notes: &mut Notes) -> Result<Reading, NoReading> {
    // A device without a meter refuses the whole module, others the question.
    let emeter = answer.pointer("/emeter/get_realtime").or_else(|| answer.get("emeter"));
    let emeter = emeter.ok_or_else(|| NoReading::NotAvailable("no emeter in the answer".to_owned()))?;
    if let Some(code) = emeter.get("err_code").and_then(Value::as_i64).filter(|code| *code != 0) {
        let why = emeter.get("err_msg").and_then(Value::as_str).map(printable).unwrap_or_default();
        return Err(NoReading::NotAvailable(format!("emeter: error {code} {why}").trim_end().to_owned()));
    }
    let number = |name: &str| emeter.get(name).and_then(Value::as_f64);
    let either = |whole: &str, thousandths: &str| {
        number(whole).or_else(|| number(thousandths).map(|count| count / 1000.0))
    };
    let watt_hours = number("total_wh").or_else(|| number("total").map(|total| total * 1000.0));
    let counter = watt_hours.map(|count| value::counter(count, STEP_WH, EnergyUnit::WattHour));
    let absent = || NoReading::NotAvailable("emeter: neither power nor energy".to_owned());
    let (power, counter) =
        power_and_counter(key, either("power", "power_mw").map(Ok), counter, absent, notes)?;
    Ok(Reading {
        power,
        voltage: either("voltage", "voltage_mv").map(Volts),
        current: either("current", "current_ma").map(Amperes),
        counter,
        ..Reading::default()
    })
}

/// Reads anything as both answers, and queries the sockets that it names for what they draw.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse_anything(bytes: &[u8]) {
    let Ok(answer) = serde_json::from_slice(bytes) else { return };
    if let Some(plug) = KasaDevice::parse(&answer) {
        for socket in &plug.sockets {
            _ = (socket.label(), energy_request(socket), plug.register(socket));
        }
    }
    _ = reading(&answer, "1", &mut Notes::default());
}
