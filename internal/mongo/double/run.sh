#!/usr/bin/env bash
# run.sh PORT [FILE]: build the MongoDB double, the first time, and serve on 127.0.0.1:PORT until it is stopped. JAVA_ARGS has what
# MongoDouble.java takes, such as -Dconflicts=0.1; FILE keeps the data.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
built=$here/../../../bin/mongo-double
for tool in java javac mvn; do
  command -v "$tool" >/dev/null || { echo "the MongoDB double needs $tool: install a JDK (17 or newer) and Maven" >&2; exit 69; }
done
mkdir -p "$built"
exec 9>"$built/lock"
flock 9
if [[ ! -e $built/libs/done || $here/pom.xml -nt $built/libs/done ]]; then
  rm -rf "$built/libs"
  mvn -q -B -ntp -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$built/libs" >&2
  touch "$built/libs/done"
fi
if [[ ! -e $built/classes/MongoDouble.class || $here/MongoDouble.java -nt $built/classes/MongoDouble.class ]]; then
  rm -rf "$built/classes"
  javac -cp "$built/libs/*" -d "$built/classes" "$here/MongoDouble.java"
fi
flock -u 9
exec java -Xmx2g ${JAVA_ARGS:-} -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$built/libs/*:$built/classes" MongoDouble "$@"
