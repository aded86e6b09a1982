# What can be done here: `make` alone lists it. To build, run and test, Go and make are enough.

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w $(if $(VERSION),-X main.version=$(VERSION))

# The one place with the linters' version; each version has its own directory, so that a new one is built.
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := bin/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint

COVERAGE := coverage.out

# One way to build for all targets, so that they share what is compiled: static, without paths of this machine.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and serve on http://127.0.0.1:8000; settings in ARGS, the environment or .env
	@exec ./bin/parley serve $(ARGS)

.PHONY: build
build: ## build the static binary bin/parley
	@[ -e bin/parley ] || echo 'Building bin/parley. The first time takes a minute or two.' >&2
	@$(GO) build -buildvcs=false -ldflags "$(LDFLAGS)" -o bin/parley ./cmd/parley

.PHONY: test
test: ## run the tests; with COVER=1 also show what they cover, and fail below the floor
	$(GO) test $(if $(COVER),-coverpkg=./internal/... -coverprofile=$(COVERAGE)) ./...
	@$(if $(COVER),awk -f .ci/coverage.awk $(COVERAGE))

.PHONY: check
check: lint vet ## all that a change must pass; needs a C compiler for the race detector
	@$(MAKE) --no-print-directory test COVER=1
	@$(MAKE) --no-print-directory race build generated

.PHONY: lint
lint: $(GOLANGCI_LINT) ## run the linters, and check that the code is formatted
	$(GOLANGCI_LINT) run ./...

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format the code
	$(GOLANGCI_LINT) fmt ./...

$(GOLANGCI_LINT):
	GOBIN=$(CURDIR)/$(@D) GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

.PHONY: vet
vet:
	$(GO) vet ./...

# Coverage is not taken here: counting under the race detector makes the masker's tests fifteen times slower.
.PHONY: race
race: build ## run the tests in random order with the race detector
	CGO_ENABLED=1 PARLEY_TEST_BINARY=$(CURDIR)/bin/parley $(GO) test -race -shuffle=on ./...

.PHONY: cover
cover: ## run the tests and show what they cover
	@$(MAKE) --no-print-directory test COVER=1

.PHONY: generate
generate: ## make the generated files anew
	$(GO) mod tidy
	cd e2e/powerloss && $(GO) mod tidy
	cd internal/catalog/generate && $(GO) run . ../models.tsv
	$(GO) test ./internal/config -run TestTheDocumentationListsEverySetting -update
	$(GO) test ./internal/server -run TestTheOpenAPIFileIsUpToDate -update
	$(GO) test ./cmd/parley -run TestTheManualIsUpToDate -update

# The tests compare the generated documents with the code; this is the rest.
.PHONY: man
man: build ## write the man pages to man/, or DIR
	@./bin/parley man $(or $(DIR),man)

.PHONY: generated
generated:
	$(GO) mod tidy -diff
	cd e2e/powerloss && $(GO) mod tidy -diff
	$(GO) mod verify
	cd internal/catalog/generate && $(GO) run . -check ../models.tsv

PORT ?= 27018

.PHONY: mongo-double
mongo-double: ## serve a stand-in for MongoDB, for tests, on 127.0.0.1:PORT until it is stopped; needs Java and Maven
	@internal/mongo/double/run.sh $(PORT)

# CONFLICTS=0.1 UNKNOWN=0.1: the stand-in refuses one of ten statements, and one of ten commits has an outcome that is not known.
CONFLICTS ?= 0
UNKNOWN ?= 0

.PHONY: test-mongodb
test-mongodb: export JAVA_ARGS := -Dconflicts=$(CONFLICTS) -DunknownCommit=$(UNKNOWN) $(JAVA_ARGS)
test-mongodb: ## run the tests that need a MongoDB, on the server that PARLEY_TEST_MONGODB_URI names or on the stand-in
	CGO_ENABLED=1 internal/mongo/double/with.sh $(GO) test -race -count=1 -coverpkg=./internal/mongo -coverprofile=$(COVERAGE:.out=-mongodb.out) ./internal/mongo/... ./internal/legacy
	@awk -v mongodb=1 -f .ci/coverage.awk $(COVERAGE:.out=-mongodb.out)
	internal/mongo/double/with.sh $(GO) test -count=1 -timeout 1h ./cmd/parley -run MongoDB
	internal/mongo/double/with.sh $(GO) test -count=1 ./internal/chat ./internal/faulttest ./internal/server

