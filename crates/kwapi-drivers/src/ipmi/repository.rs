//! Reads a card's SDR repository for sensors of power, once, and continues where it was interrupted.
//!
//! A repository has hundreds of records and a slow card takes minutes for them, longer than a session may last. What is
//! read is kept with the card's memory, record by record, until the card reports that its repository has changed.
//!
//! Source: IPMI 2.0 rev. 1.1, 33.9 to 33.12.

use std::time::Duration;

use parking_lot::Mutex;

use super::catalogue::{CHUNK_MIN, Content, SensorCatalogue};
use super::completion::{Remedy, remedy};
use super::link::Failure;
use super::message::{self, GET_SDR, GET_SDR_REPOSITORY_INFO, RESERVE_SDR_REPOSITORY};
use super::reader::{ByteReader, hex};
use super::sdr;
use super::session::RmcpSession;
use super::shared::CardMemory;
use crate::driver::DriverError;

/// Reservations lost in one run; another program that reads the same repository takes ours away.
const RESERVATIONS_LOST_MAX: u8 = 16;
/// A record that cannot be read, or that leads back, is requested so often, with this pause.
const TRIES_MAX: u8 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// The card's sensors of power: from memory if the repository is what it was, else read. One record that cannot be read is
/// left out and counted.
pub(super) async fn sensors(
    session: &mut RmcpSession,
    memory: &Mutex<CardMemory>,
) -> Result<SensorCatalogue, Failure> {
    let version = version(session).await?;
    let mut catalogue = memory.lock().catalogue.clone();
    if catalogue.version != Some(version) {
        catalogue = SensorCatalogue::of(version, catalogue.chunk);
    }
    let mut reservation = None;
    let mut lost = 0;
    let mut tries = 0;
    while !catalogue.is_complete() {
        let held = match reservation {
            Some(held) => held,
            None => *reservation.insert(reserve(session).await?),
        };
        match read_record(session, held, catalogue.next, &mut catalogue.chunk).await {
            // Seen: a junk record in place of another one, now and then (ipmitool#197).
            Ok((next, _)) if catalogue.would_end_early(next) && tries + 1 < TRIES_MAX => tries += 1,
            Ok((next, content)) => {
                catalogue.add(next, content);
                tries = 0;
                memory.lock().catalogue = catalogue.clone();
            }
            Err(Failure::Completed { code, .. })
                if remedy(code) == Remedy::Reserve && lost < RESERVATIONS_LOST_MAX =>
            {
                lost += 1;
                reservation = None;
            }
            Err(Failure::Completed { code, .. })
                if remedy(code) == Remedy::Later && tries + 1 < TRIES_MAX =>
            {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            // The id after the last record is none on some cards; and behind a record that does not name the next one,
            // nothing is found.
            Err(Failure::Completed { .. } | Failure::Driver(DriverError::Malformed { .. }))
                if !catalogue.is_empty() =>
            {
                catalogue.end();
            }
            Err(failure) => return Err(failure),
        }
    }
    memory.lock().catalogue = catalogue.clone();
    Ok(catalogue)
}

/// Number of records and the two stamps, from the answer to Get SDR Repository Info: 33.9. All zero on cards that do not
/// support the command: then the repository is taken to stay as it is.
async fn version(session: &mut RmcpSession) -> Result<[u8; 10], Failure> {
    let info = match session.request(GET_SDR_REPOSITORY_INFO, &[]).await {
        Err(Failure::Completed { code, .. }) if remedy(code) == Remedy::Unsupported => return Ok([0; 10]),
        info => info?,
    };
    let mut reader = ByteReader::new(&info);
    let mut fields = || {
        let _version = reader.u8()?;
        let count: [u8; 2] = reader.array()?;
        let _free: [u8; 2] = reader.array()?;
        let stamps: [u8; 8] = reader.array()?;
        let mut version = [0; 10];
        for (to, from) in version.iter_mut().zip(count.into_iter().chain(stamps)) {
            *to = from;
        }
        Some(version)
    };
    Ok(fields().ok_or_else(|| malformed(GET_SDR_REPOSITORY_INFO, &info))?)
}

/// A reservation; 0 on cards that support none and work without.
async fn reserve(session: &mut RmcpSession) -> Result<u16, Failure> {
    let data = match session.request(RESERVE_SDR_REPOSITORY, &[]).await {
        Err(Failure::Completed { code, .. }) if remedy(code) == Remedy::Unsupported => return Ok(0),
        data => data?,
    };
    Ok(ByteReader::new(&data).u16().ok_or_else(|| malformed(RESERVE_SDR_REPOSITORY, &data))?)
}

/// The id of the next record, and what this one is. Once its header has been read, a record is passed over rather than
/// holding up those behind it.
async fn read_record(
    session: &mut RmcpSession,
    reservation: u16,
    id: u16,
    chunk: &mut u8,
) -> Result<(u16, Content), Failure> {
    let (next, mut record) = read_part(session, reservation, id, 0, sdr::HEADER_BYTES).await?;
    let Some(header) = sdr::header(&record) else { return Ok((next, Content::Unread)) };
    if header.record_type != sdr::FULL_SENSOR {
        return Ok((next, Content::Other));
    }
    record.truncate(sdr::HEADER_BYTES.into());
    let length = usize::from(sdr::HEADER_BYTES) + usize::from(header.length);
    let mut size = *chunk;
    while record.len() < length && !sdr::is_of_other_unit(&record) {
        let wanted = u8::try_from(length - record.len()).unwrap_or(u8::MAX).min(size);
        let Ok(offset) = u8::try_from(record.len()) else { break };
        match read_part(session, reservation, id, offset, wanted).await {
            // A record that declares more bytes than it has.
            Ok((_, part)) if part.is_empty() => break,
            Ok((_, part)) => {
                record.extend(part.into_iter().take(wanted.into()));
                *chunk = size;
            }
            Err(Failure::Completed { what, code }) if remedy(code) == Remedy::Reserve => {
                return Err(Failure::Completed { what, code });
            }
            // Cards report in many ways that they cannot return so many, and some that there are not so many.
            Err(Failure::Completed { .. }) if size > CHUNK_MIN => size /= 2,
            Err(Failure::Completed { .. }) => break,
            Err(failure) => return Err(failure),
        }
    }
    // What came may be all there is.
    Ok((
        next,
        match sdr::full_sensor(&record) {
            Ok(Some(sensor)) => Content::Power(sensor),
            Ok(None) => Content::Other,
            Err(_) if sdr::is_of_other_unit(&record) => Content::Other,
            Err(sdr::TruncatedRecord) => Content::Unread,
        },
    ))
}

async fn read_part(
    session: &mut RmcpSession,
    reservation: u16,
    id: u16,
    offset: u8,
    count: u8,
) -> Result<(u16, Vec<u8>), Failure> {
    let [reservation_low, reservation_high] = reservation.to_le_bytes();
    let [id_low, id_high] = id.to_le_bytes();
    let request = [reservation_low, reservation_high, id_low, id_high, offset, count];
    let data = session.request(GET_SDR, &request).await?;
    let mut reader = ByteReader::new(&data);
    let next = reader.u16().ok_or_else(|| malformed(GET_SDR, &data))?;
    Ok((next, reader.rest().to_vec()))
}

fn malformed(command: message::IpmiCommand, data: &[u8]) -> DriverError {
    DriverError::Malformed { what: command.name, input: hex(data) }
}
