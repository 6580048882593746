#!/usr/bin/env bash
# All tests once more, in FIPS 140-only mode: what the product uses of Go's
# cryptography is approved, or the call fails and with it a test. Processes that
# the tests start inherit the mode. See docs/fips.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh
mkdir -p bin
# The flags of scripts/test.sh, so that what it compiled is used again.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" GOROOT
GOROOT=$(go env GOROOT) # which trimmed tests can't know by themselves
export GODEBUG=fips140=only
started=$SECONDS
status=0
# The cache of test results knows the mode: GODEBUG is part of its key.
go test -timeout=12m "$@" ./... 2>&1 | tee bin/test-fips.log || status=1

packages=$(grep -c '^ok' bin/test-fips.log || true)
if [ "$status" -ne 0 ]; then
  broken=$(grep -c '^FAIL.*[[:space:]]' bin/test-fips.log || true)
  printf 'make test-fips: FAILED; %d packages ok, %d not, in %d s\n' "$packages" "$broken" $((SECONDS - started))
  exit 1
fi
printf 'make test-fips: ok; %d packages in %d s\n' "$packages" $((SECONDS - started))
