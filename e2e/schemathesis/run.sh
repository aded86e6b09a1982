#!/usr/bin/env bash
# The OpenAPI file against the server: Schemathesis makes requests of it for so many seconds, and every answer must be one that the file
# documents. It is installed once into the ignored .e2e; the server gets a new directory and the built-in model. Needs Go and python3;
# exits non-zero on a failure. Further arguments go to `st run`, such as --seed N to repeat a run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
duration=${1:?how many seconds}
shift
here=$PWD/e2e/schemathesis kept=$PWD/.e2e/schemathesis
mkdir -p "$kept"
if ! cmp -s "$here/requirements.txt" "$kept/requirements.txt"; then
  python3 -m venv "$kept/venv"
  "$kept/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$kept"
fi

run=$(mktemp -d "$kept/run.XXXXXX")
CGO_ENABLED=0 go build -o "$run/parley" ./cmd/parley
# An environment without settings: what a shell has must not reach the server.
(cd "$run" && exec env -i HOME="$HOME" ./parley serve --addr 127.0.0.1:0 --data data >greeting 2>log) &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
url=
for _ in $(seq 100); do
  url=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$run/greeting" | head -1) && break
  kill -0 "$server" || { cat "$run/log"; exit 1; }
  sleep 0.1
done
[[ -n $url ]] || { echo "the server does not start; see $run/log"; exit 1; }

echo "The server's log and the report are in $run"
cd "$run"
status=0
SCHEMATHESIS_HOOKS=$here/hooks.py PYTHONDONTWRITEBYTECODE=1 "$kept/venv/bin/st" --config-file "$here/schemathesis.toml" run "$url/openapi.json" --max-time "$duration" --continue-on-failure \
  --report ndjson --report-dir report "$@" || status=$?
# A panic is contained to its request: the answer says 500, the log says why.
if grep -q 'a handler panicked' log; then
  echo "a handler panicked; see $run/log"
  status=1
fi
"$run/parley" audit verify --data "$run/data" || status=1
exit "$status"
