//! Bills over whole worlds: they add up.

use proptest::prelude::*;

use super::*;

/// Begin and number of quarter hours of the world below.
const QUARTERS: usize = 12;

prop_compose! {
    fn any_probe()(
        mj in prop::collection::vec(prop::array::uniform3(-5_000_000_i64..2_000_000_000), QUARTERS),
        bridged in prop::collection::vec(any::<bool>(), QUARTERS),
        register_mj in 0_i64..1_000_000_000_000,
        shares in prop::collection::vec((0_usize..3, 1_i64..=500_000_000, 0_u64..8, 1_u64..8), 0..4),
        is_below in any::<bool>(),
    ) -> (Vec<[i64; 3]>, Vec<bool>, i64, Vec<(usize, i64, u64, u64)>, bool) {
        (mj, bridged, register_mj, shares, is_below)
    }
}

proptest! {
    /// Whatever was used and whoever owns it: lines, owners and subtotals add up, and owners change no total.
    #[test]
    fn a_bill_adds_up_to_the_cent_and_to_the_watt_hour(
        world in prop::collection::vec(any_probe(), 1..5),
        prices in prop::collection::vec(prop::option::weighted(0.9, -500_000_000_i64..900_000_000), QUARTERS),
        pue in prop::option::of(1_000_000_000_i64..2_000_000_000),
    ) {
        let begin = at("2026-10-14T11:00:00+02:00");
        let decimal = |billionths: i64| -> Decimal {
            let (sign, size) = (if billionths < 0 { "-" } else { "" }, billionths.unsigned_abs());
            format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000).parse().unwrap()
        };
        let of_quarter = prices.iter().zip(0..).filter_map(|(price, number)| {
            Some((begin + number * QUARTER_MS, decimal((*price)?)))
        });
        let spot = RateValue::Series(RateSeries::new(QUARTER_MS, of_quarter.collect()));
        let spot = RateEntry { valid: 0..u64::MAX, hours: WeekHours::default(), value: spot };
        let mut rates = vec![
            Rate::new("spot", RateUnit::Kwh, vec![spot]).unwrap(),
            rate("grid", RateUnit::Kwh, &[("", "0.05432"), (NOON, "0.06")]),
            rate("base", RateUnit::Month, &[("", "100.01")]),
        ];
        rates.extend(pue.map(|pue| rate("pue", RateUnit::Pue, &[("", &decimal(pue).to_string())])));
        let terms = terms("2026-10-14T11:00:00+02:00", QUARTERS as u64, rates);
        let mut probes = Vec::new();
        for (number, (mj, bridged, register_mj, shares, is_below)) in world.into_iter().enumerate() {
            let quarter = |((mj, is_bridged), number): (([i64; 3], bool), u64)| {
                let [measured, estimated, rest] = mj;
                let known = crate::Increment { mj: [measured, estimated, if is_bridged { rest } else { 0 }], ms: [1; 3] };
                BilledQuarter { begin_ms: begin + number * QUARTER_MS, known, ..BilledQuarter::default() }
            };
            let quarters = mj.into_iter().zip(bridged).zip(0..).map(quarter).collect();
            let owned = shares.into_iter().map(|(value, share, from, length)| Share {
                value: ["a", "b", "c"][value].to_owned(),
                share: decimal(share),
                valid: begin + from * QUARTER_MS..begin + (from + length) * QUARTER_MS,
            });
            let shares = Shares::new(owned.collect()).unwrap_or_default();
            let meter = (is_below && number > 0).then(|| probe("p0"));
            probes.push(BilledProbe { probe: probe(&format!("p{number}")), meter, register_mj, quarters, shares });
        }
        let owned = bill(terms.clone(), probes.clone());
        // A document keeps of prices and shares what applies in its month.
        let span = terms.begin_ms..terms.begin_ms + terms.month_ms;
        let rates = terms.rates.iter().map(|rate| rate.within(&span)).collect();
        let of_span = |probe: &BilledProbe| BilledProbe { shares: probe.shares.within(&span), ..probe.clone() };
        let kept = bill(BillTerms { rates, ..terms.clone() }, probes.iter().map(of_span).collect());
        prop_assert_eq!(&kept, &owned);
        let of_nobody = |probe: &BilledProbe| BilledProbe { shares: Shares::default(), ..probe.clone() };
        let unowned = bill(terms.clone(), probes.iter().map(of_nobody).collect());
        prop_assert_eq!((owned.energy_wh, owned.amount), (unowned.energy_wh, unowned.amount));
        // What the meters at the top have gone on by.
        let reading = |probe: &BilledProbe| {
            let used = probe.quarters.iter().map(|quarter| quarter.known.energy_mj()).sum::<i64>();
            (probe.register_mj + used).div_euclid(3_600_000) - probe.register_mj.div_euclid(3_600_000)
        };
        let top: i64 = probes.iter().filter(|probe| probe.meter.is_none()).map(reading).sum();
        prop_assert_eq!(owned.energy_wh, top);
        for bill in [&owned, &unowned] {
            prop_assert_eq!(bill.energy_wh, bill.values.iter().map(|value| value.energy_wh).sum::<i64>());
            prop_assert_eq!(bill.amount, bill.values.iter().map(|value| value.amount).sum::<i64>());
            for value in &bill.values {
                let energy: i64 = value.probes.iter().map(|of| of.energy_wh).sum();
                let lines: i64 = value.probes.iter().map(|of| of.amount).sum();
                let charges: i64 = value.charges.iter().map(|charge| charge.amount).sum();
                prop_assert_eq!((value.energy_wh, value.amount), (energy, lines + charges));
                for of in &value.probes {
                    prop_assert_eq!(of.status_wh.iter().sum::<i64>(), of.energy_wh);
                    prop_assert_eq!(of.lines.iter().map(|line| line.amount).sum::<i64>(), of.amount);
                    for name in ["spot", "grid"] {
                        let of_rate = of.lines.iter().filter(|line| line.rate == name);
                        let energy = of_rate.filter(|line| line.kind != BillLineKind::Overhead);
                        let energy: Vec<i64> = energy.map(|line| line.energy_wh).collect();
                        prop_assert!(energy.is_empty() || energy.iter().sum::<i64>() == of.energy_wh);
                    }
                }
            }
            // What a rate charges a probe is the exact sum, rounded once.
            for probe in &probes {
                let above = probes.iter().filter(|other| other.meter.as_ref() == Some(&probe.probe));
                let mut exact = 0_i128;
                for (number, price) in prices.iter().enumerate() {
                    let energy = |of: &BilledProbe| i128::from(of.quarters[number].known.energy_mj());
                    let own = energy(probe) - above.clone().map(energy).sum::<i128>();
                    let price = i128::from(price.unwrap_or(0));
                    exact += own * price * i128::from(pue.unwrap_or(1_000_000_000));
                }
                let lines = bill.values.iter().flat_map(|value| &value.probes);
                let lines = lines.filter(|of| of.probe == probe.probe).flat_map(|of| &of.lines);
                let charged: i64 = lines.filter(|line| line.rate == "spot").map(|line| line.amount).sum();
                prop_assert_eq!(i128::from(charged), rounded(exact, terms.amount_unit()));
            }
        }
    }
}
