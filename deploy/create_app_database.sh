#!/usr/bin/env bash
# Run once by the postgres image when its data directory is new. The sidecar refuses to work as a superuser, so it gets
# a role of its own, which owns the database. The small bank is there to try things out.
set -euo pipefail

psql -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d postgres \
    -v database="$DATABASE" -v password="$APP_PASSWORD" <<'SQL'
CREATE ROLE app LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER app;
\connect :"database"
SET ROLE app;
CREATE TABLE account (id integer PRIMARY KEY, balance integer NOT NULL CHECK (balance >= 0));
INSERT INTO account VALUES (1, 100);
SQL
