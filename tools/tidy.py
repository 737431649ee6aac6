#!/usr/bin/env python3
"""The house rules that a machine can check. Prints one line per violation and exits 1 when there is any.

    tools/tidy.py [--root DIR]

Checked: which folder may include which, which heavy headers may be included where, what a pure core may not use, the
length of functions, files and lines, how headers begin, and words that must not appear. tools/tidy_test.py plants every
violation and sees it caught.
"""

import argparse
import bisect
import dataclasses
import pathlib
import re
import subprocess
import sys

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600

# A layer and what its files may include besides themselves: a layer's name stands for its files (not for the layers
# inside its folder), a name with a dot for one file. This is the dependency graph of the project.
LAYERS = {
    "base": [],
    "async": ["base"],
    "protocol": ["base"],
    "wal/core": ["base"],
    "wal": ["wal/core", "base"],
    "http": ["async", "base"],
    "contract": [],
    "coordinator/core": ["protocol", "base"],
    "participant/core": ["protocol", "base"],
    "participant/work": ["protocol", "base"],
    "participant/sqlite": ["participant/work", "protocol", "base"],
    "recovery/core": ["coordinator/core", "participant/core", "protocol", "base"],
    "coordinator": ["coordinator/core", "protocol", "http/message.h", "http/problem.h", "http/router.h",
                    "http/fake_response_port.h", "async", "base"],
    "participant": ["participant/work", "participant/sqlite", "participant/core", "protocol", "http/message.h",
                    "http/problem.h", "http/router.h", "http/fake_response_port.h", "async", "base"],
    "recovery": ["recovery/core", "coordinator/core", "wal", "protocol", "base"],
    "sim": ["wal/core", "coordinator/core", "participant/core", "recovery/core", "wal", "recovery", "protocol",
            "base"],
    "integration": ["base", "protocol", "http", "async"],
    "damage": ["wal/core", "wal", "participant/sqlite", "protocol", "base"],
}
TEST_SERVERS = ("integration/postgres_server.h",)
LAYERS["app"] = sorted(set(LAYERS) - {"sim", "integration", "damage"})
LAYERS["fuzz"] = sorted(set(LAYERS) - {"sim", "integration", "damage"})
LAYERS["bench"] = sorted(set(LAYERS) - {"fuzz"})

# Files that may be longer than FILE_LINES_MAX, each with its reason.
LONG_FILES_ALLOWED: dict[str, str] = {}

CPP = (".cc", ".h")
CODE = CPP + (".py", ".sh", ".js", ".ts", ".css", ".cmake")
COLUMNS_MAX = {".cc": 100, ".h": 100, ".py": 120, ".sh": 120, ".cmake": 120}

# Third-party headers and where they may be included: (include, file may include it, what to do instead).
# Compile time is the reason for most: one Beast file costs as much as fifty of ours.
THIRD_PARTY = [
    (r"boost/(asio|beast)\.hpp$", lambda f: False, "umbrella header: include the parts that are used"),
    (r"boost/beast", lambda f: f.layer == "http" and f.path.suffix == ".cc", "Beast only in http/*.cc"),
    (r"libpq-fe\.h$", lambda f: f.path.suffix == ".cc" and (
        f.layer in ("integration", "bench") or (f.folder == "participant" and "postgres" in str(f.path))),
     "libpq only in participant/*postgres*.cc, integration/*.cc and bench/*.cc"),
    (r"sqlite3(ext)?\.h$", lambda f: f.path.suffix == ".cc" and f.layer in (
        "participant/sqlite", "integration", "bench", "damage", "fuzz"),
     "SQLite only in participant/sqlite/*.cc, integration/*.cc, bench/*.cc, damage/*.cc and fuzz/*.cc"),
    (r"(CLI|yaml-cpp|spdlog|prometheus)/", lambda f: f.path.suffix == ".cc", "heavy header: only in .cc files"),
    (r"boost/asio/", lambda f: f.path.suffix == ".cc" or f.layer == "async" or re.search(
        r"asio/(awaitable|any_io_executor)\.hpp$", f.include),
     "outside of async/, headers may include only awaitable.hpp and any_io_executor.hpp of Asio"),
]

# What a pure core may not include or use: it must be the same on every platform and in every replay.
CORE_INCLUDES = r"boost/asio|boost/unordered|(thread|mutex|shared_mutex|condition_variable|future|random|" \
                r"unordered_map|unordered_set)$"
CORE_TOKENS = r"::now\s*\(|\bunordered_(multi)?(map|set)\b|\bstd::(thread|jthread|mutex|mt19937|random_device)\b|" \
              r"\b(clock_gettime|gettimeofday)\s*\("
SIM_INCLUDES = r"boost/asio|sys/socket\.h|netinet/|libpq|sqlite3"
SIM_TOKENS = r"::now\s*\(|\b(clock_gettime|gettimeofday)\s*\("

