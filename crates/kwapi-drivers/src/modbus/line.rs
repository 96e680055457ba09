//! Serial lines and TCP connections that several meters share: one request at a time, each answered or given up.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serial2_tokio::{CharSize, FlowControl, SerialPort, Settings, StopBits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::codec::{self, ModbusRequest, ModbusResponse, TCP_HEADER_BYTES};
use super::map::{Parity, SerialSettings};
use crate::device;
use crate::driver::DriverError;
use crate::tcp;

/// Meters answer within 200 ms, gateways give up on them after a second or so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a line may keep talking before a request: longer, and there is a second master on it.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(1);
/// Late answers to requests given up that are passed over before the right one.
const LATE_ANSWERS_MAX: usize = 8;

/// Where meters are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LineAddress {
    /// A gateway or meter with Modbus TCP, or with a serial line's frames over TCP.
    Tcp { host: String, is_rtu: bool },
    /// A serial line.
    Serial { device: PathBuf, settings: SerialSettings },
}

impl fmt::Display for LineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, .. } => f.write_str(host),
            Self::Serial { device, settings } => {
                let parity = match settings.parity {
                    Parity::None => 'N',
                    Parity::Even => 'E',
                    Parity::Odd => 'O',
                };
                write!(f, "{} at {} 8{parity}{}", device.display(), settings.baud, settings.stop_bits)
            }
        }
    }
}

impl LineAddress {
    fn is_rtu(&self) -> bool {
        match self {
            Self::Tcp { is_rtu, .. } => *is_rtu,
            Self::Serial { .. } => true,
        }
    }

    /// The silence that ends a frame: three and a half characters of eleven bits, and what the kernel's and the
    /// network's buffers add (*over Serial Line* 2.5.1.1).
    fn silence(&self) -> Duration {
        match self {
            Self::Tcp { .. } => Duration::from_millis(5),
            Self::Serial { settings, .. } => {
                Duration::from_millis(2) + Duration::from_secs_f64(38.5 / f64::from(settings.baud.max(300)))
            }
        }
    }

    async fn connect(&self) -> Result<Stream, DriverError> {
        match self {
            Self::Tcp { host, .. } => {
                let stream = tcp::connect(host).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Serial { device, settings } => {
                let port = SerialPort::open(device, |found: Settings| configured(found, *settings))
                    .map_err(|error| device::cannot_open(device, "adapter", &error))?;
                Ok(Box::new(port))
            }
        }
    }
}

fn configured(mut line: Settings, settings: SerialSettings) -> io::Result<Settings> {
    line.set_raw();
    line.set_baud_rate(settings.baud)?;
    line.set_char_size(CharSize::Bits8);
    line.set_parity(match settings.parity {
        Parity::None => serial2_tokio::Parity::None,
        Parity::Even => serial2_tokio::Parity::Even,
        Parity::Odd => serial2_tokio::Parity::Odd,
    });
    line.set_stop_bits(if settings.stop_bits == 2 { StopBits::Two } else { StopBits::One });
    line.set_flow_control(FlowControl::None);
    Ok(line)
}

trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}
type Stream = Box<dyn ReadWrite>;

/// The lines of a process.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Vec<Arc<ModbusLine>>>);

impl Lines {
    /// The line at `address`, shared with every meter on it.
    ///
    /// # Errors
    /// `Refused` when another meter has the same device with other settings.
    pub(super) fn line(&self, address: &LineAddress) -> Result<Arc<ModbusLine>, DriverError> {
        let mut lines = self.0.lock();
        lines.retain(|line| Arc::strong_count(line) > 1);
        if let Some(line) = lines.iter().find(|line| line.address == *address) {
            return Ok(Arc::clone(line));
        }
        let is_same_device = |line: &&Arc<ModbusLine>| match (&line.address, address) {
            (LineAddress::Serial { device: theirs, .. }, LineAddress::Serial { device: ours, .. }) => {
                theirs == ours
            }
            _ => false,
        };
        if let Some(other) = lines.iter().find(is_same_device) {
            return Err(DriverError::Refused(format!(
                "{address}: already in use by another meter as {}; all meters on a line need the same settings",
                other.address
            )));
        }
        let line = Arc::new(ModbusLine { address: address.clone(), state: tokio::sync::Mutex::default() });
        lines.push(Arc::clone(&line));
        Ok(line)
    }
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// The meter answered.
    Answer(ModbusResponse),
    /// It did not, and the line is as it was; with what to report.
    Silence(String),
}

