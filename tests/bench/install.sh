#!/usr/bin/env bash
# Installs what `cargo xtask bench` compares Wasmilter with, on Debian 12 or its like: libmilter and a C compiler, pymilter,
# MIMEDefang, clamav-milter, Postfix, rspamd. Starts nothing. Quick when all is there.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

packages=(libmilter-dev gcc libc6-dev python3-milter mimedefang clamav-milter)
wanted=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || wanted+=("$package")
done
[ ${#wanted[@]} = 0 ] && exit
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "tests/bench/install.sh: as root on Debian this installs ${wanted[*]}; elsewhere install them yourself" >&2
  exit 1
fi
policy=
if [ ! -e /usr/sbin/policy-rc.d ]; then
  policy=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
