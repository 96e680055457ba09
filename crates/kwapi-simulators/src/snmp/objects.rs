//! The objects of a simulated PDU: what stands where (PDU2-MIB, Raritan), and its present value.

/// `1.3.6.1.4.1.13742.6`
const PDU2: &[u32] = &[1, 3, 6, 1, 4, 1, 13742, 6];
/// `1.3.6.1.2.1.1`
const SYSTEM: &[u32] = &[1, 3, 6, 1, 2, 1, 1];

/// Sensor type activePower.
const ACTIVE_POWER: u32 = 5;
/// Sensor type activeEnergy.
const ACTIVE_ENERGY: u32 = 8;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectContent {
    Description,
    ObjectId,
    UpTime,
    SystemName,
    /// Serial number of the PDU.
    Serial,
    /// How many outlets it has.
    OutletCount,
    /// Name of an outlet, counted from 0.
    Name(usize),
    /// True(1) of a sensor's availability.
    Available,
    /// Tenths of a watt of one outlet.
    Watts(usize),
    /// Watt-hours of one outlet.
    WattHours(usize),
    InletWatts,
    InletWattHours,
    /// Decimal digits of the watts.
    WattDigits,
    /// Decimal digits of the watt-hours.
    WattHourDigits,
}

/// The value of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i32),
    Gauge(u32),
    TimeTicks(u32),
    Text(String),
    Oid(Vec<u32>),
}

/// The digits of [`ObjectContent::WattDigits`].
pub(super) const WATT_DIGITS: u32 = 1;

/// Where everything stands, sorted by OID.
#[derive(Clone, Debug)]
pub(super) struct Layout(Vec<(Vec<u32>, ObjectContent)>);

impl Layout {
    /// The layout of a PDU with that many outlets and one inlet, which may state its serial number.
    pub(super) fn of(outlets: usize, has_serial: bool) -> Self {
        let pdu = |tail: &[u32]| [PDU2, tail].concat();
        let system = |tail: &[u32]| [SYSTEM, tail].concat();
        let mut rows = vec![
            (system(&[1, 0]), ObjectContent::Description),
            (system(&[2, 0]), ObjectContent::ObjectId),
            (system(&[3, 0]), ObjectContent::UpTime),
            (system(&[5, 0]), ObjectContent::SystemName),
        ];
        if has_serial {
            rows.push((pdu(&[3, 2, 1, 1, 4, 1]), ObjectContent::Serial));
        }
        for (number, outlet) in (1_u32..).zip(0..outlets) {
            rows.push((pdu(&[3, 5, 3, 1, 3, 1, number]), ObjectContent::Name(outlet)));
            for (sensor, value, digits) in [
                (ACTIVE_POWER, ObjectContent::Watts(outlet), ObjectContent::WattDigits),
                (ACTIVE_ENERGY, ObjectContent::WattHours(outlet), ObjectContent::WattHourDigits),
            ] {
                rows.push((pdu(&[5, 4, 3, 1, 2, 1, number, sensor]), ObjectContent::Available));
                rows.push((pdu(&[5, 4, 3, 1, 4, 1, number, sensor]), value));
                rows.push((pdu(&[3, 5, 4, 1, 7, 1, number, sensor]), digits));
            }
        }
        for (sensor, value, digits) in [
            (ACTIVE_POWER, ObjectContent::InletWatts, ObjectContent::WattDigits),
            (ACTIVE_ENERGY, ObjectContent::InletWattHours, ObjectContent::WattHourDigits),
        ] {
            rows.push((pdu(&[5, 2, 3, 1, 2, 1, 1, sensor]), ObjectContent::Available));
            rows.push((pdu(&[5, 2, 3, 1, 4, 1, 1, sensor]), value));
            rows.push((pdu(&[3, 3, 4, 1, 7, 1, 1, sensor]), digits));
        }
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self(rows)
    }

    /// Reports from now on how many outlets there are.
    pub(super) fn count_outlets(&mut self) {
        let oid = [PDU2, &[3, 2, 2, 1, 4, 1]].concat();
        let place = self.0.partition_point(|(known, _)| *known < oid);
        self.0.insert(place, (oid, ObjectContent::OutletCount));
    }

    /// How many outlets have a row.
    pub(super) fn outlets(&self) -> u32 {
        let names = self.0.iter().filter(|(_, content)| matches!(content, ObjectContent::Name(_))).count();
        u32::try_from(names).unwrap_or(u32::MAX)
    }

    /// Takes away all rows of an outlet (counted from 1), as when it is unplugged from the PDU's controller.
    pub(super) fn remove_outlet(&mut self, number: u32) {
        let outlets = [[5, 4, 3, 1, 2], [5, 4, 3, 1, 4], [3, 5, 4, 1, 7], [3, 5, 3, 1, 3]];
        self.0.retain(|(oid, _)| {
            let row = oid.strip_prefix(PDU2).and_then(|tail| tail.split_at_checked(5));
            !row.is_some_and(|(table, index)| {
                outlets.iter().any(|known| known == table) && index.get(1) == Some(&number)
            })
        });
    }

    /// What an object holds.
    pub(super) fn get(&self, oid: &[u32]) -> Option<ObjectContent> {
        let place = self.0.binary_search_by(|(known, _)| known.as_slice().cmp(oid)).ok()?;
        self.0.get(place).map(|(_, content)| *content)
    }

    /// The first object after an OID.
    pub(super) fn after(&self, oid: &[u32]) -> Option<(&[u32], ObjectContent)> {
        let place = self.0.partition_point(|(known, _)| known.as_slice() <= oid);
        self.0.get(place).map(|(oid, content)| (oid.as_slice(), *content))
    }
}

/// sysObjectID of a PX2.
pub(super) fn object_id() -> Vec<u32> {
    PDU2.to_vec()
}
