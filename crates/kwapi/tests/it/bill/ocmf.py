"""Verifies signed readings with a library of others, and that none survives a changed digit.

usage: ocmf.py RECORDS PUBLIC_KEY
"""

import sys

from pyocmf import OCMF, PyOCMFError

records_file, key = sys.argv[1:]
with open(records_file) as file:
    records = file.read().splitlines()


def is_genuine(record):
    return OCMF.from_string(record, strict=True).verify_signature(key)


for record in records:
    assert is_genuine(record), record
    begin, end = OCMF.from_string(record).payload.RD
    assert begin.RV < end.RV, record
    _, payload, _ = record.split('|')
    for place, digit in enumerate(payload):
        if digit.isdigit():
            changed = payload[:place] + str((int(digit) + 1) % 10) + payload[place + 1:]
            try:
                survives = is_genuine(record.replace(payload, changed))
            except PyOCMFError:
                survives = False  # It is no record any more.
            assert not survives, changed
print(f'{len(records)} records are genuine')
