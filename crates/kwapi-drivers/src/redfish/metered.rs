//! One thing measured on a card, and where its watts come from now: what is chosen is looked at again.
//!
//! A host that is off shows nulls where its watts will be, some cards show 0 W or 65535 W in place of nothing, and a
//! firmware keeps a mean of the last minutes. What stands first and has a number is read; when it has none, the others are
//! queried, and the card is searched again from time to time.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, Quality, Reading, Register, Watts};
use tokio::time::Instant;

use super::energy::EnergySource;
use super::resource::{AVERAGE, PowerPlace, Shown};
use super::search::Search;
use super::source::RedfishSource;
use crate::driver::{DriverError, Finding};
use crate::http::DeviceClient;

/// While there is no number, the places known are queried so often; and so often while there is one, but not of the best.
const QUERY_MISSING: Duration = Duration::from_secs(10);
const QUERY_BETTER: Duration = Duration::from_secs(60);
/// And so often the whole chassis is searched.
const SEARCH_AGAIN: Duration = Duration::from_secs(600);

/// Something measured: a chassis, an outlet, a whole PDU.
#[derive(Debug)]
pub(super) struct Metered {
    /// The card's name for it, an outlet's key in the configuration.
    pub(super) key: String,
    /// What its owner calls it.
    pub(super) label: Option<String>,
    /// The chassis to search again, and the sensor the operator selects of it; `None` for what has one place only.
    pub(super) chassis: Option<(String, Option<String>)>,
    /// Where its watts may come from, the best first; never empty.
    pub(super) sources: Vec<RedfishSource>,
    /// Which of them is read.
    pub(super) chosen: usize,
    /// Its counter.
    pub(super) energy: EnergySource,
    /// The serial number of what it is, where that states one.
    pub(super) serial: Option<String>,
    /// What its counter is known by.
    register: Option<Arc<Register>>,
    requested: Instant,
    searched: Instant,
    /// Whether the last search has looked at every place, since none had a number.
    is_searched_through: bool,
}

impl Metered {
    /// Chooses among `sources`: the first that has a number, else the first that may have one; `None` where there is none.
    pub(super) fn new(key: String, label: Option<String>, sources: Vec<RedfishSource>) -> Option<Self> {
        let chosen = choose(&sources)?;
        let now = Instant::now();
        let is_searched_through = has_no_number(&sources);
        Some(Self {
            key,
            label,
            chassis: None,
            sources,
            chosen,
            energy: EnergySource::default(),
            serial: None,
            register: None,
            requested: now,
            searched: now,
            is_searched_through,
        })
    }

    /// As [`Self::new`], for what is in one place.
    pub(super) fn in_one_place(
        key: String,
        label: Option<String>,
        path: String,
        place: &'static PowerPlace,
    ) -> Self {
        let source = RedfishSource {
            name: place.name.to_owned(),
            paths: vec![path],
            place,
            energy_path: None,
            shown: Shown::Empty,
            accuracy: None,
        };
        let now = Instant::now();
        Self {
            key,
            label,
            chassis: None,
            sources: vec![source],
            chosen: 0,
            energy: EnergySource::default(),
            serial: None,
            register: None,
            requested: now,
            searched: now,
            is_searched_through: true,
        }
    }

    /// What is read now.
    pub(super) fn source(&self) -> Option<&RedfishSource> {
        self.sources.get(self.chosen)
    }