# The brackets keep these lines from finding themselves.
BANNED_WORDS = [
    (r"\b(TOD[O]|FIXM[E]|XX[X])\b(?!\([a-z0-9#-]+\))", "write it as TOD" + "O(issue), or do it"),
    (r"\.\./share[d]\b", "a path outside of the repository"),
    (r"(?<![\w.~-])/(wor[k]|hom[e])/", "an absolute path of one machine"),
    (r"@autho[r]\b|\bAutho[r]:|Co-authore[d]-by|Signed-of[f]-by", "names of people belong into the history"),
    (r"NOLIN[T](NEXTLINE|BEGIN|END)?\b(?!\([\w.,* -]+\))", "name the check that is silenced, and say why"),
]


@dataclasses.dataclass
class Including:
    """One include directive: in `path` (relative, of layer and folder) of `include`."""

    path: pathlib.PurePosixPath
    layer: str
    folder: str
    include: str


def layer_of(path):
    """The layer that a relative path belongs to, or None outside of all layers."""
    parts = pathlib.PurePosixPath(path).parts
    for depth in (2, 1):
        name = "/".join(parts[:depth])
        if len(parts) > depth and name in LAYERS:
            return name
    return None


def blank(text):
    """The same text with everything but line ends turned into spaces."""
    return re.sub(r"[^\n]", " ", text)


LITERALS = re.compile(
    r'//(?:[^\n\\]|\\.|\\\n)*'
    r'|/\*.*?\*/'
    r'|\b(?:u8|[uUL])?R"(?P<tag>[^\s()\\]{0,16})\(.*?\)(?P=tag)"'
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|(?<![0-9a-zA-Z_])(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+'",
    re.DOTALL)


def without_literals(text):
    """C++ text with comments, strings and characters blanked out; lines and columns stay."""
    def replace(match):
        found = match.group(0)
        if found.startswith("/"):
            return blank(found)
        return '""' + blank(found[2:]) if '"' in found else "0" + blank(found[1:])
    return LITERALS.sub(replace, text)


def without_preprocessor(text):
    """Blanks out directives, and every branch but the first of a conditional, so that braces balance."""
    lines, skipping, continued = [], [], False
    for line in text.split("\n"):
        directive = re.match(r"\s*#\s*(\w+)", line)
        word = directive.group(1) if directive and not continued else None
        if word in ("if", "ifdef", "ifndef"):
            skipping.append(False)
        elif word in ("else", "elif") and skipping:
            skipping[-1] = True
        elif word == "endif" and skipping:
            skipping.pop()
        drop = word is not None or continued or any(skipping)
        continued = (word is not None or continued) and line.endswith("\\")
        lines.append(blank(line) if drop else line)
    return "\n".join(lines)


SCOPE_HEAD = re.compile(r"^(?:(?:inline|export|typedef|static|const|constexpr)\s+)*"
                        r"(?:(?P<scope>namespace|class|struct|union)\b|extern\s*\"\")")


def classify(head):
    """What a brace after `head`, at namespace or class level, opens: scope, function, init or other."""
    head = re.sub(r"\boperator\s*(\(\s*\)|[<>=!+\-*/%&|^~\[\]]+)", " operator_name", head)
    head = re.sub(r"\[\[.*?\]\]|\balignas\s*\([^()]*\)", " ", head, flags=re.DOTALL)
    before = None
    while before != head:
        before, head = head, re.sub(r"<[^<>;{}]*>", " ", head)
    head = re.sub(r"^\s*template\b", " ", head).strip()
    scope = SCOPE_HEAD.match(head)
    if scope and ("(" not in head or scope.group("scope") == "namespace"):
        return "scope"
    if re.match(r"(typedef\s+)?enum\b", head):
        return "other"
    bare, before = head, None
    while before != bare:
        before, bare = bare, re.sub(r"\([^()]*\)", " ", bare)
    if "=" in bare:  # an initialiser; a lambda counts as a function
        return "function" if re.search(r"\]\s*(mutable\b|noexcept\b|->.*)?\s*$", bare, re.DOTALL) else "other"
    if bare == head:
        return "other"
    if re.search(r"(?<!:):(?!:)", bare) and head[-1] not in ")}":
        return "init"
    return "function"


def matching_brace(text, opening):
    """The position of the brace that closes the one at `opening`, or the end of the text."""
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, opening):
        depth += 1 if match.group(0) == "{" else -1
        if depth == 0:
            return match.start()
    return len(text)


def functions(text):
    """(first line, last line) of every function at namespace or class level, lambdas in constants included."""
    text = without_preprocessor(without_literals(text))
    line_starts = [0] + [i + 1 for i, c in enumerate(text) if c == "\n"]
    position, head_start, parens, found = 0, 0, 0, []
    while position < len(text):
        c = text[position]
        if c in "()":
            parens = max(0, parens + (1 if c == "(" else -1))
        elif c == "{":
            kind = "other" if parens else classify(text[head_start:position])
            if kind == "scope":
                head_start = position + 1
            else:
                closing = matching_brace(text, position)
                if kind == "function":
                    begin = head_start + len(text[head_start:]) - len(text[head_start:].lstrip())
                    found.append((bisect.bisect(line_starts, begin), bisect.bisect(line_starts, closing)))
                    head_start = closing + 1
                position = closing
        elif c in ";}" and parens == 0:
            head_start = position + 1
        elif c == ":" and re.fullmatch(r"\s*(public|private|protected)\s*", text[head_start:position]):
            head_start = position + 1
        position += 1
    return found


