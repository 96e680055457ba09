//! A rack: a PDU, the servers on it, and the socket its agent answers at.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::agent::{AgentFault, AgentView};
use super::objects::{Layout, ObjectContent, Value, WATT_DIGITS, object_id};
use super::server::ServerModel;

/// How a rack is made.
#[derive(Clone, Debug)]
pub struct RackSettings {
    /// Where its agent listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The community that is accepted.
    pub community: String,
    /// What the servers on it do.
    pub seed: u64,
    /// How long a day is for them.
    pub day: Duration,
    /// The names of its outlets; there is a server on each.
    pub names: Vec<String>,
    /// What its PDU states for a serial number, if it does.
    pub serial: Option<String>,
    /// Whether its PDU reports how many outlets it has.
    pub counts_outlets: bool,
}

impl Default for RackSettings {
    /// Twelve servers whose days last ten minutes, queried on loopback with the community `public`.
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            community: "public".to_owned(),
            seed: 1,
            day: Duration::from_secs(600),
            names: (1..=12).map(|number| format!("server {number}")).collect(),
            serial: None,
            counts_outlets: false,
        }
    }
}

/// How much has gone through a rack's socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagrams {
    /// Datagrams that came, of whatever content.
    pub received: u64,
    /// Answers that went.
    pub sent: u64,
}

/// A running rack; its agent ends when this is dropped.
#[derive(Debug)]
pub struct Rack {
    shared: Arc<Shared>,
    address: SocketAddr,
    agent: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug)]
struct State {
    layout: Layout,
    serial: Option<String>,
    counts_outlets: bool,
    community: String,
    fault: Option<AgentFault>,
    outlets: Vec<Outlet>,
    started_at: Instant,
    booted_at: Instant,
    /// What sysUpTime showed at `booted_at`.
    up_before: Duration,
    advanced_to: Duration,
}

#[derive(Debug)]
struct Outlet {
    name: String,
    server: ServerModel,
    /// A load set by a test instead of the server's.
    watts_set: Option<f64>,
    watts: f64,
    watt_hours: f64,
}

/// The longest text that fits a datagram with what is around it.
const OVERSIZED: usize = 60_000;

/// A rack has been up for some months when it is started, as its counters show too.
const UP_BEFORE: Duration = Duration::from_secs(100 * 86_400);

/// Energy is integrated in steps of at most this, so that no peak is stepped over.
const STEP_MAX: Duration = Duration::from_secs(1);
/// After a longer pause the steps grow instead of their number.
const STEPS_MAX: u32 = 3_600;

