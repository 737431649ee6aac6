"""The OpenAPI documents and the catalogue of problems: reading them, and the form in which they are written."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENTS = {
    "coordinator": ROOT / "contract" / "coordinator.openapi.json",
    "participant": ROOT / "contract" / "participant.openapi.json",
}
CATALOGUE = ROOT / "contract" / "problems.json"
METHODS = ("get", "put", "post", "delete", "patch")
COLUMNS_MAX = 120


def load(path):
    """The file as a value. A member name that occurs twice is an error."""
    def unique(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise SystemExit(f"{path}: occurs twice: {sorted({n for n in names if names.count(n) > 1})}")
        return found
    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)


def written(value, indent=0, taken=0):
    """JSON text: an object or array on one line if it fits there, otherwise a line for each member. `taken` columns
    of its first line are in use."""
    flat = json.dumps(value, ensure_ascii=False)
    fits = indent + taken + len(flat) < COLUMNS_MAX
    if fits or not isinstance(value, (dict, list)) or not value:
        return flat
    inner, lines = " " * (indent + 2), []
    if isinstance(value, list):
        for element in value:
            lines.append(inner + written(element, indent + 2))
    else:
        for name, element in value.items():
            head = json.dumps(name, ensure_ascii=False) + ": "
            lines.append(inner + head + written(element, indent + 2, len(head)))
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return opening + "\n" + ",\n".join(lines) + "\n" + " " * indent + closing


def resolve(document, value):
    """Follows "$ref" within the document."""
    while isinstance(value, dict) and "$ref" in value:
        target = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def operations(document):
    """(path, method, operation) of every operation, in the document's order."""
    for path, item in document["paths"].items():
        for method in item:
            if method in METHODS:
                yield path, method, item[method]


def problem_codes(document, response):
    """The codes that a problem response may have; empty when it is no problem response."""
    content = resolve(document, response).get("content", {}).get("application/problem+json")
    return content["schema"]["properties"]["code"]["enum"] if content else []


def codes_in_the_code(folder=ROOT):
    """[(code, status, title, retryable, file)] of every ProblemCode constant of the C++ sources."""
    row = re.compile(r'ProblemCode\s+k\w+\s*\{\s*"(\w+)",\s*(\d+),\s*((?:"(?:[^"\\]|\\.)*"\s*)+),\s*(true|false)\s*\}')
    found = []
    folders = [one for one in sorted(folder.iterdir()) if one.is_dir() and one.name not in ("build", "contract")]
    for path in [path for one in folders for path in sorted(one.rglob("*.h")) + sorted(one.rglob("*.cc"))]:
        relative = path.relative_to(folder)
        if path.name.endswith("_test.cc"):
            continue
        code_only = re.sub(r"//.*", "", path.read_text(encoding="utf-8", errors="replace"))
        for code, status, title, retryable in row.findall(code_only):
            text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', title))
            found.append((code, int(status), text, retryable == "true", str(relative)))
    return found
