#!/usr/bin/env bash
# Builds a real HashiCorp Vault (tools/vault), starts it, and runs the tests that
# need one. It is built once for each version of it and of Go, and kept in
# ~/.cache/sallyport-tests; SALLYPORT_TEST_CACHE is another place.
#
#	scripts/real-vault.sh [ARG...]   arguments of go test, like -run Policy
#	scripts/real-vault.sh -- COMMAND [ARG...]   runs a command with the variables
#
# scripts/real-openbao.sh does the same with OpenBao (tools/openbao). The tests take
# SALLYPORT_TEST_VAULT_ADDR, _TOKEN, _CA, _NAME and _BIN from the environment, and
# skip what needs them where they are not set.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath" GOROOT
GOROOT=$(go env GOROOT) # which trimmed tests can't know by themselves

name=$(basename "$0" .sh)
name=${name#real-}
sum=$(cat tools/vaultserver/*.go tools/"$name"/*.go tools/"$name"/go.mod tools/"$name"/go.sum | sha256sum | cut -c 1-16)
cache=${SALLYPORT_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-tests}
bin=$cache/$name-$sum-$(go env GOVERSION)
if [ ! -x "$bin" ]; then
  mkdir -p "$cache"
  at=$SECONDS
  printf 'building %s, which takes minutes the first time\n' "$name" >&2
  nice go -C tools/"$name" build -ldflags '-s -w' -o "$bin.$$" .
  mv "$bin.$$" "$bin"
  printf 'built in %d s: %s\n' $((SECONDS - at)) "$bin" >&2
fi
export SALLYPORT_TEST_VAULT_BIN=$bin SALLYPORT_TEST_VAULT_NAME=$name

# It ends when its input does: with this script, however that ends.
dir=$(mktemp -d)
mkfifo "$dir/in" "$dir/out"
"$bin" -dir "$dir/vault" <"$dir/in" >"$dir/out" &
vault=$!
exec 3>"$dir/in"
trap 'exec 3>&-; wait "$vault" || true; rm -rf "$dir"' EXIT
read -r ready <"$dir/out"
field() { sed 's/.*"'"$1"'":"\([^"]*\)".*/\1/' <<<"$ready"; }
SALLYPORT_TEST_VAULT_ADDR=$(field address)
SALLYPORT_TEST_VAULT_CA=$(field caFile)
SALLYPORT_TEST_VAULT_TOKEN=$(cat "$(field tokenFile)")
export SALLYPORT_TEST_VAULT_ADDR SALLYPORT_TEST_VAULT_CA SALLYPORT_TEST_VAULT_TOKEN
printf '%s %s at %s\n' "$name" "$(field version)" "$SALLYPORT_TEST_VAULT_ADDR" >&2

if [ "${1:-}" = -- ]; then
  shift
  "$@" 3>&-
else
  go test -count=1 -timeout=10m "$@" ./internal/vault/backend/vaultkv ./internal/vault/backend/vaultlease 3>&-
  go test -count=1 -timeout=10m -run '^(TestRealScripts|TestKilledWithCredentialsOfRuns)$' "$@" ./internal/cli 3>&-
fi
