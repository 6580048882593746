#!/usr/bin/env bash
# Searches the memory of a process with a vault for keys and values: once as it
# is built for development, and once as "make release" builds it, with what Go
# calls runtimesecret. The second compiles the standard library again, the first
# time. See docs/memory.md.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" GOROOT
GOROOT=$(go env GOROOT) # which trimmed tests can't know by themselves

for experiment in '' runtimesecret; do
  printf '== GOEXPERIMENT=%s\n' "$experiment"
  at=$SECONDS
  GOEXPERIMENT=$experiment go test -count=1 -timeout=12m -v -run '^TestMemory' ./internal/vault/...  |
    grep -v 'no test files\|no tests to run'
  printf '== GOEXPERIMENT=%s: %d s\n' "$experiment" $((SECONDS - at))
done
printf 'make test-memory: ok\n'
