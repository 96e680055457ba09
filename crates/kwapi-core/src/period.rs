//! The six periods of the seed, and the archive that serves each.

use std::fmt;
use std::str::FromStr;

/// A period that a graph or a page may be requested for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// The last five minutes, second by second; called a minute since the original.
    Minute,
    /// The last hour, in steps of 10 s.
    Hour,
    /// The last day, in steps of 15 min.
    Day,
    /// The last week, in steps of 2 h.
    Week,
    /// The last 31 days, in steps of 6 h.
    Month,
    /// The last 366 days, in steps of a week.
    Year,
}

impl Period {
    /// All of them, shortest first.
    pub const ALL: [Self; 6] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// Its name in URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// What people read in the menu.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Minute => "5 minutes",
            Self::Hour => "Hour",
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
            Self::Year => "Year",
        }
    }

    /// How far back it reaches, in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Minute => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_678_400,
            Self::Year => 31_622_400,
        }
    }

    /// The time one row of its archive covers, in seconds.
    pub const fn step_seconds(self) -> u64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 10,
            Self::Day => 900,
            Self::Week => 7_200,
            Self::Month => 21_600,
            Self::Year => 604_800,
        }
    }

    /// How many rows its archive keeps.
    pub const fn rows(self) -> usize {
        match self {
            Self::Minute => 300,
            Self::Hour => 360,
            Self::Day => 96,
            Self::Week => 84,
            Self::Month => 124,
            Self::Year => 52,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of the six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown period; available: minute, hour, day, week, month, year")]
pub struct NoSuchPeriod;

impl FromStr for Period {
    type Err = NoSuchPeriod;

    fn from_str(name: &str) -> Result<Self, NoSuchPeriod> {
        Self::ALL.into_iter().find(|period| period.name() == name).ok_or(NoSuchPeriod)
    }
}
