# Sallyport. "make" alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help build demo test test-fips test-memory test-browser leak lint fuzz bench conformance mcp-holds rules chaos rotation-soak rotation-kill real-backends audit-chaos audit-bench fsck witness release docs fmt clean

DATA     ?=
AUTO     ?=
FUZZTIME ?= 10s
ROUNDS   ?= 0
MINUTES  ?= 10
BENCH    ?= .

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/sallyport
	@scripts/need.sh
	CGO_ENABLED=0 go build -trimpath -o bin/sallyport ./cmd/sallyport

demo: build ## Start everything with the example company (AUTO=1: without a person; DATA=dir: keep the data there)
	@./bin/sallyport demo $(if $(AUTO),--auto) $(if $(DATA),--data "$(DATA)")

test: ## Install what the tests need; check formatting, vet, lint; run all tests
	@scripts/test.sh

test-fips: ## Run all tests in FIPS 140-only mode (docs/fips.md)
	@scripts/test-fips.sh

test-memory: ## Search a process's memory for keys and values, in both builds (docs/memory.md)
	@scripts/test-memory.sh

test-browser: ## Run the console's pages and passkeys in a real browser (chromium)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { printf 'error: chromium is not installed\nhint: apt install chromium\n' >&2; exit 1; }
	go test -count=1 -tags browser ./internal/console

leak: ## Look for secrets that come back: the whole matrix, with its counts
	@scripts/leak.sh

lint: ## Run the linters (.golangci.yml)
	@scripts/lint.sh

fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@scripts/fuzz.sh "$(FUZZTIME)"

bench: ## Run the benchmarks (BENCH=regexp), with the machine's figures
	@scripts/bench.sh "$(BENCH)"

conformance: ## Run the official MCP suite and real servers against both doors
	@peers=$$(scripts/mcp-peers.sh) && SALLYPORT_TEST_MCP=$$peers \
	  go test -count=1 -v -run 'OfficialSuite|ConformanceClient|RealServer|TheReal' ./internal/mcpgateway ./internal/connector/mcp ./internal/vault/proccred ./internal/app

mcp-holds: ## Approve calls over MCP after 5 and 70 s of real time
	SALLYPORT_TEST_HOLDS=1 go test -count=1 -v -timeout=10m -run '^TestACallIsApprovedAfter' ./internal/app

rules: ## Compare the rules for unknown secrets with gitleaks; count false hits in ordinary text
	@scripts/rules.sh

chaos: ## Kill the program at every state and at random, for MINUTES (10) or ROUNDS, against an ERP that counts
	@scripts/chaos.sh "$(MINUTES)" "$(ROUNDS)"

rotation-soak: ## Rotate a token, OAuth clients' secrets, a PostgreSQL password and a value in another vault ROUNDS (100) times each under 32 clients: no call fails
	@scripts/need.sh tests
	SALLYPORT_TEST_ROTATIONS=$(if $(filter 0,$(ROUNDS)),100,$(ROUNDS)) go test -count=1 -v -timeout=2h -run '^(TestNoCallFails|TestNoLoginFails|TestATokenEnds)' ./internal/app

real-backends: ## Build the real servers that backends talk to (scripts/real-*.sh) and run the tests against them
	@for s in scripts/real-*.sh; do "$$s" || exit 1; done

rotation-kill: ## Kill the program in every step of a rotation, and ROUNDS (100) rotations of each of six systems at random
	@scripts/need.sh tests
	SALLYPORT_TEST_ROTATION_KILLS=$(if $(filter 0,$(ROUNDS)),100,$(ROUNDS)) go test -count=1 -v -timeout=2h -run '^TestKilledInEveryStep' ./internal/cli

audit-chaos: ## Kill the program while it appends to the audit log, ROUNDS (20) times
	SALLYPORT_TEST_KILLS=$(ROUNDS) go test -count=1 -v -timeout=1h -run '^TestKilledWhileAppending' ./internal/sqlite

audit-bench: ## Compare an audit log of ten thousand entries with one of a million
	SALLYPORT_TEST_ENTRIES=1000000 go test -count=1 -v -timeout=1h -run '^(TestAMillionEntries|TestQueriesOfAMillion)' ./internal/sqlite

fsck: ## Check the audit log's tiles with the checker of transparency-dev/tessera
	@scripts/fsck.sh

witness: ## Have a third party's witness (litewitness) cosign the audit log, and refuse a fork
	@scripts/witness.sh

release: ## Build a static, stripped binary in bin/release, twice, and compare
	@scripts/release.sh

docs: ## Write the generated documents again: picture, JSON Schema, OpenAPI
	go generate ./...

fmt: ## Format the code
	git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -w

clean: ## Remove bin
	rm -rf bin
