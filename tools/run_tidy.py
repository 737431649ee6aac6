#!/usr/bin/env python3
"""Runs clang-tidy over our .cc files and remembers which were clean, so that a second run costs nothing.

    tools/run_tidy.py [-j N] [FILE...]      what has changed since it was last found clean
    tools/run_tidy.py --all                 every file with all that it reaches: half an hour of two cores
    tools/run_tidy.py --record              write down what is clean now
    tools/run_tidy.py --record --defer      the same, and leave the others for the next --all

There are two memories. tools/tidy_clean.txt is part of the repository and holds, for each of our files, the content
that was found clean last: without --all only files with another content are checked, so that a fresh clone does not
start over. A header is checked with the file that it belongs to. The other memory is build/tidy-cache, or the directory
that TWOFOLD_TIDY_CACHE names: a file is skipped when it, all of our headers that it reaches, its compiler command,
.clang-tidy and clang-tidy itself are as they were when it was clean. A changed header may cause a finding in a file
that has not changed; only --all sees that. What was deferred is counted aloud and not checked without --all.
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
RECORD = ROOT / "tools" / "tidy_clean.txt"
DEFERRED = "deferred"  # instead of a fingerprint


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


def home(header, sources):
    """The .cc file that a header is checked with: its own, its test, or the first that includes it."""
    for candidate in (header.with_suffix(".cc"), header.with_name(header.stem + "_test.cc")):
        if candidate in sources:
            return candidate
    direct = next((path for path in sources if header in included(path)), None)
    return direct or next((path for path in sources if header in reachable(path)), None)


def tracked_headers():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.h"], capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()]


def parts_of(sources):
    """For each .cc file: itself and the headers that are checked with it."""
    parts = {path: [path] for path in sources}
    for header in tracked_headers():
        owner = home(header, sources)
        if owner is not None:
            parts[owner].append(header)
    return parts


def fingerprint(path):
    return hashlib.sha256(content(path)).hexdigest()[:24]


def read_record():
    """{path: fingerprint} of what was found clean under the present .clang-tidy."""
    if not RECORD.exists():
        return {}
    pairs = [line.split(" ", 1) for line in RECORD.read_text().split("\n") if line and not line.startswith("#")]
    record = {ROOT / name: value for value, name in pairs}
    return record if record.get(ROOT / ".clang-tidy") == fingerprint(ROOT / ".clang-tidy") else {}


def write_record(parts, is_clean, defer):
    """Notes the present content of what is clean, and keeps the older note of what is not known to be."""
    old, new = read_record(), {ROOT / ".clang-tidy": fingerprint(ROOT / ".clang-tidy")}
    for source, files in parts.items():
        for path in files:
            if is_clean(source):
                new[path] = fingerprint(path)
            elif defer and old.get(path) != fingerprint(path):
                new[path] = DEFERRED
            elif path in old:
                new[path] = old[path]
    lines = ["# What clang-tidy found clean last: tools/run_tidy.py --record writes this file."]
    lines += [f"{value} {path.relative_to(ROOT)}" for path, value in sorted(new.items())]
    RECORD.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description="Runs clang-tidy over what changed since it was last clean.")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--all", action="store_true", help="what has not changed itself, too")
    parser.add_argument("--record", action="store_true", help="write tools/tidy_clean.txt and check nothing")
    parser.add_argument("--defer", action="store_true", help="with --record: leave what is not clean for --all")
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="only these files (default: all of ours)")
    options = parser.parse_args()

    cache = pathlib.Path(os.environ.get("TWOFOLD_TIDY_CACHE") or ROOT / "build" / "tidy-cache")
    cache.mkdir(parents=True, exist_ok=True)
    tool = subprocess.run([CLANG_TIDY, "--version"], capture_output=True, check=True).stdout
    wanted = {path.resolve() for path in options.files}
    keys = {path: key(path, command, tool) for path, command in commands().items() if not wanted or path in wanted}
    todo = [path for path in keys if not (cache / keys[path]).exists()]
    parts = parts_of(list(keys))
    if options.record:
        write_record(parts, lambda path: path not in todo, options.defer)
        return 0
    if not options.all and not wanted:
        record = read_record()
        deferred = [path for path in todo if record.get(path) == DEFERRED]
        if deferred:
            print(f"tidy: {len(deferred)} files are left for make tidy-all")
        todo = [path for path in todo if path not in deferred
                and any(record.get(part) != fingerprint(part) for part in parts[path])]
    known = len(keys) - len(todo)
    print(f"tidy: {len(keys)} files, {known} known to be clean or unchanged, {len(todo)} to check", flush=True)

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
