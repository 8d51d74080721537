#!/bin/sh
# Finds a Chromium and a Firefox that start, or installs them, and prints where they are as lines for `eval`.
# In this order: CHROMIUM_PATH and FIREFOX_PATH, PATH, Playwright's own, the distribution's packages.
# The driver of WebKitGTK is looked for as well (WEBKIT_DRIVER, PATH, the distribution's packages).
# Must never know what is tested. Says what it does on standard error; fails when one of the first two cannot be had.
set -eu
cd "$(dirname "$0")/../end2end"

say() { printf '== %s\n' "$*" >&2; }
# A file of the right name may still be a stub, or lack its libraries: only a browser that answers counts.
starts() { [ -n "$1" ] && [ -x "$1" ] && "$1" --version </dev/null >/dev/null 2>&1; }
# limited SECONDS COMMAND…: closed networks hang instead of refusing. Where `timeout` is missing, patience must do.
limited() {
  if command -v timeout >/dev/null 2>&1; then timeout "$@"; else shift && "$@"; fi
}
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
on_path() {
  for name in "$@"; do
    found=$(command -v "$name" 2>/dev/null) && starts "$found" && echo "$found" && return
  done
  return 1
}
playwrights() {
  own=$(node -e "console.log(require('@playwright/test')['$1'].executablePath())" 2>/dev/null) && starts "$own" && echo "$own"
}

# browser ENGINE VARIABLE NAMES…: prints the path of a browser that starts.
browser() {
  engine=$1 variable=$2
  shift 2
  eval "asked=\${$variable:-}"
  if [ -n "$asked" ]; then
    starts "$asked" && echo "$asked" && return
    printf '\n%s\n' "$variable is $asked, which does not start: correct or unset it." >&2
    return 1
  fi
  on_path "$@" && return
  playwrights "$engine" && return

  say "Installing Playwright's $engine"
  if limited 600 npx --no-install playwright install "$engine" </dev/null >&2; then
    playwrights "$engine" && return
    say "Installing the libraries it needs"
    limited 600 npx --no-install playwright install-deps "$engine" </dev/null >&2 && playwrights "$engine" && return
  fi
  if command -v apt-get >/dev/null 2>&1; then
    say "Installing the distribution's $engine"
    as_root apt-get update -qq </dev/null >&2 || true
    for name in "$@"; do
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$name" </dev/null >&2 || continue
      on_path "$@" && return
    done
  fi
  printf '\n%s\n' "No $engine that starts was found or could be installed: install one and set $variable to its path." >&2
  return 1
}

# There is no WebKit but where its distribution has one: without it the smoke run is left out, and says so.
webkit() {
  if [ -n "${WEBKIT_DRIVER:-}" ]; then
    [ -x "$WEBKIT_DRIVER" ] && echo "$WEBKIT_DRIVER" && return
    printf '\n%s\n' "WEBKIT_DRIVER is $WEBKIT_DRIVER, which is not a program: correct or unset it." >&2
    return 1
  fi
  if ! command -v WebKitWebDriver >/dev/null 2>&1 || ! command -v Xvfb >/dev/null 2>&1; then
    command -v apt-get >/dev/null 2>&1 || return 0
    say "Installing the distribution's WebKitGTK driver and a display for it"
    as_root apt-get update -qq </dev/null >&2 || true
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends webkit2gtk-driver xvfb xauth </dev/null >&2 || return 0
  fi
  command -v WebKitWebDriver || true
}

chromium=$(browser chromium CHROMIUM_PATH chromium chromium-browser google-chrome-stable google-chrome)
firefox=$(browser firefox FIREFOX_PATH firefox-esr firefox)
say "Chromium: $chromium"
driver=$(webkit)
say "Firefox: $firefox"
say "WebKit: ${driver:-none, and none could be installed: its smoke run is left out}"
quoted() { printf '%s' "$1" | sed "s/'/'\\\\''/g"; }
printf "export CHROMIUM_PATH='%s'\nexport FIREFOX_PATH='%s'\n" "$(quoted "$chromium")" "$(quoted "$firefox")"
[ -z "$driver" ] || printf "export WEBKIT_DRIVER='%s'\n" "$(quoted "$driver")"
