"""A month's bill, made again by other means: the ledger's Parquet files by DuckDB, hours by zoneinfo, money by decimal.

usage: bill.py LEDGER BILL.csv PROFILE.csv SPOT.csv

The prices and owners are those of the test's configuration, stated once more here.
"""

import csv
import sys
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, getcontext
from zoneinfo import ZoneInfo

import duckdb

getcontext().prec = 60
ledger, bill_file, profile_file, spot_file = sys.argv[1:]
PARIS = ZoneInfo('Europe/Paris')
QUARTER = timedelta(minutes=15)
CENT = Decimal('0.01')
KWH = Decimal(3_600_000_000)  # in millijoules


def paris(*date):
    return datetime(*date, tzinfo=PARIS).astimezone(timezone.utc)


BEGIN, END = paris(2025, 10, 1), paris(2025, 11, 1)
NOON = paris(2025, 10, 15, 12)
MOVED = paris(2025, 10, 20)
MONTH = (END - BEGIN) / timedelta(milliseconds=1)


def owners(probe, at):
    if probe == 'rack.web':
        return {'physics': Decimal('0.6'), 'biology': Decimal('0.3'), '': Decimal('0.1')}
    if probe == 'rack.gpu':
        return {'physics' if at < MOVED else 'biology': Decimal(1)}
    return {'biology': Decimal(1)} if probe == 'db' else {'': Decimal(1)}


with open(spot_file) as file:
    spot = {datetime.fromisoformat(row['begin']): Decimal(row['value']) for row in csv.DictReader(file)}


def energy_price(at):
    here = at.astimezone(PARIS)
    if at >= NOON:
        return 'flat', Decimal('0.2345678')
    is_day = here.weekday() < 5 and 6 <= here.hour < 22
    return ('day', Decimal('0.2134')) if is_day else ('night', Decimal('0.1587'))


RATES = {'energy': lambda at: energy_price(at)[1], 'spot': spot.get}


def pue(at):
    return Decimal('1.35') if at < NOON else Decimal('1.2')


rows = duckdb.execute(f"""select probe, epoch_ms("begin"), sum(measured_mj)::bigint, sum(estimated_mj)::bigint,
    sum(bridged_mj)::bigint, sum(measured_ms + estimated_ms + bridged_ms)::bigint, sum(bridged_ms)::bigint
    from read_parquet('{ledger}/step=quarter/*/*.parquet') group by all order by all""").fetchall()
