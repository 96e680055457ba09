//! Tariffs, and the shares of a label.

use proptest::prelude::*;

use super::*;

/// The rates and shares of a configuration, or its error.
#[track_caller]
fn bills(toml: &str, expected: &str) {
    let shown = |config: &Config| {
        let rates = config.bill.rates.iter().map(|rate| format!("{}:{:?}", rate.name(), rate.unit()));
        let shares = config.bill.shares.iter().map(|(probe, labels)| format!("{probe}:{}", labels.len()));
        rates.chain(shares).collect::<Vec<_>>().join(" ")
    };
    check(toml, shown, expected);
}

#[test]
fn without_a_tariff_energy_costs_what_the_pages_show() {
    bills("", "energy:Kwh");
    bills("[rrd]\nkwh_price = 0.3051\n", "energy:Kwh");
    bills(
        "[rrd]\nkwh_price = nan\n",
        "k.toml:2: `kwh_price` is not a decimal number; write for example 0.2134",
    );
}

#[test]
fn a_tariff_that_makes_no_sense_is_refused_with_its_line() {
    let tariff = |keys: &str| format!("[bill]\nzone = 'Europe/Paris'\n[[tariff]]\nname = 'e'\n{keys}\n");
    let day = "price_per_kwh = 0.2\nhours = ['06:00-22:00']\n[[tariff]]\nname = 'e'\nprice_per_kwh = '0.1'\nhours = ['22:00-06:00']";
    bills(&tariff(&format!("{day}\n[[tariff]]\nname = 'p'\npue = 1.3")), "e:Kwh p:Pue");
    for (keys, error) in [
        (
            "price_per_kwh = 0.2\npric_per_month = 3",
            "6: unknown key `pric_per_month`; did you mean `price_per_month`?",
        ),
        (
            "pue = 1.2\nco2_grams_per_kwh = 50",
            "3: a [[tariff]] requires exactly one of `price_per_kwh`, `price_per_month`, `price_per_peak_kw`, `pue`, `co2_grams_per_kwh`",
        ),
        (
            "price_per_kwh = '0,2'",
            "5: `price_per_kwh`: \"0,2\" is not a decimal number; write for example 0.2134",
        ),
        ("pue = 0.9", "3: tariff \"e\" must be 1 or more"),
        (
            "price_per_kwh = 1\nfrom = 2026-10-14T12:05:00",
            "3: tariff \"e\" begins or ends within a quarter hour; a quarter hour has one price",
        ),
        (
            "price_per_kwh = 1\nfrom = '2026-10-14'\nuntil = '2026-10-14'",
            "3: tariff \"e\" ends before it begins",
        ),
        (
            "price_per_kwh = 1\nuntil = 'tomorrow'",
            "6: `until` \"tomorrow\" is not an instant; write for example 2026-11-26T14:00:00+01:00, or Unix seconds",
        ),
        (
            "price_per_kwh = 1\nfrom = 'now'",
            "6: `from` \"now\" is not an instant; write for example 2026-11-26T14:00:00+01:00, or Unix seconds",
        ),
        (
            "price_per_kwh = 1\nfrom = 'yesterday'",
            "6: `from` \"yesterday\" is not an instant; write for example 2026-11-26T14:00:00+01:00, or Unix seconds",
        ),
        (
            "price_per_kwh = 1\nweekdays = ['monday']",
            "6: \"monday\" is not a weekday; write mon, tue, wed, thu, fri, sat, sun, or mon-fri",
        ),
        (
            "price_per_kwh = 1\nhours = ['6-22']",
            "6: \"6-22\" is not a part of the day in whole quarter hours; write for example 06:00-22:00",
        ),
        (
            "price_per_kwh = 1\n[[tariff]]\nname = 'e'\nprice_per_kwh = 2",
            "6: tariff \"e\" applies at the same time as another of its name",
        ),
        (
            "price_per_kwh = 1\n[[tariff]]\nname = 'e'\npue = 2",
            "8: the entries of tariff \"e\" are for different things",
        ),
        (
            "pue = 1\n[[tariff]]\nname = 'f'\npue = 2",
            "6: `pue` is set by tariffs of two names; give both the same name",
        ),
        (
            "price_per_month = 1\nhours = ['06:00-22:00']",
            "3: tariff \"e\" by the month or the peak must be one number, and by the month has no hours",
        ),
    ] {
        bills(&tariff(keys), &format!("k.toml:{error}"));
    }
    bills(
        "[[tariff]]\nname = 'e'\npue = 1\n",
        "k.toml:1: [[tariff]] requires `zone` in [bill], such as \"Europe/Paris\"",
    );
    bills(
        "[bill]\nzone = 'Mars/Olympus'\n",
        "k.toml:2: there is no time zone \"Mars/Olympus\"; write for example Europe/Paris or UTC",
    );
    bills("[bill]\ndecimals = 5\n", "k.toml:2: `decimals` must be 0 to 4");
}

