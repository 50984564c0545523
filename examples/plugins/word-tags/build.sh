#!/bin/sh
# Builds word-tags.wasm. Says what to install when something is missing.
set -eu
cd "$(dirname "$0")"

command -v componentize-py >/dev/null || { echo "componentize-py is missing: pip install componentize-py==0.25.1" >&2; exit 1; }

componentize-py --quiet --wit-path ../../../wit --wit-path wit --world examples:word-tags/word-tags \
  componentize --stub-wasi policy --output word-tags.wasm
