#!/bin/sh
# Makes a Python with the packages of end2end/clients/requirements.txt in end2end/out/python, unless it is there, and
# prints its path. Must never know what is tested with it. Says what it does on standard error.
set -eu
cd "$(dirname "$0")/../end2end"

say() { printf '== %s\n' "$*" >&2; }
fail() {
  printf '\n%s\n' "$*" >&2
  exit 1
}

wanted=clients/requirements.txt
made=out/python
command -v python3 >/dev/null 2>&1 ||
  fail 'Python 3 is missing: install it (Debian: apt-get install python3 python3-venv); tuspy and Django, which are tested with, are written in it.'
if ! cmp -s "$wanted" "$made/made-of.txt"; then
  say 'Installing tuspy and Django into end2end/out/python'
  rm -rf "$made"
  python3 -m venv "$made" >&2 ||
    fail 'Python cannot make a virtual environment: install its module venv (Debian: apt-get install python3-venv).'
  "$made/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$wanted" </dev/null >&2 ||
    fail 'tuspy and Django could not be installed: check the network, or point pip at an index you can reach (pip config set global.index-url URL).'
  cp "$wanted" "$made/made-of.txt"
fi
printf '%s\n' "$PWD/$made/bin/python"
