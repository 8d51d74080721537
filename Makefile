# The verbs of this house; `make help` lists them. What a verb needs and is missing it installs first, and says so.
# Must never know how a thing is installed (scripts/setup.sh) or found (scripts/browsers.sh).

ADDR ?= 127.0.0.1:3000
DATA ?= ./data
ARGS ?=

.DEFAULT_GOAL := help
.SUFFIXES:
# The steps of a verb stand in a useful order, and two compilers at once would fight for one target folder.
.NOTPARALLEL:

# wasm-opt comes from npm. `target/tools` holds tools whose other versions already live in cargo's own folder.
export PATH := $(CURDIR)/target/tools/bin:$(CURDIR)/end2end/node_modules/.bin:$(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Everything below expects the build where the repository says it is.
unexport CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR

say = @printf '\n== %s\n' '$(1)'

# What a release build is made of: files, and their folders, so that a removed file counts as a change.
SOURCES := $(shell find build.rs src style public scripts -path src/tests -prune -o -print 2>/dev/null) \
	Cargo.toml Cargo.lock rust-toolchain.toml end2end/package-lock.json
BUILT := target/release/.plimsoll-built
# A stamp without what it stands for is worth nothing.
ifneq ($(words $(wildcard target/release/plimsoll target/site/pkg)),2)
$(BUILT): absent
endif

.PHONY: help serve test dev e2e bench build setup fmt clippy docs native clean absent

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile
	@printf '\nserve and dev take ADDR= and DATA=; native, e2e and bench take ARGS=.\n'

serve: $(BUILT) ## build what has changed, then serve on http://127.0.0.1:3000 with ./data
	$(call say,Serving (Ctrl-C stops it))
	@exec target/release/plimsoll serve --addr $(ADDR) --data $(DATA) --site target/site $(ARGS)

test: setup fmt clippy docs native e2e ## everything that must hold: format, lints, docs, native tests, browsers
	$(call say,All is well)

dev: setup ## serve a debug build and rebuild it whenever a file changes
	$(call say,Watching)
	@# It writes a debug bundle into target/site, where the release build's lies.
	@rm -rf $(BUILT) target/site
	@node scripts/element.mjs target/site --watch & tag=$$!; trap 'kill $$tag 2>/dev/null' EXIT; \
	LEPTOS_SITE_ADDR=$(ADDR) cargo leptos watch --lib-features bundle -- serve --addr $(ADDR) --data $(DATA)

e2e: $(BUILT) end2end/node_modules/.stamp ## the end-to-end tests, in Chromium, Firefox and WebKit
	$(call say,Types of the end-to-end tests)
	@cd end2end && npm run --silent check
	$(call say,End-to-end tests in Chromium, Firefox and WebKit)
	@found=$$(scripts/browsers.sh) && eval "$$found" && cd end2end && npm run --silent test -- $(ARGS)

bench: $(BUILT) ## weigh the page, watch the widget in hard cases, measure the server beside nginx; takes some minutes, asserts nothing
	$(call say,Page weight)
	@node bench/weight.mjs
	$(call say,Widget)
	@found=$$(scripts/browsers.sh) && eval "$$found" && cd end2end && npm run --silent measure
	$(call say,Server)
	@node bench/run.mjs $(ARGS)

build: $(BUILT) ## the release build: target/release/plimsoll and target/site

# Taken before the build and put in place after it: an edit made meanwhile counts as newer.
$(BUILT): $(SOURCES)
	@$(MAKE) --no-print-directory setup
	$(call say,Release build: the program and the page)
	@mkdir -p $(@D) && touch $@.begun
	@cargo leptos build --release --precompress
	$(call say,The page: made smaller and weighed)
	@node scripts/site.mjs
	@node scripts/element.mjs target/site
	@node scripts/weight.mjs target/site
	@mv $@.begun $@

setup: end2end/node_modules/.stamp ## install what is missing: toolchain, wasm target, cargo-leptos, wasm-bindgen, npm packages
	@scripts/setup.sh rust wasm-tools

end2end/node_modules/.stamp: end2end/package.json end2end/package-lock.json
	@scripts/setup.sh npm
	@touch $@

fmt:
	$(call say,Format)
	@cargo fmt --check

clippy:
	$(call say,Lints: the server)
	@cargo clippy --locked --all-targets -- -D warnings
	$(call say,Lints: the browser)
	@cargo clippy --locked --lib --target wasm32-unknown-unknown --no-default-features --features bundle -- -D warnings

docs: ## the documentation of every room, in target/doc
	$(call say,Documentation)
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --lib --no-deps --document-private-items

native: ## the native tests only; needs Rust and nothing else
	@scripts/setup.sh rust
	$(call say,Native tests)
	@cargo test --locked $(ARGS)

clean: ## remove what was built and installed here; never ./data
	rm -rf target end2end/node_modules end2end/out bench/out
