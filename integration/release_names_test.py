#!/usr/bin/env python3
"""Builds for users hold no crash point: neither its name nor a variable that could arm one.

    integration/release_names_test.py build/dev/bin/twofold build/dev

A program without crash points is searched itself. One with crash points must hold every name, or the search would prove
nothing; then each of its sources that has a point is preprocessed with the flags of the build but without crash points,
and the result may hold none. A release build beside it is searched, too, when there is one.
"""

import json
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SWITCH = "-DTWOFOLD_CRASH_POINTS"
VARIABLES = [b"TWOFOLD_FAULT_AT", b"TWOFOLD_CRASH_AT", b"TWOFOLD_HOLD_AT", b"TWOFOLD_SABOTAGE"]
USES = re.compile(r"TWOFOLD_(CRASH_POINT|IO_ERROR|IO_SIZE|TEST_NUMBER)\w*\b")


def names():
    """Of all points, from the table in the source."""
    table = (ROOT / "base/crash_point.cc").read_text(encoding="utf-8")
    found = re.findall(r'^    \{"(\w+)", (?:coordinator|participant|postgres|sqlite),', table, re.MULTILINE)
    if len(found) < 70:
        sys.exit(f"release_names_test: only {len(found)} points were found in base/crash_point.cc")
    return [name.encode() for name in found]


def held(data, words):
    """Those of `words` that are in `data`."""
    return [word.decode() for word in words if word in data]


def preprocessed(entry):
    """The source of an entry of compile_commands.json as a build without crash points sees it."""
    words = [word for word in shlex.split(entry["command"]) if word != SWITCH]
    at = words.index("-o")
    words = [word for word in words[:at] + words[at + 2:] if word not in ("-c", "-MD")]
    for option in ("-MT", "-MF"):
        if option in words:
            at = words.index(option)
            del words[at:at + 2]
    return subprocess.run([*words, "-E", "-P"], cwd=entry["directory"], capture_output=True, check=True).stdout


def sources(build):
    """Entries of our program's sources that have a point or a hook of one."""
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        own = path.is_relative_to(ROOT) and not path.name.endswith("_test.cc")
        folder = path.relative_to(ROOT).parts[0] if own else ""
        if folder in ("", "build", "integration", "sim", "fuzz", "bench", "damage"):
            continue
        if USES.search(path.read_text(encoding="utf-8")):
            yield path, entry


def main():
    """Exit code 1 when a name is where it must not be."""
    program, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    words = names() + VARIABLES
    has_points = subprocess.run([program, "crash-points"], capture_output=True, check=False).returncode == 0
    complaints = []
    if not has_points:
        complaints += [f"{program} holds {word}" for word in held(program.read_bytes(), words)]
        print(f"release_names_test: {program} was searched for {len(words)} words")
    else:
        missing = set(words) - {word.encode() for word in held(program.read_bytes(), words)}
        complaints += [f"{program} does not hold {word.decode()}: the search is blind" for word in sorted(missing)]
        seen = set()
        for path, entry in sources(build):
            if path in seen:
                continue
            seen.add(path)
            text = preprocessed(entry)
            complaints += [f"{path.relative_to(ROOT)} holds {word} without crash points" for word in held(text, words)]
        if len(seen) < 10:
            complaints.append(f"only {len(seen)} sources have a point: they were not found")
        print(f"release_names_test: {len(seen)} sources were searched for {len(words)} words")
        release = ROOT / "build/release/bin/twofold"
        if release.exists():
            complaints += [f"{release} holds {word}" for word in held(release.read_bytes(), words)]
            print(f"release_names_test: {release.relative_to(ROOT)} was searched")
        else:
            print("release_names_test: build/release/bin/twofold is not there; `make release` makes it")
    for complaint in complaints:
        print(f"release_names_test: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
