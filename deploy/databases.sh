#!/bin/sh
# Run once by the postgres image on an empty volume: one database for each product (docs/production.md says why).
set -eu
for name in dagster mlflow; do
  psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --command "create database $name"
done
