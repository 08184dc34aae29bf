#!/bin/bash
# Starts a real Apache Kafka broker (KRaft, one node) on loopback, from its jars in Maven Central, and returns when it answers. On the data of ROOT, if there is any.
#   kafka.sh ROOT PORT [LINE OF ITS properties | --OPTION OF ITS FIRST FORMATTING]…
# PORT + 1 is the controller's. Its process id stands in ROOT/node/pid. What cannot be had is said as "skipped: …", with exit status 3. The jars stay in CACHE.
set -eu
ROOT=$1 PORT=$2; shift 2
VERSION=4.3.1
CACHE=${TRIPLINE_SERVICES_CACHE:-/var/tmp/tripline-services}
JARS=$CACHE/kafka-$VERSION WORK=$ROOT/node
mkdir -p "$CACHE" "$WORK"

skip() { echo "skipped: $1" >&2; exit 3; }

# A project with no code: Maven resolves what the broker needs.
pom() {
  dependency() { echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"; }
  echo '<project><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
  dependency org.apache.kafka kafka_2.13 $VERSION
  dependency org.apache.logging.log4j log4j-slf4j-impl 2.25.3
  dependency org.apache.logging.log4j log4j-core 2.25.3
  echo '</dependencies></project>'
}

command -v java >/dev/null || skip "no Java to run Kafka with"
exec 9>"$CACHE/lock"; flock 9
if [ ! -f "$JARS/complete" ]; then
  command -v mvn >/dev/null || skip "no Maven to get Kafka with"
  rm -rf "$CACHE/kafka-pom"; mkdir -p "$CACHE/kafka-pom" "$JARS"; pom >"$CACHE/kafka-pom/pom.xml"
  mvn -q -B -f "$CACHE/kafka-pom/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$JARS" \
    >"$CACHE/mvn.log" 2>&1 || skip "Kafka $VERSION cannot be had: $(tail -1 "$CACHE/mvn.log")"
  touch "$JARS/complete"
fi
exec 9>&-

cat >"$WORK/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((PORT + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$((PORT + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT
inter.broker.listener.name=PLAINTEXT
log.dirs=$WORK/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=8388608
log.index.size.max.bytes=1048576
END
for line in "$@"; do
  case $line in
    --*) FORMAT="${FORMAT:-} $line" ;;
    *) echo "$line" >>"$WORK/server.properties" ;;
  esac
done
cat >"$WORK/log4j2.properties" <<END
rootLogger.level = info
rootLogger.appenderRef.c.ref = C
appender.c.type = Console
appender.c.name = C
END
JVM="-Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=$WORK/log4j2.properties"
if [ ! -f "$WORK/data/meta.properties" ]; then
  # shellcheck disable=SC2086 # several words
  java $JVM -cp "$JARS/*" kafka.tools.StorageTool format -t "$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d =)" -c "$WORK/server.properties" ${FORMAT:-} >"$WORK/format.log" 2>&1 ||
    { tail -5 "$WORK/format.log" >&2; exit 1; }
fi
: >"$WORK/out.log" # a line of the last run must not look like this one's
# shellcheck disable=SC2086
setsid java $JVM -cp "$JARS/*" kafka.Kafka "$WORK/server.properties" >"$WORK/out.log" 2>&1 </dev/null &
echo $! >"$WORK/pid"
for _ in $(seq 900); do
  if grep -q 'Kafka Server started' "$WORK/out.log"; then exit 0; fi
  kill -0 "$(cat "$WORK/pid")" 2>/dev/null || break
  sleep 0.1
done
echo "not ready: $(tail -3 "$WORK/out.log")" >&2
exit 1
