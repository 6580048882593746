#!/usr/bin/env bash
# Prints the figures of docs/unknown-secrets.md: what internal/scrub/unknown finds
# in gitleaks' own samples, beside gitleaks itself, and in text that should hold
# no secrets. The samples are made by gitleaks' generator, in a copy of its
# module in which one file writes them down instead of trying them; many of them
# are random, so it runs five times.
# With paths as arguments, the text is looked for there; -v lists every place.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT

verbose=()
if [ "${1:-}" = -v ]; then
  verbose=(-v)
  shift
fi
go build -C tools/rules -trimpath -o "$tmp/rules" .
from=$(go list -C tools/rules -m -f '{{.Dir}}' github.com/zricethezav/gitleaks/v8)
cp -r "$from" "$tmp/gitleaks"
chmod -R u+w "$tmp/gitleaks"
cp tools/rules/samples.go.txt "$tmp/gitleaks/cmd/generate/config/utils/validate.go"
(
  cd "$tmp/gitleaks/cmd/generate/config"
  go build -o "$tmp/generate" .
  for n in 1 2 3 4 5; do
    SAMPLES="$tmp/samples.$n" "$tmp/generate" "$tmp/gitleaks.toml"
  done
)
cat "$tmp"/samples.* >"$tmp/samples"

if [ $# -eq 0 ]; then
  set -- /usr/share /usr/lib "$(go env GOROOT)" "$(go env GOMODCACHE)"
fi
"$tmp/rules" "${verbose[@]}" -samples "$tmp/samples" "$@"