impl Rack {
    /// Starts a rack.
    ///
    /// # Errors
    /// When its address cannot be listened at.
    pub async fn start(settings: RackSettings) -> io::Result<Self> {
        let socket = UdpSocket::bind(settings.bind).await?;
        let address = socket.local_addr()?;
        let now = Instant::now();
        let outlets: Vec<_> = settings
            .names
            .into_iter()
            .zip(0_u64..)
            .map(|(name, number)| {
                let server =
                    ServerModel::new(settings.seed.wrapping_mul(1_000).wrapping_add(number), settings.day);
                let watts = server.watts(Duration::ZERO);
                // A counter that has run for some months.
                let watt_hours = 100_000.0 + 4_000.0 * watts;
                Outlet { name, server, watts_set: None, watts, watt_hours }
            })
            .collect();
        let state = State {
            layout: layout(outlets.len(), settings.serial.is_some(), settings.counts_outlets),
            serial: settings.serial,
            counts_outlets: settings.counts_outlets,
            community: settings.community,
            fault: None,
            outlets,
            started_at: now,
            booted_at: now,
            up_before: UP_BEFORE,
            advanced_to: Duration::ZERO,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        let agent = tokio::spawn(serve(socket, Arc::clone(&shared)));
        Ok(Self { shared, address, agent })
    }

    /// Where its agent listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has gone through its socket.
    pub fn datagrams(&self) -> Datagrams {
        Datagrams {
            received: self.shared.received.load(Ordering::Relaxed),
            sent: self.shared.sent.load(Ordering::Relaxed),
        }
    }

    /// What an outlet (from 1) draws now, in watts.
    pub fn watts(&self, outlet: usize) -> Option<f64> {
        let mut state = self.shared.state.lock();
        state.advance();
        state.outlet(outlet).map(|outlet| outlet.watts)
    }

    /// What an outlet (from 1) has drawn, in watt-hours.
    pub fn watt_hours(&self, outlet: usize) -> Option<f64> {
        let mut state = self.shared.state.lock();
        state.advance();
        state.outlet(outlet).map(|outlet| outlet.watt_hours)
    }

    /// Makes an outlet (from 1) draw so much; `None` gives it back to its server.
    pub fn set_watts(&self, outlet: usize, watts: Option<f64>) {
        let mut state = self.shared.state.lock();
        state.advance();
        if let Some(outlet) = state.outlet(outlet) {
            outlet.watts_set = watts;
            outlet.watts = watts.unwrap_or(outlet.watts);
        }
    }

    /// Sets an outlet's counter (from 1): back to 0 by an operator, or close to its wrap at 2³² Wh.
    pub fn set_watt_hours(&self, outlet: usize, watt_hours: f64) {
        let mut state = self.shared.state.lock();
        state.advance();
        if let Some(outlet) = state.outlet(outlet) {
            outlet.watt_hours = watt_hours;
        }
    }

    /// Takes away the rows of an outlet (from 1).
    pub fn remove_outlet(&self, outlet: u32) {
        self.shared.state.lock().layout.remove_outlet(outlet);
    }

    /// Restores all that [`Rack::remove_outlet`] took away.
    pub fn restore_outlets(&self) {
        let mut state = self.shared.state.lock();
        state.layout = layout(state.outlets.len(), state.serial.is_some(), state.counts_outlets);
    }

    /// Renames an outlet (from 1), as its operator would.
    pub fn set_name(&self, outlet: usize, name: &str) {
        if let Some(outlet) = self.shared.state.lock().outlet(outlet) {
            name.clone_into(&mut outlet.name);
        }
    }

    /// Makes something go wrong, or right again.
    pub fn set_fault(&self, fault: Option<AgentFault>) {
        self.shared.state.lock().fault = fault;
    }

    /// Restarts the agent: sysUpTime starts from 0, the counters are kept.
    pub fn reboot(&self) {
        let mut state = self.shared.state.lock();
        state.booted_at = Instant::now();
        state.up_before = Duration::ZERO;
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        self.agent.abort();
    }
}

fn layout(outlets: usize, has_serial: bool, counts_outlets: bool) -> Layout {
    let mut layout = Layout::of(outlets, has_serial);
    if counts_outlets {
        layout.count_outlets();
    }
    layout
}

async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    // The longest datagram UDP has.
    let mut buffer = vec![0; 65_535];
    loop {
        // An ICMP error of an earlier answer ends up here; the next datagram may be fine.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        shared.received.fetch_add(1, Ordering::Relaxed);
        let (answer, fault) = {
            let mut state = shared.state.lock();
            if let Some(AgentFault::LoseNext(requests)) = state.fault {
                state.fault = requests.checked_sub(1).filter(|rest| *rest > 0).map(AgentFault::LoseNext);
                continue;
            }
            (state.answer(buffer.get(..length).unwrap_or_default()), state.fault)
        };
        let Some(answer) = answer else { continue };
        if let Some(AgentFault::Delay(delay)) = fault {
            tokio::time::sleep(delay).await;
        }
        if fault == Some(AgentFault::OtherPeer) {
            if let Ok(other) = UdpSocket::bind((from.ip(), 0)).await {
                _ = other.send_to(&answer, from).await;
            }
            continue;
        }
        if socket.send_to(&answer, from).await.is_ok() {
            shared.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl State {
    fn outlet(&mut self, number: usize) -> Option<&mut Outlet> {
        self.outlets.get_mut(number.checked_sub(1)?)
    }

    /// Advances loads and counters to the present.
    fn advance(&mut self) {
        let now = self.started_at.elapsed();
        let elapsed = now.saturating_sub(self.advanced_to);
        let step = STEP_MAX.max(elapsed / STEPS_MAX);
        while self.advanced_to < now {
            let next = (self.advanced_to + step).min(now);
            let hours = next.saturating_sub(self.advanced_to).as_secs_f64() / 3_600.0;
            for outlet in &mut self.outlets {
                let watts = outlet.watts_set.unwrap_or_else(|| outlet.server.watts(next));
                outlet.watt_hours += f64::midpoint(outlet.watts, watts) * hours;
                outlet.watts = watts;
            }
            self.advanced_to = next;
        }
    }

    fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        self.advance();
        let value = |content| self.value(content);
        let knowledge =
            AgentView { layout: &self.layout, community: &self.community, fault: self.fault, value: &value };
        knowledge.answer(request)
    }

    fn value(&self, content: ObjectContent) -> Value {
        let outlet = |place: usize| self.outlets.get(place);
        let digits = 10_f64.powi(WATT_DIGITS.cast_signed());
        match content {
            ObjectContent::Description => {
                Value::Text("Kwapi simulated rack PDU, like a Raritan PX2".to_owned())
            }
            ObjectContent::ObjectId => Value::Oid(object_id()),
            ObjectContent::UpTime => {
                Value::TimeTicks(count((self.up_before + self.booted_at.elapsed()).as_secs_f64() * 100.0))
            }
            ObjectContent::SystemName => Value::Text("simulated-rack".to_owned()),
            ObjectContent::Serial => Value::Text(self.serial.clone().unwrap_or_default()),
            ObjectContent::OutletCount => Value::Integer(self.layout.outlets().cast_signed()),
            ObjectContent::Name(_) if self.fault == Some(AgentFault::Oversized) => {
                Value::Text("x".repeat(OVERSIZED))
            }
            ObjectContent::Name(place) => {
                Value::Text(outlet(place).map(|outlet| outlet.name.clone()).unwrap_or_default())
            }
            ObjectContent::Available => Value::Integer(1),
            ObjectContent::Watts(place) => {
                Value::Gauge(count(outlet(place).map_or(0.0, |outlet| outlet.watts) * digits))
            }
            ObjectContent::WattHours(place) => {
                Value::Gauge(count(outlet(place).map_or(0.0, |outlet| outlet.watt_hours.floor())))
            }
            ObjectContent::InletWatts => {
                Value::Gauge(count(self.outlets.iter().map(|outlet| outlet.watts).sum::<f64>() * digits))
            }
            ObjectContent::InletWattHours => {
                Value::Gauge(count(self.outlets.iter().map(|outlet| outlet.watt_hours).sum::<f64>().floor()))
            }
            ObjectContent::WattDigits => Value::Gauge(WATT_DIGITS),
            ObjectContent::WattHourDigits => Value::Gauge(0),
        }
    }
}

/// A number as a 32-bit counter shows it: beyond 2³² it starts again.
fn count(number: f64) -> u32 {
    const RANGE: f64 = 4_294_967_296.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the remainder is at least 0 and less than 2^32"
    )]
    let count = number.rem_euclid(RANGE).round() as u32;
    count
}
