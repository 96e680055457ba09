//! Reads a card's SDR repository for sensors of power, once, and goes on where it was interrupted.
//!
//! A repository has hundreds of records and a slow card takes minutes for them, longer than any deadline. What is read
//! is kept with the card's memory, record by record, until the card says that its repository has changed.
//!
//! Source: IPMI 2.0 rev. 1.1, 33.9 to 33.12.

use std::sync::Arc;

use parking_lot::Mutex;

use super::completion::{Remedy, remedy};
use super::link::Failure;
use super::message::{self, GET_SDR, GET_SDR_REPOSITORY_INFO, RESERVE_SDR_REPOSITORY};
use super::reader::{Reader, hex};
use super::sdr::{self, Sensor};
use super::session::Session;
use super::shared::Memory;
use crate::driver::DriverError;

/// The first record's id, and the "next" id after the last one: 33.12.
const FIRST: u16 = 0x0000;
const LAST: u16 = 0xFFFF;
/// More records than any card has: a repository whose records never end is read no further.
const RECORDS_MAX: u16 = 4_096;
/// More sensors of power than any machine has; further ones are not looked at.
const SENSORS_MAX: usize = 128;
/// Bytes of a record asked for at once, at first and at least. Halved when the card cannot return so many.
const CHUNK_MAX: u8 = 32;
const CHUNK_MIN: u8 = 4;
/// Reservations lost in one run; another program that reads the same repository takes ours away.
const RESERVATIONS_LOST_MAX: u8 = 16;

/// What is known of a card's repository.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// Number of records, last addition, last erasure: another value means another content.
    version: Option<[u8; 10]>,
    next: u16,
    records: u16,
    chunk: u8,
    sensors: Arc<[Sensor]>,
}

impl Default for Repository {
    fn default() -> Self {
        Self { version: None, next: FIRST, records: 0, chunk: CHUNK_MAX, sensors: Arc::default() }
    }
}

impl Repository {
    /// The sensors of power, once all records have been read.
    pub(super) fn sensors(&self) -> Option<Arc<[Sensor]>> {
        (self.version.is_some() && self.is_complete()).then(|| Arc::clone(&self.sensors))
    }

    fn is_complete(&self) -> bool {
        self.next == LAST || self.records >= RECORDS_MAX || self.sensors.len() >= SENSORS_MAX
    }
}

/// The card's sensors of power: from memory if the repository is what it was, else read.
pub(super) async fn sensors(session: &mut Session, memory: &Mutex<Memory>) -> Result<Arc<[Sensor]>, Failure> {
    let info = session.ask(GET_SDR_REPOSITORY_INFO, &[]).await?;
    let version = version(&info).ok_or_else(|| malformed(GET_SDR_REPOSITORY_INFO, &info))?;
    let mut repository = memory.lock().repository.clone();
    if repository.version != Some(version) {
        repository = Repository { version: Some(version), chunk: repository.chunk, ..Repository::default() };
    }
    let mut reservation = None;
    let mut lost = 0;
    while !repository.is_complete() {
        let held = match reservation {
            Some(held) => held,
            None => *reservation.insert(reserve(session).await?),
        };
        match read_record(session, held, repository.next, &mut repository.chunk).await {
            Ok((next, sensor)) => {
                if let Some(sensor) = sensor {
                    repository.sensors = repository.sensors.iter().cloned().chain([sensor]).collect();
                }
                repository.next = next;
                repository.records += 1;
                memory.lock().repository = repository.clone();
            }
            Err(Failure::Completed { code, .. })
                if remedy(code) == Remedy::Reserve && lost < RESERVATIONS_LOST_MAX =>
            {
                lost += 1;
                reservation = None;
            }
            Err(failure) => return Err(failure),
        }
    }
    memory.lock().repository = repository.clone();
    Ok(repository.sensors)
}

/// Number of records and the two stamps, from the answer to Get SDR Repository Info: 33.9.
fn version(info: &[u8]) -> Option<[u8; 10]> {
    let mut reader = Reader::new(info);
    let _version = reader.u8()?;
    let records: [u8; 2] = reader.array()?;
    let _free: [u8; 2] = reader.array()?;
    let stamps: [u8; 8] = reader.array()?;
    let mut version = [0; 10];
    for (to, from) in version.iter_mut().zip(records.into_iter().chain(stamps)) {
        *to = from;
    }
    Some(version)
}

async fn reserve(session: &mut Session) -> Result<u16, Failure> {
    let data = session.ask(RESERVE_SDR_REPOSITORY, &[]).await?;
    Ok(Reader::new(&data).u16().ok_or_else(|| malformed(RESERVE_SDR_REPOSITORY, &data))?)
}

/// The id of the next record, and the sensor this one describes if it is one of power.
async fn read_record(
    session: &mut Session,
    reservation: u16,
    id: u16,
    chunk: &mut u8,
) -> Result<(u16, Option<Sensor>), Failure> {
    let (next, mut record) = read_part(session, reservation, id, 0, sdr::HEADER_BYTES).await?;
    let header = sdr::header(&record).ok_or_else(|| malformed(GET_SDR, &record))?;
    if header.record_type != sdr::FULL_SENSOR {
        return Ok((next, None));
    }
    record.truncate(sdr::HEADER_BYTES.into());
    let length = usize::from(sdr::HEADER_BYTES) + usize::from(header.length);
    while record.len() < length {
        let wanted = u8::try_from(length - record.len()).unwrap_or(u8::MAX).min(*chunk);
        let Ok(offset) = u8::try_from(record.len()) else { break };
        match read_part(session, reservation, id, offset, wanted).await {
            Ok((_, part)) if part.is_empty() => return Err(malformed(GET_SDR, &part).into()),
            Ok((_, part)) => record.extend(part.into_iter().take(wanted.into())),
            Err(Failure::Completed { code, .. }) if remedy(code) == Remedy::Fewer && *chunk > CHUNK_MIN => {
                *chunk /= 2;
            }
            Err(failure) => return Err(failure),
        }
    }
    // A record that is too short to be one is skipped: the other sensors are no worse for it.
    Ok((next, sdr::full_sensor(&record).ok().flatten()))
}

async fn read_part(
    session: &mut Session,
    reservation: u16,
    id: u16,
    offset: u8,
    count: u8,
) -> Result<(u16, Vec<u8>), Failure> {
    let [reservation_low, reservation_high] = reservation.to_le_bytes();
    let [id_low, id_high] = id.to_le_bytes();
    let request = [reservation_low, reservation_high, id_low, id_high, offset, count];
    let data = session.ask(GET_SDR, &request).await?;
    let mut reader = Reader::new(&data);
    let next = reader.u16().ok_or_else(|| malformed(GET_SDR, &data))?;
    Ok((next, reader.rest().to_vec()))
}

fn malformed(command: message::Command, data: &[u8]) -> DriverError {
    DriverError::Malformed { what: command.name, input: hex(data) }
}
