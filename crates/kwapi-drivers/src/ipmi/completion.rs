//! Completion codes: how a card refuses. Source: IPMI 2.0 rev. 1.1, 5.2, table 5-2.

/// What to do about a completion code other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Try again later: the card is busy, starting, being updated, or gave no reason.
    Later,
    /// The card has no such command, or not with these parameters.
    Unsupported,
    /// The session's privilege does not suffice.
    Privilege,
    /// The reservation of the SDR repository is gone: reserve again.
    Reserve,
    /// The answer would not fit: request fewer bytes at a time.
    Fewer,
    /// Sensor or record is not there.
    Absent,
    /// Not in the machine's present state, such as switched off.
    State,
}

/// Success: the data are what was requested.
pub(super) const OK: u8 = 0x00;

/// What to do about `code`. A code of the command's own (80h–BEh) or an OEM's counts as [`Remedy::Unsupported`].
pub(super) fn remedy(code: u8) -> Remedy {
    match code {
        // Busy, timeout, out of space, cannot respond: nothing, SDR update, firmware update, starting; unspecified.
        0xC0 | 0xC3 | 0xC4 | 0xCE | 0xCF | 0xD0 | 0xD1 | 0xD2 | 0xFF => Remedy::Later,
        0xC5 => Remedy::Reserve,
        0xC8 | 0xCA => Remedy::Fewer,
        0xCB => Remedy::Absent,
        0xD4 => Remedy::Privilege,
        0xD5 => Remedy::State,
        _ => Remedy::Unsupported,
    }
}

/// The code in words.
pub(super) fn meaning(code: u8) -> &'static str {
    match code {
        0xC0 => "node busy",
        0xC1 => "invalid command",
        0xC2 => "command not valid for this LUN",
        0xC3 => "timeout while processing",
        0xC4 => "out of space",
        0xC5 => "reservation lost",
        0xC6 => "request truncated",
        0xC7 => "invalid request length",
        0xC8 => "request too long",
        0xC9 => "parameter out of range",
        0xCA => "cannot return that many bytes",
        0xCB => "requested sensor, data or record not present",
        0xCC => "invalid field in the request",
        0xCD => "command not legal for this sensor or record",
        0xCE => "no response available",
        0xCF => "duplicated request",
        0xD0 => "SDR repository is being updated",
        0xD1 => "firmware is being updated",
        0xD2 => "BMC is initializing",
        0xD3 => "destination unavailable",
        0xD4 => "insufficient privilege",
        0xD5 => "not supported in present state",
        0xD6 => "sub-function disabled",
        0xFF => "unspecified error",
        0x80..=0xBE => "command-specific code",
        _ => "OEM code",
    }
}

#[cfg(test)]
mod tests;