quarters, before = defaultdict(dict), defaultdict(int)
for probe, begin, *numbers in rows:
    at = datetime.fromtimestamp(begin // 1000, timezone.utc)
    if at < BEGIN:
        before[probe] += sum(numbers[:3])
    elif at < END:
        quarters[probe][at] = numbers
probes = sorted(quarters)
times = []
while BEGIN + len(times) * QUARTER < END:
    times.append(BEGIN + len(times) * QUARTER)
assert len(times) == 31 * 96 + 4, len(times)
NOTHING = [0] * 5


def above(probe):
    return 'rack' if probe.startswith('rack.') else None


def stretches(probe):
    """Of each quarter hour with bridged energy those of its stretch."""
    found, run = {}, []
    for at in times + [END]:
        numbers = quarters[probe].get(at, NOTHING)
        if at < END and (numbers[2] or numbers[4]):
            run.append(at)
        else:
            found.update({one: run for one in run})
            run = []
    return found


# What each owner is charged, exactly: by owner, probe, rate and kind of line; and energy in the same way.
money, energy, bounds, co2 = (defaultdict(Decimal) for _ in range(4))
by_owner, status = defaultdict(Decimal), {}
for probe in probes:
    bridged = stretches(probe)
    for at in times:
        measured, estimated, of_stretch = quarters[probe].get(at, NOTHING)[:3]
        # Its own, and taken from the meter above it.
        for whose, sign in [(probe, 1)] + ([(above(probe), -1)] if above(probe) else []):
            for owner, share in owners(whose, at).items():
                spread, late = sign * share * (measured + estimated) / KWH, sign * share * of_stretch / KWH
                by_owner[owner, at] += spread + late
                energy[owner, whose] += spread + late
                co2[whose] += (spread + late) * pue(at) * 56
                for rate, price in RATES.items():
                    price_now = price(at)
                    if price_now is None:
                        energy[owner, whose, rate, 'unpriced'] += spread + late
                        continue
                    kind = energy_price(at)[0] if rate == 'energy' else 'series'
                    energy[owner, whose, rate, kind] += spread
                    money[owner, whose, rate, kind] += spread * price_now
                    energy[owner, whose, rate, 'bridged'] += late
                    money[owner, whose, rate, 'bridged'] += late * price_now
                    over = (spread + late) * (pue(at) - 1)
                    energy[owner, whose, rate, 'overhead'] += over
                    money[owner, whose, rate, 'overhead'] += over * price_now
                    if late:
                        of_all = [price(one) or 0 for one in bridged[at]]
                        bounds[owner, whose, rate, 'cheapest'] += late * min(of_all)
                        bounds[owner, whose, rate, 'dearest'] += late * max(of_all)

with open(bill_file) as file:
    lines = list(csv.DictReader(file))


def cents(amount):
    return amount.quantize(CENT, ROUND_HALF_UP)


def of(kind, **wanted):
    chosen = [line for line in lines if line['line'] == kind]
    return [line for line in chosen if all(line[key] == value for key, value in wanted.items())]


PRICES = {'0.2134': 'day', '0.1587': 'night', '0.2345678': 'flat', '': 'series'}
checked = 0
# What a rate charges a probe: to the cent. A part of it: within one.
for probe in probes:
    for rate in RATES:
        exact = sum(amount for key, amount in money.items() if key[1:3] == (probe, rate))
        charged = sum(Decimal(line['amount']) for line in lines if (line['probe'], line['tariff']) == (probe, rate))
        assert charged == cents(exact), (probe, rate, charged, exact)
        checked += 1
    register = [Decimal(before[probe] + sum(sum(numbers[:3]) for numbers in quarters[probe].values()) * part) / 3_600_000
                for part in (0, 1)]
    register = [reading.to_integral_value(ROUND_FLOOR) for reading in register]
    own = of('probe', probe=probe)
    readings = [Decimal(line[f'register_{end}_kwh']) * 1000 for line in own for end in ('begin', 'end')]
    assert (min(readings), max(readings)) == tuple(register), (probe, readings, register)
    below = sum(Decimal(line['below_kwh']) for line in own) * 1000
    total = sum(Decimal(line['kwh']) for line in own) * 1000
    assert total + below == register[1] - register[0], (probe, total, below, register)
    for line in own:
        assert sum(Decimal(line[f'{name}_kwh']) for name in ('measured', 'estimated', 'bridged')) == Decimal(line['kwh'])
    owned = [line for line in own if line['co2_grams']]
    grams = sum(int(line['co2_grams']) for line in owned)
    assert len(owned) == len(own) and grams == co2[probe].to_integral_value(ROUND_HALF_UP), (probe, grams, co2[probe])
for line in lines:
    kind = PRICES[line['price']] if line['line'] == 'energy' else line['line']
    if line['line'] not in ('energy', 'bridged', 'overhead', 'unpriced'):
        continue
    key = (line['department'], line['probe'], line['tariff'], kind)
    # A probe that comes back to an owner has several lines; none does here.
    assert abs(Decimal(line['amount']) - money[key]) < CENT, (key, line['amount'], money[key])
    assert abs(Decimal(line['kwh']) - energy[key]) <= Decimal('0.005'), (key, line['kwh'], energy[key])
    if kind == 'bridged':
        # What is taken away from a meter costs most at the lowest price.
        exact = sorted(bounds[*key[:3], bound] for bound in ('cheapest', 'dearest'))
        for bound, amount in zip(('cheapest', 'dearest'), exact):
            assert abs(Decimal(line[bound]) - amount) <= CENT / 2, (key, bound, line[bound], amount)
    checked += 1
# Each owner: charges, subtotal, peak.
grand, whole = Decimal(0), Decimal(0)
for subtotal in of('subtotal'):
    owner = subtotal['department']
    mine = [line for line in lines if line['department'] == owner]
    amounts = [Decimal(line['amount']) for line in mine
               if line['line'] in ('energy', 'bridged', 'overhead', 'unpriced', 'month', 'peak')]
    assert sum(amounts) == Decimal(subtotal['amount']), owner
    assert sum(Decimal(line['kwh']) for line in mine if line['line'] == 'probe') == Decimal(subtotal['kwh']), owner
    peak_at = max(times, key=lambda at: (by_owner[owner, at], -times.index(at)))
    # Whole millijoules are split among owners.
    assert abs(int(subtotal['peak_watts']) + Decimal('0.5') - by_owner[owner, peak_at] * 4000) < Decimal('0.501'), owner
    assert datetime.fromisoformat(subtotal['peak_begin']) == peak_at, owner
    of_month, = of('month', department=owner)
    of_peak, = of('peak', department=owner)
    assert Decimal(of_peak['amount']) == cents(by_owner[owner, peak_at] * 4 * Decimal('3.7')), owner
    share = sum(amount for (name, _), amount in by_owner.items() if name == owner) / sum(by_owner.values())
    assert abs(Decimal(of_month['amount']) - share * Decimal('118.50')) < CENT * 2, owner
    grand, whole, checked = grand + Decimal(subtotal['amount']), whole + Decimal(subtotal['kwh']), checked + 1
total, = of('total')
assert (grand, whole) == (Decimal(total['amount']), Decimal(total['kwh']))
assert sum(Decimal(line['amount']) for line in of('month')) == Decimal('118.50')
# The profile: ends of quarter hours, 100 on the day on which the clock is set back.
with open(profile_file) as file:
    profile = list(csv.DictReader(file))
for owner in {line['department'] for line in profile}:
    mine = [line for line in profile if line['department'] == owner]
    ends = [datetime.fromisoformat(line['end']) for line in mine]
    assert ends == [at + QUARTER for at in times], owner
    days = defaultdict(int)
    for end in ends:
        days[(end - QUARTER).astimezone(PARIS).date().isoformat()] += 1
    assert (days['2025-10-26'], days['2025-10-25'], len(days)) == (100, 96, 31), days
    for line, at in zip(mine, times):
        # Whole millijoules are split among owners.
        assert abs(Decimal(line['joules']) / 3_600_000 - by_owner[owner, at]) < Decimal('1e-8'), (owner, at, line)
statuses = {line['status'] for line in profile}
assert statuses == {'measured', 'bridged', 'unknown'}, statuses
print(f'{checked} numbers agree, {total["amount"]} EUR for {total["kwh"]} kWh')
