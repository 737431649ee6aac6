#!/usr/bin/env python3
"""Plants every bug of tools/sabotage.txt, one by one: somebody must notice each.

    python3 tools/sabotage.py build/dev/bin              all; last line: sabotage: ok caught=N of N
    python3 tools/sabotage.py build/dev/bin 'sqlite.*'   those whose names match
"""
import concurrent.futures
import fnmatch
import functools
import os
import pathlib
import re
import subprocess
import sys

JOBS = int(os.environ.get("JOBS", "2"))
LIST = pathlib.Path(__file__).with_name("sabotage.txt")


def read_list():
    bugs = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, rule, budget = (part.strip() for part in line.split("|"))
        bugs.append((name, rule, budget.split(" ", 2)))
    names = [name for name, _, _ in bugs]
    if len(set(names)) != len(names):
        sys.exit("sabotage: a name stands twice in " + LIST.name)
    return bugs


def run(command, bug=None):
    environment = {key: value for key, value in os.environ.items() if key != "TWOFOLD_SABOTAGE"}
    if bug is not None:
        environment["TWOFOLD_SABOTAGE"] = bug
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def passed(output):
    """How many tests passed; a filter that finds none, and one that skips all, prove nothing."""
    found = re.search(r"^\[  PASSED  \] (\d+) test", output, re.MULTILINE)
    return int(found.group(1)) if found else 0


@functools.lru_cache(maxsize=None)
def passes(program, tests):
    code, output = run([program, "--gtest_filter=" + tests])
    return code == 0 and passed(output) > 0 and "[  SKIPPED ]" not in output


def by_seeds(folder, name, count):
    code, output = run([f"{folder}/twofold-sim", "--sabotage", name, "--seeds", f"1..{count}"])
    found = re.search(r"FAILED seed=(\d+).*\n  ([\w-]+):", output)
    if found:
        return f"{found.group(2)}, seed {found.group(1)}"
    return "the program's own assertion" if code < 0 else None


def by_failing_tests(program, name, tests):
    if not passes(program, tests):
        return None  # they fail, or do not run, without the bug: that shows nothing
    code, output = run([program, "--gtest_filter=" + tests], name)
    found = re.search(r"^\[  FAILED  \] ([\w./]+)", output, re.MULTILINE)
    if code == 0:
        return None
    return found.group(1) if found else "the test program ended itself"


def caught_by(folder, name, budget):
    kind = budget[0]
    if kind == "seeds":
        return by_seeds(folder, name, int(budget[1]))
    program = f"{folder}/{budget[1]}"
    if kind == "fails":
        return by_failing_tests(program, name, budget[2])
    if kind == "passes":
        return budget[2] if passes(program, budget[2]) else None
    sys.exit(f"sabotage: {name}: nobody knows the budget {kind}")


def unlisted(folder, bugs):
    """Switches of the simulator that the list has not."""
    _, output = run([f"{folder}/twofold-sim", "--list-sabotage"])
    listed = {name for name, _, _ in bugs}
    return [line.split()[0] for line in output.splitlines() if line.split()[0] not in listed]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    pattern = sys.argv[2] if len(sys.argv) > 2 else "*"
    bugs = read_list()
    missing = unlisted(folder, bugs)
    for name in missing:
        print(f"NOT LISTED  {name}")
    chosen = [bug for bug in bugs if fnmatch.fnmatch(bug[0], pattern)]
    caught = 0
    # Two tests of one database server or file do not meet: each makes its own.
    pool = concurrent.futures.ThreadPoolExecutor(JOBS)
    found = pool.map(lambda bug: caught_by(folder, bug[0], bug[2]), chosen)
    for (name, rule, budget), who in zip(chosen, found):
        caught += who is not None
        print(f"{'caught' if who else 'SURVIVES':9} {name:44} {rule:8} {who or ' '.join(budget)}", flush=True)
    good = caught == len(chosen) > 0 and not missing
    print(f"sabotage: {'ok' if good else 'FAILED'} caught={caught} of {len(chosen)}")
    sys.exit(0 if good else 1)


main()
