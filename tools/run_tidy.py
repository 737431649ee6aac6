#!/usr/bin/env python3
"""Runs clang-tidy over our .cc files and remembers which were clean, so that a second run costs nothing.

    tools/run_tidy.py [-j N] [FILE...]

A file is skipped when a file with the same content, the same content of all our headers that it reaches, the same
compiler command, the same .clang-tidy and the same clang-tidy was clean before. The memory is build/tidy-cache, or the
directory that TWOFOLD_TIDY_CACHE names. Headers are checked with the files that include them.

tools/tidy_pending.txt names files that are not clean yet: they are left out, and counted aloud. The list may only
shrink; --all checks them too, --write-pending writes it anew from what is remembered as clean.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "dev"
CLANG_TIDY = "clang-tidy-16"
PENDING = ROOT / "tools" / "tidy_pending.txt"


@functools.cache
def content(path):
    return path.read_bytes()


@functools.cache
def included(path):
    """Our files that one of our files includes directly."""
    names = re.findall(rb'^\s*#\s*include\s*"([^"]+)"', content(path), re.MULTILINE)
    files = (ROOT / name.decode() for name in names)
    return [file for file in files if file.is_file()]


def reachable(path):
    """The file and all of our headers that it reaches, in a fixed order."""
    seen, todo = {path}, [path]
    while todo:
        for file in included(todo.pop()):
            if file not in seen:
                seen.add(file)
                todo.append(file)
    return sorted(seen)


def key(path, command, tool):
    """A name for everything that the result depends on; the same in every clone."""
    digest = hashlib.sha256()
    parts = [tool, content(ROOT / ".clang-tidy"), command.replace(str(ROOT), "").encode()]
    for file in reachable(path):
        parts += [str(file.relative_to(ROOT)).encode(), content(file)]
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def commands():
    """Our tracked .cc files and the command that compiles each."""
    database = BUILD / "compile_commands.json"
    if not database.exists():
        sys.exit("tidy: build/dev/compile_commands.json is missing; run `cmake --preset dev` first")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.cc"], capture_output=True, text=True, check=True)
    tracked = {ROOT / name for name in listed.stdout.split("\n") if name}
    entries = {pathlib.Path(entry["file"]): entry["command"] for entry in json.loads(database.read_text())}
    unbuilt = sorted(str(path.relative_to(ROOT)) for path in tracked - entries.keys() if path.exists())
    if unbuilt:
        print("tidy: in no target, not checked: " + " ".join(unbuilt))
    return {path: command for path, command in sorted(entries.items()) if path in tracked and path.exists()}


def tidy(path):
    """Runs clang-tidy over one file: (clean, what it printed, seconds)."""
    begin = time.monotonic()
    done = subprocess.run([CLANG_TIDY, "-p", str(BUILD), "--quiet", str(path)],
                          capture_output=True, text=True, check=False, cwd=ROOT)
    clean = done.returncode == 0 and "warning:" not in done.stdout
    text = done.stdout if done.stdout.strip() else done.stderr
    return clean, text.replace(f"{ROOT}/", ""), time.monotonic() - begin


def pending():
    """Our files that are not under clang-tidy yet."""
    lines = PENDING.read_text().split("\n") if PENDING.exists() else []
    return {ROOT / line for line in lines if line and not line.startswith("#")}


def write_pending(paths):
    lines = ["# Files that clang-tidy has not found clean yet. The list may only shrink: see tools/run_tidy.py."]
    PENDING.write_text("\n".join(lines + sorted(str(path.relative_to(ROOT)) for path in paths)) + "\n")


def main():
    parser = argparse.ArgumentParser(description="Runs clang-tidy over what changed since it was last clean.")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--all", action="store_true", help="the files of tools/tidy_pending.txt too")
    parser.add_argument("--write-pending", action="store_true", help="write tools/tidy_pending.txt and check nothing")
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="only these files (default: all of ours)")
    options = parser.parse_args()

    cache = pathlib.Path(os.environ.get("TWOFOLD_TIDY_CACHE") or ROOT / "build" / "tidy-cache")
    cache.mkdir(parents=True, exist_ok=True)
    tool = subprocess.run([CLANG_TIDY, "--version"], capture_output=True, check=True).stdout
    wanted = {path.resolve() for path in options.files}
    keys = {path: key(path, command, tool) for path, command in commands().items() if not wanted or path in wanted}
    todo = [path for path in keys if not (cache / keys[path]).exists()]
    if options.write_pending:
        write_pending(todo)
        return 0
    left_out = set() if options.all or wanted else pending() & set(keys)
    if left_out:
        print(f"tidy: {len(left_out)} files of tools/tidy_pending.txt are not checked yet")
        keys = {path: value for path, value in keys.items() if path not in left_out}
        todo = [path for path in todo if path not in left_out]
    print(f"tidy: {len(keys)} files, {len(keys) - len(todo)} known to be clean, {len(todo)} to check", flush=True)

    failed = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, options.jobs)) as pool:
        running = {pool.submit(tidy, path): path for path in todo}
        for number, future in enumerate(concurrent.futures.as_completed(running), 1):
            path = running[future]
            clean, text, seconds = future.result()
            name = path.relative_to(ROOT)
            print(f"tidy: [{number}/{len(todo)}] {name} {'ok' if clean else 'FAILED'} ({seconds:.1f} s)", flush=True)
            if clean:
                (cache / keys[path]).touch()
            else:
                failed.append(str(name))
                print(text, flush=True)
    if failed:
        print("tidy: not clean: " + " ".join(sorted(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
