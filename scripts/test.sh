#!/usr/bin/env bash
# Everything that has to hold before a change goes in. Every step runs, whatever
# the one before it said; the last line is the verdict.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh tests
mkdir -p bin
# The flags of "make build", which the documentation's commands call: what is
# compiled for the one is in the cache for the other.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" GOROOT
GOROOT=$(go env GOROOT) # which trimmed tests can't know by themselves
started=$SECONDS
failed=()
# What the MCP doors are tested against. Without it those tests would skip.
SALLYPORT_TEST_MCP=$(scripts/mcp-peers.sh)
export SALLYPORT_TEST_MCP

step() { # name, command...
  local name=$1 at=$SECONDS
  shift
  printf '== %s\n' "$name"
  "$@" || failed+=("$name")
  printf '== %s: %d s\n' "$name" $((SECONDS - at))
}

format() {
  local files
  files=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l) || return
  [ -z "$files" ] && return
  printf 'not formatted (make fmt):\n%s\n' "$files"
  return 1
}

unit() { go test -timeout=12m ./... 2>&1 | tee bin/test.log; }

step gofmt format
step vet go vet ./...
step tests unit
step lint scripts/lint.sh

packages=$(grep -c '^ok' bin/test.log || true)
if [ ${#failed[@]} -gt 0 ]; then
  broken=$(grep -c '^FAIL.*[[:space:]]' bin/test.log || true)
  printf 'make test: FAILED (%s); %d packages ok, %d not, in %d s\n' \
    "$(IFS=,; echo "${failed[*]}")" "$packages" "$broken" $((SECONDS - started))
  exit 1
fi
printf 'make test: ok; %d packages in %d s\n' "$packages" $((SECONDS - started))
