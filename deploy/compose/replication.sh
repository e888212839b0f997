#!/bin/sh
# Run once by the image of PostgreSQL, when the primary is made: the standby may follow it.
set -eu
echo "host replication tollgate 172.31.0.0/24 scram-sha-256" >>"$PGDATA/pg_hba.conf"