def include_allowed(path, layer, included):
    """True when a file of `layer` may write #include "included"."""
    target = layer_of(included)
    if target is None or target == layer:
        return target is not None
    if path.name.endswith("_test.cc") and (included.split("/")[0] == path.parts[0] or target == "base"):
        return True
    # A fixture of tests may start the same real servers as the integration tests do.
    if "_fixture." in path.name and included in TEST_SERVERS:
        return True
    return target in LAYERS[layer] or included in LAYERS[layer]


def check_include(path, layer, quote, included):
    """The first rule that an include breaks, or None."""
    if quote == '"' and layer and not include_allowed(path, layer, included):
        return f'"{included}" may not be included from {layer} (the table LAYERS in tools/tidy.py)'
    directive = Including(path, layer or "", path.parts[0], included)
    for pattern, allowed, why in THIRD_PARTY:
        if re.match(pattern, included) and not allowed(directive):
            return f"<{included}>: {why}"
    if layer and (layer.endswith("/core") or layer == "participant/sqlite"):
        banned = CORE_INCLUDES if layer.endswith("/core") else r"boost/asio"
        if re.match(banned, included):
            return f"<{included}> may not be used in {layer}: it is pure and synchronous"
    if layer == "sim" and re.match(SIM_INCLUDES, included):
        return f"<{included}> may not be used in sim: it has its own clock, network and disk"
    return None


def check_includes(path, text):
    layer = layer_of(path)
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            problem = check_include(path, layer, match.group(1), match.group(2))
            if problem:
                yield number, problem


def check_tokens(path, text):
    layer = layer_of(path) or ""
    pattern = CORE_TOKENS if layer.endswith("/core") else SIM_TOKENS if layer == "sim" else None
    if pattern:
        for number, line in enumerate(without_literals(text).split("\n"), 1):
            match = None if re.match(r"\s*#\s*include\b", line) else re.search(pattern, line)
            if match:
                yield number, f"'{match.group(0).strip()}' may not be used in {layer}: the same input must give " \
                              "the same result everywhere"


def check_functions(path, text):
    for first, last in functions(text):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield first, f"function of {last - first + 1} lines; {FUNCTION_LINES_MAX} is the most"


def check_header(path, text):
    if not re.match(r"//|/\*", text):
        yield 1, "a header begins with a comment that says what it is"
    if not re.search(r"^#pragma once$", text, re.MULTILINE):
        yield 1, "#pragma once is missing"


def check_lines(path, text):
    columns_max = COLUMNS_MAX.get(path.suffix)
    for number, line in enumerate(text.split("\n"), 1):
        if path.suffix in CODE and "\t" in line:
            yield number, "tab"
        if columns_max and len(line) > columns_max and not re.search(r"https?://", line):
            yield number, f"{len(line)} columns; {columns_max} is the most"
        for pattern, why in BANNED_WORDS:
            match = re.search(pattern, line)
            if match:
                yield number, f"'{match.group(0)}': {why}"


def check_size(path, text):
    lines = text.count("\n")
    if path.suffix in CODE and lines > FILE_LINES_MAX and str(path) not in LONG_FILES_ALLOWED:
        yield lines, f"file of {lines} lines; {FILE_LINES_MAX} is the most: look for a second purpose inside"


def check_file(path, text):
    """All violations of one file, as (line, what)."""
    path = pathlib.PurePosixPath(path)
    rules = [check_lines, check_size]
    if path.suffix in CPP:
        rules += [check_includes, check_tokens, check_functions]
    if path.suffix == ".h":
        rules += [check_header]
    return sorted(problem for rule in rules for problem in rule(path, text))


def tracked_files(root):
    """The files that git knows, or all files where `root` is no repository."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=False)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [str(p.relative_to(root)) for p in root.rglob("*")]
    # Inputs of the fuzz targets are what a machine has made of ours.
    ours = (name for name in names if "third_party/" not in name and not name.startswith("fuzz/corpus/"))
    return sorted(name for name in ours if (root / name).is_file())


def check_tree(root):
    """All violations of a tree, as printable lines."""
    problems, count = [], 0
    for name in tracked_files(root):
        data = (root / name).read_bytes()
        if b"\0" in data:
            continue
        count += 1
        text = data.decode(errors="replace")
        problems += [f"{name}:{line}: {what}" for line, what in check_file(name, text)]
    return problems, count


def main():
    parser = argparse.ArgumentParser(description="Checks the house rules that a machine can check.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    problems, count = check_tree(parser.parse_args().root)
    for problem in problems:
        print(problem)
    print(f"tidy: {count} files, {len(problems)} violations")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
