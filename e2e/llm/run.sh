#!/usr/bin/env bash
# The real-model run: builds a small model server once (kept in the ignored .e2e), then holds conversations with it through
# Parley and checks what is stored and audited. Needs Go, python3, cmake, ninja, g++ and unzip; exits non-zero on a failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kept=.e2e/llm
e2e/llm/build.sh "$kept"

mkdir -p .e2e/bin
CGO_ENABLED=0 go build -o .e2e/bin/parley ./cmd/parley
go build -C e2e -o ../.e2e/bin/llm ./llm
# In place of this shell, so that a signal reaches the program that ends what it started.
exec .e2e/bin/llm -parley .e2e/bin/parley -server "$kept/build/bin/llama-server" \
  -model "$kept/model/SmolLM2-135M-Instruct.Q4_1.gguf" "$@"
