#!/usr/bin/env bash
# Prints the figures of docs/performance.md that are about the whole program: the
# stripped binary's size, the time from start to ready on an empty data
# directory, and the memory of the idle server, each over five starts.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$tmp/sallyport" ./cmd/sallyport
echo "stripped binary: $(($(stat -c %s "$tmp/sallyport") / 1000000)) MB"
for i in 1 2 3 4 5; do
	dir="$tmp/$i"
	mkdir "$dir"
	begin=$(date +%s%N)
	"$tmp/sallyport" serve --data "$dir" --listen 127.0.0.1:0 --json >"$dir/out" 2>"$dir/err" &
	pid=$!
	until grep -q '"ready"' "$dir/out" 2>/dev/null; do sleep 0.002; done
	end=$(date +%s%N)
	sleep 2
	rss=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")
	anon=$(awk '/^RssAnon/ {print $2}' "/proc/$pid/status")
	echo "start $i: ready after $(((end - begin) / 1000000)) ms; idle $((rss / 1000)) MB resident, $((anon / 1000)) MB of it not the binary's own pages"
	kill -INT "$pid"
	wait "$pid"
done
