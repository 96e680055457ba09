//! A report as text: for people, as CSV and as JSON.

use serde_json::{Value, json};

use super::{MonthState, ReportMonth, ReportRole, RoleSum, YearReport};
use crate::answers::when::rfc3339;
use crate::bills::{kwh, milliseconds};

/// What the form requires and no meter of energy reports, by the names of Annex II.
const OPEN: [(&str, &str); 19] = [
    ("PDIT", "installed information technology power demand, kW"),
    ("SDC", "total floor area, m2"),
    ("SCR", "floor area of computer rooms, m2"),
    ("EDC, other carriers", "fuels and fluids for cooling; back-up generators"),
    ("Electricity grid functions", "whether and which"),
    ("CBtG", "average battery capacity for grid functions, kW"),
    ("WIN", "total water input, m3"),
    ("WIN-POT", "total potable water input, m3"),
    ("EREUSE", "waste heat reused, kWh"),
    ("TWH", "average waste heat temperature, degrees Celsius"),
    ("TIN", "average intake air temperature of IT equipment, degrees Celsius"),
    ("Refrigerants", "types used"),
    ("CDD", "cooling degree days"),
    ("ERES-GOO", "renewable energy by guarantees of origin, kWh"),
    ("ERES-PPA", "renewable energy by power purchasing agreements, kWh"),
    ("ERES-TOT", "total renewable energy: ERES-OS, ERES-GOO and ERES-PPA, kWh"),
    ("CSERV, CSTOR", "capacity of servers and of storage"),
    ("BIN, BOUT", "bandwidth of incoming and outgoing traffic, Gbit/s"),
    ("Data traffic", "incoming and outgoing, exabytes"),
];

impl MonthState {
    const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Missing => "missing",
            Self::Open => "open",
            Self::Future => "future",
        }
    }
}

/// The numbers of a month, or of the year.
struct ReportLine {
    name: String,
    state: &'static str,
    roles: [RoleSum; 3],
    /// Facility and IT of the time that PUE is of.
    compared: Option<[RoleSum; 2]>,
    peak: Option<(u64, i64)>,
}

impl ReportLine {
    fn energy(&self, role: ReportRole) -> Option<String> {
        self.roles.get(role as usize)?.wh().map(kwh)
    }

    /// With three decimals; `None` where one of the two is not known.
    fn pue(&self) -> Option<String> {
        let [facility, it] = self.compared?;
        let (facility, it) = (i128::from(facility.wh()?), i128::from(it.wh().filter(|wh| *wh > 0)?));
        let thousandths = (facility * 1_000 + it / 2).div_euclid(it);
        Some(kwh(i64::try_from(thousandths).ok()?))
    }

    fn peak_kw(&self) -> Option<String> {
        self.peak.map(|(_, mj)| kwh(mj / 900_000))
    }

    /// Hours of which nothing is known, of all probes of a role together.
    fn missing_hours(&self, role: ReportRole) -> String {
        let ms = self.roles.get(role as usize).map_or(0, |sum| sum.missing_ms);
        format!("{:.2}", ms as f64 / 3.6e6)
    }
}

impl YearReport {
    fn lines(&self) -> Vec<ReportLine> {
        let of_month = |month: &ReportMonth| ReportLine {
            name: month.name.clone(),
            state: month.state().name(),
            roles: month.roles,
            compared: month.compared(),
            peak: month.peak(),
        };
        let mut lines: Vec<ReportLine> = self.months.iter().map(of_month).collect();
        let is_complete = self.months.iter().all(|month| month.state() == MonthState::Complete);
        lines.push(ReportLine {
            name: self.year.to_string(),
            state: if is_complete { "complete" } else { "incomplete" },
            roles: ReportRole::ALL.map(|role| self.total(role)),
            compared: self
                .months
                .iter()
                .filter_map(ReportMonth::compared)
                .reduce(|[one, two], [other, last]| [one.plus(other), two.plus(last)]),
            peak: self.peak(),
        });
        lines
    }

