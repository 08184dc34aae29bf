#!/bin/bash
# Starts a real Elasticsearch (KIND es) or OpenSearch (KIND os) node on loopback, from the vendor's own zip in Maven Central, and returns when it answers.
#   node.sh KIND ROOT PORT [--heap=SIZE] [--secure=FOLDER] [LINE OF ITS yml]…
# FOLDER (es): node.key and node.crt for TLS, roles.yml, and users: a line of name, password and role for each. API keys can be made too.
# Its process id stands in ROOT/node/pid. What cannot be had is said as "skipped: …", with exit status 3. Zips and what is unpacked from them stay in CACHE.
set -eu
KIND=$1 ROOT=$2 PORT=$3; shift 3
# Small and soon there; with a heap of its own, as fast as it gets.
JAVA_OPTIONS="-Xms256m -Xmx256m -XX:-AlwaysPreTouch -XX:TieredStopAtLevel=1"
SECURE=
while :; do
  case "${1:-}" in
    --heap=*) JAVA_OPTIONS="-Xms${1#--heap=} -Xmx${1#--heap=}"; shift ;;
    --secure=*) SECURE=${1#--secure=}; shift ;;
    *) break ;;
  esac
done
ES=9.5.3 OS=3.8.0
CACHE=${TRIPLINE_SERVICES_CACHE:-/var/tmp/tripline-services}
mkdir -p "$CACHE" "$ROOT/node"

skip() { echo "skipped: $1" >&2; exit 3; }

# Both need Java 21 or later: JAVA_HOME, the default one, or one installed beside it.
java_home() {
  for java in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    version=$("$java" -version 2>&1 | sed -n '1s/[^"]*"\([0-9]*\).*/\1/p') || continue
    if [ "${version:-0}" -ge 21 ]; then dirname "$(dirname "$(readlink -f "$java")")"; return; fi
  done
  skip "no Java 21 or later"
}

fetch() { # GROUP NAME VERSION
  exec 9>"$CACHE/lock"; flock 9
  if [ ! -d "$CACHE/$2-$3" ]; then
    command -v mvn >/dev/null && command -v unzip >/dev/null || skip "no Maven or no unzip to get $2 with"
    [ -f "$CACHE/$2-$3.zip" ] || mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy "-Dartifact=$1:$2:$3:zip" "-DoutputDirectory=$CACHE" >"$CACHE/mvn.log" 2>&1 ||
      skip "$2 $3 cannot be had: $(tail -1 "$CACHE/mvn.log")"
    rm -rf "$CACHE/unpacking"; unzip -q "$CACHE/$2-$3.zip" -d "$CACHE/unpacking"
    chmod -R a+rX "$CACHE/unpacking"; mv "$CACHE/unpacking/$2-$3" "$CACHE/"; rm -f "$CACHE/$2-$3.zip"
  fi
  exec 9>&-
}

# The test zip of Elasticsearch lacks what API keys and `GET /` need: parts/ brings it, compiled against what is there.
missing_parts() {
  source=$(dirname "$0")/parts/MissingParts.java plugin=$HOME_OF/plugins/parts new=$CACHE/compiling
  exec 9>"$CACHE/lock"; flock 9
  if ! cmp -s "$source" "$plugin/MissingParts.java"; then
    [ -x "$JAVA/bin/javac" ] || skip "no compiler in $JAVA"
    rm -rf "$new"; mkdir -p "$new/classes" "$new/parts" "$HOME_OF/plugins"
    "$JAVA/bin/javac" -nowarn -cp "$HOME_OF/lib/*" -d "$new/classes" "$source"
    "$JAVA/bin/jar" -c -f "$new/parts/parts.jar" -C "$new/classes" .
    printf '%s\n' "name=parts" "description=what the test zip lacks" "version=1" "classname=tripline.tests.MissingParts" \
      "java.version=21" "elasticsearch.version=$ES" >"$new/parts/plugin-descriptor.properties"
    cp "$source" "$new/parts/"; chmod -R a+rX "$new"; rm -rf "$plugin"; mv "$new/parts" "$plugin"; rm -rf "$new"
  fi
  exec 9>&-
}

