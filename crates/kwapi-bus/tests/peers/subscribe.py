"""Subscribes as any ZeroMQ program would and prints what it receives, with its own judgement of the signature.

usage: subscribe.py URL PREFIXES SCHEME KEY_ID SECRET [SERVER_KEY PUBLIC_KEY SECRET_KEY]
"""

import json
import sys

import zmq

import kwapi_message

url, prefixes, scheme, key_id, secret, *curve = sys.argv[1:]
secret = secret.encode()
socket = zmq.Context().socket(zmq.SUB)
if curve:
    socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = (key.encode() for key in curve)
for prefix in prefixes.split(","):
    socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
socket.connect(url)
print("connected", flush=True)
while True:
    topic, payload = socket.recv_multipart()
    holds = {
        "kwapi-1": lambda: kwapi_message.kwapi_1_holds(topic, payload, key_id, secret),
        "legacy": lambda: kwapi_message.legacy_holds(payload, secret),
        "none": lambda: "message_signature" not in json.loads(payload),
    }[scheme]()
    members = json.loads(payload)
    print("received", topic.decode(), json.dumps(members["probe_id"]), members["w"], holds, flush=True)
