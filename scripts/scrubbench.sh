#!/usr/bin/env bash
# Compares the scrubber's search with bytes.IndexByte and with a library for
# multi-pattern search, in one process (tools/scrubbench, a module of its own: the
# library is no dependency of the product). An overlay adds one file to package
# scrub for this build, since no set gives back what it looks for.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
printf '{"Replace": {"%s/internal/scrub/inside.go": "%s/tools/scrubbench/inside.go.txt"}}\n' "$PWD" "$PWD" >"$tmp/overlay.json"
go build -C tools/scrubbench -trimpath -overlay "$tmp/overlay.json" -o "$tmp/scrubbench" .
"$tmp/scrubbench"
