"""Publishes as any ZeroMQ program would: waits for a first subscriber, then sends a list of messages once.

usage: publish.py URL LIST SCHEME KEY_ID SECRET
"""

import sys
import time

import zmq

import kwapi_message

url, what, scheme, key_id, secret = sys.argv[1:]
secret = secret.encode()
now = int(time.time() * 1e6)


def totals(seq):
    stamps = {"timestamp_us": now, "session": now - 1, "seq": seq, "energy_mj": seq}
    return {**stamps, "measured_ms": seq, "estimated_ms": 0, "unknown_ms": 0}


def good(seq):
    members = {} if scheme == "legacy" else totals(seq)
    return kwapi_message.sign("good", {"w": seq + 0.25, **members}, scheme, key_id, secret)


def hostile():
    """What ended the original's listener, what it took for watts, and what else a stranger may send."""
    yield [b"A."]
    yield [b"A.", b'{"probe_id": "A", "w": 1}', b"third"]
    yield [b"A.", b"{not json"]
    yield [b"A.", b'{"probe_id": "\xff\xfe", "w": 1}']
    yield [b"A.", '{"probe_id": "A", "w": 1, "\u00e9": 1, "w": 2}'.encode()]
    yield [b"A.", b'{"a":' * 2000 + b"1" + b"}" * 2000]  # 10 kB.
    yield [b"A.", b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"]
    yield [b"A.", b'{"probe_id": 7, "w": 1}']
    for w in (b"NaN", b"Infinity", b"-Infinity", b"-1", b"true", b'"12"', b"null", b"[1]", b"1e999"):
        yield [b"A.", b'{"probe_id": "A", "w": %s}' % w]
    yield [b"", b""]
    yield [b"A.", b""]
    yield [b"B.", b'{"probe_id": "A", "w": 1}']
    yield [b"A.", b'{"probe_id": "A", "w": 1, "pad": "' + b"x" * 9000 + b'"}']
    yield [b"A.", b'{"probe_id": "A", "w": 1, "seq": -1}']
    stamps = {**totals(0), "timestamp_us": now + 3_600_000_000}
    yield kwapi_message.sign("A", {"w": 1, **stamps}, scheme, key_id, secret)
    stamps = {**totals(0), "timestamp_us": now - 3_600_000_000}
    yield kwapi_message.sign("A", {"w": 1, **stamps}, scheme, key_id, secret)
    yield [b"\0beacon", b"for forwarders"]


def signed():
    """What a stranger sends where signatures are required."""
    yield kwapi_message.sign("A", {"w": 1, **totals(0)}, "none", key_id, secret)
    yield kwapi_message.sign("A", {"w": 1, **totals(0)}, scheme, key_id, b"another secret, as long")
    yield kwapi_message.sign("A", {"w": 1, **totals(0)}, scheme, "stranger", secret)
    yield [b"A.", '{"probe_id": "A", "w": 1, "é": 1}'.encode()[:-1] + b', "message_signature": "%s"}' % (b"0" * 64)]


socket = zmq.Context().socket(zmq.XPUB)
socket.bind(url)
while socket.recv()[1:2] == b"\0":
    pass  # A forwarder that listens to beacons only, so far.
seq = 0
for frames in {"hostile": hostile, "signed": signed, "good": list}[what]():
    socket.send_multipart(frames)
    socket.send_multipart(good(seq))
    seq += 1
for seq in range(seq, seq + 3):
    socket.send_multipart(good(seq))
print("sent", seq + 1, flush=True)
time.sleep(60)
