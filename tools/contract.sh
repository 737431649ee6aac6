#!/usr/bin/env bash
# contract.sh [ARGUMENTS OF main.mjs]: lints the OpenAPI documents and tests the running servers against them.
# Needs build/dev/bin/twofold (`make contract` builds it), Node 18 or newer, npm and, the first time, its registry.
# The last line is "contract: ok …", or "contract: FAILED …" and exit code 1.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
tools=contract/tools
log=build/contract.log
mkdir -p build

fail() {
    cat "$log"
    echo "contract: FAILED $1"
    exit 1
}

# quietly WHAT COMMAND...: its output is shown only when it fails.
quietly() {
    local what=$1
    shift
    echo "contract: $what"
    "$@" >"$log" 2>&1 </dev/null || fail "$what"
}

# npm leaves a copy of the lock file's content behind, but writes it in its own way: compare with what was installed.
if ! cmp -s "$tools/package-lock.json" "$tools/node_modules/.installed-lock"; then
    quietly "installing the tools (contract/tools/package-lock.json)" npm --prefix "$tools" ci --no-progress
    cp "$tools/package-lock.json" "$tools/node_modules/.installed-lock"
fi
quietly "documents, catalogue, sources and docs agree" python3 contract/check.py
quietly "redocly lint" node "$tools/node_modules/.bin/redocly" lint --config "$tools/redocly.yaml" \
    contract/coordinator.openapi.json contract/participant.openapi.json
quietly "spectral lint" node "$tools/node_modules/.bin/spectral" lint --fail-severity=hint -r "$tools/.spectral.yaml" \
    contract/coordinator.openapi.json contract/participant.openapi.json
node "$tools/main.mjs" --program build/dev/bin/twofold "$@"
