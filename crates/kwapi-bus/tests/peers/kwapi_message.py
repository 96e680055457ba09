"""The message and its signatures, written again from their description: shares nothing with the Rust code.

`text` is Python 2's str() of a JSON number, which the original's signature covers.
"""

import hashlib
import hmac
import json
import struct


class Float(float):
    """A JSON number with a point or an exponent."""


def text(value):
    if value is None or value is True or value is False:
        return str(value)
    if isinstance(value, Float):
        digits, exponent = ("%.11e" % value).split("e")
        if not -4 <= int(exponent) < 11:
            mantissa = digits.rstrip("0").rstrip(".")
            return "%se%+03d" % (mantissa, int(exponent))
        shown = "%.12g" % value
        return shown if "." in shown or "e" in shown or "n" in shown else shown + ".0"
    return str(value)


def walk(members, path=""):
    for name in sorted(members):
        if not path and name == "message_signature":
            continue
        if isinstance(members[name], dict):
            yield from walk(members[name], path + name + ":")
        else:
            yield path + name + text(members[name])


def parse(payload):
    return json.loads(payload, parse_float=Float)


def legacy_signature(payload, secret):
    return hmac.new(secret, "".join(walk(parse(payload))).encode(), hashlib.sha256).hexdigest()


def legacy_holds(payload, secret):
    return hmac.compare_digest(parse(payload)["message_signature"], legacy_signature(payload, secret))


def kwapi_1_signature(topic, signed, secret):
    covered = b"kwapi-1\0" + struct.pack(">H", len(topic)) + topic + signed
    return hmac.new(secret, covered, hashlib.sha256).hexdigest()


def kwapi_1_holds(topic, payload, key_id, secret):
    open_, _, _ = payload.rpartition(b'"1:')
    claimed = parse(payload)["message_signature"]
    return hmac.compare_digest(claimed, "1:%s:%s" % (key_id, kwapi_1_signature(topic, open_, secret)))


def sign(probe, members, scheme, key_id, secret):
    """The two frames of a message."""
    topic = (probe + ".").encode()
    payload = json.dumps({"probe_id": probe, **members}).encode()
    if scheme == "legacy":
        payload = payload[:-1] + b', "message_signature": "%s"}' % legacy_signature(payload, secret).encode()
    elif scheme == "kwapi-1":
        open_ = payload[:-1] + b', "message_signature": '
        payload = open_ + b'"1:%s:%s"}' % (key_id.encode(), kwapi_1_signature(topic, open_, secret).encode())
    return [topic, payload]