JAVA=$(java_home)
if [ "$KIND" = es ]; then NAME=elasticsearch VERSION=$ES PREFIX=ES; fetch org.elasticsearch.distribution.integ-test-zip $NAME $VERSION
else NAME=opensearch VERSION=$OS PREFIX=OPENSEARCH; fetch org.opensearch.distribution.integ-test-zip $NAME $VERSION; fi
HOME_OF=$CACHE/$NAME-$VERSION WORK=$ROOT/node
mkdir -p "$WORK/config" "$WORK/data" "$WORK/logs" "$WORK/tmp"; cp -rn "$HOME_OF/config/." "$WORK/config/" || true
{
  printf '%s\n' "cluster.name: test" "node.name: n1" "network.host: 127.0.0.1" "http.port: $PORT" "transport.port: $((PORT + 1))" "discovery.type: single-node" \
    "cluster.routing.allocation.disk.threshold_enabled: false" "path.data: $WORK/data" "path.logs: $WORK/logs"
  if [ -n "$SECURE" ]; then
    printf '%s\n' "xpack.security.enabled: true" "xpack.security.autoconfiguration.enabled: false" "xpack.security.http.ssl.enabled: true" \
      "xpack.security.http.ssl.key: node.key" "xpack.security.http.ssl.certificate: node.crt"
  elif [ "$KIND" = es ]; then echo "xpack.security.enabled: false"; fi
  for line in "$@"; do echo "$line"; done
} >"$WORK/config/$NAME.yml"
sed -i -e '/-Xlog:gc/d' -e '/HeapDumpPath/d' -e '/ErrorFile/d' "$WORK/config/jvm.options"
if [ -n "$SECURE" ] && [ ! -f "$WORK/config/node.key" ]; then
  missing_parts
  cp "$SECURE/node.key" "$SECURE/node.crt" "$SECURE/roles.yml" "$WORK/config/"
  while read -r name password role; do
    env -i PATH="$PATH" "ES_JAVA_HOME=$JAVA" "ES_PATH_CONF=$WORK/config" CLI_JAVA_OPTS=-Xmx64m "$HOME_OF/bin/elasticsearch-users" useradd "$name" -p "$password" -r "$role"
  done <"$SECURE/users"
fi
AS=
if [ "$(id -u)" = 0 ]; then AS="setpriv --reuid=65534 --regid=65534 --clear-groups"; chmod 755 "$ROOT"; chown -R 65534:65534 "$WORK"; fi # neither runs as root
rm -f "$WORK/pid"
env -i PATH="$PATH" HOME="$WORK" "${PREFIX}_JAVA_HOME=$JAVA" "${PREFIX}_PATH_CONF=$WORK/config" "${PREFIX}_TMPDIR=$WORK/tmp" \
  "${PREFIX}_JAVA_OPTS=$JAVA_OPTIONS" CLI_JAVA_OPTS=-Xmx64m \
  setsid $AS "$HOME_OF/bin/$NAME" -p "$WORK/pid" >"$WORK/out.log" 2>&1 </dev/null &
is_up() {
  if [ -n "$SECURE" ]; then
    printf 'GET /_cluster/health HTTP/1.0\r\n\r\n' | timeout 5 openssl s_client -quiet -connect "127.0.0.1:$PORT" | head -1 | grep -q ' 401 '
  else (exec 3<>"/dev/tcp/127.0.0.1/$PORT"; printf 'GET /_cluster/health HTTP/1.0\r\n\r\n' >&3; timeout 2 head -1 <&3 | grep -q ' 200 '); fi
}
for _ in $(seq 450); do
  if is_up 2>/dev/null; then exit 0; fi
  sleep 0.2
done
echo "not ready in 90 s: $(tail -3 "$WORK/out.log")" >&2
exit 1
