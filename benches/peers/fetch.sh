#!/bin/bash
# Gets rsyslog and syslog-ng from Debian, unpacked and not installed (as packages they exclude each other), and prints the folder that they lie in.
# What cannot be had is said as "skipped: …", with exit status 3. It stays in CACHE.
set -eu
CACHE=${TRIPLINE_SERVICES_CACHE:-/var/tmp/tripline-services}
PEERS=$CACHE/syslog-peers
mkdir -p "$CACHE"

skip() { echo "skipped: $1" >&2; exit 3; }

command -v apt-get >/dev/null && command -v dpkg >/dev/null || skip "no Debian to get rsyslog and syslog-ng from"
exec 9>"$CACHE/peers-lock"; flock 9
if [ ! -f "$PEERS/complete" ]; then
  rm -rf "$PEERS"; mkdir -p "$PEERS"; cd "$PEERS"
  timeout 120 apt-get download rsyslog libestr0 libfastjson4 liblognorm5 syslog-ng-core libivykis0 libnet1 libjson-c5 libwrap0 libpcre3 >"$CACHE/peers.log" 2>&1 \
    || skip "the packages cannot be had: $(tail -1 "$CACHE/peers.log")"
  for package in *.deb; do dpkg -x "$package" .; done
  touch complete
fi
echo "$PEERS"