/// One line. Its meters are polled in turn; while one is, the others wait.
#[derive(Debug)]
pub(super) struct ModbusLine {
    address: LineAddress,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Taken out during a request, so that one cancelled halfway closes the connection.
    stream: Option<Stream>,
    transaction: u16,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.stream.is_some() { "open" } else { "closed" })
    }
}

impl ModbusLine {
    pub(super) fn address(&self) -> &LineAddress {
        &self.address
    }

    /// Makes sure that the line is open.
    ///
    /// # Errors
    /// `Link` when it cannot be.
    pub(super) async fn open(&self) -> Result<(), DriverError> {
        let mut state = self.state.lock().await;
        if state.stream.is_none() {
            state.stream = Some(self.address.connect().await?);
        }
        Ok(())
    }

    /// Sends a request, when the line is free, and waits for the answer.
    ///
    /// # Errors
    /// `Link` when the line fails or what comes is no answer, naming the meter and the registers.
    pub(super) async fn exchange(&self, request: ModbusRequest) -> Result<Reply, DriverError> {
        let mut state = self.state.lock().await;
        let mut stream = match state.stream.take() {
            Some(stream) => stream,
            None => self.address.connect().await?,
        };
        let transaction = state.transaction.wrapping_add(1);
        state.transaction = transaction;
        let ModbusRequest { unit, address, count, .. } = request;
        let subject = || format!("{}: unit {unit}, registers from 0x{address:04X} ({count})", self.address);
        let exchange = async {
            if self.address.is_rtu() {
                exchange_rtu(&mut stream, request, self.address.silence()).await
            } else {
                exchange_tcp(&mut stream, request, transaction).await
            }
        };
        match timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(Ok(answer)) => {
                state.stream = Some(stream);
                Ok(Reply::Answer(answer))
            }
            Ok(Err(error)) => Err(DriverError::link(format!("{}: {error}", subject()))),
            Err(_) => {
                // Kept: what comes late is distinguished from what comes next, and the other meters need no new
                // connection.
                state.stream = Some(stream);
                let advice = match self.address {
                    LineAddress::Tcp { .. } => "check the unit",
                    LineAddress::Serial { .. } => "check unit, baud, parity and wiring",
                };
                Ok(Reply::Silence(format!("{}: timed out after {ANSWER_TIMEOUT:?}; {advice}", subject())))
            }
        }
    }
}

async fn exchange_tcp(
    stream: &mut Stream,
    request: ModbusRequest,
    transaction: u16,
) -> io::Result<ModbusResponse> {
    stream.write_all(&request.tcp_frame(transaction)).await?;
    for _ in 0..=LATE_ANSWERS_MAX {
        let mut header = [0; TCP_HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        let (answered, unit, length) = codec::parse_tcp_header(header)
            .ok_or_else(|| io::Error::other(format!("not Modbus TCP: {header:02x?}")))?;
        let mut pdu = vec![0; length];
        stream.read_exact(&mut pdu).await?;
        if answered != transaction {
            continue;
        }
        return Some(unit)
            .filter(|unit| *unit == request.unit)
            .and_then(|_| codec::parse_pdu(request, &pdu))
            .ok_or_else(|| io::Error::other(format!("unexpected response: unit {unit}, {pdu:02x?}")));
    }
    Err(io::Error::other("only responses to earlier requests"))
}

async fn exchange_rtu(
    stream: &mut Stream,
    request: ModbusRequest,
    silence: Duration,
) -> io::Result<ModbusResponse> {
    let until_silent = async {
        let mut scrap = [0; 256];
        while let Ok(read) = timeout(silence, stream.read(&mut scrap)).await {
            if read? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(())
    };
    timeout(SILENCE_TIMEOUT, until_silent)
        .await
        .map_err(|_| io::Error::other("the line is never idle; check for a second master on it"))??;
    stream.write_all(&request.rtu_frame()).await?;
    let mut frame = [0; 3].to_vec();
    stream.read_exact(&mut frame).await?;
    let noise = |frame: &[u8]| io::Error::other(format!("noise on the line: {frame:02x?}"));
    let head = <[u8; 3]>::try_from(frame.as_slice()).map_err(|_| noise(&frame))?;
    let length = codec::rtu_length(request, head).ok_or_else(|| noise(&frame))?;
    let mut rest = vec![0; length.saturating_sub(head.len())];
    stream.read_exact(&mut rest).await?;
    frame.append(&mut rest);
    codec::parse_rtu(request, &frame).ok_or_else(|| noise(&frame))
}
