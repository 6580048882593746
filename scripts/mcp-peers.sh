#!/usr/bin/env bash
# Installs what the MCP doors are tested against (tools/mcp/package.json), once for
# each lock file, and prints the directory. The tests take it from the environment
# variable SALLYPORT_TEST_MCP, and skip what needs it where that is not set.
set -euo pipefail
cd "$(dirname "$0")/.."

for c in node npm go; do
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
# The server that has all that the suite asks for is of the protocol's Go SDK.
sdk=v1.8.0
if [ ! -e "$dir/bin/everything-server-$sdk" ]; then
  bin=$(mktemp -d "$dir/bin.XXXXXX")
  GOFLAGS='' CGO_ENABLED=0 GOBIN=$bin go install "github.com/modelcontextprotocol/go-sdk/conformance/everything-server@$sdk" >&2
  mkdir -p "$dir/bin"
  mv "$bin/everything-server" "$dir/bin/everything-server-$sdk"
  rmdir "$bin"
fi
ln -sfn "everything-server-$sdk" "$dir/bin/everything-server"
printf '%s\n' "$dir"
