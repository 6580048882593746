#!/usr/bin/env bash
# The whole suite that looks for secrets that come back: every encoding at every
# chunking in a set, every carrier at the door, every door and route end to end,
# and every sink. "make test" runs a part of the same; the counts are printed.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh
mkdir -p bin
# The flags of scripts/test.sh, so that what it compiled is used again.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" GOROOT SALLYPORT_LEAK=full
GOROOT=$(go env GOROOT) # which trimmed tests can't know by themselves
started=$SECONDS
status=0
go test -count=1 -timeout=30m -v -run 'Leak|NoSecret|PrintsNoSecret|TheSearch|EveryCarrier|PartsAreFound|EverySplit' \
  ./internal/leaktest ./internal/scrub ./internal/vault/httpcred ./internal/demo >bin/leak.log 2>&1 || status=$?
grep -E '^ *[a-z]+_test.go:[0-9]+: .*(cases|leak|planting|canaries)|^--- FAIL|^(ok|FAIL)\s' bin/leak.log | cut -c1-400 || true
cases=$(grep -oE '[0-9]+ (cases|answers of hostile)' bin/leak.log | awk '{n += $1} END {print n + 0}')
if [ "$status" -ne 0 ]; then
  printf 'make leak: FAILED after %d cases, in %d s; bin/leak.log has all\n' "$cases" $((SECONDS - started))
  exit 1
fi
printf 'make leak: ok; %d cases, 0 leaks, in %d s\n' "$cases" $((SECONDS - started))
