#!/usr/bin/env bash
# Runs every fuzz target for a while. What one finds is written to its package's
# testdata/fuzz, and is a test from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
mkdir -p bin

# "go test -list" prints a package's targets, and then the line with its name.
go test -list '^Fuzz' ./... | awk '/^Fuzz/ {names[++n] = $1} /^ok/ {for (i = 1; i <= n; i++) print names[i], $2; n = 0}' >bin/fuzz.list
while read -r name package; do
  printf '== %s %s\n' "$package" "$name"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package"
done <bin/fuzz.list
printf 'make fuzz: ok; %d targets, %s each\n' "$(wc -l <bin/fuzz.list)" "$time"
