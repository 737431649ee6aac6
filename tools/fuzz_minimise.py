#!/usr/bin/env python3
"""Chooses the corpus of one fuzz target.

    tools/fuzz_minimise.py TARGET

libFuzzer says what each input of build/fuzz/corpus and fuzz/corpus reaches; of these the few that reach most together
become fuzz/corpus/TARGET. Inputs named found-... stay: each has shown a bug.
"""

import hashlib
import pathlib
import subprocess
import sys
import tempfile

FILES_MAX = 24
ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"


def reached(target, folders):
    """What each input reaches, as sets of libFuzzer's features: edges, without how often they are taken."""
    with tempfile.TemporaryDirectory() as place:
        control = pathlib.Path(place) / "control"
        fresh = pathlib.Path(place) / "fresh"
        fresh.mkdir()
        program = BUILD / "bin" / f"twofold-fuzz-{target}"
        subprocess.run([program, "-set_cover_merge=1", "-use_counters=0", "-max_len=4096",
                        f"-merge_control_file={control}", fresh, *folders],
                       check=True, stdin=subprocess.DEVNULL, capture_output=True)
        lines = control.read_text().split("\n")
    count = int(lines[0])
    names = lines[2:2 + count]
    features = {}
    for line in lines[2 + count:]:
        words = line.split()
        if words and words[0] == "FT":
            features[pathlib.Path(names[int(words[1])])] = set(words[2:])
    return features


def chosen(features):
    """Greedy: again and again the input that adds most, the smallest of equals."""
    content = {file: file.read_bytes() for file in features}
    todo, seen, files = sorted(features), set(), []
    while len(files) < FILES_MAX:
        best = min(todo, key=lambda file: (-len(features[file] - seen), len(content[file]), file), default=None)
        if best is None or not features[best] - seen:
            break
        seen |= features[best]
        files.append(content[best])
        todo.remove(best)
    return files


def main():
    target = sys.argv[1]
    corpus = ROOT / "fuzz" / "corpus" / target
    files = chosen(reached(target, [corpus, BUILD / "corpus" / target]))
    for old in corpus.iterdir():
        if not old.name.startswith("found-"):
            old.unlink()
    known = {file.read_bytes() for file in corpus.iterdir()}
    for content in files:
        if content not in known:
            (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)
    print(f"fuzz: {target} corpus={len(list(corpus.iterdir()))}")


if __name__ == "__main__":
    main()
