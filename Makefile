# HiveForge: everything one does with the source tree. `make` lists it.
#
# CARGO_TARGET_DIR is respected everywhere, so build output can lie outside of the tree. HIVEFORGE_SEED=.. repeats a
# random test. In CI (CI=true) the tests run with the `ci` profile of .config/nextest.toml and skip nothing.

.DEFAULT_GOAL := help
SHELL := /bin/sh
CARGO ?= cargo
NEXTEST_PROFILE := $(if $(filter true,$(CI)),ci,default)

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing to build and test; says what it does
	@sh .ci/setup

.PHONY: check
check: ## formatting, lints and the rules of the source tree
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --package hiveforge-cli --locked -- -D warnings
	$(CARGO) test --workspace --test tidy --locked --quiet

# The suites start the shipped binaries, so those are built first. The doc tests come before the long suite: its
# summary is the last thing that one reads.
.PHONY: test
test: setup ## every test: documentation, units, suites
	$(CARGO) build --workspace --bins --locked
	$(CARGO) test --workspace --doc --locked --quiet
	$(CARGO) nextest run --workspace --locked --profile $(NEXTEST_PROFILE)

.PHONY: demo
demo: ## build a C program and run a parameter study on one machine, start to end
	@sh .ci/setup build
	$(CARGO) build --release --locked --bin hiveforge --bin demo
	$(CARGO) run --release --locked --quiet --bin demo

.PHONY: bench
bench: setup ## measure throughput, latency, the cost of a job and of supervision
	$(CARGO) build --release --locked --bin hiveforge --bin hiveforge-tests-bench
	$(CARGO) run --release --locked --quiet --bin hiveforge-tests-bench
	$(CARGO) bench --locked --quiet -p hiveforge-supervisors-core --bench supervision

.PHONY: nemesis
nemesis: setup ## attack three coordinators, six agents and a Redis for SECONDS (600), from HIVEFORGE_SEED or any seed
	$(CARGO) build --locked -p hiveforge-cli --features faults --bin hiveforge
	HIVEFORGE_NEMESIS_SECONDS=$(or $(SECONDS),600) $(CARGO) test --locked -p hiveforge-tests-nemesis --test nemesis -- --nocapture

# Options in SIM, e.g. make sim SIM='--agents 1000 --jobs 50000'.
.PHONY: sim
sim: setup ## 10,000 simulated agents and a million jobs through coordinators over Redis; SIM='--help'
	$(CARGO) build --release --locked --bin hiveforge --bin hiveforge-tests-bench
	$(CARGO) run --release --locked --quiet --bin hiveforge-tests-bench -- sim $(SIM)

.PHONY: mutants
mutants: ## change the rules and the restart policy on purpose; the tests must notice
	@command -v cargo-mutants >/dev/null || $(CARGO) install --locked cargo-mutants
	$(CARGO) mutants --file 'crates/domain/src/**' --file 'supervisors/core/src/policy*' \
		--file 'supervisors/core/src/policy/**' --test-tool nextest

.PHONY: model-nightly
model-nightly: ## check the model to its nightly bound; takes long
	HIVEFORGE_MODEL=nightly $(CARGO) test --release --locked -p hiveforge-ledger model -- --nocapture

.PHONY: fmt
fmt: ## format the source
	$(CARGO) fmt --all
