//! How much of a machine's power a sensor sees.

/// What the power of a sensor contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SensorScope {
    /// One consumer, that no other sensor here contains.
    #[default]
    Consumer,
    /// The processor, alone or with its graphics, which RAPL counts too.
    Processor,
    /// The whole machine, with all the others.
    Machine,
    /// A part of what another sensor of the same chip measures.
    Within,
    /// A battery: what goes in or out of it is no consumption.
    Battery,
}

impl SensorScope {
    /// Whether it is power that something draws, and no part of another sensor's.
    pub(super) fn is_consumption(self) -> bool {
        match self {
            Self::Consumer | Self::Processor | Self::Machine => true,
            Self::Within | Self::Battery => false,
        }
    }

    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Consumer => "one consumer",
            Self::Processor => "the processor, also counted by RAPL",
            Self::Machine => "the whole machine, including the other sensors; never added to them",
            Self::Within => "part of another sensor of this chip; never added to it",
            Self::Battery => "a battery; charge and discharge are not consumption",
        }
    }
}
