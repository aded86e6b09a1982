#!/usr/bin/env bash
# with.sh COMMAND...: run a command with PARLEY_TEST_MONGODB_URI naming a MongoDB: the one that it names already, else the double, on a
# free port, for as long as the command runs. Where the double cannot run, the tests that need one are skipped; in CI that is a failure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [[ -n ${PARLEY_TEST_MONGODB_URI:-} ]]; then
  exec "$@"
fi
for tool in java javac mvn; do
  command -v "$tool" >/dev/null && continue
  echo "Without $tool there is no MongoDB double: the tests that need a MongoDB are skipped." >&2
  [[ -z ${CI:-} ]] || exit 1
  exec "$@"
done
said=$(mktemp)
"$here/run.sh" 0 >"$said" &
double=$!
trap 'kill "$double" 2>/dev/null || true; wait "$double" 2>/dev/null || true; rm -f "$said"' EXIT
port=
for _ in $(seq 1200); do
  port=$(sed -n 's/^READY //p' "$said")
  [[ -z $port ]] || break
  kill -0 "$double" || { echo "the MongoDB double has not started" >&2; exit 1; }
  sleep 0.1
done
[[ -n $port ]] || { echo "the MongoDB double is not ready after two minutes" >&2; exit 1; }
# Whoever waits for another's transaction holds a connection there, which that transaction's next statement must not lack; and where the machine is
# busy with other things as well, that may be long.
PARLEY_TEST_MONGODB_URI="mongodb://127.0.0.1:$port/?replicaSet=rs0&maxPoolSize=400&timeoutMS=60000" "$@"
