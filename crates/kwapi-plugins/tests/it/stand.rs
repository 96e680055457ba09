//! The API on a loopback port, fed with known values.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kwapi_bus::{Batch, Received};
use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, ProbeId, Quality, Timestamp, Totals, WallClock, Watts,
};
use kwapi_history::journal::{Journal, JournalConfig};
use kwapi_history::{Ledger, LedgerConfig, Query, Samples, SamplesConfig};
use kwapi_peers::Lab;
use kwapi_plugins::Scope;
use kwapi_plugins::api::{self, Api};
use kwapi_plugins::auth::Auth;
use kwapi_plugins::bills::{BillConfig, Bills, SharesOf};
use kwapi_plugins::directory::Directory;
use kwapi_plugins::http::{Listen, Listener};
use kwapi_plugins::intake::{Append, Intake};
use kwapi_plugins::live::{Live, LiveConfig};
use kwapi_plugins::metrics::{self, Metrics};
use tokio::sync::oneshot;

pub(crate) fn wall() -> WallClock {
    WallClock::new(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::EPOCH.after(now)
    })
}

/// Bills without a price.
fn bills(lab: &Lab) -> Bills {
    let config = BillConfig {
        zone: jiff::tz::TimeZone::UTC,
        currency: "EUR".to_owned(),
        decimals: 2,
        rates: Vec::new(),
        shares: SharesOf::new(),
        calibrated: Vec::new(),
    };
    Bills::new(config, &lab.join("state"))
}

/// A served API; it ends with this.
pub(crate) struct Stand {
    pub(crate) live: Live,
    intake: std::sync::Mutex<Intake>,
    ledger: Arc<Ledger>,
    samples: Arc<Samples>,
    pub(crate) port: u16,
    _stop: oneshot::Sender<()>,
    _lab: Lab,
}

impl Stand {
    /// Serves on `port` (0: any), with metrics beside the API, a ledger and samples.
    pub(crate) fn start(port: u16, auth: Option<Auth>) -> Self {
        let origin = Instant::now();
        let clock = MonotonicClock::new(move || origin.elapsed() + Duration::from_secs(1));
        let live = Live::open(LiveConfig::default(), Vec::new(), wall(), clock);
        let lab = Lab::empty();
        let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), wall().now()).unwrap();
        let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
        let samples = Arc::new(Samples::open(SamplesConfig::default(), &journal).unwrap());
        let append: Append = Box::new(move |records, now| journal.append(records, now));
        let intake = std::sync::Mutex::new(Intake::new(live.clone(), Some(append)));
        let mut metrics = Metrics::new();
        let directory = Directory::default().with_live(live.clone());
        metrics.add(directory.clone());
        let query = Query::new(ledger.clone(), None).with_samples(Some(samples.clone()));
        let api = Api::new(directory)
            .with_energy(query)
            .with_samples(Some(samples.clone()))
            .with_bills(bills(&lab));
        let router = api::router(api, auth, None).merge(metrics::router(metrics.into(), Scope::All));
        let address = ([127, 0, 0, 1], port).into();
        let listen = Listen {
            address,
            tls: None,
            connections_max: 100,
            seats: kwapi_plugins::http::Seats::new(100),
            hosts: kwapi_plugins::http::Hosts::Any,
            access_log: false,
            routes: api::ROUTES,
        };
        let listener = Listener::bind(&listen).unwrap();
        let port = listener.address().port();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(listener.serve(router, async { _ = stopped.await }));
        Self { live, intake, ledger, samples, port, _stop: stop, _lab: lab }
    }

    /// A probe with power and energy, measured just now.
    pub(crate) fn receive(&self, probe: &str, watts: f64, joules: u64) -> Timestamp {
        let now = wall().now();
        for (seq, joules) in [(0, 0), (1, joules)] {
            let accounting = Accounting {
                timestamp: now,
                session: Timestamp::from_micros(now.micros() - 1_000_000),
                seq,
                totals: Totals { energy: Energy::from_millijoules(joules * 1000), ..Totals::default() },
                curve: None,
                meter: None,
                quality: Quality::Measured,
            };
            let measurement = Measurement {
                probe: ProbeId::new(probe).unwrap(),
                power: Watts(watts),
                voltage: None,
                current: None,
                accounting: Some(accounting),
            };
            let received_at = self.live.now();
            let received = Received { measurement, key: None, description: None, arrived: now, received_at };
            let batch = Batch { measurements: vec![received] };
            self.intake.lock().unwrap().take(batch, Box::new(|| ()));
        }
        self.ledger.catch_up(now);
        self.samples.catch_up(now);
        now
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
