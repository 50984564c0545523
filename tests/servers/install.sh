#!/usr/bin/env bash
# Installs what the end-to-end tests need on Debian 12 or its like: mail servers, scanners and small tools. Starts
# nothing. Quick when all is there. Sendmail conflicts with Postfix, so its packages are only unpacked, into
# target/servers/sendmail.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

packages=(postfix clamav-daemon rspamd spamd openssl m4 zstd util-linux docker-registry minisign prometheus systemd)
programs=(/usr/sbin/postfix /usr/sbin/clamd /usr/bin/rspamd /usr/sbin/spamd
  /usr/bin/openssl /usr/bin/m4 /usr/bin/zstd /usr/bin/unshare /usr/bin/docker-registry /usr/bin/minisign
  /usr/bin/prometheus /usr/bin/promtool /usr/bin/systemd-analyze /usr/bin/systemd-socket-activate)
# Sendmail, and the libraries that it needs and the packages above may not have brought.
sendmail=(sendmail-bin sendmail-base sendmail-cf)
libraries=(libsasl2-2 libdb5.3 libwrap0 libnsl2 libldap-2.5-0)
unpacked=target/servers/sendmail

fail() {
  echo "tests/servers/install.sh: $*" >&2
  exit 1
}

missing() {
  for program in "${programs[@]}"; do
    [ -x "$program" ] || return 0
  done
  return 1
}

as_root_on_debian() {
  command -v apt-get >/dev/null ||
    fail "apt-get is missing; on another system install ${packages[*]} and unpack Sendmail into $unpacked yourself"
  [ "$(id -u)" = 0 ] || fail "must run as root to install ${packages[*]}; the tests need root too, to start mail servers"
}

updated=
update() {
  [ -n "$updated" ] && return
  apt-get update -qq || fail "apt-get update failed; is there a network?"
  updated=yes
}

work=$(mktemp -d)
policy=
clean_up() {
  rm -rf "$work"
  [ -z "$policy" ] || rm -f "$policy"
}
trap clean_up EXIT

if missing; then
  as_root_on_debian
  update
  # Postfix asks what it is for.
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  # Installing starts nothing; where no policy says so already, one of ours does meanwhile.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
    fail "apt-get install ${packages[*]} failed"
  ! missing || fail "after installing, one of these is still missing: ${programs[*]}"
fi

if [ ! -x $unpacked/usr/libexec/sendmail/sendmail ] || [ ! -e $unpacked/usr/share/sendmail/cf/m4/cf.m4 ]; then
  as_root_on_debian
  update
  # apt drops its privileges to download; it must be able to write here.
  chmod 777 "$work"
  (cd "$work" && apt-get download -qq "${sendmail[@]}") || fail "downloading ${sendmail[*]} failed"
  mkdir -p $unpacked
  for package in "$work"/*.deb; do
    dpkg -x "$package" $unpacked
  done
fi

if ldd $unpacked/usr/libexec/sendmail/sendmail | grep -q 'not found'; then
  as_root_on_debian
  update
  for library in "${libraries[@]}"; do
    apt-get install -y -qq --no-install-recommends "$library" >/dev/null || true
  done
  ! ldd $unpacked/usr/libexec/sendmail/sendmail | grep 'not found' || fail "Sendmail's libraries (above) are missing"
fi
