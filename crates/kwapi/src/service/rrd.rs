//! The RRD plugin: a subscriber, history, and the pages.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use kwapi_bus::{Subscriber, SubscriberConfig};
use kwapi_core::ProbeId;
use kwapi_history::graph::Tariff;
use kwapi_history::{Arrival, Flusher, History, HistoryConfig};
use kwapi_plugins::collector::Collector;
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::web::{Accounted, EnergySince, LabelSource, Settings, Stored, Sums};
use tokio::task::JoinHandle;

use super::api::Labelling;
use super::{Process, metrics, readiness};
use crate::config::Config;

/// History, fed from the bus.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) history: Arc<History>,
    feed: JoinHandle<()>,
    flusher: Flusher,
}

impl Recording {
    /// Opens the history of the state directory and starts listening.
    ///
    /// # Errors
    /// When the directory is in use or unusable, or an endpoint cannot be opened, as one line.
    pub(crate) fn start(
        process: &Process,
        config: &Config,
        subscriber_config: &SubscriberConfig,
        all: &mut Metrics,
    ) -> Result<Self, String> {
        let one_line = |error: &dyn std::error::Error| crate::config::chain(error);
        let clock = process.monotonic.clone();
        let history_config = HistoryConfig {
            rrd_directory: config.rrd.directory.clone(),
            flush_interval: Duration::from_secs(config.rrd.flush_interval_seconds),
            max_gap: config.max_gap(),
            ..HistoryConfig::new(config.state_directory.join("history"))
        };
        let history =
            Arc::new(History::open(history_config, process.clock.now()).map_err(|error| one_line(&error))?);
        let flusher =
            Flusher::start(history.clone(), move || clock.now()).map_err(|error| one_line(&error))?;
        let expected = super::drivers::expected_probes(config);
        let subscriber = Subscriber::start(&process.bus, subscriber_config, &process.clocks(), expected)
            .map_err(|error| one_line(&error))?;
        let subscriber = Arc::new(subscriber);
        all.add(metrics::subscriber(subscriber.clone(), "rrd"));
        all.add(metrics::history(history.clone()));
        let journal = readiness::LastWrite::default();
        journal.watch(all, "journal");
        readiness::subscriber(all, "history_bus", subscriber.clone());
        readiness::directory(all, "history_directory", config.state_directory.join("history"));
        let feed = {
            let history = history.clone();
            tokio::spawn(async move {
                while let Some((batch, ack)) = subscriber.recv().await {
                    let history = history.clone();
                    let recorded = tokio::task::spawn_blocking(move || {
                        let arrivals = batch.measurements.iter().map(|received| Arrival {
                            measurement: &received.measurement,
                            arrived: received.arrived,
                            heard: received.heard,
                        });
                        history.record(arrivals).map(drop)
                    });
                    match recorded.await {
                        Ok(Ok(())) => {
                            if journal.succeeded() {
                                tracing::info!("the journal takes measurements again");
                            }
                        }
                        Ok(Err(error)) => {
                            if journal.failed(crate::config::chain(&error)) {
                                tracing::error!(%error, "the journal cannot be written; measurements are kept in memory");
                            }
                        }
                        Err(error) => tracing::error!(%error, "a batch was not recorded"),
                    }
                    ack.confirm();
                }
            })
        };
        Ok(Self { history, feed, flusher })
    }

    /// Writes everything to its files.
    pub(crate) async fn stop(self) {
        self.feed.abort();
        let flusher = self.flusher;
        _ = tokio::task::spawn_blocking(move || flusher.stop()).await;
    }
}

/// The sums of a configuration, for the pages.
pub(crate) fn sums(config: &Config) -> Vec<ProbeId> {
    config.virtual_probes.iter().map(|sum| sum.probe.clone()).collect()
}

/// The pages, over `history` for the past and `collector` for totals: one probe has one kWh everywhere.
pub(crate) fn router(
    process: &Process,
    config: &Config,
    history: Arc<History>,
    collector: Collector,
    sums: Sums,
    labels: Labelling,
) -> axum::Router {
    let rrd = &config.rrd;
    let mut settings = Settings {
        refresh_interval: Duration::try_from_secs_f64(rrd.refresh_interval_seconds.max(1.0))
            .unwrap_or(Duration::from_secs(5)),
        tariff: Some(Tariff { currency: rrd.currency.clone(), price_per_kwh: rrd.kwh_price }),
        zone: TimeZone::system(),
        power_max: rrd.max_watts,
        silent_after: config.max_gap(),
        sums,
        labels: LabelSource::new(move |probe| labels.of(probe)),
        ..Settings::default()
    };
    if let Some(hue) = rrd.hue {
        settings.hue = hue;
    }
    let pages = Stored::new(history, move |probe| {
        let (_, view) = collector.probe(probe.as_str())?;
        let energy = EnergySince { since: view.since, totals: view.totals };
        Some(Accounted { power: view.power, at: view.timestamp, energy, quality: view.quality })
    });
    kwapi_plugins::web::router(Arc::new(pages), settings, process.clock.clone())
}
