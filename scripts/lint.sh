#!/usr/bin/env bash
# Runs golangci-lint with .golangci.yml. It is built from the module in tools/,
# which pins it and keeps what it depends on out of the product's module.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -C tools -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
exec bin/golangci-lint run "$@" ./...
