#!/bin/sh
# as root on this image: snmpsim must keep uid root (a Python under a home directory is unreadable after a drop to nobody)
# v1/v2c communities "pdu" and "public"; v3 user "monitor" SHA/AES (authpass/privpass 8+ chars), context = data file name
# The indexes of data files are cached by their relative names: shared, those of tests that run at once would spoil each other.
cd @DIR@/snmp
exec @VENV@/bin/snmpsim-command-responder --data-dir=./data --cache-dir=./cache --agent-udpv4-endpoint=127.0.0.1:@PORT@ \
  --v3-user=monitor --v3-auth-key=authpass1 --v3-auth-proto=SHA --v3-priv-key=privpass1 --v3-priv-proto=AES \
  --v3-user=mon256 --v3-auth-key=authpass1 --v3-auth-proto=SHA256 --v3-priv-key=privpass1 --v3-priv-proto=AES256 \
  --process-user=root --process-group=root --logging-method=null
