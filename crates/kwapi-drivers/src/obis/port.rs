//! The line a meter sends on: a serial device, or a network converter that passes its bytes on.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use serial2_tokio::{CharSize, FlowControl, Parity, SerialPort, Settings, StopBits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::ConfigError;
use crate::device;
use crate::error::DriverError;
use crate::tcp;

/// Read at once.
const CHUNK_BYTES: usize = 1_024;

/// Where a meter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PortConfig {
    Serial { device: PathBuf, baud: u32 },
    Tcp { host: String },
}

impl PortConfig {
    /// One of `device` and `host`.
    ///
    /// # Errors
    /// When there is none, or both.
    pub(crate) fn of(
        device: Option<&PathBuf>,
        host: Option<&String>,
        baud: u32,
    ) -> Result<Self, ConfigError> {
        match (device, host) {
            (Some(device), None) => Ok(Self::Serial { device: device.clone(), baud }),
            (None, Some(host))
                if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) =>
            {
                Ok(Self::Tcp { host: host.clone() })
            }
            (None, Some(_)) => {
                Err(ConfigError::of("host", "must be HOST:PORT; converters have no default port"))
            }
            (None, None) => Err(ConfigError::new(
                "requires `device` (a serial line) or `host` (HOST:PORT of a converter)",
            )),
            (Some(_), Some(_)) => {
                Err(ConfigError::of("device", "`device` and `host` are mutually exclusive"))
            }
        }
    }
}

/// An open line.
#[derive(Debug)]
pub(crate) enum Port {
    Serial(SerialPort),
    Tcp(TcpStream),
}

impl Port {
    /// # Errors
    /// `Refused` where the operator has to do something, `Link` where it may pass.
    pub(crate) async fn open(config: &PortConfig) -> Result<Self, DriverError> {
        match config {
            PortConfig::Serial { device, baud } => {
                let settings = |found: Settings| configured(found, *baud);
                let port = SerialPort::open(device, settings)
                    .map_err(|error| device::cannot_open(device, "reader", &error))?;
                Ok(Self::Serial(port))
            }
            PortConfig::Tcp { host } => Ok(Self::Tcp(tcp::connect(host).await?)),
        }
    }

    /// What came next, at least a byte.
    ///
    /// # Errors
    /// When the line ends or fails.
    pub(crate) async fn read(&mut self) -> Result<Vec<u8>, DriverError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let count = match self {
            Self::Serial(port) => port.read(&mut chunk).await?,
            Self::Tcp(stream) => stream.read(&mut chunk).await?,
        };
        if count == 0 {
            let gone = "line closed: reader unplugged, or connection closed by the converter";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, gone).into());
        }
        chunk.truncate(count);
        Ok(chunk)
    }

    /// Sends characters of seven bits with even parity, as a meter requires them (IEC 62056-21, 5.1): not every
    /// converter can be set to that, but eight bits can hold it.
    pub(crate) async fn write(&mut self, text: &str) -> Result<(), DriverError> {
        let bytes: Vec<u8> = text.bytes().map(with_parity).collect();
        match self {
            Self::Serial(port) => port.write_all(&bytes).await?,
            Self::Tcp(stream) => stream.write_all(&bytes).await?,
        }
        Ok(())
    }

    /// Whether the speed of the line can be set.
    pub(crate) fn is_serial(&self) -> bool {
        matches!(self, Self::Serial(_))
    }

    /// Sets the speed of a serial line; a converter has its own.
    pub(crate) fn set_baud(&mut self, baud: u32) -> Result<(), DriverError> {
        if let Self::Serial(port) = self {
            let settings = configured(port.get_configuration()?, baud)?;
            port.set_configuration(&settings)?;
        }
        Ok(())
    }
}

fn with_parity(byte: u8) -> u8 {
    if byte.count_ones().is_multiple_of(2) { byte } else { byte | 0x80 }
}

/// Eight bits, no parity: SML, P1. What has seven with parity is read so too.
fn configured(mut line: Settings, baud: u32) -> io::Result<Settings> {
    line.set_raw();
    line.set_baud_rate(baud)?;
    line.set_char_size(CharSize::Bits8);
    line.set_parity(Parity::None);
    line.set_stop_bits(StopBits::One);
    line.set_flow_control(FlowControl::None);
    Ok(line)
}
