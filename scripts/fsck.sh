#!/usr/bin/env bash
# Checks what internal/audit serves with the checker of transparency-dev/tessera, on
# good and on spoiled logs. The checker is built from a module of its own, tools/fsck.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -C tools/fsck -trimpath -o "$tmp/fsck" .
SALLYPORT_TEST_FSCK="$tmp/fsck" go test -count=1 -v -run '^TestTesserasFsckAgrees$' ./internal/audit