KILLS ?= 1000
SEED ?=
SECONDS ?=

.PHONY: crash
crash: build ## kill the server KILLS times under load and look for what was lost, for at most SECONDS; SEED repeats a run
	PARLEY_KILLS=$(KILLS) PARLEY_SECONDS=$(SECONDS) PARLEY_SEED=$(SEED) PARLEY_TEST_BINARY=$(CURDIR)/bin/parley $(GO) test ./cmd/parley -run TestKilled -count=1 -v -timeout 2h

.PHONY: instances
instances: build ## have instances on one MongoDB killed, paused and replaced under load for SECONDS, and look for what was lost; SEED repeats a run
	PARLEY_SECONDS=$(or $(SECONDS),600) PARLEY_SEED=$(SEED) PARLEY_TEST_BINARY=$(CURDIR)/bin/parley internal/mongo/double/with.sh $(GO) test ./cmd/parley -run TestInstances -parallel 3 -count=1 -v -timeout 2h

.PHONY: faults
faults: ## have a model's provider fail in every known way, ROUNDS times; flags of go test in ARGS
	PARLEY_FAULT_ROUNDS=$(or $(ROUNDS),5) $(GO) test ./internal/faulttest -run TestFaults -count=1 -v -timeout 30m $(ARGS)

.PHONY: leaks
leaks: ## drop 10,000 streams and have 1,000 calls fail, and look for what is left of them; flags of go test in ARGS
	GOEXPERIMENT=goroutineleakprofile PARLEY_DROPPED_STREAMS=10000 PARLEY_UPSTREAM_FAULTS=1000 $(GO) test ./internal/faulttest -run TestNothingLeaks -count=1 -v -timeout 30m $(ARGS)

ANSWERS ?= 200

.PHONY: memory
memory: build ## have ANSWERS answers of a mebibyte at a time in 256 MiB, streamed, whole, and to readers that stall; needs a control group of its own
	PARLEY_BIG_ANSWERS=$(ANSWERS) PARLEY_TEST_BINARY=$(CURDIR)/bin/parley $(GO) test ./cmd/parley -run TestBigAnswers -count=1 -v -timeout 1h

.PHONY: soak
soak: build ## have 300 streams at a time for SECONDS, by default two hours, and look whether memory or the log have grown
	PARLEY_SOAK_SECONDS=$(or $(SECONDS),7200) PARLEY_TEST_BINARY=$(CURDIR)/bin/parley $(GO) test ./cmd/parley -run TestASoaked -count=1 -v -timeout 4h

BACKUPS ?= 100

.PHONY: backups
backups: build ## make BACKUPS backups beside a loaded server, restore each, and look for what is missing
	PARLEY_BACKUPS=$(BACKUPS) PARLEY_SECONDS=$(SECONDS) PARLEY_SEED=$(SEED) PARLEY_TEST_BINARY=$(CURDIR)/bin/parley $(GO) test ./cmd/parley -run TestBackupsUnder -count=1 -v -timeout 2h

LOSSES ?= 500
EVERY ?= 1

.PHONY: powerloss
powerloss: ## cut the power at every file operation of a scenario, and LOSSES times under load; disks that are full or fail; needs FUSE
	cd e2e/powerloss && PARLEY_LOSSES=$(LOSSES) PARLEY_EVERY=$(EVERY) PARLEY_SECONDS=$(SECONDS) PARLEY_SEED=$(SEED) $(GO) test . -count=1 -v -timeout 8h

.PHONY: bench
bench: ## measure against a bare proxy; flags in ARGS
	$(GO) run ./bench $(ARGS)

.PHONY: bench-scale
bench-scale: ## compare a store of 1,000,000 conversations with one of 1,000, and 10,000 messages with 50; takes some minutes
	$(GO) run ./bench -only large,long -conversations 1000000 $(ARGS)

.PHONY: e2e-llm
e2e-llm: ## talk to a real model on this machine; builds its server once, which takes a quarter of an hour
	e2e/llm/run.sh $(ARGS)

DURATION ?= 60

.PHONY: schemathesis
schemathesis: ## hold the server against its OpenAPI file for DURATION seconds; flags of Schemathesis in ARGS
	e2e/schemathesis/run.sh $(DURATION) $(ARGS)

.PHONY: clean
clean: ## remove what was built, never data
	rm -rf bin man $(COVERAGE) $(COVERAGE:.out=-mongodb.out)
