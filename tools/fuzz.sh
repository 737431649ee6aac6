#!/usr/bin/env bash
# fuzz.sh [--minimise] SECONDS JOBS [TARGET...]: runs the libFuzzer programs of build/fuzz, SECONDS each, JOBS at once.
# New inputs are kept in build/fuzz/corpus, crashing ones in build/fuzz/findings; the last line is the sum. Exits 1
# when there was a crash. --minimise then chooses fuzz/corpus anew (tools/fuzz_minimise.py).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
minimise=no
if [[ ${1:-} == --minimise ]]; then
    minimise=yes
    shift
fi
duration=${1:?how many seconds for each target}
jobs=${2:?how many targets at a time}
shift 2
export bin=build/fuzz/bin work=build/fuzz/corpus logs=build/fuzz/logs findings=build/fuzz/findings duration
export ASAN_OPTIONS=quarantine_size_mb=16:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1
mkdir -p "$work" "$logs" "$findings"
"$bin/twofold-fuzz-seeds" "$work" >/dev/null

# One target. Its last lines say how many inputs were executed; libFuzzer names a crashing one on a line of its own.
fuzz_one() {
    local target=$1
    mkdir -p "$work/$target" "fuzz/corpus/$target"
    # How it ended is read from its log: only a run that says "Done" is well.
    "$bin/twofold-fuzz-$target" -max_total_time="$duration" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$findings/$target-" \
        "$work/$target" "fuzz/corpus/$target" </dev/null >"$logs/$target.log" 2>&1 || true
    local executions
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$target.log")
    echo "fuzz: $target executions=${executions:-0}"
    if ! grep -q '^Done [0-9]* runs' "$logs/$target.log"; then
        echo "fuzz: $target CRASHED: $(sed -n 's/.*Test unit written to //p' "$logs/$target.log" | tail -1)"
        # For the reader; it is counted as crashed with or without such a line.
        grep -m 3 -E 'SUMMARY|ERROR|assertion' "$logs/$target.log" || true
        echo "fuzz: more in $logs/$target.log"
    fi
}
export -f fuzz_one

targets=("$@")
if [[ ${#targets[@]} == 0 ]]; then
    for program in "$bin"/twofold-fuzz-*; do
        name=${program##*/twofold-fuzz-}
        [[ $name == seeds ]] || targets+=("$name")
    done
fi
summary=build/fuzz/summary.txt
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I TARGET bash -c 'fuzz_one TARGET' | tee "$summary"
if [[ $minimise == yes ]]; then
    printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -n 1 tools/fuzz_minimise.py
fi
executions=$(sed -n 's/^fuzz: [a-z_]* executions=//p' "$summary" | awk '{ sum += $1 } END { print sum + 0 }')
crashes=$(grep -c 'CRASHED' "$summary" || true)  # grep fails when it counts none
verdict=ok
[[ $crashes == 0 ]] || verdict=FAILED
echo "fuzz: $verdict targets=${#targets[@]} executions=$executions crashes=$crashes"
[[ $crashes == 0 ]]
