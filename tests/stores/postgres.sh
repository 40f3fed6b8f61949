#!/usr/bin/env bash
# Starts a PostgreSQL server of its own on loopback, in a temporary folder, and runs a command with its address
# in BATON_POSTGRES. The server and its files are gone afterwards.
set -euo pipefail
bin=$(pg_config --bindir 2>/dev/null || true)
for found in "$bin" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
  [ -x "$found/initdb" ] && bin=$found
done
[ -x "$bin/initdb" ] || { echo 'no PostgreSQL server here: install the package postgresql' >&2; exit 1; }
folder=$(mktemp -d "${TMPDIR:-/tmp}/baton-postgres-XXXXXX")
# The server refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  chown postgres "$folder"
fi
finish() {
  "${as[@]}" "$bin/pg_ctl" --pgdata "$folder/data" --mode immediate --silent stop >&2 || true
  rm -rf "$folder"
}
trap finish EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cd "$folder"
"${as[@]}" "$bin/initdb" --pgdata "$folder/data" --username baton --auth trust --no-sync >/dev/null
# Everything as a server has it by default, but for what keeps it to this machine.
"${as[@]}" "$bin/pg_ctl" --pgdata "$folder/data" --silent --wait --log "$folder/log" \
  --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c max_connections=200" start
cd "$OLDPWD"
export BATON_POSTGRES="postgres://baton@127.0.0.1:$port/postgres" BATON_POSTGRES_DATA="$folder/data" BATON_POSTGRES_BIN="$bin"
"$@"
