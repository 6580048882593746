#!/usr/bin/env bash
# Makes sure that what the build and the tests need is here. Go modules and the
# linters come by themselves; nothing else is needed. A test that needs a Debian
# package gets a line at the end: need_package chromium
set -euo pipefail
cd "$(dirname "$0")/.."

need_command() { # name, where to get it
  command -v "$1" >/dev/null && return
  printf 'error: %s is not installed\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

need_command go 'https://go.dev/dl has it; the version is the one in go.mod, or newer'
need_command git 'your system has a package of that name'

want=$(awk '$1 == "go" {print $2}' go.mod)
have=$(go env GOVERSION)
have=${have#go}
if [ "$(printf '%s\n%s\n' "$want" "${have%%[-+ ]*}" | sort -V | head -n 1)" != "$want" ]; then
  printf 'error: Go %s is older than %s\nhint: https://go.dev/dl\n' "$have" "$want" >&2
  exit 1
fi

# The tests of rotations start these databases by themselves. Where they can't be
# installed, those tests are skipped and say so.
need_package() { # package, a program of it
  compgen -G "$2" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$1"; } >/dev/null 2>&1 && return
  fi
  printf 'note: %s is not installed, so the tests that need it are skipped\nhint: apt-get install %s\n' "$1" "$1" >&2
}

if [ "${1:-}" = tests ]; then
  need_package postgresql '/usr/lib/postgresql/*/bin/initdb'
  need_package mariadb-server '/usr/sbin/mariadbd'
fi
