# Nothing needs to be installed but Go, Python 3 and make. What else is needed
# goes below .tools, pinned.

SHELL := /bin/bash
FUZZTIME ?= 20s
SOAKTIME ?= 60s
TESTFLAGS ?=
BENCHFLAGS ?=
BASE ?= origin/main
GOLANGCI_VERSION := v2.15.0
GOLANGCI := .tools/bin/golangci-lint-$(GOLANGCI_VERSION)

.PHONY: help build tools guests demo test race check fmt lint generated bench bench-readme gobench bench-compare fuzz soak plugins clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

build: ## build bin/extproc
	go build -o bin/extproc ./cmd/extproc

tools: ## install Envoy, wasmtime, wasm-tools and redis-server below .tools
	@internal/tools/install.sh
	@internal/tools/redis.sh

guests: ## build the guests that are too large for the tree
	@internal/guests/build.sh services

# An Envoy of the user's own will do for the demo.
demo: build ## run upstream, Envoy and extproc with a plugin; ONCE=1 ends after the requests
	@[ -n "$$ENVOY" ] || [ -x .tools/bin/envoy ] || command -v envoy >/dev/null || internal/tools/install.sh
	@go run ./internal/demo $(if $(ONCE),-once)

test: tools guests ## run all tests
	go test $(TESTFLAGS) ./...
	cd envoy/compose && go test $(TESTFLAGS) ./...

race: ## the tests of what runs concurrently, under the race detector (needs a C compiler)
	go test -race $(TESTFLAGS) ./abi ./abi/memory ./plugin/... ./server/...

check: ## formatting, lint, go.mod and generated files; fails if a tracked file changes
	@$(MAKE) --no-print-directory lint generated
	go mod tidy -diff
	cd envoy/compose && go mod tidy -diff
	go mod verify

fmt: $(GOLANGCI) ## format all Go files
	$(GOLANGCI) fmt ./...

lint: $(GOLANGCI) ## vet and lint
	go vet ./...
	$(GOLANGCI) fmt --diff ./...
	$(GOLANGCI) run ./...

generated: tools ## write golden files anew; fails if they were out of date
	go test ./envoy -run 'Golden|Compose' -update
	@[ -z "$$(git status --porcelain -- envoy/testdata envoy/compose)" ] || { \
		git status --short -- envoy/testdata envoy/compose; echo "generated files were out of date: commit them"; exit 1; }

bench: build tools ## measure what a plugin costs, with real Envoys, against a server that does nothing; BENCHFLAGS="-rounds 3 -requests 5000"
	@internal/tools/h2load.sh
	@go build -o bin/yardstick ./internal/bench/yardstick
	@go run ./internal/bench $(BENCHFLAGS)

bench-readme: ## write the last run's tables and plot into README.md; they are never typed
	@go run ./internal/bench -readme README.md

gobench: ## run all Go benchmarks
	@internal/tools/redis.sh
	go test -run '^$$' -bench . -benchmem ./...

bench-compare: ## compare the Go benchmarks with those of another revision; BASE=origin/main
	@internal/tools/redis.sh
	@internal/tools/bench-compare.sh $(BASE)

fuzz: ## run every fuzz target for FUZZTIME each
	@internal/tools/fuzz.sh $(FUZZTIME)

soak: build tools ## load through a real Envoy for SOAKTIME, with faults on
	@internal/tools/h2load.sh
	@go run ./internal/soak -time $(SOAKTIME)

plugins: tools ## rebuild the example plugins from source
	internal/guests/build.sh

clean: ## remove what was built and installed
	rm -rf bin .tools

$(GOLANGCI):
	@mkdir -p .tools/golangci
	GOFLAGS= GOBIN=$(CURDIR)/.tools/golangci go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mkdir -p .tools/bin && mv .tools/golangci/golangci-lint $@ && rmdir .tools/golangci
