#!/usr/bin/env bash
# Every check that is not a test: format, house rules, contract, header self-check, clang-tidy. Stops at the first that
# fails and says how to mend it. Expects build/dev to be configured (`make check` does that).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
jobs=${JOBS:-$(nproc)}

# step NAME HOW-TO-FIX COMMAND...
step() {
    local name=$1 fix=$2 begin=$SECONDS
    shift 2
    echo "check: $name ..."
    if ! "$@"; then
        printf 'check: %s FAILED\ncheck: to fix it: %s\n' "$name" "$fix" >&2
        exit 1
    fi
    echo "check: $name ok ($((SECONDS - begin)) s)"
}

format_is_clean() {
    git ls-files -- '*.cc' '*.h' | xargs -r clang-format-16 --dry-run -Werror
}

headers_compile_alone() {
    # The target does not exist while no library has a header.
    if ! ninja -C build/dev -t query all_verify_interface_header_sets >/dev/null 2>&1; then
        echo "check: no headers yet"
        return 0
    fi
    cmake --build --preset dev -j "$jobs" --target all_verify_interface_header_sets
}

step "format" "make format" format_is_clean
step "house rules" "change the lines named above; the rules are in CONTRIBUTING.md and tools/tidy.py" \
    python3 tools/tidy.py
step "contract" "python3 contract/check.py --write makes docs/api.md and docs/problems.md; mend the rest by hand" \
    python3 contract/check.py
step "headers compile alone" "add the include that the header named above lacks" headers_compile_alone
step "clang-tidy" "change the lines named above; .clang-tidy says why each excluded check is excluded" \
    python3 tools/run_tidy.py -j "$jobs"
