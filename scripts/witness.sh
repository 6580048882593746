#!/usr/bin/env bash
# Has somebody else's witness, litewitness of filippo.io/torchwood, cosign our audit
# log, and refuse a fork of it. It is built from a module of its own, tools/witness.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -C tools/witness -trimpath -o "$tmp/litewitness" filippo.io/torchwood/cmd/litewitness
SALLYPORT_TEST_LITEWITNESS="$tmp/litewitness" go test -count=1 -v -run '^TestLitewitnessCosigns$' ./internal/audit/outside
