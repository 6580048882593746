#!/usr/bin/env bash
# Builds the binary that is given to others: static, without symbols and paths,
# with plaintext kept off the stacks (runtimesecret). It is built a second time,
# from a copy of the tree elsewhere and without a cache, and must be the same.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh

build() { # output; the current directory is the tree
  CGO_ENABLED=0 GOEXPERIMENT=runtimesecret \
    go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$1" ./cmd/sallyport
}

mkdir -p bin/release
here=$PWD
build "$here/bin/release/sallyport"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$copy"
(cd "$copy" && export GOCACHE="$copy/.cache" && build "$here/bin/release/again")

cd bin/release
if ! cmp sallyport again; then
  printf 'error: the second build is another binary\nhint: what differs is in bin/release/again\n' >&2
  exit 1
fi
rm again
# What is given to others erases what it decrypts: see docs/memory.md.
if ! go version -m sallyport | grep -qE '^[[:space:]]+build[[:space:]]+GOEXPERIMENT=([a-z0-9,]+,)?runtimesecret(,|$)'; then
  printf 'error: the binary was built without runtimesecret\nhint: a newer Go may have another name for it: see "go doc runtime/secret"\n' >&2
  exit 1
fi
sha256sum sallyport | tee sallyport.sha256
printf 'make release: bin/release/sallyport, %d KiB, reproducible\n' $(($(wc -c <sallyport) / 1024))
