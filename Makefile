# The one door. `make demo` shows it, `make test` checks it; the rest is for people who change it.
CARGO ?= cargo
# Where cargo builds, also when it was told another place.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
BIN := $(TARGET)/debug
SKILLS := stop-check queue-scan claim-lock intake-validate patch-draft diff-risk-scan gate-runner \
	decision-router pr-merge-orchestrator audit-append incident-brief

PREFIX ?= $(HOME)/.local
# Two gigabytes free in memory are more than the tests fill.
MEMORY := $(shell df -k --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 2097152 { print "/dev/shm" }')
FUZZ := fuzz/libfuzzer
FUZZ_SECONDS ?= 60
FUZZ_OPTIONS = -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -dict=$(FUZZ)/patch.dict -print_final_stats=1

.PHONY: demo test test-postgres faults postgres test-model test-skills walls quick bench bench-scan bench-gates bench-audit bench-queue eval-risk fuzz build tools check fmt install help

help: ## Say what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tools:
	@command -v git >/dev/null || { echo 'git is missing: install it with your package manager'; exit 1; }
	@command -v $(CARGO) >/dev/null || { echo 'cargo is missing: install a Rust toolchain, 1.88 or later'; exit 1; }
	@command -v bwrap >/dev/null || [ "$$(uname)" != Linux ] || $(MAKE) --no-print-directory walls

# cargo build does not build the programs of packages that nothing depends on, so all are named.
build: tools
	$(CARGO) build --workspace --bins --locked --quiet

# Gates that run code of a change need walls, and on Linux the system's own bubblewrap builds them.
walls: ## Install bubblewrap by the system's package manager
	@sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	if command -v apt-get >/dev/null; then $$sudo apt-get update -q && $$sudo apt-get install -qy bubblewrap; \
	elif command -v dnf >/dev/null; then $$sudo dnf install -qy bubblewrap; \
	elif command -v pacman >/dev/null; then $$sudo pacman -S --noconfirm bubblewrap; \
	elif command -v apk >/dev/null; then $$sudo apk add bubblewrap; \
	else echo 'bubblewrap is missing: install it with your package manager'; exit 1; fi

demo: build ## Watch four changes go the whole way; REPO=path PATCH=file takes your own
	@BATON_BIN='$(BIN)' REPO='$(REPO)' PATCH='$(PATCH)' bash tests/demo.sh

# Tests wait for programs more than they work, so there are two for each processor. What they make
# goes into memory where there is some: a disk that syncs thousands of small queues is a third of the time.
test: tools ## Run every test
	@command -v python3 >/dev/null || { echo 'python3 is missing: tests attack the walls with it'; exit 1; }
	@command -v openssl >/dev/null || { echo 'openssl is missing: tests verify signatures with it'; exit 1; }
	@for folder in "$$TMPDIR" $(MEMORY) /tmp; do [ -w "$$folder" ] && break; done; \
	export TMPDIR="$$folder" RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(getconf _NPROCESSORS_ONLN)))}; \
	$(CARGO) test --workspace --tests --locked
	@if $(MAKE) --no-print-directory $(VALIDATOR) >/dev/null 2>&1; then $(MAKE) --no-print-directory test-skills; \
	else echo 'Not run: the reference validator of skills cannot be installed here (make test-skills says why)'; fi

# The validator is a program of the format's authors, in Python 3.11 or later; the lint that is a test is
# stricter and needs nothing.
VALIDATOR := target/skills-venv/bin/agentskills
$(VALIDATOR):
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'
	python3 -m venv target/skills-venv
	target/skills-venv/bin/pip install --quiet --disable-pip-version-check skills-ref==0.1.1