    /// What must be known of it, a sentence each.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let names = |state: MonthState| -> Vec<&str> {
            let of_state = self.months.iter().filter(|month| month.state() == state);
            of_state.map(|month| month.name.as_str()).collect()
        };
        for (state, why) in [
            (MonthState::Missing, "no energy is known of a role"),
            (MonthState::Incomplete, "the energy of some time is unknown and not in the sums"),
            (MonthState::Open, "the month is not over"),
            (MonthState::Future, "the month has not begun"),
        ] {
            let months = names(state);
            if !months.is_empty() {
                notes.push(format!("{}: {why}", months.join(", ")));
            }
        }
        for (role, what) in [(ReportRole::Facility, "EDC, peak and PUE"), (ReportRole::It, "EIT and PUE")] {
            if self.total(role).probes == 0 {
                notes.push(format!("no probe has role = {:?}: {what} are not known", role.name()));
            }
        }
        let begun = self.months.iter().filter(|month| month.month.is_some());
        let other: Vec<&str> =
            begun.filter(|month| month.compared().is_none()).map(|month| month.name.as_str()).collect();
        if !other.is_empty()
            && [ReportRole::Facility, ReportRole::It].iter().all(|role| self.total(*role).probes > 0)
        {
            notes.push(format!(
                "PUE is of months in which EDC and EIT are known for 99 % of the time; {} are not in it",
                other.join(", ")
            ));
        }
        if self.total(ReportRole::It).probes > 0 && self.category().is_none() {
            notes.push("the category of PUE is not known: set the label `metered_at` of IT probes to ups, pdu or equipment".to_owned());
        }
        if !self.has_peak {
            notes.push("the peak is not known: more than 100 probes have the role facility".to_owned());
        }
        if !self.others.is_empty() {
            let others: Vec<&str> = self.others.iter().take(10).map(String::as_str).collect();
            notes.push(format!("other values of the label `role` are ignored: {}", others.join(", ")));
        }
        notes
    }

    /// For people.
    pub fn table(&self) -> String {
        let zone = self.zone.iana_name().unwrap_or("local time");
        let mut text = format!("Report of {} ({zone})\n", self.year);
        for note in self.notes() {
            text += &format!("Note: {note}.\n");
        }
        let dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
        text += &format!(
            "{:<8}  {:>14}  {:>14}  {:>7}  {:>11}  {:>14}  state\n",
            "", "EDC kWh", "EIT kWh", "PUE", "peak kW", "ERES-OS kWh"
        );
        for line in self.lines() {
            text += &format!(
                "{:<8}  {:>14}  {:>14}  {:>7}  {:>11}  {:>14}  {}\n",
                line.name,
                dash(line.energy(ReportRole::Facility)),
                dash(line.energy(ReportRole::It)),
                dash(line.pue()),
                dash(line.peak_kw()),
                dash(line.energy(ReportRole::Renewable)),
                line.state
            );
        }
        if let Some(category) = self.category() {
            text += &format!("PUE is of category {category} (EN 50600-4-2).\n");
        }
        text += "Not known to Kwapi, of Delegated Regulation (EU) 2024/1364, Annex II:\n";
        for (name, meaning) in OPEN {
            text += &format!("  {name}: {meaning}\n");
        }
        text
    }

    /// A line a month, and one of the year.
    pub fn csv(&self) -> String {
        let mut text = "period,state,facility_kwh,it_kwh,renewable_kwh,pue,pue_category,peak_kw,peak_begin,facility_missing_hours,it_missing_hours,renewable_missing_hours\n".to_owned();
        let category = self.category().map(|category| category.to_string()).unwrap_or_default();
        for line in self.lines() {
            let pue = line.pue();
            let category = if pue.is_some() { category.clone() } else { String::new() };
            let begin = line.peak.map(|(begin, _)| self.instant(begin));
            let [facility, it, renewable] = ReportRole::ALL.map(|role| line.energy(role));
            let cells = [
                Some(line.name.clone()),
                Some(line.state.to_owned()),
                facility,
                it,
                renewable,
                pue,
                Some(category),
                line.peak_kw(),
                begin,
                Some(line.missing_hours(ReportRole::Facility)),
                Some(line.missing_hours(ReportRole::It)),
                Some(line.missing_hours(ReportRole::Renewable)),
            ];
            text += &cells.map(Option::unwrap_or_default).join(",");
            text += "\n";
        }
        text
    }

    /// One document, with the names of the form beside ours.
    pub fn json(&self) -> String {
        let number = |text: Option<String>| text.and_then(|text| text.parse::<f64>().ok());
        let of_line = |line: &ReportLine| -> Value {
            json!({
                "period": line.name,
                "state": line.state,
                "facility_kwh": number(line.energy(ReportRole::Facility)),
                "it_kwh": number(line.energy(ReportRole::It)),
                "renewable_kwh": number(line.energy(ReportRole::Renewable)),
                "pue": number(line.pue()),
                "peak_kw": number(line.peak_kw()),
                "peak_begin": line.peak.map(|(begin, _)| self.instant(begin)),
                "facility_missing_hours": number(Some(line.missing_hours(ReportRole::Facility))),
                "it_missing_hours": number(Some(line.missing_hours(ReportRole::It))),
                "renewable_missing_hours": number(Some(line.missing_hours(ReportRole::Renewable))),
            })
        };
        let mut lines = self.lines();
        let year = lines.pop();
        let form = year.as_ref().map(|year| {
            json!({
                "EDC": number(year.energy(ReportRole::Facility)),
                "EIT": number(year.energy(ReportRole::It)),
                "ERES-OS": number(year.energy(ReportRole::Renewable)),
                "PUE": number(year.pue()),
            })
        });
        let open = OPEN.map(|(name, meaning)| json!({ "name": name, "meaning": meaning }));
        let document = json!({
            "year": self.year,
            "zone": self.zone.iana_name(),
            "months": lines.iter().map(of_line).collect::<Vec<_>>(),
            "total": year.as_ref().map(of_line),
            "pue_category": self.category(),
            "delegated_regulation_2024_1364": { "known": form, "open": open },
            "notes": self.notes(),
        });
        format!("{document:#}\n")
    }

    fn instant(&self, at_ms: u64) -> String {
        rfc3339(milliseconds(at_ms), &self.zone)
    }
}
