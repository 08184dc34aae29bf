#!/bin/bash
# Gets what TheHive's vendor publishes for programs, and prints the Python that has it: the vendor's client, and a validator for the vendor's description of the API.
# What cannot be had is said as "skipped: …", with exit status 3. It stays in CACHE.
set -eu
CACHE=${TRIPLINE_SERVICES_CACHE:-/var/tmp/tripline-services}
VENV=$CACHE/thehive4py-2.1.0
mkdir -p "$CACHE"

skip() { echo "skipped: $1" >&2; exit 3; }

command -v python3 >/dev/null || skip "no Python to run TheHive's client with"
exec 9>"$CACHE/thehive-lock"; flock 9
if [ ! -f "$VENV/complete" ]; then
  rm -rf "$VENV"
  { python3 -m venv "$VENV" && timeout 120 "$VENV/bin/pip" install -q thehive4py==2.1.0 jsonschema==4.26.0 pyyaml==6.0.4; } >"$CACHE/pip.log" 2>&1 \
    || skip "TheHive's client cannot be had: $(tail -1 "$CACHE/pip.log")"
  touch "$VENV/complete"
fi
echo "$VENV/bin/python"