#[test]
fn shares_are_for_bills_and_hide_the_text_of_their_label() {
    const METER: &str =
        "[[meter]]\ndriver = 'dummy'\nprobe = 'a'\nlabels = { department = 'x', room = '1' }\n[labels]\n";
    let toml = |shares: &str| format!("{METER}a = {{ department = [{shares}], rack = '7' }}\n");
    let good = "{ value = 'p', share = 0.6, from = '2026-10-12' }, { value = 'q', share = '0.4' }";
    bills(&toml(good), "energy:Kwh a:1");
    check(
        &toml(good),
        |config| format!("{:?}", config.labels),
        "{ProbeId(\"a\"): {\"rack\": \"7\", \"room\": \"1\"}}",
    );
    for (shares, error) in [
        (
            "{ value = 'p', share = 0.7 }, { value = 'q', share = 0.4 }",
            "`department` of `a`: shares add up to more than 1",
        ),
        ("{ value = 'p', share = 1.2 }", "`department` of `a`: share must be above 0 and at most 1"),
        (
            "{ value = 'p', from = 'soon' }",
            "`from` \"soon\" is not an instant; write for example 2026-11-26T14:00:00+01:00, or Unix seconds",
        ),
        (
            "{ value = 'p', from = '2026-10-12T00:10:00Z' }",
            "`department` of `a`: begins or ends within a quarter hour",
        ),
        ("{ value = '', share = 1 }", "`value` must not be empty"),
        ("{ valu = 'p' }", "unknown key `valu`; did you mean `value`?"),
    ] {
        bills(&toml(shares), &format!("k.toml:6: {error}"));
    }
}

const PRICES: &str = "begin,value\n2026-11-01,0.2134\n2026-11-01 00:15,-0.02\n2026-11-01T00:30:00+01:00,1\n1793491200,\"0,3\"\n";
const SHARES: &str = "probe,label,value,share,from,until\nrack.a,department,physics,0.6,2026-10-12,\nrack.a,department,biology,0.4,,now\n";
const WITH_FILES: &str = "[bill]\nzone = 'Europe/Paris'\nshares = 'shares.csv'\n[[tariff]]\nname = 'spot'\n\
    price_per_kwh = { csv = 'prices.csv' }\nfrom = '2026-10-01'\nhours = ['06:00-22:00']\nweekdays = ['mon-fri']\n\
    [[tariff]]\nname = 'peak'\nprice_per_peak_kw = 3.7\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whoever writes prices and shares gets them read, or the line that is wrong.
    #[test]
    fn spoiled_prices_shares_and_tariffs_are_read_or_refused(
        toml in spoiled(WITH_FILES),
        prices in spoiled(PRICES),
        shares in spoiled(SHARES),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("k.toml", &toml), ("prices.csv", &prices), ("shares.csv", &shares)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        if let Err(error) = Config::read(&folder.path().join("k.toml")) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
