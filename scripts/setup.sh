#!/bin/sh
# Installs what a build needs and this machine lacks, and says so; asks the network for nothing that is already here.
# Usage: scripts/setup.sh [rust] [wasm-tools] [npm]. Must never know what is built with it.
set -eu
cd "$(dirname "$0")/.."

CARGO_LEPTOS=0.3.9
# wasm-bindgen refuses a bundle made for any other version of itself.
WASM_BINDGEN=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print; exit }' Cargo.lock)
TOOLCHAIN=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
WASM=wasm32-unknown-unknown

say() { printf '== %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
fail() {
  printf '\n%s\n' "$*" >&2
  exit 1
}

rust() {
  has cc || has gcc || has clang ||
    fail 'A C compiler is missing (SQLite is written in C): install one (Debian: apt-get install build-essential; macOS: xcode-select --install).'
  if has rustup; then
    if ! rustup toolchain list | grep -q "^$TOOLCHAIN-"; then
      say "Installing Rust $TOOLCHAIN"
      rustup toolchain install "$TOOLCHAIN" --profile minimal --component clippy --component rustfmt ||
        fail "Rust $TOOLCHAIN could not be installed: check the network, or set RUSTUP_DIST_SERVER to a mirror you can reach."
    fi
    for component in clippy rustfmt; do
      rustup component list --toolchain "$TOOLCHAIN" --installed | grep -q "^$component" ||
        rustup component add --toolchain "$TOOLCHAIN" "$component" ||
        fail "$component could not be installed: run 'rustup component add --toolchain $TOOLCHAIN $component' with the network up."
    done
  elif has cargo; then
    # A distribution's Rust will do when it is the very same version.
    rustc --version | grep -q " $TOOLCHAIN " ||
      fail "Rust $TOOLCHAIN is needed and $(rustc --version) is here: install rustup from https://rustup.rs, it will fetch the right one."
  else
    fail 'Rust is missing: install rustup from https://rustup.rs, then run this again in a new terminal.'
  fi
}

wasm_tools() {
  if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$WASM/lib" ]; then
    say "Installing the $WASM target"
    { has rustup && rustup target add "$WASM" --toolchain "$TOOLCHAIN"; } ||
      fail "The $WASM target of Rust $TOOLCHAIN could not be installed: check the network, or put a standard library for it, of exactly this version, into $(rustc --print sysroot)/lib/rustlib/$WASM (from your distribution's package, or built from rust-src)."
  fi
  tool cargo-leptos cargo-leptos "$CARGO_LEPTOS"
  tool wasm-bindgen-cli wasm-bindgen "$WASM_BINDGEN"
}

# tool PACKAGE PROGRAM VERSION: the very version, wherever it is; a person's other version is left alone.
tool() {
  case " $("$2" --version 2>/dev/null || true) " in *" $3 "*) return ;; esac
  set -- "$1" "$2" "$3" "${CARGO_HOME:-$HOME/.cargo}"
  if [ -e "$4/bin/$2" ]; then
    set -- "$1" "$2" "$3" "$PWD/target/tools"
  fi
  if cargo binstall -V >/dev/null 2>&1; then
    say "Installing $2 $3 (a finished build)"
    cargo binstall --no-confirm --disable-strategies compile --root "$4" "$1@$3" </dev/null && return
  fi
  say "Installing $2 $3 (some minutes, once)"
  # Unoptimised, without debug information: these tools run for seconds, and compiling them is what takes long.
  CARGO_PROFILE_DEV_DEBUG=0 cargo install "$1" --version "$3" --locked --debug --force --root "$4" </dev/null ||
    fail "$2 $3 could not be installed: check the network, then run 'cargo install $1 --version $3 --locked'."
}

npm_packages() {
  # The oldest that the packages run with stands beside them.
  oldest=$(sed -n 's/^ *"node": ">=\([0-9.]*\)".*/\1/p' end2end/package.json)
  has node || fail "Node.js is missing: install version $oldest or newer from https://nodejs.org or with your package manager."
  printf '%s\n%s\n' "$oldest" "$(node -p process.versions.node)" | sort -C -V ||
    fail "Node.js $oldest or newer is needed and $(node --version) is here: install it from https://nodejs.org."
  has npm || fail 'npm is missing: install it (Debian: apt-get install npm); it belongs to Node.js.'
  say 'Installing the npm packages (wasm-opt, Playwright, axe)'
  (cd end2end && npm ci --no-audit --no-fund --loglevel=error </dev/null) ||
    fail 'The npm packages could not be installed: check the network, or point npm at a registry you can reach (npm config set registry URL).'
}

for part in "$@"; do
  case $part in
    rust) rust ;;
    wasm-tools) wasm_tools ;;
    npm) npm_packages ;;
    *) fail "scripts/setup.sh knows rust, wasm-tools and npm; $part it does not know." ;;
  esac
done
