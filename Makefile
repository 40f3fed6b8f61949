# The one door. `make demo` shows it, `make test` checks it; the rest is for people who change it.
CARGO ?= cargo
BIN := $(CURDIR)/target/debug
SKILLS := stop-check queue-scan claim-lock intake-validate patch-draft diff-risk-scan gate-runner \
	decision-router pr-merge-orchestrator audit-append incident-brief

PREFIX ?= $(HOME)/.local

.PHONY: demo test quick bench bench-scan eval-risk build check fmt install help

help: ## Say what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# cargo build does not build the programs of packages that nothing depends on, so all are named.
build:
	@command -v git >/dev/null || { echo 'git is missing: install it with your package manager'; exit 1; }
	@command -v $(CARGO) >/dev/null || { echo 'cargo is missing: install a Rust toolchain, 1.88 or later'; exit 1; }
	$(CARGO) build --workspace --bins --locked --quiet

demo: build ## Watch four changes go the whole way; REPO=path PATCH=file takes your own
	@BATON_BIN='$(BIN)' REPO='$(REPO)' PATCH='$(PATCH)' bash tests/demo.sh

test: build ## Run every test
	$(CARGO) test --workspace --locked

quick: check ## Format, lints, unit tests of the libraries
	$(CARGO) test --workspace --lib --locked

check: ## Format and lints
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fmt:
	$(CARGO) fmt --all

install: ## Install the twelve programs under PREFIX (default ~/.local)
	$(CARGO) build --workspace --bins --release --locked --quiet
	install -d '$(PREFIX)/bin'
	install -m 755 target/release/baton $(addprefix target/release/,$(SKILLS)) '$(PREFIX)/bin'

bench: ## Measure start-up and the queue, side by side with other programs
	$(CARGO) build --workspace --bins --release --locked --quiet
	@BATON_BIN='$(CURDIR)/target/release' $(CARGO) bench -p baton --bench processes --locked --quiet

bench-scan: ## Measure reader and rules on a long log; REPO=path takes another repository's
	$(CARGO) build --workspace --bins --release --locked --quiet
	@REPO='$(or $(REPO),$(CURDIR))' BATON_BIN='$(CURDIR)/target/release' $(CARGO) bench -p baton-risk --bench scan --locked --quiet

eval-risk: ## Say how right the risk rules are; REPOS="path path" takes other repositories' history
	@REPOS='$(REPOS)' $(if $(POLICY),POLICY='$(POLICY)') JUDGED='$(or $(JUDGED),$(CURDIR)/crates/risk/benches/judged.tsv)' $(CARGO) bench -p baton-risk --bench eval --locked --quiet
