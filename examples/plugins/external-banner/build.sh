#!/bin/sh
# Builds external-banner.wasm. Says what to install when something is missing.
set -eu
cd "$(dirname "$0")"

command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or later (Debian: apt-get install nodejs npm)" >&2; exit 1; }
test -x node_modules/.bin/jco || npm install --no-audit --no-fund

# jco wants the world and the contract below one folder.
mkdir -p build/wit/deps/policy
cp wit/world.wit build/wit/
cp ../../../wit/*.wit build/wit/deps/policy/
node_modules/.bin/jco componentize policy.js --wit build/wit --world-name external-banner \
  --backend qjs --backend-qjs-disable-async --backend-qjs-stub-wasi --out external-banner.wasm
