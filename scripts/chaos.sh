#!/bin/sh
# Explores every order of the larger scenarios (internal/gate), then kills the
# program with SIGKILL, at every step of a write and at moments that nobody chose,
# over and over, against an ERP that counts; then adds up what it
# counted. It ends when the time is over ($1, in minutes, 10 by default), or after
# $2 rounds if that is given.
set -eu
cd "$(dirname "$0")/.."
minutes=${1:-10} rounds=${2:-0}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go test -trimpath -c -o "$tmp/gate.test" ./internal/gate
(cd internal/gate && SALLYPORT_CHAOS=1 "$tmp/gate.test" -test.run '^TestEveryOrder|^TestTheExploration' -test.v -test.timeout 60m) >"$tmp/out" 2>&1 || {
	cat "$tmp/out"
	exit 1
}
grep -o 'in all .*' "$tmp/out"
CGO_ENABLED=0 go test -trimpath -c -o "$tmp/demo.test" ./internal/demo
end=$(($(date +%s) + minutes * 60)) n=0 failed=0
while :; do
	n=$((n + 1))
	(cd internal/demo && "$tmp/demo.test" -test.run '^TestKill' -test.v -test.timeout 30m) >"$tmp/out" 2>&1 || {
		failed=$((failed + 1))
		cat "$tmp/out"
	}
	grep -o 'chaos: .*' "$tmp/out" >>"$tmp/lines" || true
	[ "$rounds" -eq 0 ] && [ "$(date +%s)" -ge "$end" ] && break
	[ "$rounds" -gt 0 ] && [ "$n" -ge "$rounds" ] && break
done
touch "$tmp/lines"
awk -v rounds="$n" -v failed="$failed" '
	{ for (i = 2; i <= NF; i++) { split($i, p, "="); sum[p[1]] += p[2] } }
	END {
		printf "chaos: %d rounds, %d Runs that were killed: %d double writes, %d lost, %d of %d unknown outcomes explained\n",
			rounds, sum["runs"], sum["double"], sum["lost"], sum["explained"], sum["unknown"]
		exit failed > 0 || sum["runs"] == 0 || sum["double"] > 0 || sum["lost"] > 0 || sum["explained"] != sum["unknown"]
	}' "$tmp/lines"
