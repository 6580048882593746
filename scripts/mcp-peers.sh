#!/usr/bin/env bash
# Installs what the MCP doors are tested against (tools/mcp/package.json), once for
# each lock file, and prints the directory. The tests take it from the environment
# variable SALLYPORT_TEST_MCP, and skip what needs it where that is not set.
set -euo pipefail
cd "$(dirname "$0")/.."

for c in node npm; do
  command -v "$c" >/dev/null && continue
  printf 'error: %s is not installed\nhint: apt install nodejs npm, or https://nodejs.org has it\n' "$c" >&2
  exit 1
done
sum=$(cat tools/mcp/package.json tools/mcp/package-lock.json | sha256sum | cut -c 1-16)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-tests/mcp-$sum-$(node --version)
if [ ! -e "$dir/done" ]; then
  mkdir -p "$(dirname "$dir")"
  new=$(mktemp -d "$dir.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  cp tools/mcp/package.json tools/mcp/package-lock.json "$new"
  # dbhub's SQLite is compiled by its install script; npm prints what it does.
  (cd "$new" && npm ci --no-audit --no-fund >&2)
  touch "$new/done"
  rm -rf "$dir"
  mv "$new" "$dir"
fi
printf '%s\n' "$dir"
