#!/usr/bin/env bash
# The whole suite that looks for secrets that come back: every encoding at every
# chunking in a set, every carrier at the door, every door and route end to end,
# panics, core files, and every sink. "make test" runs a part of the same. The last
# lines say what ran; docs/no-echo.md says what they mean. All of it is in
# bin/leak.log.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh
mkdir -p bin
# The flags of scripts/test.sh, so that what it compiled is used again.
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" GOROOT SALLYPORT_LEAK=full
GOROOT=$(go env GOROOT) # which trimmed tests can't know by themselves
started=$SECONDS
status=0
go test -count=1 -timeout=30m -v -run 'Leak|NoSecret|TheSearch|EveryCarrier|PartsAreFound|EverySplit|Panic' \
  ./internal/leaktest ./internal/scrub ./internal/vault/httpcred ./internal/crash ./internal/commit ./internal/cli ./internal/demo >bin/leak.log 2>&1 || status=$?
grep -E '^ *[a-z_]+_test.go:[0-9]+: .*(cases|leak|planting|canaries)|^--- FAIL|^(ok|FAIL)\s' bin/leak.log | sed -E 's/^ *[a-z_]+_test.go:[0-9]+: //' | cut -c1-400 || true

# sum adds up the numbers before a word of the log.
sum() { grep -oE "[0-9.]+ $1" bin/leak.log | awk '{n += $1} END {printf "%d", n}'; }
matrix=$(grep -oE '(: [0-9]+ cases$|at the door: [0-9]+ cases)' bin/leak.log | grep -oE '[0-9]+' | awk '{n += $1} END {print n + 0}')
answers=$(sum 'answers of hostile')
read -r hits megabytes < <(sed -nE 's/.*false hits: ([0-9]+) in ([0-9]+)\.[0-9]+ MB.*/\1 \2/p' bin/leak.log; echo 0 0)
row=$(sed -nE 's/.*truncation row: (.*)/\1/p' bin/leak.log)
passed=$(grep -c '^ *--- PASS' bin/leak.log || true)
failed=$(grep -c '^ *--- FAIL' bin/leak.log || true)
cat <<SUMMARY

  matrix            $matrix cases (at least 20000), and $answers answers of hostile systems through $(sum 'doors') doors
  panics, ends      $(sum 'places') places that panic, $(sum 'cases, [0-9]+ controls') ends of a process, $(sum 'signals with a call in flight') signals with a call in flight
  searched          $(sum 'canaries searched') canaries in $(sum 'sinks$') sinks, $(sum 'calls of') calls of $(sum 'routes;') routes, $(sum 'commands') commands
  positive controls $(sum 'canaries found') canaries found, $(sum 'plantings') plantings found, $(sum 'controls$') ends that do leak without the shield
  truncation row    ${row:-not run}
  false hits        $hits in $megabytes MB (at least 16)
  tests             $passed passed, $failed failed
SUMMARY
[ "$matrix" -ge 20000 ] && [ "$megabytes" -ge 16 ] && [ "$hits" -eq 0 ] || status=1
if [ "$status" -ne 0 ]; then
  printf 'make leak: FAILED after %d s; bin/leak.log has all\n' $((SECONDS - started))
  exit 1
fi
printf 'make leak: ok; %d cases, 0 leaks, in %d s\n' $((matrix + answers)) $((SECONDS - started))
