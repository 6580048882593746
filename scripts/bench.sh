#!/usr/bin/env bash
# Runs the benchmarks. A figure says little without its machine: the first lines
# have the processor, the kernel, and what a durable write costs on this disk. With
# all of them comes the comparison of scripts/scrubbench.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
printf 'machine: %s, %s cores, %s %s, %s\n' \
  "$(awk -F ': ' '/model name/ {print $2; exit}' /proc/cpuinfo 2>/dev/null || echo unknown)" \
  "$(getconf _NPROCESSORS_ONLN)" "$(uname -s)" "$(uname -r)" "$(go env GOVERSION)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
dd if=/dev/zero of="$scratch/fsync" bs=4k count=200 oflag=dsync 2>&1 |
  awk '/copied/ {printf "disk: %.0f us a durable write of 4 KiB (in %s)\n", $(NF-3) * 1e6 / 200, "the temporary directory"}'
go test -run '^$' -bench "${1:-.}" -benchmem ./...
if [ "${1:-.}" = . ]; then
  scripts/scrubbench.sh
fi
