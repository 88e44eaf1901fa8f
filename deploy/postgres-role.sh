#!/bin/sh
# Run once by the postgres image, on an empty volume: the service's own role and database. The role
# is no superuser and has no BYPASSRLS, else row-level security would part no tenants.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" <<'SQL'
\set password `cat /run/secrets/postgres_rupture`
CREATE ROLE rupture LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE rupture OWNER rupture;
SQL