    /// The resource that is read, where it is one.
    pub(super) fn path(&self) -> Option<&str> {
        match self.source()?.paths.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// A reading with what its counter is known by: the device's serial number, and which property of which resource.
    pub(super) fn registered(&mut self, reading: Reading) -> Reading {
        if reading.counter.is_none() {
            return reading;
        }
        let of = self.source().map(|source| source.energy_path.as_deref().or_else(|| self.path()));
        let path = format!("{}{}", of.flatten().unwrap_or_default(), self.energy.name().unwrap_or_default());
        let known = self.register.take().filter(|register| register.path.as_deref() == Some(&path));
        let serial = self.serial.clone();
        let register =
            known.unwrap_or_else(|| Arc::new(Register { serial, path: Some(path), ..Register::default() }));
        self.register = Some(Arc::clone(&register));
        Reading { register: Some(register), ..reading }
    }

    /// Whether it has a number now, and not only a place where one may come.
    pub(super) fn has_number(&self) -> bool {
        self.source().is_some_and(|source| source.shown.watts().is_some())
    }

    /// Reads it, and looks for its watts elsewhere where they are gone.
    pub(super) async fn read(
        &mut self,
        device: &DeviceClient,
    ) -> Result<Result<Reading, NoReading>, DriverError> {
        let Some(source) = self.sources.get(self.chosen) else {
            return Ok(Err(NoReading::NotAvailable("nothing to read".to_owned())));
        };
        let reading = match source.read(device, &mut self.energy).await {
            // Another place may do; a lost link is everybody's.
            Err(error @ (DriverError::Busy(_) | DriverError::Malformed { .. })) if self.sources.len() > 1 => {
                Err(NoReading::NotReady(error.to_string()))
            }
            read => read?,
        };
        if self.chassis.is_none() { Ok(reading) } else { self.reconsider(device, reading).await }
    }

    /// Looks elsewhere for what this reading lacks, when it is time for that.
    async fn reconsider(
        &mut self,
        device: &DeviceClient,
        reading: Result<Reading, NoReading>,
    ) -> Result<Result<Reading, NoReading>, DriverError> {
        let is_missing = match &reading {
            Ok(reading) => reading.power == Some(Watts(0.0)),
            Err(_) => true,
        };
        let is_measured = reading.as_ref().is_ok_and(|reading| reading.quality == Quality::Measured);
        if !is_missing && is_measured && self.chosen == 0 {
            return Ok(reading);
        }
        let now = Instant::now();
        let next_query = self.requested + if is_missing { QUERY_MISSING } else { QUERY_BETTER };
        if now >= self.searched + SEARCH_AGAIN || is_missing && !self.is_searched_through {
            (self.requested, self.searched) = (now, now);
            self.search(device).await?;
        } else if now >= next_query {
            self.requested = now;
            self.query(device).await?;
        } else {
            return Ok(reading.map(zero_is_estimated));
        }
        match self.sources.get(self.chosen) {
            Some(source) if source.shown.watts().is_some() => source.read(device, &mut self.energy).await,
            _ => Ok(reading.map(zero_is_estimated)),
        }
    }

    /// Queries the places that are known, up to the first that has a number.
    async fn query(&mut self, device: &DeviceClient) -> Result<(), DriverError> {
        let mut search = Search::new(device);
        for source in &mut self.sources {
            source.shown = search.shown(&source.paths, source.place).await?;
            if source.shown.watts().is_some() {
                break;
            }
        }
        if let Some(chosen) = choose(&self.sources)
            && chosen != self.chosen
        {
            self.chosen = chosen;
            self.energy = EnergySource::default();
        }
        Ok(())
    }

    /// Searches the chassis again.
    async fn search(&mut self, device: &DeviceClient) -> Result<(), DriverError> {
        let Some((path, sensor)) = &self.chassis else { return Ok(()) };
        let mut search = Search::new(device);
        let Some(chassis) = search.get(path).await? else { return Ok(()) };
        let sources = search.sources(path, &chassis, &self.key, sensor.as_deref()).await?;
        self.is_searched_through = has_no_number(&sources);
        if let Some(chosen) = choose(&sources) {
            let is_other = self.source().zip(sources.get(chosen)).is_none_or(|(before, now)| {
                before.paths != now.paths || before.energy_path != now.energy_path
            });
            // Another resource counts by another counter.
            if is_other {
                self.energy = EnergySource::default();
            }
            (self.sources, self.chosen) = (sources, chosen);
        }
        Ok(())
    }

    /// What each source shows, which one is read and why.
    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        let has_chassis = self.chassis.is_some();
        self.sources.iter().enumerate().filter(move |_| has_chassis).map(|(place, source)| Finding {
            what: format!("{}: {}", self.key, source.name),
            value: source.shown.words(),
            is_used: place == self.chosen,
            why: self.why(place, source),
        })
    }

    fn why(&self, place: usize, source: &RedfishSource) -> String {
        let chosen = self.source().map(|chosen| chosen.name.as_str()).unwrap_or_default();
        match (source.shown, place == self.chosen) {
            (Shown::Number(0.0), true) => {
                "0 W although the BMC is on; estimated, no other source has a value".to_owned()
            }
            (shown, true) if shown.watts().is_none() => "no value; retrying, the host may be off".to_owned(),
            (_, true) if source.place.quality == Quality::Estimated => match source.paths.len() {
                1 if source.place.name == AVERAGE.name => "estimated: average of the last minutes".to_owned(),
                _ => "estimated: sum of the listed power supplies".to_owned(),
            },
            (_, true) => "the first source with a value".to_owned(),
            (Shown::Number(_), false) if source.shown.watts().is_none() => {
                format!("implausible for a machine that is on; {chosen} has a value")
            }
            (Shown::Number(_), false) => "used only if the sources before it have no value".to_owned(),
            (Shown::Null | Shown::Empty | Shown::Absent, false) => {
                "used only if no other source has a value; the host may be off".to_owned()
            }
        }
    }
}

fn has_no_number(sources: &[RedfishSource]) -> bool {
    sources.iter().all(|source| source.shown.watts().is_none())
}

/// A card answers because its machine has power: what it shows as 0 W it does not measure, or not well.
fn zero_is_estimated(reading: Reading) -> Reading {
    if reading.power == Some(Watts(0.0)) {
        return Reading { quality: Quality::Estimated, ..reading };
    }
    reading
}

/// The first with a number, where a null before it forbids the mean of the past; otherwise the first that reports 0 W;
/// otherwise the first that may have a number later.
fn choose(sources: &[RedfishSource]) -> Option<usize> {
    let is_off = sources.iter().any(|source| source.shown == Shown::Null);
    let is_mean = |source: &RedfishSource| source.place.name == AVERAGE.name;
    let mut indices = sources.iter().enumerate().filter(|(_, source)| !(is_off && is_mean(source)));
    let with_number = indices.clone().find(|(_, source)| source.shown.watts().is_some());
    let with_zero = indices.clone().find(|(_, source)| source.shown == Shown::Number(0.0));
    let with_null = indices.clone().find(|(_, source)| source.shown == Shown::Null);
    with_number.or(with_zero).or(with_null).or_else(|| indices.next()).map(|(index, _)| index)
}