test-skills: $(VALIDATOR) ## Check the skill pack with the format's reference validator
	@for skill in skill-pack/*/SKILL.md; do $(VALIDATOR) validate "$${skill%/SKILL.md}" || exit 1; done

# The same tests of the stores as in `make test`, over a server that is started for them alone.
test-postgres: tools ## Run the stores' tests over a PostgreSQL server of their own
	@command -v pg_config >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(MAKE) --no-print-directory postgres
	$(CARGO) test --workspace --test stores --locked --no-run
	@for folder in "$$TMPDIR" $(MEMORY) /tmp; do [ -w "$$folder" ] && break; done; export TMPDIR="$$folder"; \
	tests/stores/postgres.sh $(CARGO) test --workspace --test stores --locked -- --ignored

# Tracing and mounting need rights that a container may not have; each test says so where it cannot run.
faults: tools ## Kill, fill up, cut off: each call of each verb, 1,000 kills, power cuts, a server that goes away
	@command -v pg_config >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(MAKE) --no-print-directory postgres
	@for tool in strace faketime mkfs.ext4 mkfs.xfs mkfs.btrfs; do \
	command -v $$tool >/dev/null || echo "$$tool is missing: what needs it is not run"; done
	$(CARGO) test --workspace --test faults --locked --no-run
	@for folder in "$$TMPDIR" $(MEMORY) /tmp; do [ -w "$$folder" ] && break; done; export TMPDIR="$$folder" \
	BATON_CUTS=$${BATON_CUTS:-0} BATON_KILLS=$${BATON_KILLS:-1000}; \
	tests/stores/postgres.sh $(CARGO) test --workspace --test faults --locked -- --include-ignored --nocapture

postgres:
	@sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	if command -v apt-get >/dev/null; then $$sudo apt-get update -q && $$sudo apt-get install -qy postgresql; \
	elif command -v dnf >/dev/null; then $$sudo dnf install -qy postgresql-server; \
	else echo 'the PostgreSQL server is missing: install it with your package manager'; exit 1; fi

# A tiny random model, made on the spot, behind llama.cpp's own server. Needs a network for the packages.
MODEL_ENV := target/model-env
test-model: build ## Draft end to end with a real model server
	@test -x $(MODEL_ENV)/bin/python || python3 -m venv $(MODEL_ENV)
	@$(MODEL_ENV)/bin/python -c 'import xllamacpp, gguf' 2>/dev/null || $(MODEL_ENV)/bin/pip install --quiet xllamacpp gguf numpy
	BATON_BIN='$(BIN)/baton' $(MODEL_ENV)/bin/python tests/model/test.py

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
	install -m 755 $(TARGET)/release/baton $(addprefix $(TARGET)/release/,$(SKILLS)) '$(PREFIX)/bin'

bench: ## Measure start-up and the queue, side by side with other programs
	$(CARGO) build --workspace --bins --release --locked --quiet
	@BATON_BIN='$(TARGET)/release' $(CARGO) bench -p baton --bench processes --locked --quiet

bench-scan: ## Measure reader and rules on a long log; REPO=path takes another repository's
	$(CARGO) build --workspace --bins --release --locked --quiet
	@REPO='$(or $(REPO),$(CURDIR))' BATON_BIN='$(TARGET)/release' $(CARGO) bench -p baton-risk --bench scan --locked --quiet

bench-gates: ## Measure walls, trees and the built-in gates, beside git
	$(CARGO) build --workspace --bins --release --locked --quiet
	@BATON_BIN='$(TARGET)/release' $(CARGO) bench -p gate-runner --bench gates --locked --quiet

bench-audit: ## Measure the log beside bare appends and SQLite, kill its writers, cut its power; EVENTS=10000000
	@EVENTS='$(EVENTS)' $(CARGO) bench -p baton-core --bench audit --locked --quiet
	@BATON_EVENTS=100000 BATON_KILLS=500 $(CARGO) test --release -p baton-core --test writers --locked --quiet -- --nocapture

bench-queue: ## Measure puts, claims and listings over each store; ONLY=workers, TASKS=10000, QUEUE_BENCH=folder of other scripts
	$(CARGO) build --workspace --bins --release --locked --quiet
	$(CARGO) bench -p baton --bench queue --locked --quiet --no-run
	@BATON_BIN='$(TARGET)/release' ONLY='$(ONLY)' tests/stores/postgres.sh $(CARGO) bench -p baton --bench queue --locked --quiet
	@[ -z '$(QUEUE_BENCH)' ] || python3 '$(QUEUE_BENCH)/d_claim.py' --only rename,cli,sqlite,pg,grow

eval-risk: ## Say how right the risk rules are; REPOS="path path" takes other repositories' history
	@REPOS='$(REPOS)' $(if $(POLICY),POLICY='$(POLICY)') JUDGED='$(or $(JUDGED),$(CURDIR)/crates/risk/benches/judged.tsv)' $(CARGO) bench -p baton-risk --bench eval --locked --quiet

# The targets start from what git writes, and keep what they find in folders that git ignores.
fuzz: ## Throw damaged input at the readers, FUZZ_SECONDS=60 for each (needs nightly)
	@$(CARGO) +nightly --version >/dev/null 2>&1 || { echo 'nightly is missing: rustup toolchain install nightly'; exit 1; }
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo 'cargo-fuzz is missing: cargo install cargo-fuzz --locked'; exit 1; }
	$(CARGO) run -p baton-fuzz --example corpus --locked --quiet -- $(FUZZ)/corpus
	@for target in $$($(CARGO) +nightly fuzz list --fuzz-dir $(FUZZ)); do \
		$(CARGO) +nightly fuzz run --fuzz-dir $(FUZZ) $$target -- $(FUZZ_OPTIONS) || exit 1; done
