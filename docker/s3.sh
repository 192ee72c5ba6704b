#!/bin/sh
# The S3 server of a container. Its inner services ask for no keys, so all of it listens on the loopback alone, and only
# the port of S3 is passed on to the network.
set -eu
socat TCP-LISTEN:9000,fork,reuseaddr,backlog=128 TCP:127.0.0.1:9001 &
exec python3 -m ops_platform.s3_server --data-dir /var/lib/s3 --host 127.0.0.1 --port 9001
