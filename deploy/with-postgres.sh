#!/usr/bin/env bash
# Runs a command against a PostgreSQL of its own, thrown away afterwards: for measuring and trying.
# RUPTURE_DATABASE is set for the command. Needs Debian's postgresql package; as root it runs as
# the user postgres, since it refuses to run as root. Data are written through as in real use
# (fsync stays on).
#
#   deploy/with-postgres.sh python -m service.bench
set -euo pipefail
programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
[ -n "$programs" ] || { echo "There is no PostgreSQL: apt-get install postgresql" >&2; exit 3; }
folder=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as=("$(PATH="$PATH:/usr/sbin:/sbin" command -v runuser)" -u postgres --)
fi
cd "$folder"
end() {
  "${as[@]}" "$programs/pg_ctl" stop -m fast -D "$folder/data" >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap end EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"${as[@]}" "$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 >/dev/null
"${as[@]}" "$programs/pg_ctl" start -w -D "$folder/data" -l "$folder/log" \
  -o "-p $port -c listen_addresses=127.0.0.1 -k $folder" >/dev/null
"$programs/psql" -q -h 127.0.0.1 -p "$port" -U postgres -d postgres \
  -c "CREATE ROLE rupture LOGIN" -c "CREATE DATABASE rupture OWNER rupture"
cd "$OLDPWD"
RUPTURE_DATABASE="postgresql://rupture@127.0.0.1:$port/rupture" "$@"
