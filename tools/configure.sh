#!/usr/bin/env bash
# configure.sh PRESET: runs CMake's configure step quietly; prints what it said only when it fails.
set -euo pipefail

preset=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
log="build/$preset/configure.log"
mkdir -p "$(dirname "$log")"
echo "configure: preset $preset"
if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log" >&2
    echo "configure: preset $preset failed; its output is above" >&2
    exit 1
fi
