#!/bin/bash
# A real Gnocchi (PyPI gnocchi 4.7.1) behind Keystone: resources and metrics in a PostgreSQL of its own, measures in files.
# Each part is one process; start them in this order, each when the one before is up.
# usage: GNOCCHI_VENV=… PG_BIN=… gnocchi.sh database|upgrade|metricd|api DIR PORT KEYSTONE_PORT
set -eu
PART=$1; D=$(realpath -m "$2"); PORT=$3; KS=$4; V=${GNOCCHI_VENV:?}
export HOME=$D PYTHONWARNINGS=ignore LC_ALL=C.UTF-8   # oslo.config finds gnocchi.conf in the home directory
mkdir -p "$D"

# PostgreSQL refuses to run as root.
unprivileged() {
  if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else exec "$@"; fi
}

case $PART in
database)
  mkdir -p "$D/db"
  if [ "$(id -u)" = 0 ]; then chown 65534:65534 "$D/db"; chmod a+x "$D" "$D/.."; fi
  cd "$D/db"
  (unprivileged "$PG_BIN/initdb" -D "$D/db/data" -U gnocchi -A trust -E UTF8 --no-sync)
  # Nothing here outlives the test, so nothing waits for a disk.
  unprivileged "$PG_BIN/postgres" -D "$D/db/data" -c listen_addresses= -c unix_socket_directories="$D/db" \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c dynamic_shared_memory_type=mmap ;;
upgrade)
  mkdir -p "$D/store"
  cat > "$D/gnocchi.conf" <<C
[DEFAULT]
coordination_url = file://$D/coordination
[api]
auth_mode = keystone
[indexer]
url = postgresql://gnocchi@/postgres?host=$D/db
[storage]
driver = file
file_basepath = $D/store
[metricd]
workers = 1
metric_processing_delay = 1
[keystone_authtoken]
auth_type = password
auth_url = http://127.0.0.1:$KS/v3
username = gnocchi
password = gnocchipw
project_name = service
user_domain_id = default
project_domain_id = default
interface = internal
www_authenticate_uri = http://127.0.0.1:$KS
C
  cat > "$D/gunicorn.conf.py" <<C
wsgi_app = "gnocchi.wsgi.api:application"
bind = "127.0.0.1:$PORT"
workers = 1
threads = 4
C
  cd "$D" && exec "$V/bin/gnocchi-upgrade" ;;
metricd) cd "$D" && exec "$V/bin/gnocchi-metricd" ;;
# Gnocchi's oslo.config parses sys.argv, so gunicorn gets no command-line arguments.
api) cd "$D" && exec "$V/bin/gunicorn" ;;
esac
